"""Tensors of the files that `torch.save` writes, read without PyTorch.

Since 2020 such a file is a zip archive: `data.pkl`, a pickle of the tensors by name,
and a file of raw numbers for each storage. Before, it was a row of pickles (a magic
number, a version, facts about the machine, the tensors, the keys of their storages),
then the storages: a count and raw numbers each. The pickles may name nothing but
tensors and storages, so they can't run code. Until 2017 it was a tar archive, which is
refused.
"""

import os
import pickle
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from typing import IO, Any

import ml_dtypes
import numpy as np

_MAGIC = 0x1950A86A20F9469CFC6C
#: Types of storages in bytes of the file.
_STORAGES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}
#: Where programs that train keep the tensors of the net, beside what else they save.
_CHECKPOINT = ("state_dict", "model_state_dict", "model")


def read_torch_file(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read the tensors of a PyTorch file.

    Args:
        path: A state dict, such as `torch.save(model.state_dict(), path)` writes it, or
            a dictionary with one as "state_dict", "model_state_dict" or "model".

    Returns:
        Arrays by name, as views of their storages.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the file, if it is cut or of another kind, or if its pickle
            names anything but tensors.
    """
    try:
        with open(path, "rb") as file:
            read = _read_archive if zipfile.is_zipfile(file) else _read_row
            file.seek(0)
            tensors = dict(read(file))
        for key in _CHECKPOINT:
            if isinstance(tensors.get(key), dict):
                tensors = tensors[key]
                break
        strange = [n for n, x in tensors.items() if not isinstance(x, np.ndarray)]
        if strange:
            raise pickle.UnpicklingError(f"{strange[0]!r} is no tensor.")
        return tensors
    except FileNotFoundError:
        raise
    except Exception as error:  # a foreign pickle can fail in any way
        raise ValueError(
            f"{path}: Expected tensors that torch.save wrote. {error}"
        ) from None


def kernel(weight: np.ndarray, *, depthwise: bool = False) -> np.ndarray:
    """A convolution's kernel `[out, in, h, w]` as Keras has it, `[h, w, in, out]`.

    Args:
        weight: The kernel. A depthwise one is `[channels, 1, h, w]`, a transposed
            convolution's `[in, out, h, w]`, which becomes Keras's `[h, w, out, in]`.
        depthwise: Whether to return `[h, w, channels, 1]`.

    Example:
        >>> kernel(np.zeros((8, 3, 5, 7))).shape
        (5, 7, 3, 8)
    """
    return weight.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))


def _read_archive(file: IO[bytes]) -> Any:
    """Tensors of a zip archive: each storage is a file of its own."""
    with zipfile.ZipFile(file) as archive:
        # What is stored as it is can't be larger than the file, unless parts overlap.
        parts = archive.infolist()
        size = os.fstat(file.fileno()).st_size
        if any(part.compress_type != zipfile.ZIP_STORED for part in parts):
            raise pickle.UnpicklingError("Parts of it are compressed.")
        if sum(part.file_size for part in parts) > size:
            raise pickle.UnpicklingError("Its parts are larger than the file.")
        (index,) = [n for n in archive.namelist() if n.endswith("/data.pkl")]
        folder = index.removesuffix("data.pkl")
        if archive.NameToInfo.get(f"{folder}byteorder"):
            if archive.read(f"{folder}byteorder") != b"little":
                raise pickle.UnpicklingError("Its numbers are big-endian.")

        def storage(key: str, dtype: np.dtype, count: int) -> np.ndarray:
            numbers = np.frombuffer(archive.read(f"{folder}data/{key}"), dtype)
            if len(numbers) != count:
                raise pickle.UnpicklingError(f"Storage {key} is cut.")
            return numbers

        with archive.open(index) as pickled:
            return _Unpickler(pickled, storage).load()


def _read_row(file: IO[bytes]) -> Any:
    """Tensors of a row of pickles: the numbers come after all of them."""
    if file.read(4) == b"PK\x03\x04":  # the directory of an archive is its end
        raise pickle.UnpicklingError("Its end is missing: it was cut, or half loaded.")
    file.seek(0)
    if tarfile.is_tarfile(file):
        raise pickle.UnpicklingError(
            "It is a tar archive, as PyTorch wrote them until 2017: load it with "
            "PyTorch and save it again."
        )
    file.seek(0)
    size = os.fstat(file.fileno()).st_size
    storages: dict[str, np.ndarray] = {}

    def storage(key: str, dtype: np.dtype, count: int) -> np.ndarray:
        if not 0 <= count * dtype.itemsize <= size:
            raise pickle.UnpicklingError("A storage is larger than the file.")
        return storages.setdefault(key, np.empty(count, dtype))

    if _Unpickler(file, storage).load() != _MAGIC:
        raise pickle.UnpicklingError("It begins with another number.")
    _version, _machine, tensors, keys = (
        _Unpickler(file, storage).load() for _ in range(4)
    )
    for key in keys:
        kept = storages[key]
        count = np.fromfile(file, "<i8", 1)
        numbers = np.fromfile(file, kept.dtype, len(kept))
        if count.tolist() != [len(kept)] or len(numbers) < len(kept):
            raise pickle.UnpicklingError(f"Storage {key} is cut.")
        kept[:] = numbers
    return tensors


class _Unpickler(pickle.Unpickler):
    """An unpickler that admits nothing but tensors and their storages."""

    def __init__(
        self,
        file: Any,
        storage: Callable[[str, np.dtype, int], np.ndarray],
    ):
        super().__init__(file)
        self._storage = storage
        self._read: dict[str, np.ndarray] = {}

    def find_class(self, module: str, name: str) -> Any:
        known: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch._utils", "_rebuild_parameter"): _parameter,
        }
        known |= {("torch", kind): dtype for kind, dtype in _STORAGES.items()}
        if (module, name) not in known:
            raise pickle.UnpicklingError(
                f"It names {module}.{name}. Save the tensors alone: "
                "torch.save(model.state_dict(), path)."
            )
        return known[module, name]

    def persistent_load(self, reference: Any) -> np.ndarray:
        _, dtype, key, _device, count = reference[:5]
        if key not in self._read:
            self._read[key] = self._storage(key, dtype, count)
        return self._read[key]


def _tensor(
    storage: np.ndarray, offset: int, size: tuple, stride: tuple, *_: Any
) -> np.ndarray:
    """The view of a storage that a tensor is."""
    end = offset + 1 + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if min((offset, *(n - 1 for n in size), *stride)) < 0 or end > storage.size:
        raise pickle.UnpicklingError("A tensor reaches out of its storage.")
    strides = [step * storage.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], size, strides)


def _parameter(tensor: np.ndarray, *_: Any) -> np.ndarray:
    """A tensor that learns, without what PyTorch keeps beside it."""
    return tensor
