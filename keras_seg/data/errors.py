"""Reading examples in parallel, with errors that name the file.

TensorFlow's own errors don't say which file they are about. Here an example that can't
be read is dropped, the slot that is missing is noticed, and the example is read again
in eager mode, where checks have words:

    slots of the order      0   1   2   3   4
    read, in parallel       0   1   -   3   4      slot 2 couldn't be read: dropped
    counted again           0   1   2              3 arrives where 2 is expected, so
                                                   the example of slot 2 is explained

While all goes well this costs no Python.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_seg.data.checks import NamedError, reason
from keras_seg.data.decode.numpy_op import until_exit
from keras_seg.data.order import examples_before
from keras_seg.data.parallel import calls_at_once, without_autotune
from keras_seg.data.tracing import unconverted
from keras_seg.labels import Index, Tensor


def read_in_order(
    steps: tf.data.Dataset,
    read: Callable[[Index], Any],
    name: Callable[[int], str],
    *,
    stride: int = 1,
) -> tf.data.Dataset:
    """Read the example of each step, in parallel and in order.

    Args:
        steps: Dataset of (step, whether it is a sentinel), as `order` makes them.
        read: From a step to a structure of tensors, in TensorFlow ops.
        name: From a step to what an error calls its example.
        stride: From one step to the next.

    Returns:
        A dataset of what `read` returns. Its iterator raises
        `tf.errors.InvalidArgumentError` at the first step that can't be read.
    """
    traced = tf.function(read, autograph=False).get_concrete_function(
        tf.TensorSpec((), tf.int64)
    )

    @unconverted
    def read_unless_sentinel(slot: Tensor, element: Any) -> Any:
        step, is_sentinel = element
        nothing = tf.nest.map_structure(
            lambda t: tf.zeros([side or 0 for side in t.shape], t.dtype),
            traced.structured_outputs,
        )
        values = tf.cond(is_sentinel, lambda: nothing, lambda: traced(step))
        return slot, step, is_sentinel, values

    @until_exit
    def explain(step: Tensor) -> str:
        return explanation(read, int(step), name)

    @unconverted
    def is_example(expected: Any, element: Any) -> Any:
        slot, step, is_sentinel, _ = element

        def missing() -> Any:
            steps_ago = examples_before(slot) - examples_before(expected)
            words = tf.py_function(explain, [step - steps_ago * stride], tf.string)
            # Raised by an op, not in Python: TensorFlow would add Python's traceback.
            with tf.control_dependencies(
                [tf.debugging.Assert(False, [words], name="read")]
            ):
                return tf.constant(False)

        in_order = tf.cond(slot == expected, lambda: True, missing)
        return in_order & tf.logical_not(is_sentinel)

    data = (
        without_autotune(steps)
        .enumerate()
        .map(
            read_unless_sentinel, num_parallel_calls=calls_at_once(), deterministic=True
        )
    )
    data = data.ignore_errors().enumerate().filter(is_example)
    return data.map(unconverted(lambda expected, element: element[-1]))


def explanation(
    read: Callable[[Index], Any], step: int, name: Callable[[int], str]
) -> str:
    """Read a step again, in eager mode, to say what is wrong with it."""
    try:
        read(tf.constant(step, tf.int64))
    except NamedError as error:  # by the file's name, which says more
        return str(error)
    except Exception as error:
        return f"{name(step)}: {reason(error)}"
    return (
        f"{name(step)}: reading failed once and then succeeded; the file may be "
        "changing, or the storage is unreliable."
    )
