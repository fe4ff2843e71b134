"""What the numbers of images are: their dtype, their range, and what lies outside."""

import math
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_seg.data.checks import require
from keras_seg.data.suggestions import SuggestionError, spelled
from keras_seg.labels import (
    Image,
    Tensor,
    ValueRange,
    check_value_range,
    shown_range,
)

#: What values outside of the range of a Source may be.
OUTSIDE = ("error", "keep")
# The ranges that cameras, scanners and files have.
_COMMON = (1, 255, 1023, 4095, 16383, 65535)


class Values(NamedTuple):
    """The numbers of a Source's images.

    Attributes:
        dtype: tf.uint8, tf.uint16 or tf.float32.
        low: What is black: a number, or one for each channel.
        high: What is white, likewise.
        are_limits: Whether values outside of the range are errors.
    """

    dtype: tf.DType
    low: Any = 0
    high: Any = 255
    are_limits: bool = True

    @property
    def range(self) -> ValueRange:
        """(low, high)."""
        return self.low, self.high

    @property
    def padding(self) -> Any:
        """What images are padded with: black, or a mark that `filled` replaces."""
        if self.starts_at_0:
            return np.zeros((), self.dtype.as_numpy_dtype)
        return np.array(np.nan if self.dtype.is_floating else 0, self.dtype.name)

    @property
    def starts_at_0(self) -> bool:
        """Whether black is 0 in all channels."""
        return not np.any(self.low)

    def checked(self, image: Image, *, is_part: bool = False) -> tf.Tensor:
        """An image in the dtype, if its values are in the range.

        Args:
            image: `[height, width, channels]`.
            is_part: Whether it is a part of an image, which may be dark.

        Raises:
            ValueError: for values that aren't, or are no numbers.
        """
        for side in self.range:
            if np.ndim(side) and image.shape[-1] not in (None, len(side)):
                raise ValueError(
                    f"Expected images of {len(side)} channels, as `value_range` has. "
                    f"Received: {image.shape[-1]}"
                )
        if not self._holds_all(image.dtype):
            self._check(image, is_part=is_part)
        return tf.cast(image, self.dtype)

    def cast(self, image: tf.Tensor) -> tf.Tensor:
        """What an augmentation made of an image, in the dtype and its limits.

        Integers are rounded. Where values outside of the range are errors, the range is
        the limit, else what the dtype holds.
        """
        limits: Any = self.range if self.are_limits else None
        if limits is None and not self.dtype.is_floating:
            limits = self.dtype.min, self.dtype.max
        if limits is not None:
            image = _clipped(image, *limits)
        if self.dtype.is_floating or not image.dtype.is_floating:
            return tf.cast(image, self.dtype)
        return tf.cast(tf.round(image), self.dtype)

    def shifted(self, image: Image) -> tf.Tensor:
        """An image that can be padded with `padding`; `filled` undoes it."""
        if self.starts_at_0 or self.dtype.is_floating:
            return image
        return image - tf.cast(self.low, self.dtype)  # integers lose nothing

    def filled(self, images: Image) -> tf.Tensor:
        """Padded images with black in the padding."""
        if self.starts_at_0:
            return images
        low = tf.cast(self.low, self.dtype)
        if self.dtype.is_floating:
            return tf.where(tf.math.is_nan(images), low, images)
        return images + low

    def _holds_all(self, dtype: tf.DType) -> bool:
        """Whether images of a dtype can't have a value outside of the range."""
        return not dtype.is_floating and (
            not self.are_limits
            or (np.max(self.low) <= dtype.min and np.min(self.high) >= dtype.max)
        )

    def _check(self, image: Image, *, is_part: bool) -> None:
        exact = tf.cast(image, tf.float64 if image.dtype.size > 2 else tf.float32)
        least = tf.reduce_min(exact, axis=(0, 1))
        most = tf.reduce_max(exact, axis=(0, 1))
        low, high = (tf.cast(side, exact.dtype) for side in self.range)
        finite = tf.reduce_all(tf.math.is_finite(exact))
        fits = tf.constant(True)
        if self.are_limits:
            fits = tf.reduce_all((least >= low) & (most <= high))
            if self.range == (0, 255) and not is_part:  # and not scaled before
                top = tf.reduce_max(most)
                fits &= (top > 1) | (top == 0)

        def message() -> str:
            if not bool(finite):
                count = int(tf.reduce_sum(tf.cast(~tf.math.is_finite(exact), tf.int32)))
                return (
                    f"Expected an image of numbers. Received: {count:,} values that "
                    "are NaN or infinite. `nodata=nan` makes their pixels ignored."
                )
            low, high = float(tf.reduce_min(least)), float(tf.reduce_max(most))
            arguments = {"value_range": guessed_range(low, high)}
            found = f"{low:g}..{high:g}"
            return (
                f"Expected images in {shown_range(self.range)}. Received: "
                f"{image.dtype.name} in {found}. Models normalize inside: say which "
                f"range all images have, {spelled(arguments)} perhaps."
            )

        require(finite & fits, message)


