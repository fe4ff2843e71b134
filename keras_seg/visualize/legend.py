"""Texts and legends in pictures, in whatever script names are written."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

#: Height of a line of text in pixels.
LINE = 22
_LEFT, _LONGEST = 8, 220
# Matplotlib brings the first; a machine may have the others, for more scripts.
_FAMILIES = (
    "DejaVu Sans",
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "Droid Sans Fallback",
    "PingFang SC",
    "Hiragino Sans",
    "Microsoft YaHei",
    "Malgun Gothic",
    "Arial Unicode MS",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
)


def legend(entries: Sequence[tuple[int, str, Any]], width: int) -> np.ndarray:
    """Draw squares of colour with names, down columns.

    Args:
        entries: Of (id, name, colour in 0..255). Where no font here has the characters
            of a name, the id stands for it.
        width: Pixels of the picture.

    Returns:
        uint8 `[height, width, 3]`.
    """
    names = [" ".join(name.split()) for _, name, _ in entries]
    names = [
        name if _font(name)[1] else f"class {number}"
        for name, (number, *_) in zip(names, entries, strict=True)
    ]
    step = LINE + _LEFT + max(int(_length(_cut(name, _LONGEST))) for name in names)
    rows = -(-len(names) // max(1, (width - _LEFT) // step))
    picture = Image.new("RGB", (width, rows * LINE + _LEFT), "white")
    draw = ImageDraw.Draw(picture)
    for k, (name, (*_, color)) in enumerate(zip(names, entries, strict=True)):
        x, y = _LEFT + k // rows * step, k % rows * LINE
        fill = tuple(int(c) for c in color)
        draw.rectangle((x, y + 3, x + 13, y + 16), fill=fill, outline="gray")
        write(draw, (x + LINE - 3, y), name, _LONGEST)
    return np.asarray(picture)


def write(draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, most: int) -> None:
    """Write a text in a line whose top left is at (x, y), at most so many pixels long.

    Characters that no font here has are question marks.
    """
    text = " ".join(text.split())
    font, whole = _font(text)
    if not whole:
        text = "".join(c if _font(c)[1] else "?" for c in text)
    text = _cut(text, most)
    draw.text((at[0], at[1] + 15), text, "black", font, anchor="ls")


def _cut(text: str, most: int) -> str:
    """A text without its end, if it is longer than so many pixels."""
    if _length(text) <= most:
        return text
    while text and _length(f"{text}…") > most:
        text = text[:-1]
    return f"{text}…"


def _length(text: str) -> float:
    return _font(text)[0].getlength(text)


def _font(text: str) -> tuple[ImageFont.FreeTypeFont, bool]:
    """A font for a text, and whether it has all of its characters."""
    for font, characters in _fonts():
        if characters.issuperset(map(ord, text)):
            return font, True
    return _fonts()[0][0], False


@functools.cache
def _fonts() -> list[tuple[ImageFont.FreeTypeFont, frozenset[int]]]:
    """The fonts that are here, with their characters."""
    from matplotlib.font_manager import findfont, get_font, get_font_names

    here = set(get_font_names())
    paths = [str(findfont(family)) for family in _FAMILIES if family in here]
    return [
        (ImageFont.truetype(path, 13), frozenset(get_font(path).get_charmap()))
        for path in paths
    ]
