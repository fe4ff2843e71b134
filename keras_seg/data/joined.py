"""Two Sources, one after the other: what `Source.__add__` makes."""

from typing import Any

import tensorflow as tf


def joined(one: Any, other: Any) -> dict[str, Any]:
    """Arguments of the Source that has the examples of one, then those of another.

    Args:
        one: A Source.
        other: A Source of the same classes and number of channels.
    """
    first = len(one)

    def either(of_one: Any, of_other: Any) -> Any:
        """Call the function of the Source that has the example."""
        if of_one is None or of_other is None:
            return None
        return lambda index, *arguments: tf.cond(
            index < first,
            lambda: of_one(index, *arguments),
            lambda: of_other(index - first, *arguments),
        )

    pixels = either(one._pixels, other._pixels)
    ids = either(one._ids, other._ids)
    return {
        "length": first + len(other),
        "image": lambda index, window=None, mask_size=None: pixels(
            index, window, mask_size
        ),
        "mask": lambda index, window=None: ids(index, window),
        "class_names": one.class_names,
        "names": [*one.names, *other.names],
        "palette": one.palette,
        "image_path": either(one._path("image"), other._path("image")),
        "mask_path": either(one._path("mask"), other._path("mask")),
        "size": lambda i: one.size(i) if i < first else other.size(i - first),
        "value_range": one.value_range,
        "outside": one._outside if one._outside == other._outside else "keep",
        "origin": f"{one._origin or 'Source'} + {other._origin or 'Source'}",
        # Half of them can be learned from.
        "problem": one.problem if other.problem else None,
    }
