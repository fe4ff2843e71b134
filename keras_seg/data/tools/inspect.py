"""What is wrong with a data set, told before a night of training.

Everything is read once, in parallel, by the same code that training reads with. What
fails there is read again alone, for the reason.
"""

import contextlib
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from keras_seg.data.checks import check_same_size, reason
from keras_seg.data.decode.image import DEPTH
from keras_seg.data.source import Source
from keras_seg.labels import IGNORE
from keras_seg.terminal import progress

#: Images of each class that a contact sheet may show.
_SHOWN = 2
_EXIF_ORIENTATION = 274


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with a data set."""

    #: Name of the split, and of the example, or "" if it is about all of them.
    split: str
    example: str
    #: A sentence or two: what is wrong, and the likely cause.
    message: str
    #: Whether training would fail or learn something wrong.
    serious: bool = True


@dataclass
class Findings:
    """What is in one split."""

    examples: int
    #: How many of them were looked at.
    looked_at: int = 0
    #: How many images there are of each (height, width).
    sizes: Counter = field(default_factory=Counter)
    #: Pixels of each class, and images where it occurs.
    pixels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    images: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    #: Pixels without a label.
    ignored: int = 0
    #: Numbers of examples for a contact sheet: every class is in one of them.
    sample: list[int] = field(default_factory=list)


@dataclass
class Report:
    """What `inspect` found. `str(report)` is a page of text."""

    class_names: tuple[str, ...]
    splits: dict[str, Findings]
    problems: list[Problem]

    @property
    def serious(self) -> bool:
        """Whether training would fail or learn something wrong."""
        return any(problem.serious for problem in self.problems)

    def as_dict(self) -> dict[str, Any]:
        """Everything as numbers, strings, lists and dictionaries, for JSON."""
        return {
            "serious": self.serious,
            "problems": [vars(problem) for problem in self.problems],
            "splits": {
                name: {
                    "examples": found.examples,
                    "looked_at": found.looked_at,
                    "sizes": [
                        {"height": h, "width": w, "images": n}
                        for (h, w), n in found.sizes.most_common()
                    ],
                    "classes": {
                        label: {"pixels": int(pixels), "images": int(images)}
                        for label, pixels, images in zip(
                            self.class_names, found.pixels, found.images, strict=True
                        )
                    },
                    "ignored_pixels": found.ignored,
                }
                for name, found in self.splits.items()
            },
        }

    def __str__(self) -> str:
        return "\n".join(
            [
                *_what_there_is(self),
                "",
                *_classes(self),
                "",
                *_what_is_wrong(self.problems),
            ]
        )


def inspect(
    source: Source | Mapping[str, Source],
    *,
    examples: int | None = None,
    verbose: bool = True,
) -> Report:
    """Look at every example of a data set, and tell what is wrong with it.

    Found are files that can't be read, ids that are no class (a palette saved as grey,
    colours, masks resized smoothly), masks of 0 and 255 for two classes, images and
    masks of different sizes, photos that viewers show turned, CMYK photos, examples
    without labels, classes that don't occur, and images that are in two splits.

    Args:
        source: A Source, or one for each split by its name: {"train": ..., "val": ...}.
        examples: How many to look at of each split, spread evenly; None for all.
        verbose: Whether to show progress bars.

    Returns:
        A report: `print(report)` is a page of text, `report.problems` a list,
        `report.serious` whether training would go wrong.

    Raises:
        ValueError: for splits with other classes than the first.

    Example:
        >>> from keras_seg.data import arrays
        >>> image, mask = np.zeros((1, 4, 3), "uint8"), np.array([[0, 0, 9, 255]])
        >>> source = arrays([image], [mask], class_names=["ground", "cat"])
        >>> report = inspect(source, verbose=False)
        >>> report.serious, report.problems[0].example
        (True, 'example 0')
    """
    splits = {"all": source} if isinstance(source, Source) else dict(source)
    class_names = next(iter(splits.values())).class_names
    problems: list[Problem] = []
    findings = {}
    prints: dict[bytes, list[tuple[str, str]]] = defaultdict(list)
    for name, part in splits.items():
        if part.class_names != class_names:
            raise ValueError(
                f"Expected splits of the same classes. Received: {name} with "
                f"{part.class_names}, not {class_names}."
            )
        findings[name] = _look_at_all(name, part, examples, problems, prints, verbose)
    problems += _twins(prints)
    if examples is not None:
        problems += _shared_files(splits)
    problems += _of_all_together(class_names, findings)
    problems.sort(key=lambda problem: not problem.serious)
    return Report(class_names, findings, problems)


def _look_at_all(
    split: str,
    source: Source,
    examples: int | None,
    problems: list[Problem],
    prints: dict[bytes, list[tuple[str, str]]],
    verbose: bool,
) -> Findings:
    """Look at the examples of one split; what is wrong is added to `problems`."""
    total, n = len(source), source.num_classes
    number = total if examples is None else min(examples, total)
    chosen = np.unique(np.linspace(0, total - 1, number).astype(np.int64))
    found = Findings(total, len(chosen))
    found.pixels, found.images = np.zeros((2, n), np.int64)
    shown: Counter = Counter()
    more: list[int] = []

    def facts(index: tf.Tensor) -> tuple:
        image, mask = source._pixels(index), source._ids(index)
        print_ = tf.strings.to_hash_bucket_strong(
            tf.io.serialize_tensor(image), 2**62, [1, 2]
        )
        counts = tf.math.bincount(
            tf.reshape(tf.cast(mask, tf.int32), (-1,)),
            minlength=IGNORE + 1,
            maxlength=IGNORE + 1,
        )
        # Tiles of one colour are alike, and nothing is wrong with that.
        blank = tf.reduce_min(image) == tf.reduce_max(image)
        return index, tf.shape(image)[:2], tf.shape(mask), counts, print_, blank

    data = tf.data.Dataset.from_tensor_slices(chosen)
    data = data.map(facts, tf.data.AUTOTUNE).ignore_errors().prefetch(tf.data.AUTOTUNE)
    bar = progress(len(chosen), "image", verbose=verbose)
    healthy = set()
    for looked in data.as_numpy_iterator():
        index, image_size, mask_size, counts, print_, blank = looked
        index = int(index)
        healthy.add(index)
        name = str(source.names[index])
        found.sizes[tuple(map(int, image_size))] += 1
        present = np.flatnonzero(counts[:n])
        found.pixels += counts[:n]
        found.images[present] += 1
        found.ignored += int(counts[IGNORE])
        mismatch = ""
        if tuple(image_size) != tuple(mask_size):
            try:
                check_same_size(image_size, mask_size)
            except ValueError as error:
                mismatch = str(error)
        elif any(shown[c] < _SHOWN for c in present):
            new = any(not shown[c] for c in present)
            (found.sample if new else more).append(index)
            shown.update(present.tolist())
        if not present.size:
            message = "No pixel has a label: it teaches nothing."
            problems.append(Problem(split, name, message, serious=False))
        if not blank:
            prints[print_.tobytes()].append((split, name))
        problems += _of_file(split, name, source.image_file(index), mismatch)
        bar.add(1)

    found.sample += more
    for index in map(int, chosen):
        if index in healthy:
            continue
        name = str(source.names[index])
        problems.append(Problem(split, name, _why(source, index)))
        bar.add(1)
    return found


def _why(source: Source, index: int) -> str:
    """Why an example can't be read: the errors of image and mask."""
    step = tf.constant(index, tf.int64)
    said = []
    for read in (source._pixels, source._ids):
        try:
            read(step)
        except Exception as error:  # whatever it is, the others are looked at too
            said.append(reason(error))
    return " ".join(said) or "It couldn't be read, but can be read now."


