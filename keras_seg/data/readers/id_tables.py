"""Ids in mask files -> labels: which ids a class has, and which pixels are ignored."""

import operator
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_seg.labels import IGNORE

_LARGEST_ID = 2**16 - 1
# The label of an id that has none is this number less the id: `Source` refuses it as
# no class, and `inspect` can tell which id it was.
_UNKNOWN = -(2**30)

#: One id, or several: (1, 2, 3), range(1, 256).
Ids = int | Collection[int]


class IdTable(NamedTuple):
    """Which ids in the files are which class."""

    #: The ids of each class.
    ids_of_class: list[tuple[int, ...]]
    #: Ids of ignored pixels.
    ignored: list[int]

    @property
    def is_identity(self) -> bool:
        """Whether ids are labels as they are."""
        ids = range(len(self.ids_of_class))
        return self.ids_of_class == [(i,) for i in ids] and self.ignored == [IGNORE]

    def lookup(self) -> tf.Tensor:
        """Return the label of each id, int32 `[65536]`."""
        table = _UNKNOWN - np.arange(_LARGEST_ID + 1, dtype=np.int32)
        for label, ids in enumerate(self.ids_of_class):
            table[list(ids)] = label
        table[self.ignored] = IGNORE
        return tf.constant(table)


def id_table(
    num_classes: int,
    ids: Sequence[Ids] | Mapping[Ids, int] | None,
    ignore: Ids | None,
) -> IdTable:
    """Check `ids` and `ignore` and bring them into one form.

    Args:
        num_classes: Number of classes.
        ids: The ids of each class, or the class of each id; None for 0, 1, 2, ...
        ignore: Ids of ignored pixels; None for 255, unless a class has it.

    Raises:
        ValueError: for a class without an entry, ids of two classes, or ids that are a
            class's and ignored.

    Example:
        >>> id_table(2, {0: 0, range(1, 4): 1}, ignore=None)
        IdTable(ids_of_class=[(0,), (1, 2, 3)], ignored=[255])
    """
    if ids is None:
        entries: list[Ids] = list(range(num_classes))
    elif isinstance(ids, Mapping):
        entries = _entries_of_mapping(ids, num_classes)
    else:
        entries = list(ids)
    if len(entries) != num_classes:
        raise ValueError(
            f"Expected `ids` to have one entry per class, {num_classes}. Received: "
            f"{len(entries)} entries. Several ids of one class are one entry: "
            "`ids=[0, range(1, 256)]`."
        )
    ids_of_class = [_as_ids(entry, "ids") for entry in entries]
    given = [i for ids in ids_of_class for i in ids]
    repeated = [i for i, count in Counter(given).items() if count > 1]
    if repeated:
        raise ValueError(
            f"Expected `ids` to give each id to one class. Received twice: "
            f"{shown_ids(repeated)}"
        )
    if ignore is None:
        ignored = [] if IGNORE in given and ids is not None else [IGNORE]
    else:
        ignored = sorted({*_as_ids(ignore, "ignore")})
    both = sorted({*given} & {*ignored})
    if both:
        raise ValueError(
            "Expected ids of classes and none of `ignore` among them. Received: "
            f"{shown_ids(both)} in both. Take them out of `ignore`, or out of `ids`, "
            "which is 0, 1, 2, ... unless it is given."
        )
    return IdTable(ids_of_class, ignored)


def _entries_of_mapping(ids: Mapping[Ids, int], num_classes: int) -> list[Ids]:
    """The ids of each class, from the class of each id."""
    entries: list[list[int]] = [[] for _ in range(num_classes)]
    for key, label in ids.items():
        if label not in range(num_classes):
            raise ValueError(
                f"Expected `ids` to map ids to classes 0..{num_classes - 1}. Received: "
                f"{{{key!r}: {label!r}}}"
            )
        entries[label].extend(_as_ids(key, "ids"))
    without = [label for label in range(num_classes) if label not in ids.values()]
    if without:
        raise ValueError(
            f"Expected `ids` to name each of the {num_classes} classes. Missing: class "
            f"{shown_ids(without)}. A class that has no id in these files is one of no "
            f"ids: `ids={{(): {without[0]}, ...}}`."
        )
    return list(entries)


def _as_ids(entry: Any, argument: str) -> tuple[int, ...]:
    """One id or several, as a tuple."""
    try:
        if isinstance(entry, bool | np.bool_ | str | bytes):
            raise TypeError
        try:
            ids: tuple[int, ...] = (operator.index(entry),)
        except TypeError:
            ids = tuple(map(operator.index, entry))
    except TypeError:
        raise ValueError(
            f"Expected `{argument}` to be whole numbers, or several in an entry, as in "
            f"(1, 2, 3) or range(1, 256). Received: {entry!r}"
        ) from None
    if any(not 0 <= i <= _LARGEST_ID for i in ids):
        outside = [i for i in ids if not 0 <= i <= _LARGEST_ID]
        raise ValueError(
            f"Expected ids in 0..{_LARGEST_ID} in `{argument}`. Received: "
            f"{shown_ids(outside)}"
        )
    return ids


def labels_of(ids: tf.Tensor, lookup: tf.Tensor) -> tf.Tensor:
    """Look up labels; an id without one gets a label that `unknown_id` turns back."""
    labels = tf.gather(lookup, tf.minimum(ids, _LARGEST_ID))
    return tf.where(ids > _LARGEST_ID, _UNKNOWN - ids, labels)


def unknown_id(label: int) -> int:
    """The id in the file of a label that is no class."""
    return _UNKNOWN - label if is_translated(label) else label


def is_translated(label: int) -> bool:
    """Whether a label that is no class stands for an unknown id of a file."""
    return label <= _UNKNOWN


def shown_ids(ids: Iterable[int], most: int = 8) -> str:
    """Ids for a message: runs are ranges, and a long list ends in dots.

    Example:
        >>> shown_ids([1, 2, 3, 4, 7])
        '1..4, 7'
    """
    runs: list[list[int]] = []
    for i in sorted(ids):
        if runs and i == runs[-1][1] + 1:
            runs[-1][1] = i
        else:
            runs.append([i, i])
    words: list[str] = []
    for first, last in runs:
        if last - first < 2:
            words += map(str, range(first, last + 1))
        else:
            words.append(f"{first}..{last}")
    return ", ".join(words[:most]) + (", ..." if len(words) > most else "")
