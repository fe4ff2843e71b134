"""Findings in a data set -> problems, with likely causes and remedies."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from keras_seg.data.checks import check_same_size
from keras_seg.data.id_hints import (
    cause_of_large_numbers,
    cause_of_many_values,
    cause_of_unknown_ids,
)
from keras_seg.data.readers.colors import cause_of_unknown_colors, shown_color
from keras_seg.data.readers.id_tables import shown_ids
from keras_seg.data.source import Source
from keras_seg.data.suggestions import Arguments, Hint, arguments_in, spelled
from keras_seg.data.tools.inspect_facts import Example, Findings
from keras_seg.data.tools.inspect_values import USED, ImageValues
from keras_seg.labels import shown_range

# Pixels of an image of which a crop shows little, and the side of tiles of it.
_LARGE, _TILE = 2**24, 1024
# Examples that say something about a whole split.
_ENOUGH = 16
_VOID_NAMES = ("void", "ignore", "ignored", "unlabeled", "unlabelled")


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with a data set."""

    #: What it is, for scripts: "unreadable", "unknown_ids", ...
    kind: str
    #: Name of the split, and of the example, or "" if it is about all of them.
    split: str
    example: str
    #: What is wrong, the likely cause, and the remedy.
    message: str
    #: Whether training would fail or learn something wrong.
    serious: bool = True
    #: Arguments that would mend it.
    arguments: Arguments = field(default_factory=dict)


def problems_of_example(split: str, example: Example, channels: int) -> list[Problem]:
    """What is wrong with one example, but for ids: these are judged together.

    Args:
        split: Name of the split.
        example: What was found.
        channels: Channels that the images of this split are read with; 0 if no image
            can be read.
    """

    def problem(kind: str, message: str, serious: bool = False) -> Problem:
        return Problem(kind, split, example.name, message, serious)

    if example.error:
        differ = example.file.mode and channels not in (0, 3, example.file.channels)
        if differ and "channel" in example.error:  # and not the mask, say, is at fault
            arguments: Arguments = {"channels": 3}
            return [
                Problem(
                    "channels_differ",
                    split,
                    example.name,
                    f"Images differ in channels: {channels} in the first, "
                    f"{example.file.channels} here. {spelled(arguments)} makes RGB of "
                    f"all. {example.error}",
                    arguments=arguments,
                )
            ]
        remedy = arguments_in(example.error, "nodata", "value_range")
        unreadable = problem("unreadable", example.error, serious=True)
        return [replace(unreadable, arguments=remedy)]
    problems = []
    rotated = example.file.orientation != 1
    if example.image_size != example.mask_size:
        message = _size_message(example)
        if rotated:
            message += (
                " This photo has such EXIF data: viewers show it rotated, and its mask "
                "was drawn so."
            )
        problems.append(problem("sizes_differ", message, serious=True))
    elif rotated and example.file.keeps_size:
        message = (
            "Viewers show this photo rotated or mirrored, as its EXIF data says; it is "
            "read as it is stored. If its mask was drawn on what a viewer shows, save "
            "the photo with the rotation applied."
        )
        problems.append(problem("exif_rotation", message))
    if example.file.mode == "CMYK":
        message = (
            "A CMYK photo, made for print: programs make different RGB of it. Convert "
            "it to RGB."
        )
        problems.append(problem("cmyk", message))
    if not example.pixels.any() and not example.unknown and not example.unknown_colors:
        message = "All pixels are ignored: this example contributes nothing."
        problems.append(problem("nothing_labelled", message))
    return problems


def _size_message(example: Example) -> str:
    try:
        check_same_size(example.image_size, example.mask_size)
    except ValueError as error:
        return str(error)
    return ""


