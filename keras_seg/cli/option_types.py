"""Types of options: what a word of the command line must say, and its value."""

import argparse
import math
from pathlib import Path


def run_folder(text: str) -> Path:
    """The folder of a run, also where its model is named."""
    path = Path(text)
    return path.parent if path.name == "model.keras" and path.is_file() else path


def picture(text: str) -> str:
    """The path of a picture to write."""
    if not text.lower().endswith((".png", ".jpg", ".jpeg")):
        raise argparse.ArgumentTypeError(
            f"expected a name that ends in .png or .jpg, received {text}"
        )
    return text


def whole(text: str, low: int, high: int) -> int:
    """A whole number in a range."""
    # isascii: int() takes digits of every script; the length keeps it quick
    is_number = text.isascii() and text.isdecimal() and len(text) < 20
    if not is_number or not low <= int(text) <= high:
        raise argparse.ArgumentTypeError(
            f"expected a whole number from {low} to {high}, received {text}"
        )
    return int(text)


def positive(text: str) -> int:
    """How many of something."""
    return whole(text, 1, 1_000_000)


def side(text: str) -> int:
    """Height or width in pixels."""
    return whole(text, 1, 16_384)


def seed(text: str) -> int:
    """A seed for random numbers."""
    return whole(text, 0, 2**32 - 1)  # what NumPy takes


def learning_rate(text: str) -> float:
    """A learning rate."""
    value = _float(text)
    if not 0 < value <= 1000:
        raise argparse.ArgumentTypeError(
            f"expected a number above 0, at most 1000, as 0.001, received {text}"
        )
    return value


def area(text: str) -> float:
    """A number of pixels, which may be 0."""
    value = _float(text)
    if not 0 <= value < 1e12:
        raise argparse.ArgumentTypeError(
            f"expected a number of pixels, 0 or more, received {text}"
        )
    return value


def _float(text: str) -> float:
    """The number that a word says, NaN if it says none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def scale(text: str) -> tuple[float, float]:
    """The range of a factor."""
    try:
        low, high = (float(word) for word in text.split(","))
    except ValueError:
        low = high = 0.0
    if not 0.01 <= low <= high <= 100:
        raise argparse.ArgumentTypeError(
            "expected two numbers with 0.01 <= low <= high <= 100, as 0.5,2, received "
            f"{text}"
        )
    return low, high


def widths(text: str) -> tuple[int, ...]:
    """Numbers of filters."""
    return tuple(whole(word, 1, 16_384) for word in text.split(","))
