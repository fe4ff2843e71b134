"""How a Source reads its examples: whole or by windows, checked, with names in errors.

It is the part of a Source that tf.data calls; `source.py` is the part that users call.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from keras_seg.arguments import check_choice
from keras_seg.data.arguments import check_is_of_index
from keras_seg.data.checks import (
    check_ids,
    check_image,
    check_mask,
    check_same_size,
    naming,
)
from keras_seg.data.tracing import converted
from keras_seg.data.values import OUTSIDE, Values, missing, values_of
from keras_seg.labels import (
    IGNORE,
    Image,
    Index,
    Mask,
    Tensor,
    ValueRange,
    Window,
    check_value_range,
)


class Reading:
    """What examples are read with: two functions of an index, and a range."""

    num_classes: int
    names: Any
    _nodata: float | None

    #: Which of the reader's examples these are; None for all.
    _indices: np.ndarray | None = None

    def __getitem__(self, index: Any) -> Any:
        """Read one example, or take several."""
        raise NotImplementedError  # a Source does

    def _set_functions(
        self,
        image: Callable[..., Image],
        mask: Callable[..., Mask],
        image_path: Callable[[Index], Any] | None,
        mask_path: Callable[[Index], Any] | None,
    ) -> None:
        optional = check_is_of_index("image", image)
        self._takes_window = "window" in optional
        self._takes_mask_size = "mask_size" in optional
        self._mask_takes_window = "window" in check_is_of_index("mask", mask)
        self._image, self._mask = converted(image), converted(mask)
        self._image_path, self._mask_path = image_path, mask_path

    def _set_range(self, value_range: ValueRange | None, outside: str) -> None:
        check_choice("outside", outside, OUTSIDE)
        self._value_range = None
        if value_range is not None:
            self._value_range = check_value_range(value_range)
        self._outside = outside

    @property
    def channels(self) -> int:
        """Channels of the images: those of the first one."""
        return self._first.shape[-1]

    @property
    def dtype(self) -> str:
        """Of the images as `batches` has them: "uint8", "uint16" or "float32"."""
        return self._first.dtype.name

    @property
    def value_range(self) -> ValueRange:
        """(low, high) of the images, as numbers or tuples of one per channel."""
        if self._value_range is not None:
            return self._value_range
        return (0, 65535) if self._first.dtype == np.uint16 else (0, 255)

    def _read(self, index: Index) -> tuple[Image, Mask]:
        """Read a whole example, checked."""
        image, gaps = self._pixels_and_gaps(index)
        mask = self._labels(index)
        with naming(lambda: self._name("image", index)):
            check_same_size(tf.shape(image)[:2], tf.shape(mask))
        return image, _without(gaps, mask)

    def _pixels(
        self,
        index: Index,
        window: Window = None,
        mask_size: Tensor = None,
    ) -> Image:
        """Read an image, or a window of it, checked: in the dtype of `_values`."""
        options = {}
        if window is not None and self._takes_window:
            options["window"] = window
            if self._takes_mask_size:
                options["mask_size"] = mask_size
        image, _ = self._pixels_and_gaps(index, **options)
        with naming(lambda: self._name("image", index)):
            if window is None or "mask_size" in options:
                return image
            if options:
                check_same_size(tf.shape(image)[:2], window[2:])
                return image
            if mask_size is not None:
                check_same_size(tf.shape(image)[:2], mask_size)
        top, left, height, width = tf.unstack(window)
        return image[top : top + height, left : left + width]

    def _pixels_and_gaps(self, index: Index, **options: Any) -> tuple[Image, Any]:
        """An image, checked, and which pixels have no data: bools, None for none."""
        with naming(lambda: self._name("image", index)):
            image, gaps = self._unchecked(index, **options)
            values = self._values(image.dtype)
            if gaps is not None:
                black = tf.cast(values.low, image.dtype)
                image = tf.where(gaps[..., None], black, image)
            return values.checked(image, is_part=bool(options)), gaps

    def _unchecked(self, index: Index, **options: Any) -> tuple[Image, Any]:
        """An image whose numbers may be any, and which pixels have no data."""
        image = tf.convert_to_tensor(self._image(self._reader_index(index), **options))
        check_image(image)
        if image.shape.rank is None or image.shape[-1] is None:  # as from NumPy
            image = tf.ensure_shape(image, (None, None, self.channels))
        if self._nodata is None:
            return image, None
        low, high = self._value_range or (0, 255)
        return image, missing(image, self._nodata, Values(image.dtype, low, high))

    def _values(self, dtype: tf.DType) -> Values:
        """What the numbers of the images are, which the reader gives in a dtype."""
        return values_of(dtype, self._value_range, self._outside)

    def _ids(self, index: Index, window: Window = None) -> Mask:
        """Read a mask, or a window of it, checked: uint8, which holds every id."""
        labels = self._labels(index, window)
        if self._nodata is None:
            return labels
        with naming(lambda: self._name("image", index)):
            gaps = self._gaps(index, window)
            check_same_size(tf.shape(gaps), tf.shape(labels))
        return _without(gaps, labels)

    def _gaps(self, index: Index, window: Window) -> tf.Tensor:
        """Which pixels of an image, or of a window of it, have no data: bools."""
        options = {}
        if window is not None and self._takes_window:
            options["window"] = window
        _, gaps = self._pixels_and_gaps(index, **options)
        if window is None or options:
            return gaps
        top, left, height, width = tf.unstack(window)
        return gaps[top : top + height, left : left + width]

    def _labels(self, index: Index, window: Window = None) -> Mask:
        options = {}
        if window is not None and self._mask_takes_window:
            options["window"] = window
        with naming(lambda: self._name("mask", index)):
            found = self._mask(self._reader_index(index), **options)
            mask = tf.convert_to_tensor(found)
            check_mask(mask)
            mask = tf.ensure_shape(mask, (None, None))
            if options:
                check_same_size(tf.shape(mask), window[2:])
            elif window is not None:
                top, left, height, width = tf.unstack(window)
                mask = mask[top : top + height, left : left + width]
            check_ids(mask, self.num_classes)
        return tf.cast(mask, tf.uint8)

    @functools.cached_property
    def _first(self) -> np.ndarray:
        """One pixel of the first image, for readers that don't say what they give."""
        if not len(self.names):
            raise IndexError("Expected examples. Received: a Source without any.")
        with tf.init_scope():
            index = tf.constant(0, tf.int64)
            # A scene needn't fit into memory.
            options = (
                {"window": tf.constant([0, 0, 1, 1])} if self._takes_window else {}
            )
            with naming(lambda: self._name("image", index)):
                image, _ = self._unchecked(index, **options)
                dtype = self._values(image.dtype).dtype
            return tf.cast(image[:1, :1], dtype).numpy()

    def _name(self, kind: str, index: tf.Tensor) -> str:
        """What an error calls a file, or else the example; eager mode only."""
        path = self._path(kind)
        if path is None:
            return self.names[int(index)]
        return path(index).numpy().decode(errors="replace")

    def _path(self, kind: str) -> Callable[[Index], tf.Tensor] | None:
        """Function from an index to the path of an image or mask, if it has one."""
        path = {"image": self._image_path, "mask": self._mask_path}[kind]
        return None if path is None else lambda index: path(self._reader_index(index))

    def _reader_index(self, index: Index) -> Any:
        """The index of an example for the functions of the reader."""
        return index if self._indices is None else tf.gather(self._indices, index)


def _without(gaps: Any, mask: Mask) -> Mask:
    """A mask whose pixels without data are ignored; None stands for no such pixels."""
    return mask if gaps is None else tf.where(gaps, tf.constant(IGNORE, tf.uint8), mask)
