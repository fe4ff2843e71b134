"""Whether images are in the range that a model takes."""

from typing import Any

import numpy as np

from keras_seg.labels import ValueRange, shown_range


def check_range(image: np.ndarray, value_range: ValueRange) -> None:
    """Raise for an image that has another range than the model's.

    A range other than 0..255 may have been measured, so that some values lie outside:
    then an image is refused if its mean is farther outside than the range is wide, if
    it has 8 bits where the range needs more, or fractions in a 255th of the range only.

    Args:
        image: `[..., channels]`, of any dtype of numbers.
        value_range: (low, high), numbers or one for each channel.

    Raises:
        ValueError: saying what the model takes, what came, and what to do.

    Example:
        >>> check_range(np.full((2, 2, 1), 3000, "uint16"), (0, 4095))
    """
    is_bytes = value_range == (0, 255)
    if is_bytes and image.dtype == np.uint8:
        return
    least, most = float(image.min()), float(image.max())
    if not np.isfinite([least, most]).all():
        remedy: str | None = "It has pixels that are no numbers."
    elif is_bytes:
        remedy = _remedy_of_bytes(image, least, most)
    else:
        remedy = _remedy(image, value_range)
    if remedy is not None:
        raise ValueError(
            f"Expected an image in {shown_range(value_range)}, the range of the model. "
            f"Received: {image.dtype} in {least:g}..{most:g}. {remedy}"
        )


def _remedy_of_bytes(image: np.ndarray, least: float, most: float) -> str | None:
    if least < 0:
        return "Leave out its normalization: the model has its own."
    if image.dtype.kind in "bf" and 0 < most <= 1:
        return "Multiply it by 255: the model scales images itself."
    if most > 255:
        return (
            "Scale it to 0..255, or train a model of images in the range of this one."
        )
    return None


def _remedy(image: np.ndarray, value_range: ValueRange) -> str | None:
    low, high = (np.asarray(side, np.float64) for side in value_range)
    if image.dtype == np.uint8 and high.max() >= 1020:
        return "It has 8 bits: give the file that it was made of."
    share = (image.mean(tuple(range(image.ndim - 1)), np.float64) - low) / (high - low)
    if abs(float(share.mean()) - 0.5) > 1.5:
        return "Give images as those that the model was trained on: not scaled."
    highest = image.max(tuple(range(image.ndim - 1))).astype(np.float64)
    is_tiny = bool(((highest - low) * 255 <= high - low).all()) and image.min() >= 0
    if is_tiny and image.dtype.kind == "f" and (image % 1).any():
        return "The model scales images itself: leave out what scales them."
    return None


def as_dtype(images: Any, dtype: str) -> np.ndarray:
    """Images in the dtype that an export takes; resized ones have fractions."""
    if np.dtype(dtype).kind == "f":
        return np.ascontiguousarray(images, dtype)
    limits = np.iinfo(dtype)
    whole = np.clip(np.rint(images), limits.min, limits.max)
    return np.ascontiguousarray(whole.astype(dtype))
