"""Text files of the colours in masks, such as CamVid's label_colors.txt."""

import os
import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

import numpy as np

from keras_seg.data.readers.files import read_lines

Color = tuple[int, int, int]

_NUMBERS = r"(\d{1,3})[\s,;]+(\d{1,3})[\s,;]+(\d{1,3})"
_COLOR_FIRST = re.compile(rf"{_NUMBERS}(?:[\s,;]+(.*))?")
_NAME_FIRST = re.compile(rf"(.*?)[\s,;:]+{_NUMBERS}")


class ColorFile(NamedTuple):
    """Colours of the ids 0, 1, 2, ... and their names."""

    #: int `[n, 3]`
    colors: np.ndarray
    #: A name per colour; None unless each has one.
    names: list[str] | None


def read_colors(path: str | os.PathLike) -> ColorFile:
    """Read a text file with a colour in each line, `R G B`, and a name if you like.

    The name may follow the colour or stand before it, and numbers may be separated by
    blanks, tabs or commas. A first line of words is a heading.

    Raises:
        ValueError: naming the file and the line, for a line without a colour.
    """
    path = os.fspath(path)
    colors, names = [], []
    for number, line in enumerate(read_lines(path)):
        if match := _COLOR_FIRST.fullmatch(line):
            *color, name = match.groups()
        elif match := _NAME_FIRST.fullmatch(line):
            name, *color = match.groups()
        elif number == 0 and not re.search(r"\d", line):
            continue
        else:
            raise ValueError(
                f"{path}: Expected 'R G B' in each line, the colour of an id, and its "
                f"name if you like. Received: {line[:80]!r}"
            )
        colors.append([int(word) for word in color])
        names.append((name or "").strip())
    if not colors:
        raise ValueError(f"{path}: Expected a colour in each line. Received: none.")
    return ColorFile(np.array(colors), names if all(names) else None)


def find_color_file(folders: Collection[str], colors: Collection[Color]) -> str | None:
    """Find a text file in folders, or in those that hold them, that has these colours.

    Returns:
        The path of the first one; None if there is none.
    """
    for path in _text_files(folders):
        try:
            known = {tuple(color) for color in read_colors(path).colors.tolist()}
        except (ValueError, OSError):
            continue  # it is another kind of file
        if known.issuperset(colors):
            return path
    return None


def _text_files(folders: Collection[str], largest: int = 65536) -> Iterator[str]:
    """Small text files in folders and in those that hold them."""
    parents = [os.path.dirname(os.path.abspath(folder)) for folder in folders]
    shown = [os.path.dirname(folder) or "." for folder in folders]
    for folder in dict.fromkeys([*shown, *folders, *map(os.path.dirname, parents)]):
        if "://" in folder or not os.path.isdir(folder):
            continue
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                is_text = entry.name.lower().endswith((".txt", ".csv"))
                if is_text and entry.is_file() and entry.stat().st_size <= largest:
                    yield os.path.normpath(entry.path)