def problems_of_ids(
    split: str, findings: Findings, examples: Sequence[Example], num_classes: int
) -> Iterator[Problem]:
    """Ids and colours that are no class, with the cause that all masks tell.

    Args:
        split: Name of the split.
        findings: What was found in all examples.
        examples: Those with unknown ids or colours.
        num_classes: Number of classes.
    """
    hint = _hint(findings, num_classes)
    of_colors = findings.images_with_color
    cause = cause_of_unknown_colors(findings.looked_at, of_colors, all_seen=True)
    for example in examples:
        if example.unknown:
            pixels = sum(example.unknown.values())
            total = int(example.pixels.sum()) + example.ignored + pixels
            shown = shown_ids(example.unknown)
            yield Problem(
                "unknown_ids",
                split,
                example.name,
                f"Expected class ids 0..{num_classes - 1} or ignored ones. Received: "
                f"{shown} ({pixels / total:.2%} of its pixels). {hint.text}",
                arguments=hint.arguments,
            )
        if example.unknown_colors:
            most = sorted(
                example.unknown_colors, key=lambda c: -example.unknown_colors[c]
            )[:8]
            dots = ", ..." if len(example.unknown_colors) > len(most) else ""
            yield Problem(
                "unknown_colors",
                split,
                example.name,
                "Expected colours that are in `palette`. Received: "
                f"{', '.join(map(shown_color, most))}{dots}. {cause.text}",
                arguments=cause.arguments,
            )


def _hint(findings: Findings, num_classes: int) -> Hint:
    """The likely cause of the unknown ids of a split."""
    strays = sorted(findings.unknown)
    if not strays:
        return Hint("", {})
    if not findings.translated:
        return cause_of_unknown_ids(findings.ids, strays, num_classes)
    # Arguments are given already, and labels aren't the ids in the files.
    numbered = cause_of_large_numbers(strays, num_classes)
    return numbered or Hint(
        cause_of_many_values(strays, num_classes)
        or f"Add {shown_ids(strays)} to `ignore`, or to the ids of a class in `ids`.",
        {},
    )


def problems_of_split(
    split: str, findings: Findings, class_names: Sequence[str]
) -> list[Problem]:
    """What no single example tells."""
    labelled = int(findings.pixels.sum())
    complete = findings.looked_at == findings.examples
    only_first = labelled > 0 and findings.pixels[0] == labelled
    if not findings.sizes or findings.unknown or findings.unknown_colors:
        return []
    kind, message, arguments = "", "", Arguments()
    certain = complete
    if not labelled:
        kind, message = "nothing_labelled", "All pixels of all examples are ignored."
    elif only_first and findings.ignored:
        kind = "only_0_and_255"
        arguments = {"binary": True} if len(class_names) == 2 else {}
        remedy = spelled({"binary": True})
        message = (
            "Masks have 0 and 255 only, and 255 means ignored: nothing but "
            f"{class_names[0]} would be learned. If 255 is the second class: {remedy}."
        )
        in_most = findings.images_with_ignored > findings.looked_at / 2
        certain |= len(class_names) == 2 and findings.looked_at >= _ENOUGH and in_most
    elif only_first:
        kind = "one_class"
        message = (
            f"Every pixel is {class_names[0]}: nothing else would be learned. "
            "Likely causes: masks that were written empty, or annotations of other "
            "images."
        )
    if kind:
        if not complete:
            message = f"In the {findings.looked_at} examples looked at: {message}"
        return [Problem(kind, split, "", message, certain, arguments)]
    absent = [
        name
        for name, pixels in zip(class_names, findings.pixels, strict=True)
        if not pixels
    ]
    if absent and complete:
        message = f"Classes without a pixel: {', '.join(absent)}."
        return [Problem("absent_classes", split, "", message, serious=False)]
    return []


