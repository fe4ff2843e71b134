"""Source: images and masks by index. What every reader of data makes."""

import functools
import inspect
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_seg.data.augment import StandardAugmentation, as_dtype
from keras_seg.data.checks import check_ids, check_same_size
from keras_seg.data.pipeline import (
    examples_of_shard,
    explanation,
    fit_to,
    random_crop,
    read_in_order,
    require_fits,
    steps_in_order,
    steps_of_epochs,
)
from keras_seg.labels import IGNORE, check_num_classes
from keras_seg.palette import color_map


class Source:
    """Images and masks that can be read by index, and what their ids mean.

    Readers such as `voc` return one. An own one takes two functions, written in
    TensorFlow ops (or through `tf.numpy_function`), that run inside tf.data:

    Args:
        length: Number of examples.
        image: Function (index, window=None) -> uint8, or float32 in 0..255,
            `[height, width, channels]`. With window = (top, left, height, width) it
            returns these pixels only, and should read no others where the format
            allows. If it also takes `mask_size=None`, it gets the mask's (height,
            width) with a window, and should raise if the whole image has another.
        mask: Function (index) -> integers `[height, width]`, class ids or 255.
        class_names: A name per class id, the background among them.
        names: What errors call the examples; the stems of their files, say.
        palette: (red, green, blue) per class; None for VOC's colours.
        image_path: Function (index) -> scalar string tensor, where each image is a
            whole file: `prepare` copies it, and `inspect` looks into it.

    Raises:
        ValueError: for fewer than two classes or more than 255, names that repeat, or
            a palette or names of another length.

    Example:
        >>> import numpy as np
        >>> from keras_seg.data import arrays
        >>> images, masks = np.zeros((3, 4, 6, 3), "uint8"), np.ones((3, 4, 6), "uint8")
        >>> source = arrays(images, masks, class_names=["background", "cat"])
        >>> len(source), source.num_classes
        (3, 2)
        >>> image, mask = source[0]
        >>> image.shape, mask.dtype
        ((4, 6, 3), dtype('int32'))
        >>> source.batches(2).element_spec[0].shape
        TensorShape([None, None, None, 3])
    """

    def __init__(
        self,
        length: int,
        image: Callable[..., Any],
        mask: Callable[..., Any],
        *,
        class_names: Sequence[str],
        names: Sequence[str] | None = None,
        palette: Any = None,
        image_path: Callable[[Any], Any] | None = None,
    ):
        if isinstance(class_names, str) or len(set(class_names)) != len(class_names):
            raise ValueError(
                "Expected `class_names` to be names that differ. Received: "
                f"{class_names!r}"
            )
        if names is not None and len(names) != length:
            raise ValueError(
                f"Expected `names` to be one per example. Received: {len(names)} names "
                f"for {length} examples."
            )
        self.class_names = tuple(class_names)
        self.num_classes = check_num_classes(len(self.class_names), ignore=IGNORE)
        self.palette = _check_palette(palette, self.num_classes)
        self.names = names if names is not None else _Numbered(length)
        self._length = length
        self._image = image
        self._tell_mask_size = "mask_size" in inspect.signature(image).parameters
        self._mask = mask
        self._image_path = image_path

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: Any) -> Any:
        """Read example `index` as NumPy arrays, or take a slice as a Source.

        Returns:
            uint8 `[height, width, channels]` and int32 `[height, width]`.

        Raises:
            IndexError: past the end.
            ValueError: naming the file, if the example can't be read.
        """
        if isinstance(index, slice):
            return self._take(np.arange(self._length)[index])
        place = range(self._length)[index]
        image, mask = self._read_or_explain(place)
        return image.numpy(), mask.numpy().astype(np.int32)

    def split(self, fraction: float, *, seed: int = 0) -> tuple["Source", "Source"]:
        """Split at random into two Sources that share no example.

        Args:
            fraction: Share of the first one, in 0..1.
            seed: The same seed gives the same split.

        Returns:
            The two, each in the order of this one.

        Raises:
            ValueError: if one of them would be empty.
        """
        first = round(self._length * fraction)
        if not 0 < first < self._length:
            raise ValueError(
                "Expected `fraction` to leave examples on both sides. Received: "
                f"{fraction} of {self._length} examples"
            )
        order = np.random.default_rng(seed).permutation(self._length)
        return self._take(np.sort(order[:first])), self._take(np.sort(order[first:]))

    def dataset(self) -> tf.data.Dataset:
        """Make a dataset of all pairs, whole, in order, once.

        Returns:
            A dataset of uint8 `[height, width, channels]` and int32 `[height, width]`.
        """
        return self._in_order(self._read).map(_with_wide_masks)

    def masks(self) -> tf.data.Dataset:
        """Make a dataset of all masks, whole, in order, once; images aren't read.

        Returns:
            A dataset of int32 `[height, width]`.
        """
        return self._in_order(self._ids).map(_wide)

    def _in_order(self, read: Callable[[Any], Any]) -> tf.data.Dataset:
        """What `read` makes of each index."""
        n = self._length
        data = read_in_order(
            steps_in_order(n),
            read,
            explanation(read, lambda index: self.names[index]),
        )
        return data.apply(tf.data.experimental.assert_cardinality(n))

    def batches(
        self,
        batch_size: int,
        *,
        size: tuple[int, int] | None = None,
        augment: Any = None,
        shuffle: bool = False,
        seed: int = 0,
        first_epoch: int = 0,
        repeat: bool = False,
        shard: tuple[int, int] = (0, 1),
        sample_weight: Callable[[Any], Any] | None = None,
        drop_remainder: bool = False,
    ) -> tf.data.Dataset:
        """Make a dataset of batches for `fit`, `evaluate` and `predict`.

        Step i of a run reads the example that epoch i // len(self) has at place
        i % len(self); what is random about it depends on (seed, i) alone. No example
        waits in a shuffle buffer: the order is a permutation of all of them.

        There are two forms. With `repeat=False` the dataset ends after one pass, and
        the k-th iterator opened on it is epoch `first_epoch + k`. (Keras opens one
        more to build a model under a strategy and on JAX.) With `repeat=True` it never
        ends; give `fit` its `steps_per_epoch`.

        Args:
            batch_size: Examples per batch, on this host.
            size: (height, width) of the batches. None pads each batch to its largest
                image, rounded up to multiples of 32.
            augment: `standard_augmentation(...)`, or any function (image, mask, seed)
                -> (image, mask) in TensorFlow ops, whose result is cropped at random
                or padded to `size`. None leaves examples as they are; then one larger
                than `size` is an error.
            shuffle: Whether each epoch has an order of its own.
            seed: Of order and augmentation.
            first_epoch: Epoch to begin with, to go on where a run stopped.
            repeat: Whether the dataset goes on for ever.
            shard: (index, count): the part of each epoch for host index of count.
            sample_weight: Function from the final mask to float32 `[height, width]`,
                in TensorFlow ops. It becomes the third element.
            drop_remainder: Whether to leave out a last batch that isn't full.

        Returns:
            A dataset of (images, masks), or (images, masks, sample_weights): uint8
            `[batch, height, width, channels]`, int32 and float32
            `[batch, height, width]`. Padding is 0 in images and 255 in masks, at the
            bottom and right. Masks are never resized but by an augmentation.

        Raises:
            ValueError: for a Source without examples, or an argument out of range.
            tf.errors.InvalidArgumentError: while reading, naming the file.
        """
        _, count = _check_shard(shard)
        if size is not None:
            size = _check_size(size)
        if batch_size < 1:
            raise ValueError(f"Expected `batch_size` >= 1. Received: {batch_size}")
        n = self._length
        here = examples_of_shard(n, shard)
        if here < 1:
            raise ValueError(
                f"Expected examples for shard {shard}. Received: {n} in all."
            )

        def place(step: Any) -> Any:
            """Index of the example of a step."""
            if not shuffle:
                return step % n
            return tf.random.experimental.index_shuffle(
                step % n, [seed, step // n], n - 1
            )

        def read(step: Any) -> Any:
            example_seed = tf.stack([tf.constant(seed, tf.int64), step])
            if isinstance(augment, StandardAugmentation):
                image, mask = self._read_augmented(
                    place(step), augment, size, example_seed
                )
            else:
                image, mask = self._read(place(step))
                if augment is not None:
                    image, mask = augment(image, _wide(mask), example_seed)
                    image = as_dtype(tf.convert_to_tensor(image), tf.uint8)
                    check_same_size(tf.shape(image)[:2], tf.shape(mask))
                    check_ids(mask, self.num_classes)
                    mask = tf.cast(mask, tf.uint8)
                    if size is not None:
                        image, mask = random_crop(image, mask, size, example_seed)
                elif size is not None:
                    require_fits(mask, size)
            image, mask = fit_to(image, mask, size)
            if sample_weight is None:
                return image, mask
            weight = tf.cast(sample_weight(_wide(mask)), tf.float32)
            return image, mask, tf.ensure_shape(weight, mask.shape)

        data = read_in_order(
            steps_of_epochs(
                n,
                first_epoch=first_epoch,
                repeat=repeat,
                shard=shard,
                counted=shuffle or augment is not None,
            ),
            read,
            explanation(read, lambda step: self.names[int(place(step))]),
            stride=count,
        )
        if size is None:
            padding = (np.uint8(0), np.uint8(IGNORE), np.float32(0))
            data = data.padded_batch(
                batch_size,
                padding_values=padding[: len(data.element_spec)],
                drop_remainder=drop_remainder,
            )
        else:
            data = data.batch(batch_size, drop_remainder=drop_remainder)
        if repeat:
            batches = tf.data.INFINITE_CARDINALITY
        else:
            batches = here // batch_size if drop_remainder else -(-here // batch_size)
        data = data.map(_with_wide_masks)
        data = data.apply(tf.data.experimental.assert_cardinality(batches))
        return data.prefetch(tf.data.AUTOTUNE)

    def _read(self, index: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Read a whole example, checked."""
        image, mask = self._pixels(index), self._ids(index)
        check_same_size(tf.shape(image)[:2], tf.shape(mask))
        return image, mask

    def _read_augmented(
        self,
        index: Any,
        augment: StandardAugmentation,
        size: tuple[int, int] | None,
        seed: Any,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Read the window of an example that its geometry needs."""
        mask = self._ids(index)
        height, width = tf.unstack(tf.shape(mask))
        geometry = augment.geometry(height, width, size, seed)
        pixels = self._pixels(index, geometry.window, tf.shape(mask))
        if not self._tell_mask_size:
            check_same_size(tf.shape(pixels)[:2], geometry.window[2:])
        return augment.image(pixels, geometry, seed), geometry.mask(mask)

    @functools.cached_property
    def _channels(self) -> int:
        """Channels of the first image, for readers that don't tell them."""
        with tf.init_scope():
            return self[0][0].shape[-1]

    def _pixels(
        self, index: Any, window: Any = None, mask_size: Any = None
    ) -> tf.Tensor:
        told = {"mask_size": mask_size} if self._tell_mask_size else {}
        image = tf.convert_to_tensor(self._image(index, window, **told))
        image = tf.ensure_shape(image, (None, None, None))
        if image.shape[-1] is None:  # from tf.numpy_function, say
            image = tf.ensure_shape(image, (None, None, self._channels))
        return image if image.dtype == tf.uint8 else as_dtype(image, tf.uint8)

    def _ids(self, index: Any) -> tf.Tensor:
        """Read a mask, checked: uint8, which holds every id and is quick to move."""
        mask = tf.ensure_shape(self._mask(index), (None, None))
        check_ids(mask, self.num_classes)
        return tf.cast(mask, tf.uint8)

    def _read_or_explain(self, index: int) -> tuple[tf.Tensor, tf.Tensor]:
        try:
            return self._read(tf.constant(index, tf.int64))
        except (ValueError, tf.errors.OpError):
            explanation(self._read, lambda i: self.names[i])(index)
            raise

    def _take(self, indices: np.ndarray) -> "Source":
        """The examples at these places, as a Source."""
        places = tf.constant(indices, tf.int64)
        path = self._image_path
        taken = Source(
            len(indices),
            lambda index, window=None, mask_size=None: self._pixels(
                places[index], window, mask_size
            ),
            lambda index: self._mask(places[index]),
            class_names=self.class_names,
            names=[self.names[index] for index in indices],
            palette=self.palette,
            image_path=None if path is None else lambda index: path(places[index]),
        )
        # Whether the size is checked while reading, the function inside knows.
        taken._tell_mask_size = self._tell_mask_size
        return taken

    def image_file(self, index: int) -> str | None:
        """Path of the file of an image; None where images aren't files."""
        if self._image_path is None:
            return None
        return os.fsdecode(self._image_path(tf.constant(index, tf.int64)).numpy())


def _wide(mask: tf.Tensor) -> tf.Tensor:
    """A mask as others see it; until then ids are kept in single bytes."""
    return tf.cast(mask, tf.int32)


def _with_wide_masks(image: Any, mask: Any, *weight: Any) -> tuple:
    return image, _wide(mask), *weight


class _Numbered(Sequence):
    """Names of examples that have none, made when they are asked for."""

    def __init__(self, length: int):
        self._range = range(length)

    def __len__(self) -> int:
        return len(self._range)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [f"example {i}" for i in self._range[index]]
        return f"example {self._range[index]}"


def _check_palette(palette: Any, num_classes: int) -> np.ndarray:
    if palette is None:
        return color_map(num_classes)
    colors = np.asarray(palette)
    in_range = colors.dtype.kind in "iu" and colors.min() >= 0 and colors.max() <= 255
    if colors.shape != (num_classes, 3) or not in_range:
        raise ValueError(
            f"Expected `palette` to be {num_classes} colours (red, green, blue) in "
            f"0..255. Received: shape {colors.shape}, {colors.dtype}"
        )
    return colors.astype(np.uint8)


def _check_size(size: Any) -> tuple[int, int]:
    try:
        height, width = (int(side) for side in size)
    except (TypeError, ValueError):
        height = width = 0
    if height < 1 or width < 1:
        raise ValueError(
            f"Expected `size` to be (height, width), both positive. Received: {size}"
        )
    return height, width


def _check_shard(shard: Any) -> tuple[int, int]:
    index, count = shard
    if not 0 <= index < count:
        raise ValueError(
            "Expected `shard` to be (index, count), 0 <= index < count. Received: "
            f"{shard}"
        )
    return index, count
