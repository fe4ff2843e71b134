"""Checks of what a Source is made of and indexed with."""

import inspect
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np

from keras_seg.labels import IGNORE
from keras_seg.palette import color_map


def check_class_names(class_names: Any) -> tuple[str, ...]:
    """Return names of classes as a tuple, if each id has a name of its own.

    Args:
        class_names: Strings in the order of their ids, or a mapping from every id to
            its name.

    Raises:
        ValueError: for anything else, naming it.

    Example:
        >>> check_class_names({1: "cat", 0: "background"})
        ('background', 'cat')
    """
    expected = "Expected `class_names` to be a list of names, one per class id."
    if isinstance(class_names, Mapping):
        if {*class_names} != {*range(len(class_names))}:
            raise ValueError(
                "Expected `class_names` to be a list of names, or {id: name} of all "
                f"ids from 0 on. Received: {class_names!r}"
            )
        class_names = [class_names[label] for label in range(len(class_names))]
    if isinstance(class_names, str | bytes) or not isinstance(class_names, Iterable):
        raise ValueError(f"{expected} Received: {class_names!r}")
    if isinstance(class_names, Set):
        raise ValueError(f"{expected} Received: {class_names!r}, which has no order.")
    names = tuple(class_names)
    for name in names:
        if not isinstance(name, str):
            raise ValueError(
                f"{expected} Received: {name!r}, which is no string, in {names!r}"
            )
        if not name.strip() or len(name.splitlines()) > 1:
            raise ValueError(
                f"{expected} Received: {name!r}, a blank name or one of several lines."
            )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            "Expected `class_names` to be names that differ. Received more than once: "
            f"{', '.join(map(repr, twice))}"
        )
    return tuple(map(str, names))  # NumPy's strings have a repr of their own


def check_length(length: Any) -> int:
    """Return a number of examples as an int."""
    try:
        count = operator.index(length)
    except TypeError:
        count = -1
    if count < 0:
        raise ValueError(
            f"Expected `length` to be the number of examples. Received: {length!r}"
        )
    return count


def check_palette(palette: Any, num_classes: int) -> np.ndarray:
    """Return a colour per class, uint8 `[num_classes, 3]`; VOC's for None."""
    if palette is None:
        return color_map(num_classes)
    try:
        colors = np.asarray(palette)
    except ValueError:  # rows of several lengths
        colors = np.asarray(palette, object)
    is_integer = colors.dtype.kind in "iu"
    if (
        colors.shape != (num_classes, 3)
        or not is_integer
        or not (colors.min() >= 0 and colors.max() <= 255)
    ):
        hint = ""
        if colors.dtype.kind == "f":
            hint = ". Floats in 0..1 times 255, rounded, are such colours"
        raise ValueError(
            f"Expected `palette` to be {num_classes} colours (red, green, blue), "
            f"integers in 0..255. Received: shape {colors.shape}, {colors.dtype}{hint}"
        )
    return colors.astype(np.uint8)


def check_is_of_index(name: str, function: Any) -> frozenset[str]:
    """Check that a function can be called with an index.

    Args:
        name: What the function is called in an error.
        function: Anything that can be called.

    Returns:
        Names of its parameters that can be given by keyword. A function that takes
        `**kwargs`, or wraps another one, doesn't say what it does with them.

    Raises:
        ValueError: if it isn't a function, or takes more or less than an index.
    """
    if not callable(function):
        raise ValueError(
            f"Expected `{name}` to be a function of an index. Received: {function!r}"
        )
    try:
        signature = inspect.signature(function, follow_wrapped=False)
    except (TypeError, ValueError):  # not all that is built in has one
        return frozenset()
    try:
        signature.bind(0)
    except TypeError as error:
        raise ValueError(
            f"Expected `{name}` to be a function of an index. Received: one of "
            f"{signature} ({error})"
        ) from None
    return frozenset(
        parameter.name
        for parameter in signature.parameters.values()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    )


