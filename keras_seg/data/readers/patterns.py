"""Which patterns would pair images and masks whose names differ."""

import bisect
import os
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np

# Images whose names are compared, and names around each that are compared with it.
_SAMPLE, _NEIGHBORS = 16, 6


class Affixes(NamedTuple):
    """What stands around the common stem in names of images and of masks."""

    image: tuple[str, str]
    mask: tuple[str, str]


def common_affixes(images: Collection[str], masks: Collection[str]) -> list[Affixes]:
    """Find what to take off the names of images and masks so that they are equal.

    Candidates come from a few images and the masks that are most like them; those
    count that pair the most files, and at least two of five.

    Args:
        images: Names without suffixes of files, which may begin with folders.
        masks: Those of the masks.

    Returns:
        The best; several if they pair equally many files. None if nothing helps.

    Example:
        >>> common_affixes(["a_1", "a_2"], ["a_1_mask", "a_2_mask"])
        [Affixes(image=('', ''), mask=('', '_mask'))]
    """
    masks = set(masks)
    ordered = sorted(images)
    if not ordered or not masks:
        return []
    places = np.unique(np.linspace(0, len(ordered) - 1, _SAMPLE).astype(int))
    candidates = set(_candidates([ordered[place] for place in places], masks))
    equal = masks & {*ordered}
    paired = 0 if len(equal) == len(ordered) else len(equal)  # both in one folder
    needed = max(paired + 1, 0.4 * min(len(ordered), len(masks)))
    pairs = {
        affixes: sum(_partner(name, affixes) in masks for name in ordered)
        for affixes in candidates
    }
    most = max(pairs.values(), default=0)
    if most < needed:
        return []
    best = [affixes for affixes, count in pairs.items() if count == most]
    plain = [affixes for affixes in best if not any(affixes.image)]
    # One pair alone may be alike by chance, but not where one name holds the other.
    return sorted(plain or (best if most > 1 else []))


def _candidates(names: Sequence[str], masks: Collection[str]) -> Iterator[Affixes]:
    forwards = sorted(masks)
    backwards = sorted(name[::-1] for name in masks)
    for name in names:
        for mask in _near(name, forwards):
            shared = _shared(name, mask)
            yield Affixes(("", name[shared:]), ("", mask[shared:]))
        folder = f"{os.path.dirname(name)}/".lstrip("/")
        base = name[len(folder) :]
        for mask in (near[::-1] for near in _near(base[::-1], backwards)):
            other = os.path.basename(mask)
            shared = _shared(base[::-1], other[::-1])
            yield Affixes(
                (base[: len(base) - shared], ""), (other[: len(other) - shared], "")
            )
    for name in names[:4]:
        for mask in forwards:
            before, found, after = mask.partition(os.path.basename(name))
            if found and after.count("/") == 0:
                yield Affixes(("", ""), (os.path.basename(before), after))


def _near(name: str, ordered: Sequence[str]) -> Sequence[str]:
    """Names around the place of one in an ordered list: they begin most like it."""
    place = bisect.bisect(ordered, name)
    return ordered[max(0, place - _NEIGHBORS) : place + _NEIGHBORS]


def _shared(one: str, other: str) -> int:
    """Length of the common beginning; where both go on, up to the end of a word.

    Separators then belong to what differs: "1" is common to "1_image" and "1_mask".
    """
    pairs = enumerate(zip(one, other, strict=False))
    shorter = min(len(one), len(other))
    length = next((place for place, (a, b) in pairs if a != b), shorter)
    if length < len(one) and length < len(other):
        while length and one[length - 1].isalpha():
            length -= 1
        while length and one[length - 1] in "_-. ":
            length -= 1
    return length


def _partner(image: str, affixes: Affixes) -> str | None:
    """Name of the mask that would belong to an image."""
    folder, base = os.path.split(image)
    before, after = affixes.image
    if not (base.startswith(before) and base.endswith(after)):
        return None
    stem = base[len(before) : len(base) - len(after)]
    if not stem or affixes.image == affixes.mask:
        return None
    return os.path.join(folder, affixes.mask[0] + stem + affixes.mask[1])
