"""The tf.data side of a Source: the order of examples, their size, and their errors."""

import itertools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_seg.data.checks import reason, require
from keras_seg.labels import IGNORE


def steps_of_epochs(
    length: int,
    *,
    first_epoch: int,
    repeat: bool,
    shard: tuple[int, int],
    counted: bool,
) -> tf.data.Dataset:
    """Number the examples to read, over the whole run.

    Step i is example i % length, in the order of epoch i // length.

    Args:
        length: Examples in an epoch.
        first_epoch: Where to begin.
        repeat: Whether to go on for ever. Otherwise each iterator opened on the
            dataset is the next epoch, and one more step marks its end.
        shard: (index, count): this one takes the steps that are index modulo count.
        counted: Whether epochs differ. If not, every iterator is the first.

    Returns:
        A dataset of int64.
    """
    index, count = shard
    if repeat:
        first = first_epoch * length
        return tf.data.Dataset.range(first + (index - first) % count, 2**62, count)

    here = examples_of_shard(length, shard)

    def epoch_steps(epoch: Any) -> tf.data.Dataset:
        return tf.data.Dataset.range(here + 1).map(
            lambda k: epoch * length + index + k * count
        )

    if not counted:
        return epoch_steps(first_epoch)
    epochs = itertools.count(first_epoch)
    opened = tf.data.Dataset.from_generator(
        lambda: iter([next(epochs)]), output_signature=tf.TensorSpec((), tf.int64)
    )
    return opened.flat_map(epoch_steps)


def examples_of_shard(length: int, shard: tuple[int, int]) -> int:
    """How many examples of an epoch a shard gets."""
    index, count = shard
    return (length - index + count - 1) // count


def read_in_order(
    steps: tf.data.Dataset,
    read: Callable[[Any], Any],
    explain: Callable[[int], None],
    *,
    stride: int = 1,
    count: int | None = None,
) -> tf.data.Dataset:
    """Read the example of each step, in parallel and in order.

    TensorFlow's errors don't say which file they are about. Here a step that fails is
    dropped, the gap is noticed by the numbers of its neighbours, and `explain` called
    with the missing step, to raise an error with words. Nothing of this costs Python
    while all goes well.

    Args:
        steps: Dataset of int64, `stride` apart.
        read: From a step to a structure of tensors, in TensorFlow ops.
        explain: From a step that failed to an error.
        stride: From one step to the next.
        count: How many steps there are, not counting one more at the end that is not
            read but marks it. None for an endless dataset.
    """
    traced = tf.function(read).get_concrete_function(tf.TensorSpec((), tf.int64))

    def read_or_end(position: Any, step: Any) -> Any:
        if count is None:
            return position, step, traced(step)
        ending = tf.nest.map_structure(
            lambda t: tf.zeros([side or 0 for side in t.shape], t.dtype),
            traced.structured_outputs,
        )
        values = tf.cond(position < count, lambda: traced(step), lambda: ending)
        return position, step, values

    def check(expected: Any, element: Any) -> Any:
        position, step, values = element

        def missing() -> Any:
            first_missing = step - (position - expected) * stride
            return tf.py_function(_never_true(explain), [first_missing], tf.bool)

        fine = tf.cond(position == expected, lambda: True, missing)
        with tf.control_dependencies([tf.debugging.Assert(fine, ["unexplained"])]):
            return tf.nest.map_structure(tf.identity, values)

    data = steps.enumerate().map(
        read_or_end, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    data = data.ignore_errors().enumerate().map(check)
    return data if count is None else data.take(count)


def explanation(read: Callable[[Any], Any], name: Callable[[int], str]) -> Callable:
    """Make a function that reads a step again, in eager mode, to say what is wrong."""

    def explain(step: int) -> None:
        try:
            read(tf.constant(step, tf.int64))
        except Exception as error:
            text = reason(error)
            named = text if name(step) in text else f"{name(step)}: {text}"
            raise ValueError(named) from None
        raise ValueError(f"{name(step)}: couldn't be read, but can be read now.")

    return explain


def fit_to(image: Any, mask: Any, size: tuple[int, int] | None) -> tuple[Any, Any]:
    """Pad an example at the bottom and right, the image with 0, the mask with IGNORE.

    Args:
        image: `[h, w, C]`, not larger than `size`.
        mask: `[h, w]`.
        size: (height, width) to pad to. None for the next multiples of 32, so that
            there are few sizes to compile for.
    """
    height, width = tf.unstack(tf.shape(mask))
    if size is None:
        bottom, right = -height % 32, -width % 32
    else:
        bottom, right = size[0] - height, size[1] - width
    image = tf.pad(image, [[0, bottom], [0, right], [0, 0]])
    mask = tf.pad(mask, [[0, bottom], [0, right]], constant_values=IGNORE)
    sides = (None, None) if size is None else size
    return tf.ensure_shape(image, (*sides, None)), tf.ensure_shape(mask, sides)


def require_fits(mask: Any, size: tuple[int, int]) -> None:
    """Raise if an example is larger than the size of the batch."""
    height, width = tf.unstack(tf.shape(mask))
    require(
        (height <= size[0]) & (width <= size[1]),
        lambda: (
            f"Expected images of at most {size[0]} x {size[1]}, the `size` of the "
            f"batches. Received: {int(height)} x {int(width)}. Choose a larger `size`, "
            "or an `augment` that crops."
        ),
    )


def random_crop(
    image: Any, mask: Any, size: tuple[int, int], seed: Any
) -> tuple[Any, Any]:
    """Crop what is larger than `size`, image and mask at the same place."""
    sides = tf.shape(mask)
    room = tf.cast(tf.maximum(sides - size, 0) + 1, tf.float32)
    corner = tf.cast(tf.random.stateless_uniform([2], seed) * room, tf.int32)
    top, left = tf.unstack(tf.minimum(corner, tf.maximum(sides - size, 0)))
    bottom, right = top + size[0], left + size[1]
    return image[top:bottom, left:right], mask[top:bottom, left:right]


def _never_true(explain: Callable[[int], None]) -> Callable[[Any], Any]:
    """Give `explain` the signature of py_function: a tensor in, a tensor out."""

    def call(step: Any) -> bool:
        explain(int(step))
        return False

    return call
