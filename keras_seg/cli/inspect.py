"""What `keras-seg inspect` does."""

import argparse
import json
from collections.abc import Iterator
from typing import Any

import keras

from keras_seg import data
from keras_seg.cli.data_options import SPLIT, data_source
from keras_seg.data import Source
from keras_seg.data.readers.pairing import OrphansError
from keras_seg.data.tools.inspect import Problem, Report
from keras_seg.visualize import contact_sheet, visible

# Pictures on a contact sheet, at most.
_PICTURES = 40


def inspect(options: argparse.Namespace) -> int:
    """Tell what is wrong with a data set; see `keras-seg inspect --help`."""
    problems: list[Problem] = []
    sources = {}
    for split in _splits(options):
        try:
            sources[split] = _open(options, split, problems)
        except (ValueError, OSError) as error:
            problems.append(Problem(split, "", str(error)))
    if not sources:
        raise ValueError(problems[0].message)
    report = data.inspect(sources, verbose=not options.json)
    report.problems[:0] = problems

    if options.json:
        print(json.dumps(report.as_dict(), indent=2))
    else:
        print(f"\n{report}")
    pictures = list(_pictures(report, sources))
    if pictures:
        first = next(iter(sources.values()))
        sheet = contact_sheet(pictures, first.palette, first.class_names)
        keras.utils.save_img(options.sheet, sheet, scale=False)
        if not options.json:
            print(f"Pictures of examples of each class are in {options.sheet}")
    return 1 if report.serious else 0


def _splits(options: argparse.Namespace) -> tuple[str, ...]:
    """Splits to look at; folders without lists are one."""
    whole = options.data == "folder" and not (
        options.train_split
        or options.val_split
        or SPLIT in f"{options.images}{options.masks}"
    )
    return ("all",) if whole else ("train", "val")


def _open(options: argparse.Namespace, split: str, problems: list[Problem]) -> Source:
    """Open a split; of folders, the images that have a mask."""
    try:
        return data_source(vars(options), split)
    except OrphansError as error:
        if SPLIT in f"{options.images}{options.masks}":
            raise
        for names, lacks in ((error.images, "mask"), (error.masks, "image")):
            for name in names:
                message = f"It has no {lacks}: there is no file of this stem."
                problems.append(Problem(split, name, message))
        if not error.pairs:
            raise
        return data_source(vars(options), error.pairs)


def _pictures(
    report: Report, sources: dict[str, Source]
) -> Iterator[tuple[str, Any, Any]]:
    """(name, image, mask) of examples of the classes, as many as a page holds."""
    for split, found in report.splits.items():
        for index in found.sample[: _PICTURES // len(sources)]:
            image, mask = sources[split][index]
            yield f"{split}: {sources[split].names[index]}", visible(image), mask
