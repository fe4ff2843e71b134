"""What `keras-seg inspect` does."""

import argparse
import os
import sys
from collections.abc import Iterator
from typing import Any

import keras

from keras_seg import data
from keras_seg.cli.data_options import SPLIT, data_source
from keras_seg.cli.image_options import with_measured_range
from keras_seg.cli.messages import translated, with_arguments
from keras_seg.cli.output import Output
from keras_seg.data import Source
from keras_seg.data.readers.pairing import OrphansError
from keras_seg.data.tools.inspect_report import Report
from keras_seg.data.tools.inspect_rules import Problem
from keras_seg.visualize import contact_sheet

# Pictures on a contact sheet, at most.
_PICTURES = 40


def inspect(options: argparse.Namespace) -> int:
    """Report what is wrong with a data set; see `keras-seg inspect --help`."""
    problems: list[Problem] = []
    sources: dict[str, Source] = {}
    errors: list[Exception] = []
    for split in _splits(options):
        try:
            sources[split] = _open(options, split, problems)
        except (ValueError, OSError) as error:
            errors.append(error)
            arguments = getattr(error, "arguments", {})
            problems.append(
                Problem("not_opened", split, "", str(error), arguments=arguments)
            )
    if not sources:
        raise errors[0]
    output = Output(json=options.json)
    ranged = with_measured_range(vars(options), [*sources.values()])
    sources = dict(zip(sources, ranged, strict=True))
    report = data.inspect(sources, verbose=output.is_talking)
    report.problems[:0] = problems

    names = vars(options)
    content = report.as_dict()
    for problem in content["problems"]:
        problem["message"] = translated(problem["message"], names)
    text = f"\n{translated(str(report), names)}\n{_next_command(report, options)}"
    output.done(content, text)
    if options.sheet is not None:
        _write_sheet(options, report, sources)
    return 1 if report.serious else 0


def _splits(options: argparse.Namespace) -> tuple[str, ...]:
    """Splits to look at; what {split} and lists don't part is one."""
    whole = options.images is not None and not (
        options.train_split
        or options.val_split
        or SPLIT in f"{options.images}{options.masks}{options.annotations}"
    )
    return ("all",) if whole else ("train", "val")


def _open(options: argparse.Namespace, split: str, problems: list[Problem]) -> Source:
    """Open a split; of folders, the images that have a mask."""
    try:
        return data_source(vars(options), split)
    except OrphansError as error:
        if not error.pairs:
            raise
        for names, lacks in ((error.images, "mask"), (error.masks, "image")):
            for name in names:
                message = (
                    f"It has no {lacks}: there is no file of this stem. Add it, remove "
                    "this one, or give lists of stems, --train-split and --val-split."
                )
                problems.append(
                    Problem(
                        f"no_{lacks}", split, name, message, arguments=error.arguments
                    )
                )
        return data_source(vars(options), split, stems=error.pairs)


def _next_command(report: Report, options: argparse.Namespace) -> str:
    """What to type next: the remedy of the first problem that has one, or train."""
    words = []
    for name, value in vars(options).items():
        if value is not None and name not in ("json", "sheet"):
            words.append(f"--{name.replace('_', '-')}")
            words += [] if value is True else [str(value)]
    if not report.serious:
        changes = _folders_of_splits(options)
        for problem in report.problems:
            changes |= problem.arguments
        return f"To train: {with_arguments(['train', *words], changes)}"
    for problem in report.problems:
        if problem.serious and problem.arguments:
            return f"Try: {with_arguments(['inspect', *words], problem.arguments)}"
    return ""


def _folders_of_splits(options: argparse.Namespace) -> dict[str, Any]:
    """Paths for train and val, where these are folders beside each other."""
    if options.data != "folder" or options.train_split:
        return {}
    paths = {
        name: SPLIT.join(getattr(options, name).rsplit("train", 1))
        for name in ("images", "masks")
    }
    folders = [
        path.replace(SPLIT, "val").rpartition("/*")[0] or path.replace(SPLIT, "val")
        for path in paths.values()
        if SPLIT in path
    ]
    return paths if len(folders) == 2 and all(map(os.path.isdir, folders)) else {}


def _write_sheet(
    options: argparse.Namespace, report: Report, sources: dict[str, Source]
) -> None:
    """Write the contact sheet; if that fails, it is not the data set's fault."""
    path = options.sheet
    try:
        pictures = list(_pictures(report, sources))
        if not pictures:
            raise ValueError("no example can be shown")
        first = next(iter(sources.values()))
        sheet = contact_sheet(pictures, first.palette, first.class_names)
        keras.utils.save_img(path, sheet, scale=False)
    except Exception as error:
        print(f"Note: {path} wasn't written: {error}.", file=sys.stderr)
    else:
        out = sys.stderr if options.json else sys.stdout
        print(f"Examples of each class are in {path}", file=out)


def _pictures(
    report: Report, sources: dict[str, Source]
) -> Iterator[tuple[str, Any, Any]]:
    """(name, image, mask) of examples of the classes, as many as a page holds."""
    for split, found in report.splits.items():
        for index in found.sample[: _PICTURES // len(sources)]:
            image, mask = sources[split][index]
            yield f"{split}: {sources[split].names[index]}", image, mask
