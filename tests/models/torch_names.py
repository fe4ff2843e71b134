"""Tensors under the names that PyTorch's nets give them, and files of these."""

import json
import struct

import numpy as np

PARTS = {
    **{"kernel": "weight", "gamma": "weight", "beta": "bias", "bias": "bias"},
    **{"moving_mean": "running_mean", "moving_variance": "running_var"},
}
#: Names of types in .safetensors files.
NAMES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16", "float64": "F64"} | {
    "int64": "I64",
    "int32": "I32",
    "int8": "I8",
    "uint8": "U8",
    "bool": "BOOL",
}


def safetensors(tensors, metadata=None, **changes):
    """The bytes of a file, with some of its header's facts changed."""
    header, numbers = {}, b""
    if metadata:
        header["__metadata__"] = metadata
    for name, tensor in tensors.items():
        tensor = np.asarray(tensor)
        begin, numbers = len(numbers), numbers + tensor.tobytes()
        header[name] = {
            "dtype": NAMES[tensor.dtype.name],
            "shape": list(tensor.shape),
            "data_offsets": [begin, len(numbers)],
        }
    header = {**header, **{k: header[k] | v for k, v in changes.items()}}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + numbers


def write_safetensors(path, tensors):
    path.write_bytes(safetensors(tensors))


def torch_names(model):
    """Tensors of PyTorch with a model's shapes, by torchvision's names."""
    tensors = {}
    for variable in model.variables:
        *_, layer, part = variable.path.split("/")
        stage, _, rest = layer.partition("_")
        block, _, rest = rest.partition("_")
        module = ".".join(filter(None, (stage, block, rest.replace("_", "."))))
        value = variable.numpy()
        if value.ndim == 4:
            value = value.transpose(3, 2, 0, 1)
        tensors[f"{module}.{PARTS[part]}"] = value
    return tensors


def changed(tensors, **others):
    """Tensors, some replaced, and without those replaced by None."""
    return {k: v for k, v in (tensors | others).items() if v is not None}
