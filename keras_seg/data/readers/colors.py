"""Colours in masks -> ids: the argument `palette` of `folder`."""

from typing import Any

import numpy as np
import tensorflow as tf

from keras_seg.data.readers.id_tables import IdTable

#: Why masks have colours that `palette` lacks.
UNKNOWN_COLORS = (
    "Likely causes: colours that are missing in `palette`, another palette, or masks "
    "that were resized smoothly or stored as JPEG once."
)


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
