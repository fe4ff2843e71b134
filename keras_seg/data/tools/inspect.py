"""Find problems in a data set before training on it."""

from collections import Counter, defaultdict
from collections.abc import Mapping

import numpy as np

from keras_seg.arguments import check_integer
from keras_seg.data.source import Source
from keras_seg.data.tools.inspect_facts import Example, Findings, read_examples
from keras_seg.data.tools.inspect_report import Report
from keras_seg.data.tools.inspect_rules import (
    Problem,
    problems_of_alpha,
    problems_of_duplicates,
    problems_of_example,
    problems_of_ids,
    problems_of_names,
    problems_of_shared_files,
    problems_of_sizes,
    problems_of_split,
    problems_of_values,
)


def inspect(
    source: Source | Mapping[str, Source],
    *,
    examples: int | None = None,
    verbose: bool = True,
) -> Report:
    """Look at every example of a data set, and report what is wrong with it.

    Found are files that can't be read, ids that are no class (ids of ignored pixels,
    of objects instead of classes, a palette saved as grey, colours, masks resized
    smoothly), masks of 0 and 255 for two classes, images and masks of different sizes,
    images of over 4,096 x 4,096 pixels, photos that viewers rotate, CMYK photos, alpha
    channels, images that use a small part of their range, examples without labels,
    classes that don't occur, and images that are in two splits.

    Args:
        source: A Source, or one for each split by its name: {"train": ..., "val": ...}.
        examples: How many to look at of each split, spread evenly; None for all.
        verbose: Whether to show progress bars.

    Returns:
        A report: `print(report)` is a page of text, `report.problems` a list,
        `report.serious` whether training would go wrong.

    Raises:
        ValueError: for splits with other classes than the first, or examples below 1.

    Example:
        >>> from keras_seg.data import arrays
        >>> image, mask = np.zeros((1, 4, 3), "uint8"), np.array([[0, 0, 9, 255]])
        >>> source = arrays([image], [mask], class_names=["ground", "cat"])
        >>> report = inspect(source, verbose=False)
        >>> report.serious, report.problems[0].kind, report.problems[0].example
        (True, 'unknown_ids', 'example 0')
    """
    if examples is not None:
        examples = check_integer("examples", examples, 1)
    splits = {"all": source} if isinstance(source, Source) else dict(source)
    class_names = next(iter(splits.values())).class_names
    problems: list[Problem] = []
    findings: dict[str, Findings] = {}
    places: dict[bytes, list[tuple[str, str]]] = defaultdict(list)
    for name, part in splits.items():
        if part.class_names != class_names:
            raise ValueError(
                f"Expected splits of the same classes. Received: {name} with "
                f"{part.class_names}, not {class_names}."
            )
        findings[name] = _look_at(name, part, examples, problems, places, verbose)
        if part.problem is None:
            problems += problems_of_split(name, findings[name], class_names)
        else:
            text, arguments = part.problem
            problem = Problem("not_trainable", name, "", text, arguments=arguments)
            problems.append(problem)
    problems += problems_of_duplicates(places)
    if examples is not None:
        problems += problems_of_shared_files(splits)
    problems += problems_of_names(class_names)
    problems.sort(key=lambda problem: not problem.serious)
    return Report(class_names, findings, problems)


def _look_at(
    split: str,
    source: Source,
    examples: int | None,
    problems: list[Problem],
    places: dict[bytes, list[tuple[str, str]]],
    verbose: bool,
) -> Findings:
    """Read the examples of one split; add to `problems` and `places`."""
    total = len(source)
    number = total if examples is None else min(examples, total)
    indices = np.unique(np.linspace(0, total - 1, number).astype(np.int64))
    findings = Findings(total, len(indices))
    findings.pixels, findings.images = np.zeros((2, source.num_classes), np.int64)
    shown: Counter[int] = Counter()
    with_unknown: list[Example] = []
    channels, with_alpha, opaque = 0, 0, True
    for example in read_examples(source, indices, split, verbose=verbose):
        problems += problems_of_example(split, example, channels)
        if example.error:
            continue
        findings.add(example)
        findings.show(example, shown)
        if example.unknown or example.unknown_colors:
            with_unknown.append(example)
        if example.fingerprint is not None:
            places[example.fingerprint].append((split, example.name))
        channels = example.channels
        if example.file.mode in ("RGBA", "LA") and channels == example.file.channels:
            with_alpha += 1
            opaque &= example.opaque
    findings.sample += findings.spare
    if findings.values.sample:
        findings.values.dtype = source.dtype
        findings.values.value_range = source.value_range
        findings.values.is_measured = source._outside == "keep"
    problems += problems_of_sizes(split, findings)
    problems += problems_of_values(split, findings.values)
    problems += problems_of_ids(split, findings, with_unknown, source.num_classes)
    if with_alpha:
        problems.append(problems_of_alpha(split, with_alpha, opaque))
    return findings
