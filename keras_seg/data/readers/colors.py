"""Colours in masks -> ids: the argument `palette` of `folder`."""

import re
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from keras_seg.data.readers.id_tables import Ids, IdTable
from keras_seg.data.suggestions import Hint, spelled
from keras_seg.labels import IGNORE

# More unknown colours than this come from blur.
_FEW = 8
_HEX = re.compile(r"#[0-9a-fA-F]{6}")


def check_colors(palette: Any) -> np.ndarray:
    """Return the colours of ids as an array if no two are the same.

    Raises:
        ValueError: for another shape, colours out of range, or one that repeats.
    """
    colors = np.asarray(palette)
    if colors.ndim != 2 or colors.shape[1] != 3 or colors.dtype.kind not in "iu":
        raise ValueError(
            "Expected `palette` to be rows of (red, green, blue) in 0..255. Received: "
            f"shape {colors.shape}, {colors.dtype}"
        )
    unique, counts = np.unique(colors, axis=0, return_counts=True)
    if colors.min() < 0 or colors.max() > 255 or counts.max() > 1:
        twice = unique[counts > 1].tolist()
        raise ValueError(
            "Expected colours in 0..255 that differ in `palette`. Received: "
            f"{colors.min()}..{colors.max()}, more than once: {twice or 'none'}"
        )
    return colors.astype(np.int32)


def with_ignored_colors(
    colors: np.ndarray | None, ignore: Any
) -> tuple[np.ndarray | None, Ids | None]:
    """Give ignored colours ids of their own.

    Args:
        colors: Colours of the ids, None where masks have ids.
        ignore: Ids and colours, "#804000", of ignored pixels.

    Returns:
        The colours of the ids, with rows for those that had none; and the ignored ids.

    Raises:
        ValueError: for words that are no colour, or colours where masks have ids.
    """
    several = isinstance(ignore, Collection) and not isinstance(ignore, str)
    entries = [*ignore] if several else [ignore]
    words = [entry for entry in entries if isinstance(entry, str)]
    if not words:
        return colors, ignore
    if colors is None or not all(_HEX.fullmatch(word) for word in words):
        raise ValueError(
            "Expected `ignore` to be ids, or with a `palette` colours such as "
            f"'#804000'. Received: {words[0]!r}"
        )
    rows = [tuple(row) for row in colors.tolist()]
    for word in words:
        color = (int(word[1:3], 16), int(word[3:5], 16), int(word[5:], 16))
        if color not in rows:
            rows.append(color)
        entries[entries.index(word)] = rows.index(color)
    default = [] if len(entries) > len(words) else [IGNORE]
    return np.array(rows, np.int32), [*dict.fromkeys([*entries, *default])]


def cause_of_unknown_colors(
    masks: int, masks_with: Mapping[int, int], *, all_seen: bool
) -> Hint:
    """Explain colours that `palette` lacks, the most likely cause first.

    Args:
        masks: Number of masks that were looked at.
        masks_with: In how many of them each unknown colour is.
        all_seen: Whether other masks have been looked at, so that colours of a few
            masks can be told from those of many.
    """
    if len(masks_with) > _FEW:
        return Hint(
            "So many colours come from masks that were resized smoothly or stored as "
            "JPEG once, or from another palette.",
            {},
        )
    if not masks_with:
        return Hint("", {})
    arguments = {"ignore": [f"#{_hex(color)}" for color in sorted(masks_with)]}
    color = shown_color(min(masks_with)).strip("()").replace(",", "")
    remedies = (
        f"{spelled(arguments)}; or a class, which is a line '{color} name' more in the "
        "file of `palette`."
    )
    if all_seen and all(n >= max(2, 0.1 * masks) for n in masks_with.values()):
        return Hint(
            "Colours that many masks share usually mean pixels to ignore (void): "
            f"{remedies}",
            arguments,
        )
    return Hint(
        f"Likely causes: pixels to ignore, {remedies} Or the masks were resized "
        "smoothly or stored as JPEG once.",
        {},
    )


def _hex(color: int) -> str:
    """Red, green and blue in two digits each."""
    return f"{color & 255:02x}{color >> 8 & 255:02x}{color >> 16:02x}"


def table_of_colors(colors: np.ndarray) -> tf.lookup.StaticHashTable:
    """Make a table from red + 256 green + 65536 blue to ids, -1 for other colours."""
    numbers = colors @ np.array([1, 256, 65536], np.int32)
    rows = tf.range(len(colors))
    return tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(tf.constant(numbers), rows), -1
    )


def first_colored(table: IdTable, colors: np.ndarray) -> list[int]:
    """The first id of each class that has a colour.

    Raises:
        ValueError: for a class whose ids have none.
    """
    first = []
    for label, ids in enumerate(table.ids_of_class):
        colored = [i for i in ids if i < len(colors)]
        if not colored:
            raise ValueError(
                f"Expected a colour for id {ids[0] if ids else '(none)'}, class "
                f"{label}, in `palette`, whose row i is the colour of id i. Received: "
                f"{len(colors)} rows."
            )
        first.append(colored[0])
    return first


def shown_color(number: int) -> str:
    """A colour, red + 256 green + 65536 blue, for a message.

    Example:
        >>> shown_color(1 + 256 * 2 + 65536 * 3)
        '(1, 2, 3)'
    """
    return f"({number & 255}, {number >> 8 & 255}, {number >> 16})"
