"""Source -> tf.data: batches for `fit`."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from keras_seg.arguments import check_integer, check_seed, is_whole
from keras_seg.data.arguments import takes
from keras_seg.data.augment import StandardAugmentation
from keras_seg.data.checks import check_ids, check_mask, check_same_size
from keras_seg.data.errors import read_in_order
from keras_seg.data.geometry import letterbox as letterbox_geometry
from keras_seg.data.order import example_of, examples_of_shard, steps_of_epochs
from keras_seg.data.parallel import READY
from keras_seg.data.sizes import pad_to, random_crop, require_fits
from keras_seg.data.suggestions import Hint, refuse
from keras_seg.data.tracing import converted, unconverted
from keras_seg.data.values import Values
from keras_seg.labels import IGNORE, Image, Index, Mask, Tensor, Window


class Examples(Protocol):
    """What a Source is for this module: examples that are read by index."""

    num_classes: int
    names: Sequence[str]
    problem: Hint | None
    _nodata: float | None

    def __len__(self) -> int: ...

    def size(self, index: int) -> tuple[int, int] | None:
        """Size of an example, if it is known without reading it."""

    def _pixels(
        self,
        index: Index,
        window: Window = None,
        mask_size: Tensor = None,
    ) -> Image:
        """Read an image, or a window of it, checked."""

    def _ids(self, index: Index) -> Mask:
        """Read a mask, checked: uint8."""

    def _read(self, index: Index) -> tuple[Image, Mask]:
        """Read a whole example, checked."""

    def _values(self, dtype: tf.DType) -> Values:
        """What the numbers of images of a dtype are."""


def batches(
    source: Examples,
    batch_size: int,
    *,
    size: tuple[int, int] | None = None,
    augment: Any = None,
    letterbox: bool = False,
    shuffle: bool = False,
    seed: int = 0,
    first_epoch: int = 0,
    first_step: int = 0,
    repeat: bool = False,
    shard: tuple[int, int] = (0, 1),
    sample_weight: Callable[[Mask], Any] | None = None,
    drop_remainder: bool = False,
) -> tf.data.Dataset:
    """Make a dataset of batches for `fit`, `evaluate` and `predict`.

    Step i of a run reads the example that epoch i // len(source) has at place
    i % len(source); what is random about it depends on (seed, i) alone. No example
    waits in a shuffle buffer: the order is a permutation of all of them.

    There are two forms. With `repeat=True` the dataset never ends; give `fit` its
    `steps_per_epoch`. With `repeat=False` it ends after one pass, and the k-th iterator
    opened on it is epoch `first_epoch + k`: reading a batch just to look at it counts
    too. (Keras opens one more iterator to build a model under a strategy and on JAX.)

    Args:
        source: The Source.
        batch_size: Examples per batch, on this host.
        size: (height, width) of the batches. None pads each batch to its largest
            image, rounded up to multiples of 32.
        augment: `standard_augmentation(...)`, or any function (image, mask, seed) ->
            (image, mask) in TensorFlow ops, whose result is cropped at random or padded
            to `size`. None leaves examples as they are; then one larger than `size` is
            an error.
        letterbox: Whether to resize each example, up or down, to the largest size of
            its aspect ratio that fits into `size`: the image bilinearly, the mask to
            the nearest pixel. The rest is padding. Not together with `augment`.
        shuffle: Whether each epoch has an order of its own.
        seed: Seed of order and augmentation.
        first_epoch: Epoch to begin with, to go on where a run stopped.
        first_step: Batches to pass over at the beginning, without reading them: with
            `repeat=True`, to go on after so many steps of `fit`.
        repeat: Whether the dataset goes on for ever.
        shard: (index, count): the part of each epoch for host index of count.
        sample_weight: Function from the final mask to float32 `[height, width]`, in
            TensorFlow ops. It becomes the third element.
        drop_remainder: Whether to leave out a last batch that isn't full.

    Returns:
        A dataset of (images, masks), or (images, masks, sample_weights): `[batch,
        height, width, channels]` in the dtype of the source, int32 and float32 `[batch,
        height, width]`. Padding is black in images, the low end of their range, and 255
        in masks, at the bottom and right. Masks are never resized but by `augment` and
        `letterbox`.

    Raises:
        ValueError: for a Source without examples, or with a `problem`; an argument out
            of range; or images that are larger than `size`, as far as sizes are known
            without reading all.
        tf.errors.InvalidArgumentError: while reading, naming the file.

    Example:
        >>> from keras_seg.data import shapes, standard_augmentation
        >>> source = shapes(10, size=(20, 30))
        >>> batches = source.batches(4, size=(16, 16), augment=standard_augmentation())
        >>> [masks.shape[0] for images, masks in batches]
        [4, 4, 2]
    """
    refuse(source.problem)
    batch_size = check_integer("batch_size", batch_size, 1)
    first_epoch = check_integer("first_epoch", first_epoch, 0)
    first_step = check_integer("first_step", first_step, 0)
    if first_step and not repeat:
        raise ValueError(
            f"Expected `first_step` with repeat=True. Received: {first_step}. Without "
            "`repeat`, epochs are counted by `first_epoch`."
        )
    seed = check_seed(seed, least=-(2**63))
    size = None if size is None else _check_size(size)
    index, count = _check_shard(shard)
    n = len(source)
    examples = examples_of_shard(n, (index, count))
    if examples < 1:
        raise ValueError(
            f"Expected examples for shard {shard}. Received: a Source of {n} in all."
        )
    if augment is not None and not isinstance(augment, StandardAugmentation):
        if not (callable(augment) and takes(augment, 3)):
            raise ValueError(
                "Expected `augment` to be `standard_augmentation(...)`, or a function "
                f"(image, mask, seed) -> (image, mask). Received: {augment!r}"
            )
    if letterbox and (size is None or augment is not None):
        raise ValueError(
            "Expected `letterbox` with a `size` and without `augment`. Received: "
            f"size={size}, augment={augment!r}"
        )
    if size is not None and augment is None and not letterbox:
        _check_fit(source, size)

    def index_of(step: Tensor) -> Any:
        return example_of(step, n, shuffle=shuffle, seed=seed)

    def read(step: Tensor) -> Any:
        index = index_of(step)
        example_seed = tf.stack([tf.constant(seed, tf.int64), step])
        if isinstance(augment, StandardAugmentation):
            image, mask = _read_augmented(source, index, augment, size, example_seed)
        elif letterbox and size is not None:
            image, mask = source._read(index)
            geometry = letterbox_geometry(tf.shape(mask), size)
            image = source._values(image.dtype).cast(geometry.image(image))
            mask = geometry.mask(mask)
        elif augment is not None:
            image, mask = _augmented(source, converted(augment), index, example_seed)
            check_ids(mask, source.num_classes)
            if size is not None:
                image, mask = random_crop(image, mask, size, example_seed)
        else:
            image, mask = source._read(index)
            if size is not None:
                require_fits(tf.shape(mask), size)
        values = source._values(image.dtype)
        image, mask = pad_to(values.shifted(image), mask, size, values.padding)
        if sample_weight is None:
            return image, mask
        mask = tf.cast(mask, tf.int32)
        weight = tf.cast(converted(sample_weight)(mask), tf.float32)
        return image, mask, tf.ensure_shape(weight, mask.shape)

    steps = steps_of_epochs(
        n,
        first_step=first_epoch * n + first_step * batch_size * count,
        repeat=repeat,
        shard=(index, count),
        counted=shuffle or augment is not None,
    )
    data = read_in_order(
        steps, read, lambda step: source.names[int(index_of(step))], stride=count
    )
    image_spec, mask_spec, *weight_spec = data.element_spec
    values = source._values(image_spec.dtype)
    if size is None:
        ignore = tf.constant(IGNORE, mask_spec.dtype)
        no_weight = [np.float32(0) for _ in weight_spec]
        data = data.padded_batch(
            batch_size,
            padding_values=(values.padding, ignore, *no_weight),
            drop_remainder=drop_remainder,
        )
    else:
        data = data.batch(batch_size, drop_remainder=drop_remainder)
    if repeat:
        number = tf.data.INFINITE_CARDINALITY
    else:
        number = (
            examples // batch_size if drop_remainder else -(-examples // batch_size)
        )
    if not values.starts_at_0:
        data = data.map(
            unconverted(lambda image, *others: (values.filled(image), *others))
        )
    data = data.map(with_int32)
    data = data.apply(tf.data.experimental.assert_cardinality(number))
    return data.prefetch(READY)


def _read_augmented(
    source: Examples,
    index: Index,
    augment: StandardAugmentation,
    size: tuple[int, int] | None,
    seed: Tensor,
) -> tuple[Image, Mask]:
    """Read the window of an example that its geometry needs."""
    image = None
    if source._nodata is None:
        mask = source._ids(index)
    else:  # the mask needs the whole image
        image, mask = source._read(index)
    height, width = tf.unstack(tf.shape(mask))
    geometry = augment.geometry(height, width, size, seed)
    if image is None:
        pixels = source._pixels(index, geometry.window, tf.shape(mask))
    else:
        top, left, rows, columns = tf.unstack(geometry.window)
        pixels = image[top : top + rows, left : left + columns]
    values = source._values(pixels.dtype)
    return augment.image(pixels, geometry, seed, values), geometry.mask(mask)


def _augmented(
    source: Examples, augment: Callable[..., Any], index: Index, seed: Tensor
) -> tuple[Image, Mask]:
    """What a function of the user makes of an example, checked but for ids."""
    image, mask = source._read(index)
    values = source._values(image.dtype)
    image, mask = augment(image, tf.cast(mask, tf.int32), seed)
    image, mask = tf.convert_to_tensor(image), tf.convert_to_tensor(mask)
    check_mask(mask)
    check_same_size(tf.shape(image)[:2], tf.shape(mask))
    return values.cast(image), mask


@unconverted
def with_int32(image: Image, mask: Mask, *weight: Any) -> tuple:
    """The public dtype of masks; until then single bytes, which are quick to move."""
    return image, tf.cast(mask, tf.int32), *weight


def _check_fit(source: Examples, size: tuple[int, int]) -> None:
    """Raise for images larger than the batches, as far as sizes are known."""
    for index in range(len(source)):
        image_size = source.size(index)
        if image_size is None:  # then the first example speaks for all
            with tf.init_scope():
                image_size = tuple(source._ids(tf.constant(index, tf.int64)).shape)
        with tf.init_scope():
            try:
                require_fits(image_size, size)
            except ValueError as error:
                raise ValueError(f"{source.names[index]}: {error}") from None
        if source.size(index) is None:
            return


def _check_size(size: Any) -> tuple[int, int]:
    try:
        height, width = size
    except (TypeError, ValueError):
        height = width = 0
    if not (is_whole(height, 1) and is_whole(width, 1)):
        raise ValueError(
            "Expected `size` to be (height, width), both positive integers. Received: "
            f"{size}"
        )
    return height, width


def _check_shard(shard: Any) -> tuple[int, int]:
    try:
        index, count = shard
    except (TypeError, ValueError):
        index = count = 0
    if not (is_whole(count, 1) and is_whole(index, 0, count - 1)):
        raise ValueError(
            "Expected `shard` to be (index, count), 0 <= index < count. Received: "
            f"{shard}"
        )
    return index, count