def problems_of_values(split: str, values: ImageValues) -> list[Problem]:
    """Images that use a small part of the range that they are said to have.

    Args:
        split: Name of the split.
        values: What was found in its images.
    """
    likely = values.likely_range
    if values.has_few_levels:
        message = (
            f"Images have values from {values.low.min():g} to {values.high.max():g} "
            "only: a model sees next to nothing. Likely cause: 12 or 16 bits that were "
            "cut to 8. Give the files that these were made of."
        )
        return [Problem("few_levels", split, "", message, serious=False)]
    if likely is None:
        return []
    remedy: Arguments = {"value_range": likely}
    low, high = values.low.min(), values.high.max()
    message = (
        f"Images have values from {low:.6g} to {high:.6g}, a small part of "
        f"{shown_range(values.value_range)}: to a model they are nearly of one colour."
    )
    if high - low >= USED * (likely[1] - likely[0]):
        message += f" If their range is {shown_range(likely)}: {spelled(remedy)}."
    else:
        remedy = {"value_range": "percentiles"}
        message += f" A measured range spreads them: {spelled(remedy)}."
    return [Problem("small_range", split, "", message, serious=False, arguments=remedy)]


def problems_of_sizes(split: str, findings: Findings) -> list[Problem]:
    """Images so large that an epoch would see little of them."""
    height, width = max(findings.sizes, key=math.prod, default=(0, 0))
    if height * width <= _LARGE:
        return []
    remedy: Arguments = {"tiles": _TILE}
    message = (
        f"Images have up to {height:,} x {width:,} pixels. An epoch reads one crop of "
        "each, and validation reads them whole. Tiles that are examples themselves, "
        f"read one by one: {spelled(remedy)}."
    )
    return [Problem("large_images", split, "", message, False, remedy)]


def problems_of_alpha(split: str, examples: int, opaque: bool) -> Problem:
    """Images that have an alpha channel, which a model would take as a fourth band.

    Args:
        split: Name of the split.
        examples: How many there are.
        opaque: Whether alpha is 255 in all of them.
    """
    remedy: Arguments = {"channels": 3}
    constant = "It is 255 everywhere. " if opaque else ""
    return Problem(
        "alpha_channel",
        split,
        "",
        f"{examples:,} images have an alpha channel, which is read as a channel like "
        f"the others. {constant}A model would take images with it only, no JPEGs and "
        f"no plain RGB. To leave it out: {spelled(remedy)}.",
        serious=False,
        arguments=remedy if opaque else {},
    )


def problems_of_names(class_names: Sequence[str]) -> list[Problem]:
    """Classes whose names say that they are none."""
    return [
        Problem(
            "void_class",
            "",
            "",
            f"Class {label} is called {name!r}, and would be learned like the others. "
            f"If its pixels should be ignored: {spelled({'ignore': label})}, and no "
            "name for it.",
            serious=False,
        )
        for label, name in enumerate(class_names)
        if name.lower() in _VOID_NAMES
    ]


def problems_of_duplicates(
    places: Mapping[bytes, Sequence[tuple[str, str]]],
) -> list[Problem]:
    """Images that are in two splits, or twice in one.

    Args:
        places: Split and name of each example, by fingerprint.
    """
    problems = []
    for same in places.values():
        if len(same) < 2:
            continue
        (split, name), *others = same
        elsewhere = [place for place in others if place[0] != split]
        if elsewhere:
            other_split, other = elsewhere[0]
            message = (
                f"The same image is {other} of {other_split}: a score on it says "
                "nothing about new images."
            )
            problems.append(Problem("in_two_splits", split, name, message))
        elif any(other != name for _, other in others):
            message = f"The same image is {others[0][1]} too."
            problems.append(Problem("duplicate", split, name, message, serious=False))
    return problems


def problems_of_shared_files(splits: Mapping[str, Source]) -> list[Problem]:
    """Files that are in two splits, found without reading them."""
    problems = []
    first: dict[str, tuple[str, int]] = {}
    for split, source in splits.items():
        if not len(source) or source.image_file(0) is None:
            continue
        for index, name in enumerate(map(str, source.names)):
            other, place = first.setdefault(name, (split, index))
            file = splits[other].image_file(place)
            if other != split and source.image_file(index) == file:
                message = (
                    f"It is in {other} too: a score on it says nothing about new "
                    "images."
                )
                problems.append(Problem("in_two_splits", split, name, message))
    return problems
