"""The tf.data side of a Source: the order of examples, their size, and their errors."""

import itertools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_seg.data.checks import reason, remember, require
from keras_seg.labels import IGNORE

# After so many steps, and at the end, comes a beat: a step that isn't read. It shows
# what is missing before it, however many examples failed.
_BEAT = 32


def steps_of_epochs(
    length: int,
    *,
    first_epoch: int,
    repeat: bool,
    shard: tuple[int, int],
    counted: bool,
) -> tf.data.Dataset:
    """Number the examples to read, over the whole run, with beats between them.

    Step i is example i % length, in the order of epoch i // length. A beat has the
    number of the step that follows.

    Args:
        length: Examples in an epoch.
        first_epoch: Where to begin.
        repeat: Whether to go on for ever. Otherwise each iterator opened on the
            dataset is the next epoch, and one more step marks its end.
        shard: (index, count): this one takes the steps that are index modulo count.
        counted: Whether epochs differ. If not, every iterator is the first.

    Returns:
        A dataset of (step, whether it is a beat), int64 and bool.
    """
    index, count = shard
    if repeat:
        first = first_epoch * length
        return _with_beats(first + (index - first) % count, count, None)

    here = examples_of_shard(length, shard)

    def epoch_steps(epoch: Any) -> tf.data.Dataset:
        return _with_beats(epoch * length + index, count, here)

    if not counted:
        return epoch_steps(first_epoch)
    epochs = itertools.count(first_epoch)
    opened = tf.data.Dataset.from_generator(
        lambda: iter([next(epochs)]), output_signature=tf.TensorSpec((), tf.int64)
    )
    return opened.flat_map(epoch_steps)


def steps_in_order(length: int) -> tf.data.Dataset:
    """Number examples once, in order, with beats between them."""
    return _with_beats(0, 1, length)


def _with_beats(first: Any, stride: int, examples: int | None) -> tf.data.Dataset:
    """Steps first, first + stride, ..., `examples` of them or without end."""
    last = 2**62 if examples is None else examples + examples // _BEAT

    def numbered(slots: Any) -> Any:
        steps = first + _examples_before(slots) * stride
        return steps, (slots % (_BEAT + 1) == _BEAT) | (slots == last)

    # Many at once: that costs little more than one.
    return tf.data.Dataset.range(last + 1).batch(256).map(numbered).unbatch()


def _examples_before(slot: Any) -> Any:
    """How many of the slots before this one aren't beats."""
    return slot - slot // (_BEAT + 1)


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
) -> tf.data.Dataset:
    """Read the example of each step, in parallel and in order.

    TensorFlow's errors don't say which file they are about. Here a step that fails is
    dropped, the gap is noticed by the next one or by a beat, and `explain` called with
    the missing step, to raise an error with words. Nothing of this costs Python while
    all goes well.

    Args:
        steps: Dataset of (step, whether it is a beat).
        read: From a step to a structure of tensors, in TensorFlow ops.
        explain: From a step that failed to an error.
        stride: From one step to the next.
    """
    traced = tf.function(read).get_concrete_function(tf.TensorSpec((), tf.int64))

    def read_unless_beat(slot: Any, element: Any) -> Any:
        step, beat = element
        nothing = tf.nest.map_structure(
            lambda t: tf.zeros([side or 0 for side in t.shape], t.dtype),
            traced.structured_outputs,
        )
        values = tf.cond(beat, lambda: nothing, lambda: traced(step))
        return slot, step, beat, values

    def is_example(expected: Any, element: Any) -> Any:
        slot, step, beat, _ = element

        def missing() -> Any:
            ago = _examples_before(slot) - _examples_before(expected)
            return tf.py_function(_never_true(explain), [step - ago * stride], tf.bool)

        in_order = tf.cond(slot == expected, lambda: True, missing)
        return in_order & tf.logical_not(beat)

    data = steps.enumerate().map(
        read_unless_beat, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    data = data.ignore_errors().enumerate().filter(is_example)
    return data.map(lambda expected, element: element[-1])


def explanation(read: Callable[[Any], Any], name: Callable[[int], str]) -> Callable:
    """Make a function that reads a step again, in eager mode, to say what is wrong."""

    def explain(step: int) -> None:
        try:
            read(tf.constant(step, tf.int64))
        except Exception as error:
            raise ValueError(f"{name(step)}: {reason(error)}") from None
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
    if size is None:
        room = -tf.shape(mask) % 32
    else:
        # Nothing is cut off here, but for a size that is known when this is traced,
        # before `require_fits` can speak.
        if None not in mask.shape:
            image, mask = image[: size[0], : size[1]], mask[: size[0], : size[1]]
        room = tf.maximum(size - tf.shape(mask), 0)
    channels = image.shape[-1]  # known, whatever TensorFlow makes of the paddings
    paddings = tf.stack([tf.zeros_like(room), room], axis=1)
    mask = tf.pad(mask, paddings, constant_values=IGNORE)
    image = tf.pad(image, tf.concat([paddings, [[0, 0]]], axis=0))
    sides = (None, None) if size is None else size
    return tf.ensure_shape(image, (*sides, channels)), tf.ensure_shape(mask, sides)


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
        try:
            explain(int(step))
        except ValueError as error:
            remember(error)
            raise
        return False

    return call