def takes(function: Callable, count: int) -> bool:
    """Whether a function can be called with so many arguments, as far as it says."""
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    except ValueError:  # not all that is built in has a signature
        pass
    return True


def as_position(index: Any, length: int) -> int:
    """Return an index, which may count from the end, as an int in 0..length - 1."""
    try:
        if isinstance(index, bool):
            raise TypeError
        return range(length)[operator.index(index)]
    except TypeError:
        raise TypeError(
            f"Expected an index, a slice, or a list of indices. Received: {index!r}"
        ) from None
    except IndexError:
        raise IndexError(
            f"Expected an index below {length}. Received: {index}"
        ) from None


def as_indices(index: Any, length: int) -> np.ndarray:
    """Return a list or an array of indices, or of bools, as int64 in 0..length - 1."""
    try:
        indices = np.asarray(index)
    except ValueError:  # rows of several lengths
        indices = np.asarray(index, object)
    if not indices.size and indices.ndim == 1 and indices.dtype.kind != "b":
        indices = np.zeros(0, np.int64)
    if indices.ndim != 1 or indices.dtype.kind not in "iub":
        raise TypeError(
            "Expected an index, a slice, or a list of indices. Received: "
            f"{indices.dtype}, shape {indices.shape}"
        )
    if indices.dtype.kind == "b":
        if len(indices) != length:
            raise IndexError(
                f"Expected a bool for each of {length} examples. Received: "
                f"{len(indices)}"
            )
        return np.flatnonzero(indices)
    outside = indices[(indices < -length) | (indices >= length)]
    if outside.size:
        raise IndexError(f"Expected indices below {length}. Received: {outside[0]}")
    indices = indices.astype(np.int64)
    return np.where(indices < 0, indices + length, indices)


def table_of_ids(
    ids: Any, old_names: Sequence[str], new_names: Sequence[str]
) -> np.ndarray:
    """The new id of each id, uint8 `[256]`, from what `Source.map_ids` takes."""
    if not isinstance(ids, Mapping):
        if isinstance(ids, str) or not isinstance(ids, Iterable):
            raise ValueError(
                f"Expected `ids` to be a mapping or list. Received: {ids!r}"
            )
        parts = list(ids)
        if len(parts) != len(new_names):
            raise ValueError(
                f"Expected `ids` of {len(new_names)} classes. Received: {len(parts)}"
            )
        pairs: list[tuple[Any, Any]] = list(zip(parts, range(len(parts)), strict=True))
    else:
        pairs = list(ids.items())
    new_ids: dict[int, int] = {}
    for olds, new in pairs:
        if not isinstance(new, int | np.integer) or not (
            0 <= new < len(new_names) or new == IGNORE
        ):
            raise ValueError(
                f"Expected new ids 0..{len(new_names) - 1}, or {IGNORE}. Received: "
                f"{new!r}"
            )
        several = isinstance(olds, Iterable) and not isinstance(olds, str)
        for old in olds if several else [olds]:
            label = old_names.index(old) if old in old_names else old
            if not isinstance(label, int | np.integer) or not (
                0 <= label < len(old_names)
            ):
                raise ValueError(
                    f"Expected ids 0..{len(old_names) - 1}, or their names. Received: "
                    f"{old!r}"
                )
            if int(label) in new_ids:
                raise ValueError(f"Expected one new id for {label}. Received: two.")
            new_ids[int(label)] = int(new)
    missing = [
        f"{label} ({name})"
        for label, name in enumerate(old_names)
        if label not in new_ids
    ]
    if missing:
        raise ValueError(
            "Expected a new id for each class. Received: none for "
            f"{', '.join(missing)}. New id {IGNORE} makes their pixels ignored."
        )
    table = np.full(256, IGNORE, np.uint8)
    table[list(new_ids)] = list(new_ids.values())
    return table


class Numbered(Sequence):
    """Names of examples that have none, made when they are asked for."""

    def __init__(self, length: int):
        self._range = range(length)

    def __len__(self) -> int:
        return len(self._range)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [f"example {i}" for i in self._range[index]]
        return f"example {self._range[index]}"
