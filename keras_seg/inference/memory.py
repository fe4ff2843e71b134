"""How much memory a pass of images through a model needs, and how much is free.

The layer that needs most decides: its inputs, its outputs, and on a CPU the block of
patches that a convolution may copy its input to (im2col), kh kw C H W numbers for
outputs of H x W. A pass may take half of what is free, since other maps are alive
meanwhile.
"""

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import psutil
import tensorflow as tf

#: Bytes per pixel that hardly a net exceeds: images that need no closer look.
MOST_PER_PIXEL = 2**14
#: Bytes per pixel that are assumed where a net can't be looked into.
UNKNOWN_PER_PIXEL = 2**12
# Linux's limit for a container.
_CGROUP = Path("/sys/fs/cgroup")


class PassMemory:
    """The memory that a model's largest layer needs, by the size of the images.

    The model is traced at two sizes. What each operation needs grows with the pixels,
    that of attention with their square.

    Args:
        model: A model of Keras.
        sizes: Two sizes, (height, width), that it takes; equal if it takes no other.
    """

    def __init__(self, model: keras.Model, sizes: Sequence[tuple[int, int]]):
        (low, first), (high, second) = (
            (math.prod(size), _bytes_of_operations(model, size)) for size in sizes
        )
        self._power = np.ones(len(second))
        if len(first) == len(second) and low < high:
            self._power[second > first * (high / low) ** 1.5] = 2
        self._factor = second / high**self._power

    def needed(self, images: int, pixels: int) -> float:
        """Bytes for so many images of so many pixels each."""
        of_image = self._factor * float(pixels) ** self._power
        return images * float(of_image.max(initial=0))


def traced(model: keras.Model, size: tuple[int, int]) -> tf.Graph:
    """The operations of a model for an image of a size, without running it."""
    image = tf.TensorSpec((1, *size, model.input_shape[-1]), tf.float32)
    function = tf.function(lambda x: model(x, training=False), autograph=False)
    return function.get_concrete_function(image).graph


def takes(model: keras.Model, size: tuple[int, int]) -> bool:
    """Whether a model takes images of a size, as far as that can be found out."""
    if keras.backend.backend() != "tensorflow":
        return True
    try:
        traced(model, size)
    except Exception:  # whatever the layers of other people's models raise
        return False
    return True


def _bytes_of_operations(model: keras.Model, size: tuple[int, int]) -> np.ndarray:
    on_cpu = not has_gpu()
    operations = traced(model, size).get_operations()
    return np.array([_bytes_of(operation, on_cpu) for operation in operations], float)


def _bytes_of(operation: Any, on_cpu: bool) -> int:
    total = sum(map(_bytes, operation.outputs))
    # Weights don't grow with the image.
    total += sum(_bytes(x) for x in operation.inputs if x.op.type != "ReadVariableOp")
    if on_cpu and operation.type == "Conv2D":
        kh, kw, channels, _ = operation.inputs[1].shape
        total += kh * kw * channels * _bytes_of_channel(operation.outputs[0])
    elif on_cpu and operation.type == "Conv2DBackpropInput":  # a transposed one
        kh, kw, filters, _ = operation.inputs[1].shape
        total += kh * kw * filters * _bytes_of_channel(operation.inputs[2])
    return total


def _bytes_of_channel(tensor: Any) -> int:
    """Bytes of one channel; dilated convolutions have rows and columns in the batch."""
    channels = tensor.shape[-1]
    return _bytes(tensor) // channels if channels else 0


def _bytes(tensor: Any) -> int:
    if not tensor.shape.is_fully_defined():
        return 0
    return tensor.shape.num_elements() * tensor.dtype.size


@functools.cache
def has_gpu() -> bool:
    """Whether there is a device whose memory isn't that of the processor."""
    return bool(tf.config.list_physical_devices("GPU"))


def free_memory() -> int:
    """Bytes that this process may still allocate, as far as the system tells."""
    free = psutil.virtual_memory().available
    try:
        limit = int((_CGROUP / "memory.max").read_text())
        used = int((_CGROUP / "memory.current").read_text())
        lines = (_CGROUP / "memory.stat").read_text().splitlines()
        cache = int(dict(line.split() for line in lines)["inactive_file"])
    except (OSError, ValueError, KeyError):  # "max", or no container
        return free
    return min(free, limit - used + cache)