def _of_file(split: str, name: str, path: str | None, mismatch: str) -> list[Problem]:
    """What the head of an image's file tells that its pixels don't."""
    mode, deep, turned, same_size = "", False, False, False
    if path is not None:
        # What TensorFlow could read is well, even where Pillow fails, in whatever way.
        with contextlib.suppress(Exception), tf.io.gfile.GFile(path, "rb") as file:
            head = file.read(DEPTH + 1)
            file.seek(0)
            with Image.open(file) as image:
                mode = image.mode
                deep = image.format == "PNG" and head[DEPTH] > 8
                orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
                turned = orientation != 1
                # Mirrored or upside down it has the same size, and so has a square.
                same_size = orientation in (2, 3, 4) or image.width == image.height
    problems = []
    if mismatch:
        if turned:
            mismatch += (
                " This photo does: viewers show it turned, and its mask was drawn so."
            )
        problems.append(Problem(split, name, mismatch))
    elif turned and same_size:
        problems.append(
            Problem(
                split,
                name,
                "Viewers show this photo turned, as its EXIF data says, but it is read "
                "as it is stored. Was its mask drawn on the turned one? To be sure, "
                "store it turned.",
                serious=False,
            )
        )
    if mode == "CMYK":
        message = (
            "A CMYK photo, made for print: programs make different RGB of it. Convert "
            "it to RGB."
        )
        problems.append(Problem(split, name, message, serious=False))
    if deep:
        message = (
            "An image of 16 bits, of which the upper 8 are read. If it uses few of the "
            "levels (12 bits of a scanner, say), stretch them to all first."
        )
        problems.append(Problem(split, name, message, serious=False))
    return problems


