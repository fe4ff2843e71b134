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


def page(text: str) -> Path:
    """The path of a page to write."""
    if not text.lower().endswith((".html", ".htm")):
        raise argparse.ArgumentTypeError(
            f"expected a name that ends in .html, received {text}"
        )
    return Path(text)


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


def port(text: str) -> int:
    """A port of this machine."""
    return whole(text, 1, 65_535)


def side(text: str) -> int:
    """Height or width in pixels."""
    return whole(text, 1, 16_384)


def height_width(text: str) -> tuple[int, int]:
    """Height and width in pixels; one number stands for both."""
    sides = [side(word) for word in text.split(",")]
    if len(sides) > 2:
        raise argparse.ArgumentTypeError(
            f"expected height,width, as 480,640, received {text}"
        )
    return sides[0], sides[-1]


def not_negative(text: str) -> int:
    """How many of something, which may be none."""
    return whole(text, 0, 1_000_000_000)


def nodata(text: str) -> float | str:
    """The value of pixels without data; "nan" as a word, since JSON has no NaN."""
    value = _float(text)
    if math.isinf(value) or (math.isnan(value) and text.lower() != "nan"):
        raise argparse.ArgumentTypeError(f"Expected a number or nan. Received: {text}")
    return "nan" if math.isnan(value) else value


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


def fraction(text: str) -> float:
    """A share, without 0 and 1."""
    value = _float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(
            f"expected a number between 0 and 1, as 0.999, received {text}"
        )
    return value


def factor(text: str) -> float:
    """A number that may be 0."""
    value = _float(text)
    if not 0 <= value <= 1000:
        raise argparse.ArgumentTypeError(
            f"expected a number from 0 to 1000, received {text}"
        )
    return value


def augmentation(text: str) -> str:
    """Arguments of the augmentation: color=0.3,rotation=10,elastic=10,flip=both."""
    names = ("color", "rotation", "elastic", "flip")
    words = [word.partition("=") for word in text.split(",")]
    if text != "none" and not all(name in names and value for name, _, value in words):
        raise argparse.ArgumentTypeError(
            "expected none, or some of color=, rotation=, elastic= and flip=, as "
            f"rotation=10,flip=both, received {text}"
        )
    return text


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
        return float(text) if text.isascii() else math.nan
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


def scales(text: str) -> tuple[float, ...]:
    """Factors that images are resized by."""
    values = tuple(map(_float, text.split(",")))
    if not all(0.01 <= value <= 100 for value in values):
        raise argparse.ArgumentTypeError(
            f"expected factors from 0.01 to 100, as 0.75,1,1.25, received {text}"
        )
    return values


def overlap(text: str) -> float:
    """The share of a tile that the next one has too."""
    value = _float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(
            f"expected a share, 0 or more and below 1, as 0.25, received {text}"
        )
    return value


def page_of_file(text: str) -> int | str:
    """A page of a file: its number from 0, or "all"."""
    return text if text == "all" else whole(text, 0, 2**31 - 1)


def bands(text: str) -> str:
    """Numbers of channels, as they are written down."""
    numbers = [whole(word, 0, 65_535) for word in text.split(",")]
    if len({*numbers}) < len(numbers):
        raise argparse.ArgumentTypeError(
            f"expected numbers of channels, each once, as 3,0,1, received {text}"
        )
    return text


def widths(text: str) -> tuple[int, ...]:
    """Numbers of filters."""
    return tuple(whole(word, 1, 16_384) for word in text.split(","))
