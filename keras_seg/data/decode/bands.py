"""Channels of an image, picked and put in order by their numbers."""

from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from keras_seg.arguments import is_whole
from keras_seg.labels import Image


def check_bands(bands: Any) -> tuple[int, ...]:
    """Return the numbers of channels as a tuple, if they are some, each once.

    Raises:
        ValueError: for anything else.

    Example:
        >>> check_bands([3, 0, 1])
        (3, 0, 1)
    """
    numbers: tuple[Any, ...] = ()
    if isinstance(bands, Iterable) and not isinstance(bands, str | bytes):
        numbers = tuple(bands)
    if not numbers or not all(is_whole(band, 0) for band in numbers):
        raise ValueError(
            "Expected `bands` to be numbers of channels from 0 on, as in (3, 0, 1). "
            f"Received: {bands!r}"
        )
    twice = sorted({int(band) for band in numbers if numbers.count(band) > 1})
    if twice:
        raise ValueError(
            "Expected `bands` to name each channel once. Received twice: "
            f"{', '.join(map(str, twice))}. RGB of grey images: `channels=3`."
        )
    return tuple(map(int, numbers))


def check_bands_for(bands: Any, channels: int | None) -> tuple[int, ...]:
    """Return the numbers of channels as a tuple, if a model takes so many.

    Args:
        bands: The numbers.
        channels: Channels of the model's images; None if it takes any.
    """
    numbers = check_bands(bands)
    if channels not in (None, len(numbers)):
        raise ValueError(
            f"Expected `bands` for a model of {channels} channels. Received: "
            f"{len(numbers)} ({', '.join(map(str, numbers))})"
        )
    return numbers


def require_bands(bands: tuple[int, ...], channels: int, name: str) -> None:
    """Raise unless an image has these channels.

    Args:
        bands: Numbers of channels.
        channels: How many the image has.
        name: What the error calls it.
    """
    if max(bands) >= channels:
        there = "0" if channels == 1 else f"0 to {channels - 1}"
        raise ValueError(
            f"{name}: Expected an image with channel {max(bands)}, which `bands` "
            f"names. Received: {channels} channel{'s' * (channels > 1)}, number "
            f"{there}: `bands` counts from 0."
        )


def pick_bands(image: Image, bands: tuple[int, ...]) -> tf.Tensor:
    """The channels of these numbers, in this order."""
    return tf.gather(image, bands, axis=-1)
