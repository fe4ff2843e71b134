"""Weights of the FCN authors' .caffemodel files, and of VGG16 as it was published.

A .caffemodel is a protobuf message of a net: layers by name, each with blobs of
weights. Only the fields that hold weights are described here (caffe.proto of
https://github.com/BVLC/caffe), in their new and in their old place. Nothing is
unpickled or executed.
"""

import math
import mmap
import os
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory


def read_caffemodel(path: str | os.PathLike) -> dict[str, list[np.ndarray]]:
    """Read the blobs of each layer, in Caffe's own layout.

    Args:
        path: A .caffemodel file. Arrays are views of its bytes.

    Returns:
        float32 arrays by layer name: of a convolution `[out, in, height, width]` and
        `[out]`; old files put ones before shapes of fewer than four numbers.

    Raises:
        ValueError: naming the file, if it is cut or of another kind.
    """
    net = _NetParameter()
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            raise ValueError(f"{path}: Expected a .caffemodel. It is empty.")
        # Mapped, not read: the message makes the one copy that is needed.
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            view = memoryview(mapped)
            try:
                net.ParseFromString(view)
            except message.DecodeError:
                raise ValueError(
                    f"{path}: Expected a .caffemodel. It is cut, or another file."
                ) from None
            finally:
                view.release()
    layers = [*net.layer, *net.layers]
    if not layers:
        raise ValueError(f"{path}: Expected a .caffemodel. It has no layers.")
    return {
        layer.name: [
            _array(blob, f"{path}: layer {layer.name}") for blob in layer.blobs
        ]
        for layer in layers
        if layer.blobs
    }


def kernel(blob: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Caffe's [out, in, h, w], or a matrix [out, in h w], as Keras's [h, w, in, out].

    A transposed convolution's [in, out, h, w] becomes Keras's [h, w, out, in] alike.

    Args:
        blob: The weights of a layer.
        shape: The kernel's shape in Keras.

    Raises:
        ValueError: if the blob has another number of weights or of filters.
    """
    height, width, *channels = shape
    expected = (*reversed(channels), height, width)
    squeezed = blob.reshape([s for s in blob.shape if s != 1] or [1])
    matrix = (expected[0], int(np.prod(expected[1:])))
    if blob.shape != expected and squeezed.shape not in (
        matrix,
        tuple(s for s in expected if s != 1),
    ):
        raise ValueError(f"Expected weights {expected}. Received: {blob.shape}")
    return blob.reshape(expected).transpose(2, 3, 1, 0)


def _array(blob: Any, where: str) -> np.ndarray:
    old = (blob.num, blob.channels, blob.height, blob.width)
    shape = tuple(blob.shape.dim) or old
    if min(shape) < 0 or len(blob.data) != 4 * math.prod(shape):
        raise ValueError(
            f"{where}: Expected {' x '.join(map(str, shape))} weights of 4 bytes. "
            f"Received: {len(blob.data)} bytes"
        )
    return np.frombuffer(blob.data, "<f4").reshape(shape)


def _message_classes() -> Any:
    """The class of the message NetParameter, as far as weights go."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="keras_seg/caffe.proto", package="keras_seg.caffe", syntax="proto2"
    )
    # Message: (field, number, type, repeated). Types are Caffe's but for `data`: as
    # bytes, packed floats stay one buffer instead of a Python object for each.
    for name, fields in {
        "BlobShape": [("dim", 1, kinds.TYPE_INT64, True)],
        "Blob": [
            ("num", 1, kinds.TYPE_INT32, False),
            ("channels", 2, kinds.TYPE_INT32, False),
            ("height", 3, kinds.TYPE_INT32, False),
            ("width", 4, kinds.TYPE_INT32, False),
            ("data", 5, kinds.TYPE_BYTES, False),
            ("shape", 7, "BlobShape", False),
        ],
        "Layer": [("name", 1, kinds.TYPE_STRING, False), ("blobs", 7, "Blob", True)],
        "OldLayer": [("name", 4, kinds.TYPE_STRING, False), ("blobs", 6, "Blob", True)],
        "Net": [("layer", 100, "Layer", True), ("layers", 2, "OldLayer", True)],
    }.items():
        made = file.message_type.add(name=name)
        for field, number, kind, repeated in fields:
            label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            added = made.field.add(name=field, number=number, label=label)
            if isinstance(kind, str):
                added.type = kinds.TYPE_MESSAGE
                added.type_name = f".keras_seg.caffe.{kind}"
            else:
                added.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    net = pool.FindMessageTypeByName("keras_seg.caffe.Net")
    return message_factory.GetMessageClass(net)


_NetParameter = _message_classes()
