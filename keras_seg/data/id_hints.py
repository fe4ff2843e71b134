"""What the ids in masks tell about the arguments that a data set needs."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from keras_seg.data.suggestions import Arguments, Hint, spelled
from keras_seg.labels import IGNORE
from keras_seg.palette import VOC_GREYS

# More ids than this aren't meant.
_MANY = 20


@dataclass
class IdCounts:
    """Which ids occur in masks, and how often."""

    #: How many masks were counted.
    masks: int = 0
    #: Pixels of each id, and masks where it occurs.
    pixels: Counter[int] = field(default_factory=Counter)
    masks_with: Counter[int] = field(default_factory=Counter)
    #: Masks whose ids, without 0 and 255, are 1, 2, ..., n, by n.
    consecutive: Counter[int] = field(default_factory=Counter)

    def add(self, pixels: Mapping[int, int]) -> None:
        """Count one mask, given its pixels of each id."""
        pixels = {int(i): count for i, count in pixels.items()}  # NumPy's spell badly
        self.masks += 1
        self.pixels.update(pixels)
        self.masks_with.update(pixels.keys())
        objects = pixels.keys() - {0, IGNORE}
        last = max(objects, default=0)
        if last > IGNORE:
            objects |= {IGNORE}
        if len(objects) == last:
            self.consecutive[last] += 1

    @property
    def ids(self) -> list[int]:
        """The ids that occur, in order."""
        return sorted(self.pixels)

    @property
    def number_objects(self) -> bool:
        """Whether each mask numbers its own objects: 1..n, with n of its own."""
        numbered = sum(self.consecutive.values())
        several = {n for n in self.consecutive if n > 0}
        return numbered >= 0.9 * self.masks and len(several) > 1 and max(several) > 2


def cause_of_unknown_ids(
    counts: IdCounts, unknown: Collection[int], num_classes: int
) -> Hint:
    """Explain ids that are no class, the most likely cause first.

    Args:
        counts: All ids of the masks that were looked at.
        unknown: Those that are no class and aren't ignored.
        num_classes: Number of classes.
    """
    strays, occurring = sorted(unknown), {*counts.ids} - {IGNORE}
    arguments: Arguments
    numbered = cause_of_large_numbers(strays, num_classes)
    blurred = cause_of_many_values(strays, num_classes)
    if counts.number_objects and num_classes == 2:
        arguments = {"ids": [0, range(1, _end(strays))]}
        return Hint(
            "Each mask numbers its objects 1, 2, ..., and all are of one class: "
            f"{spelled(arguments)}.",
            arguments,
        )
    if numbered is not None:
        return numbered
    if blurred and not _shared_by_many(counts, strays):
        return Hint(blurred, {})
    if 0 not in occurring and occurring == {*range(1, num_classes + 1)}:
        arguments = {"ids": list(range(1, num_classes + 1))}
        return Hint(f"The ids start at 1: {spelled(arguments)}.", arguments)
    every_id = sorted(counts.ids)
    if len(every_id) == num_classes and every_id[-1] >= num_classes:
        arguments = {"ids": every_id}
        return Hint(
            f"There are as many ids as classes: {spelled(arguments)}.", arguments
        )
    if _shared_by_many(counts, strays):
        ignored = [*strays, *([IGNORE] if IGNORE in counts.pixels else [])]
        arguments = {"ignore": ignored if len(ignored) > 1 else ignored[0]}
        where = "; ".join(
            f"{i} in {counts.masks_with[i]:,} of {counts.masks:,} masks" for i in strays
        )
        return Hint(
            f"An id that many masks share ({where}) usually means pixels to ignore "
            f"(void): {spelled(arguments)}. If it is a class, add it to "
            "`class_names`.",
            arguments,
        )
    return Hint(
        "Likely causes: an id of pixels to ignore (void), "
        f"{spelled({'ignore': strays[0] if strays else 0})}; a class that is missing "
        "in `class_names`; ids that start at 1 or have holes, which `ids` lists.",
        {},
    )


def cause_of_large_numbers(strays: Collection[int], num_classes: int) -> Hint | None:
    """Explain many values of which some need 16 bits: no blur and no grey makes them.

    Args:
        strays: Ids that are no class and aren't ignored.
        num_classes: Number of classes.
    """
    if len(strays) <= _MANY or max(strays) <= 255:
        return None
    arguments: Arguments = {"ids": [0, range(1, 65536)]} if num_classes == 2 else {}
    remedy = spelled(arguments or {"instances": "border"})
    if max(strays) > 65535:  # which `ids` can't name
        arguments, remedy = {}, "`binary=True` or `instances='border'`, without `ids`"
    return Hint(
        f"So many ids, up to {max(strays)}, mean that masks number objects: {remedy}.",
        arguments,
    )


def cause_of_many_values(strays: Collection[int], num_classes: int) -> str:
    """Explain values that no one chose as ids: greys of colours, and blur."""
    of_voc = num_classes == 21 or len(strays) > 1
    if of_voc and {*strays} <= VOC_GREYS and max(strays, default=0) > _MANY:
        return (
            "These are the greys of VOC's colours: a palette mask was saved as grey. "
            "Make it again from the original; grey can't be turned back for all ids."
        )
    if len(strays) > _MANY:
        return (
            "So many ids come from a mask that was resized smoothly or stored as JPEG, "
            "or from a photo. Masks are resized with the nearest pixel and stored as "
            "PNG."
        )
    return ""


def suggest_classes(counts: IdCounts) -> list[Hint]:
    """Suggest `class_names` and `ids` for masks whose classes nobody has named.

    Returns:
        The likely ways to read them, the likeliest first; none for too many ids.
    """
    ids = [i for i in counts.ids if i != IGNORE]
    objects = [i for i in counts.ids if i != 0]
    two = ["background", "object"]
    hints = []
    if counts.number_objects:
        arguments = {"class_names": two, "ids": [0, range(1, _end(objects))]}
        hints.append(
            Hint(
                "If the ids number objects of one class in each mask",
                arguments,
            )
        )
        touching = Hint("If such objects touch", {"instances": "border"})
        hints.append(touching)
    if len(objects) == 1 and objects != [1]:  # 0 and 255, or another number
        return [Hint("For two classes, background and object", {"binary": True})]
    if 1 < len(ids) <= (_MANY if hints else 255):
        names = two if ids == [0, 1] else [f"class{i}" for i in ids]
        arguments = {"class_names": names}
        if ids != list(range(len(ids))):
            arguments["ids"] = ids
        note = "If each id is a class, with your names"
        if len(ids) > 2:
            note += " (leave out an id that means nothing, and give it as `ignore`)"
        hints.append(Hint(note, arguments))
    return hints


def _shared_by_many(counts: IdCounts, strays: Collection[int]) -> bool:
    """Whether there are few unknown ids, and each is in many masks."""
    needed = max(2, 0.1 * counts.masks)
    return 0 < len(strays) <= 3 and all(counts.masks_with[i] >= needed for i in strays)


def _end(ids: Collection[int]) -> int:
    """End of a range that holds the ids of objects, here and in other masks."""
    return 256 if max(ids) < 256 else 65536
