"""The data set that the options of a command name."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from keras_seg import data
from keras_seg.data import Source
from keras_seg.data.readers.files import read_lines

#: What stands for "train" or "val" in the paths of folders.
SPLIT = "{split}"
# Options of each data set: those it needs, and those that it may have.
_OPTIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "shapes": ((), ()),
    "voc": (("root",), ("sbd",)),
    "coco": (("root",), ("classes",)),
    "folder": (("images", "masks"), ("names", "ignore", "ids", "colors")),
}


def data_source(options: Mapping[str, Any], split: Any) -> Source:
    """Open the data set that options name.

    Args:
        options: Those of a command, by name.
        split: "train" or "val", for what `train_split` and `val_split` name; another
            name of a split, or of a list; of folders, "all", or stems.

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
        return _folder(options, split)
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


def _folder(options: Mapping[str, Any], split: Any) -> Source:
    colors, names = options["colors"], options["names"]
    lists = {"train": options["train_split"], "val": options["val_split"]}
    if any(lists.values()) and not all(lists.values()):
        raise ValueError("Expected --train-split and --val-split, or neither of them.")
    ids = None if options["ids"] is None else _numbers(options["ids"])
    # 255 is a class of masks of 0 and 255, and else the usual word for no label.
    ignore = () if ids and 255 in ids else (255,)
    images, masks = options["images"], options["masks"]
    apart = SPLIT in images or SPLIT in masks
    if apart:
        name = lists.get(split) or split
        lists = {}
        images, masks = (path.replace(SPLIT, name) for path in (images, masks))
    source = data.folder(
        images,
        masks,
        class_names=None if names is None else _names(names),
        ignore=_numbers(options["ignore"]) if options["ignore"] else ignore,
        ids=ids,
        palette=None if colors is None else _read_colors(colors),
        split=None if apart or split == "all" else lists.get(str(split), split),
    )
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


def _read_colors(path: str) -> np.ndarray:
    """Rows of (red, green, blue); what follows in a line, a name say, is left out."""
    lines = [line.replace(",", " ").split()[:3] for line in read_lines(path)]
    try:
        return np.array([[int(word) for word in line] for line in lines])
    except ValueError:
        raise ValueError(
            f"{path}: Expected 'R G B' in each line, the colour of an id."
        ) from None


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",")]


def _numbers(text: str) -> list[int]:
    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise ValueError(
            f"Expected numbers in a row, 0,255. Received: {text}"
        ) from None
