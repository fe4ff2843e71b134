"""Tensors of `.safetensors` files.

https://github.com/huggingface/safetensors, "Format": eight bytes for the length of a
header, the header in JSON, which says the type, shape and place of each tensor, and the
numbers. The format is so small that reading it is less than depending on a package.
"""

import json
import math
import os
from typing import Any

import ml_dtypes
import numpy as np

#: The types of a header, all little-endian.
_TYPES = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}


def read_safetensors(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read the tensors of a `.safetensors` file.

    Args:
        path: The file.

    Returns:
        Arrays by name, read from the disk as they are used.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the file, if it is cut or of another kind.
    """
    try:
        size = os.path.getsize(path)
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= size - 8:
                raise ValueError("Its header is longer than the file.")
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        numbers = np.memmap(path, np.uint8, "r")[8 + length :]
        return {name: _tensor(numbers, **facts) for name, facts in header.items()}
    except FileNotFoundError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path}: Expected a .safetensors file. {error}") from None


def _tensor(
    numbers: np.ndarray, dtype: str, shape: list[int], data_offsets: Any
) -> np.ndarray:
    """A tensor of so many bytes, from one place to another."""
    if dtype not in _TYPES:
        raise ValueError(f"It has numbers of the type {dtype}.")
    begin, end = data_offsets
    wanted = math.prod(shape) * _TYPES[dtype].itemsize
    if min([0, begin, *shape]) < 0 or end - begin != wanted or end > len(numbers):
        raise ValueError("A tensor reaches out of the file, or has another size.")
    return numbers[begin:end].view(_TYPES[dtype]).reshape(shape)
