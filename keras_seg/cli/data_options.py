"""The data set that the options of a command name."""

import os
import re
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import tensorflow as tf

from keras_seg import data
from keras_seg.data import Source
from keras_seg.data.readers.files import read_lines
from keras_seg.data.readers.pairing import OrphansError

#: What stands for "train" or "val" in the paths of folders.
SPLIT = "{split}"
# Options of each data set: those it needs, and those that it may have.
_OPTIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "shapes": ((), ()),
    "voc": (("root",), ("sbd",)),
    "coco": (("root",), ("classes",)),
    "folder": (
        ("images", "masks"),
        ("names", "ignore", "ids", "colors", "channels"),
    ),
}


def data_source(
    options: Mapping[str, Any], split: str, *, stems: Sequence[str] | None = None
) -> Source:
    """Open the data set that options name.

    Args:
        options: Those of a command, by name.
        split: "train" or "val", for what `train_split` and `val_split` name; another
            name of a split, or of a list; of folders, "all".
        stems: Of folders, the examples to read; None for all of the split.

    Raises:
        ValueError: for options that are missing, or belong to another data set.
    """
    kind = options["data"]
    needed, possible = _OPTIONS[kind]
    for name in needed:
        if options.get(name) is None:
            raise ValueError(f"Expected {_flag(name)} with --data {kind}.")
    for other, (theirs, theirs_too) in _OPTIONS.items():
        for name in {*theirs, *theirs_too} - {*needed, *possible}:
            if options.get(name) is not None:
                raise ValueError(
                    f"Expected {_flag(name)} with --data {other} only. Received: "
                    f"--data {kind}"
                )
    chosen = options.get(f"{split}_split") or split
    if kind == "voc":
        return data.voc(options["root"], chosen, sbd=options.get("sbd"))
    if kind == "coco":
        return _coco(options, chosen)
    if kind == "folder":
        return _folder(options, split, stems)
    if chosen == "train":
        return data.shapes(1600, seed=0)
    if chosen == "val":
        return data.shapes(100, seed=1)
    raise ValueError(f"Expected split train or val of shapes. Received: {chosen!r}")


def _coco(options: Mapping[str, Any], split: str) -> Source:
    root = options["root"]
    year = f"{split}2017"
    if tf.io.gfile.isdir(f"{root}/{year}"):
        split = year
    classes = options["classes"] or "voc"
    return data.coco(
        f"{root}/{split}",
        f"{root}/annotations/instances_{split}.json",
        classes=classes if classes in ("voc", "coco") else _words(classes),
    )


def _folder(
    options: Mapping[str, Any], split: str, stems: Sequence[str] | None
) -> Source:
    names, ids, ignore = (options[name] for name in ("names", "ids", "ignore"))
    lists = {"train": options["train_split"], "val": options["val_split"]}
    if any(lists.values()) and not all(lists.values()):
        raise ValueError("Expected --train-split and --val-split, or neither of them.")
    paths = {name: options[name] for name in ("images", "masks")}
    apart = any(SPLIT in path for path in paths.values())
    folder_of_split = lists.get(split) or split
    wanted = None if apart or split == "all" else lists.get(split, split)
    try:
        source = data.folder(
            **{k: path.replace(SPLIT, folder_of_split) for k, path in paths.items()},
            class_names=None if names is None else _names(names),
            ignore=None if ignore is None else _flat(_ids(ignore)),
            ids=None if ids is None else _ids(ids),
            palette=options["colors"],
            split=stems or wanted,
            channels=options.get("channels"),
        )
    except OrphansError as error:
        # The pattern that it proposes is that of all splits.
        patterns = {
            name: os.path.join(
                re.sub(r"/[^/]*\*[^/]*$", "", paths[name]), os.path.basename(pattern)
            )
            for name, pattern in error.patterns.items()
        }
        raise OrphansError(error.images, error.masks, error.pairs, patterns) from None
    if apart or any(lists.values()) or split not in ("train", "val"):
        return source
    # A fifth is held out, the same one in every command of a run.
    train, val = source.split(0.8, seed=0)
    return {"train": train, "val": val}[split]


def _names(names: str) -> list[str]:
    """Names of classes: lines of a file, or words in a row."""
    if tf.io.gfile.exists(names) and not tf.io.gfile.isdir(names):
        return read_lines(names)
    words = _words(names)
    if len(words) == 1:
        raise ValueError(
            f"Expected --names to be a file, or two names or more: land,sea. Received: "
            f"{names}, which is no file here."
        )
    return words


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",")]


def _ids(text: str) -> list[int | tuple[int, ...]]:
    """Ids, an entry per class: 0,1-255 or 0,1+7,2."""
    try:
        entries = [
            [_range(word) for word in entry.split("+")] for entry in text.split(",")
        ]
    except ValueError:
        raise ValueError(
            "Expected ids in a row, 0,255; several ids of one class are 1-255 or "
            f"1+7. Received: {text}"
        ) from None
    return [
        parts[0][0] if len(parts) == len(parts[0]) == 1 else tuple(chain(*parts))
        for parts in entries
    ]


def _range(text: str) -> range:
    """The ids of a word: 7, or 1-255."""
    first, dash, last = text.partition("-")
    ids = range(int(first), int(last if dash else first) + 1)
    if not ids:
        raise ValueError("Expected the smaller id first.")
    return ids


def _flat(ids: Sequence[int | tuple[int, ...]]) -> list[int]:
    return [
        i for entry in ids for i in (entry if isinstance(entry, tuple) else [entry])
    ]
