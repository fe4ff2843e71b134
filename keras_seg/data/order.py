"""The order in which examples are read: the steps of a run, and sentinels."""

from typing import Any

import tensorflow as tf

from keras_seg.data.tracing import unconverted
from keras_seg.labels import Tensor

# After so many steps, and at the end, comes a sentinel: a slot that isn't read. It
# shows what is missing before it, however many examples failed.
_SENTINEL = 32


def steps_of_epochs(
    length: int,
    *,
    first_step: int,
    repeat: bool,
    shard: tuple[int, int],
    counted: bool,
) -> tf.data.Dataset:
    """Number the examples to read over the whole run, with sentinels between them.

    Step i is example i % length, in the order of epoch i // length:

        slot       0   1  ...  31   32   33  ...  64   65   66  ...
        step       0   1  ...  31  (32)  32  ...  63  (64)  64  ...
        sentinel                   yes                 yes

    A sentinel has the number of the step that follows. `errors.read_in_order` finds
    examples that couldn't be read by the slots that are missing: without sentinels it
    would wait for the next good example, which may never come.

    Args:
        length: Examples in an epoch.
        first_step: Where to begin; without `repeat`, the first step of an epoch.
        repeat: Whether to go on for ever. Otherwise each iterator opened on the
            dataset is the next epoch, and one more sentinel marks its end.
        shard: (index, count): this one takes the steps that are index modulo count.
        counted: Whether epochs differ. If not, every iterator is the first.

    Returns:
        A dataset of (step, whether it is a sentinel), int64 and bool.
    """
    index, count = shard
    if repeat:
        first = first_step + (index - first_step) % count
        return _with_sentinels(first, count, None)

    examples = examples_of_shard(length, shard)

    @unconverted
    def epoch_steps(epoch: Tensor) -> tf.data.Dataset:
        return _with_sentinels(epoch * length + index, count, examples)

    first_epoch = first_step // length
    if not counted:
        return epoch_steps(first_epoch)
    return _opened_iterators(first_epoch).flat_map(epoch_steps)


def example_of(step: Tensor, length: int, *, shuffle: bool, seed: int) -> Any:
    """Index of the example that a step of a run reads.

    Args:
        step: The step, int64.
        length: Examples in an epoch.
        shuffle: Whether each epoch has an order of its own.
        seed: Seed of these orders.
    """
    if not shuffle:
        return step % length
    seeds = [seed, step // length]
    return tf.random.experimental.index_shuffle(step % length, seeds, length - 1)


def steps_in_order(length: int) -> tf.data.Dataset:
    """Number examples once, in order, with sentinels between them."""
    return _with_sentinels(0, 1, length)


def examples_before(slot: Tensor) -> Any:
    """How many of the slots before this one aren't sentinels."""
    return slot - slot // (_SENTINEL + 1)


def examples_of_shard(length: int, shard: tuple[int, int]) -> int:
    """How many examples of an epoch a shard gets."""
    index, count = shard
    return (length - index + count - 1) // count


def _opened_iterators(first: int) -> tf.data.Dataset:
    """A dataset of one number: `first` in its first iterator, then `first` + 1, ..."""
    # A queue, because it needs no Python when an iterator is opened or closed, and,
    # unlike a variable, isn't copied to each device by `tf.distribute`.
    with tf.init_scope(), tf.device("CPU"):
        following = tf.queue.FIFOQueue(1, tf.int64, shapes=())
        following.enqueue(first)

    @unconverted
    def take(_: Any) -> Any:
        number = following.dequeue()
        with tf.control_dependencies([following.enqueue(number + 1)]):
            return tf.identity(number)

    return tf.data.Dataset.from_tensors(0).map(take)


def _with_sentinels(
    first: Tensor, stride: int, examples: int | None
) -> tf.data.Dataset:
    """Steps first, first + stride, ..., `examples` of them or without end."""
    last = 2**62 if examples is None else examples + examples // _SENTINEL

    @unconverted
    def numbered(slots: Any) -> Any:
        steps = first + examples_before(slots) * stride
        return steps, (slots % (_SENTINEL + 1) == _SENTINEL) | (slots == last)

    # Many at once: that costs little more than one.
    return tf.data.Dataset.range(last + 1).batch(256).map(numbered).unbatch()
