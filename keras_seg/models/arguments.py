"""Checks of arguments that builders share, before anything is built."""

from typing import Any

from keras_seg.arguments import is_number, is_whole


def check_input_shape(input_shape: Any) -> tuple[int | None, int | None, int]:
    """Return `input_shape` as a tuple if it is (height, width, channels).

    Raises:
        ValueError: unless channels is positive, height and width positive or None.
    """
    shape = tuple(input_shape) if isinstance(input_shape, list | tuple) else ()
    sides_fit = all(side is None or is_positive(side) for side in shape[:2])
    if len(shape) != 3 or not sides_fit or not is_positive(shape[2]):
        raise ValueError(
            "Expected `input_shape` to be (height, width, channels), where height and "
            f"width may be None. Received: {input_shape}"
        )
    return shape


def check_word(argument: str, word: Any, words: tuple) -> None:
    """Raise unless `word` is one of those that the argument knows."""
    if word not in words:
        expected = ", ".join(repr(known) for known in words)
        raise ValueError(f"Expected `{argument}` to be {expected}. Received: {word!r}")


def check_share(argument: str, share: Any) -> None:
    """Raise unless this is a share of activations to drop: 0 or more, below 1."""
    if not (is_number(share, 0) and share < 1):
        raise ValueError(
            f"Expected `{argument}` to be 0 or more and below 1. Received: {share!r}"
        )


def check_factor(argument: str, factor: Any) -> None:
    """Raise unless this is a finite number of 0 or more."""
    if not is_number(factor, 0):
        raise ValueError(
            f"Expected `{argument}` to be a number of 0 or more. Received: {factor!r}"
        )


def is_positive(number: Any) -> bool:
    """Whether this is an integer of 1 or more."""
    return is_whole(number, 1)
