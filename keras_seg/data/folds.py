"""Which examples each fold of a cross-validation trains on, and which it scores."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import numpy as np

from keras_seg.arguments import check_integer, check_seed

#: A label per example, or a function from an example's name to its label.
Groups = Sequence[Hashable] | Callable[[str], Hashable]


def fold_indices(
    names: Sequence[str], count: int, *, seed: int, groups: Groups | None
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Deal examples, or whole groups of them, out to folds.

    Without groups the folds differ by one example at most. Groups are dealt out from
    the largest to the smallest, each to the fold that has the fewest examples yet.

    Args:
        names: The names of the examples.
        count: Number of folds.
        seed: The same seed gives the same folds.
        groups: What `Source.folds` takes.

    Returns:
        Indices for training and for validation, of each fold, in order.

    Raises:
        ValueError: for more folds than examples or groups, or examples without a group.

    Example:
        >>> patient = lambda name: name[0]
        >>> folds = fold_indices(["a1", "a2", "b1"], 2, seed=0, groups=patient)
        >>> sorted(val.tolist() for _, val in folds)
        [[0, 1], [2]]
    """
    count = check_integer("count", count, 2)
    rng = np.random.default_rng(check_seed(seed))
    if groups is None:
        members = [[index] for index in range(len(names))]
    else:
        members = _members(names, groups)
    if len(members) < count:
        what = "examples" if groups is None else "groups"
        raise ValueError(
            f"Expected no more folds than {what}. Received: {count} folds of "
            f"{len(members)} {what} ({len(names)} examples in all)."
        )
    shuffled = rng.permutation(len(members)).tolist()
    order = sorted(shuffled, key=lambda k: -len(members[k]))  # ties stay shuffled
    folds: list[list[int]] = [[] for _ in range(count)]
    for k in order:
        min(folds, key=len).extend(members[k])
    everything = np.arange(len(names))
    return [(np.setdiff1d(everything, fold), np.sort(fold)) for fold in folds]


def _members(names: Sequence[str], groups: Groups) -> list[list[int]]:
    """The indices of each group."""
    labels: list[Any]
    if callable(groups):
        labels = [groups(name) for name in names]
    elif isinstance(groups, Iterable) and not isinstance(groups, str | bytes):
        labels = list(groups)
    else:
        raise ValueError(
            "Expected `groups` to be a label per example, or a function of an "
            f"example's name. Received: {groups!r}"
        )
    if len(labels) != len(names):
        raise ValueError(
            f"Expected `groups` to have a label for each of {len(names)} examples. "
            f"Received: {len(labels)} labels"
        )
    members: dict[Hashable, list[int]] = {}
    for index, label in enumerate(labels):
        # NaN, which tables have where nothing was written, is no other NaN's equal.
        if not isinstance(label, Hashable) or label is None or label != label:
            raise ValueError(
                "Expected a group for each example: a number, a string or a tuple. "
                f"Received: {label!r} for {names[index]!r}"
            )
        members.setdefault(label, []).append(index)
    return list(members.values())