def _twins(prints: Mapping[bytes, list[tuple[str, str]]]) -> list[Problem]:
    """Images that are in two splits, or twice in one."""
    problems = []
    for places in prints.values():
        if len(places) < 2:
            continue
        (split, name), *others = places
        elsewhere = [place for place in others if place[0] != split]
        if elsewhere:
            message = (
                f"The same image is {elsewhere[0][1]} of {elsewhere[0][0]}: a score on "
                "it says nothing about new images."
            )
            problems.append(Problem(split, name, message))
        elif any(other != name for _, other in others):
            message = f"The same image is {others[0][1]} too."
            problems.append(Problem(split, name, message, serious=False))
    return problems


def _shared_files(splits: Mapping[str, Source]) -> list[Problem]:
    """Files that are in two splits, found without reading them."""
    problems = []
    seen: dict[str, tuple[str, int]] = {}
    for split, source in splits.items():
        if source.image_file(0) is None:
            continue
        for index, name in enumerate(source.names):
            other, there = seen.setdefault(str(name), (split, index))
            if other != split and source.image_file(index) == splits[other].image_file(
                there
            ):
                message = f"It is in {other} too: a score on it says nothing."
                problems.append(Problem(split, str(name), message))
    return problems


def _of_all_together(
    class_names: tuple[str, ...], findings: Mapping[str, Findings]
) -> list[Problem]:
    """What no single example tells."""
    problems = []
    for split, found in findings.items():
        labelled = found.pixels.sum()
        only_first = found.pixels[0] == labelled
        complete = found.looked_at == found.examples
        message = ""
        if not labelled and found.sizes:
            message = "No pixel of any example has a label."
        elif only_first and labelled and found.ignored:
            message = (
                "Masks have 0 and 255 only, and 255 means no label: nothing but "
                f"{class_names[0]} would be learned. If 255 is a class, say so: "
                "folder(..., ids=[0, 255], ignore=())."
            )
        elif only_first and labelled:
            message = (
                f"Every pixel is {class_names[0]}: nothing else would be learned. "
                "Likely causes: masks that were written empty, or annotations of other "
                "images."
            )
        if message:
            if not complete:
                message = f"In the {found.looked_at} examples looked at: {message}"
            problems.append(Problem(split, "", message, serious=complete))
        absent = [
            name for name, p in zip(class_names, found.pixels, strict=True) if not p
        ]
        if absent and labelled and not only_first and complete:
            message = f"Classes without a pixel: {', '.join(absent)}."
            problems.append(Problem(split, "", message, serious=False))
    return problems


def _what_there_is(report: Report) -> list[str]:
    lines = []
    for name, found in report.splits.items():
        of = "" if found.looked_at == found.examples else f" of {found.examples:,}"
        lines.append(f"{name}: {found.looked_at:,}{of} examples")
        if found.sizes:
            heights, widths = zip(*found.sizes, strict=True)
            (height, width), count = found.sizes.most_common(1)[0]
            total = int(found.pixels.sum()) + found.ignored
            lines.append(
                f"  height {min(heights)} to {max(heights)}, width {min(widths)} to "
                f"{max(widths)}; {count:,} are {height} x {width}"
            )
            lines.append(f"  {found.ignored / max(total, 1):.1%} of pixels: no label")
    return lines


def _classes(report: Report) -> list[str]:
    """A table of the classes: share of the labelled pixels, and images."""
    width = max(5, *map(len, report.class_names))
    head = "".join(f"{name[:15]:>16}" for name in report.splits)
    lines = [f"{'class':{width}}{head}   (share of pixels, images)"]
    for c, name in enumerate(report.class_names):
        cells = ""
        for found in report.splits.values():
            share = found.pixels[c] / max(int(found.pixels.sum()), 1)
            cells += f"{share:>8.2%}{found.images[c]:>8,}"
        lines.append(f"{name:{width}}{cells}")
    return lines


def _what_is_wrong(problems: list[Problem], most: int = 12) -> list[str]:
    """Problems, those that are alike together: a page, not a list of thousands."""
    if not problems:
        return ["Nothing is wrong."]
    alike: dict[tuple[bool, str, str], list[Problem]] = defaultdict(list)
    for problem in problems:
        # What differs between files is in the names and numbers.
        kind = "".join(c for c in problem.message.split(": ", 1)[-1] if c.isalpha())
        alike[problem.serious, problem.split, kind].append(problem)
    lines = []
    for (serious, split, _), group in list(alike.items())[:most]:
        first = group[0]
        word = "WRONG" if serious else "note"
        number = f"{len(group):,} examples, first " if len(group) > 1 else ""
        where = f"{split}: " + (f"{number}{first.example}: " if first.example else "")
        lines.append(f"{word}  {where}{first.message}")
    if len(alike) > most:
        lines.append(f"... and {len(alike) - most} more kinds; --json has all.")
    serious_ones = sum(problem.serious for problem in problems)
    lines.append("")
    lines.append(
        f"{serious_ones:,} problems would make training fail or learn something wrong."
        if serious_ones
        else "Nothing that would make training go wrong."
    )
    return lines
