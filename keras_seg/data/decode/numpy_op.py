"""NumPy functions as TensorFlow ops, in tf.data and in eager mode."""

import atexit
import functools
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from keras_seg.data.tracing import unconverted
from keras_seg.labels import FilePath, Index, Window


def numpy_op(
    function: Callable[[int], Any], index: Index, dtype: tf.DType, shape: tuple
) -> tf.Tensor:
    """Call a function of an index that returns an array, also inside tf.data.

    Args:
        function: From an int to an array. Inside tf.data it is called in threads.
        index: Scalar integer tensor.
        dtype: Of the array.
        shape: Of the array, None for sides that vary.

    Returns:
        The array as a tensor of that dtype and shape.
    """
    if tf.executing_eagerly():  # errors keep their type
        return tf.convert_to_tensor(function(int(index)), dtype)
    array = tf.numpy_function(
        until_exit(lambda i: function(int(i))), [index], dtype, stateful=False
    )
    return tf.ensure_shape(array, shape)


def file_op(
    function: Callable[..., Any],
    paths: Sequence[FilePath],
    window: Window,
    dtype: tf.DType,
    shape: tuple,
) -> tf.Tensor:
    """Call a function of paths that returns an array, also inside tf.data.

    Args:
        function: From paths, as bytes, and a window, four numbers or None, to an array.
            Inside tf.data it is called in threads.
        paths: Scalar string tensors.
        window: None, or int32 (top, left, height, width).
        dtype: Of the array.
        shape: Of the array, None for sides that vary.

    Returns:
        The array as a tensor of that dtype and shape.
    """

    def call(*arguments: Any) -> Any:
        names = arguments[: len(paths)]
        part = None if window is None else tuple(map(int, arguments[-1]))
        return function(*names, part)

    arguments = [*paths] if window is None else [*paths, window]
    arguments = [tf.convert_to_tensor(argument) for argument in arguments]
    if tf.executing_eagerly():  # errors keep their type
        array = call(*(argument.numpy() for argument in arguments))
        return tf.convert_to_tensor(array, dtype)
    array = tf.numpy_function(until_exit(call), arguments, dtype, stateful=False)
    return tf.ensure_shape(array, shape)


def until_exit(function: Callable) -> Callable:
    """Let TensorFlow's threads call a Python function until the interpreter ends.

    An iterator that is still open when a program ends goes on to fill its buffers.
    While the interpreter is taken down, it ends every other thread that wants to run
    Python: the call of such a thread never returns, and the destructor of the iterator
    waits for it forever; or the thread aborts the program. So the end of a program
    waits here until no call is running. Calls that come later fail at once, so that
    the buffers are full soon.
    """

    @functools.wraps(function)
    @unconverted
    def call(*arguments: Any) -> Any:
        with _running:
            return function(*arguments)

    return call


class _Running:
    """Counts the calls that are running, and ends when there are none."""

    # No call begun for so long, in seconds: the buffers are full.
    _QUIET, _AT_MOST = 0.2, 10.0

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._last = -self._QUIET
        self._ending = False

    def __enter__(self) -> None:
        with self._lock:
            self._last = time.monotonic()
            if self._ending:
                raise RuntimeError("Python is ending.")
            self._count += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._count -= 1

    def end(self) -> None:
        """Wait until no call is running and none comes any more."""
        self._ending = True
        end = time.monotonic() + self._AT_MOST
        while time.monotonic() < end and (
            self._count or time.monotonic() - self._last < self._QUIET
        ):
            time.sleep(0.01)


_running = _Running()
atexit.register(_running.end)