#: 8 bits, as JPEGs have them.
BYTES = Values(tf.uint8)


def values_of(
    dtype: tf.DType, value_range: ValueRange | None = None, outside: str = "error"
) -> Values:
    """The numbers of images that a reader gives in a dtype.

    Args:
        dtype: What the reader gives. 8 and 16 bits without a sign stay what they are,
            all others become float32.
        value_range: (low, high). None means what 8 and 16 bits hold, and (0, 255) for
            floats.
        outside: What values outside of it are: "error" or "keep".

    Raises:
        ValueError: for other integers without a `value_range`, and what isn't numbers.
    """
    if not (dtype.is_floating or dtype.is_integer):
        raise ValueError(
            f"Expected an image of numbers, uint8, uint16 or floats. Received: "
            f"{dtype.name}"
        )
    if value_range is None:
        if dtype.is_integer and dtype not in (tf.uint8, tf.uint16):
            remedy = {"value_range": "percentiles"}
            raise SuggestionError(
                "Expected an image of uint8, uint16 or floats in 0..255. Received: "
                f"{dtype.name}. Say which range it has, or measure one: "
                f"{spelled(remedy)}.",
                remedy,
            )
        value_range = (0, 65535) if dtype == tf.uint16 else (0, 255)
    kept = dtype if dtype in (tf.uint8, tf.uint16) else tf.float32
    low, high = check_value_range(value_range)
    return Values(kept, low, high, are_limits=outside == "error")


def missing(image: Image, nodata: float, values: Values) -> tf.Tensor:
    """Which pixels have no data: bools `[height, width]`.

    Args:
        image: As it was read.
        nodata: What pixels without data have, or NaN for those that are no numbers.
        values: What the numbers of the images are.
    """
    if math.isnan(nodata):
        if not image.dtype.is_floating:
            return tf.zeros(tf.shape(image)[:2], tf.bool)
        return tf.reduce_any(~tf.math.is_finite(image), axis=-1)
    # float32 rounds -3.4028234663852886e+38, say; compare what it became.
    value = np.float32(nodata) if image.dtype == tf.float32 else nodata
    has_it = tf.cast(image, tf.float64) == float(value)
    inside = np.less_equal(values.low, nodata) & np.less_equal(nodata, values.high)
    return (tf.reduce_all if np.all(inside) else tf.reduce_any)(has_it, axis=-1)


def check_nodata(nodata: Any) -> float | None:
    """Return the value of pixels without data as a float, if it is a number or NaN."""
    if nodata is None:
        return None
    if isinstance(nodata, Real) and not isinstance(nodata, bool):
        return float(nodata)
    raise ValueError(
        "Expected `nodata` to be the number that pixels without data have, or "
        f"float('nan'). Received: {nodata!r}"
    )


def guessed_range(low: float, high: float) -> tuple[float, float]:
    """The range of which values from `low` to `high` likely are.

    Example:
        >>> guessed_range(12, 3987), guessed_range(0.1, 0.9), guessed_range(-1000, 3071)
        ((0, 4095), (0, 1), (-1000, 3071))
    """
    if low >= 0:
        for most in _COMMON:
            if high <= most:
                return 0, most
    low, high = float(np.floor(low)), float(np.ceil(high))
    return (int(low) if low == int(low) else low), int(high)


def _clipped(image: tf.Tensor, low: Any, high: Any) -> tf.Tensor:
    if np.ndim(low) or np.ndim(high):
        return tf.clip_by_value(image, *(tf.cast(x, image.dtype) for x in (low, high)))
    # One pass over the pixels, where tf.clip_by_value makes two.
    return tf.raw_ops.ClipByValue(
        t=image,
        clip_value_min=tf.constant(low, image.dtype),
        clip_value_max=tf.constant(high, image.dtype),
    )


def in_units(
    matrix: Tensor, offset: Tensor, value_range: ValueRange
) -> tuple[tf.Tensor, tf.Tensor]:
    """A colour map of images in 0..255 as one of images in another range.

    Args:
        matrix: `[3, 3]`.
        offset: A scalar.
        value_range: (low, high), numbers or one for each channel.

    Returns:
        matrix `[3, 3]` and offset `[3]`, float32.
    """
    low, high = (np.broadcast_to(np.float32(side), 3) for side in value_range)
    step = (high - low) / np.float32(255)
    scaled = matrix * (step[None, :] / step[:, None])
    return scaled, offset * step + low - tf.linalg.matvec(scaled, low, transpose_a=True)
