"""The data set that the options of a command name."""

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Literal

import msgspec
import tensorflow as tf

from keras_seg import data
from keras_seg.cli.dataset_options import PATHS
from keras_seg.cli.image_options import bands_of, nodata_of, range_of
from keras_seg.data import Source
from keras_seg.data.readers.files import listed, read_lines
from keras_seg.data.readers.pairing import OrphansError
from keras_seg.data.suggestions import MissingFilesError, SuggestionError
from keras_seg.data.tools.tiles import split_by_strips

#: What stands for "train" or "val" in the paths of folders.
SPLIT = "{split}"
# Options of each data set: those it needs, and those that it may have.
_OPTIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "shapes": ((), ()),
    "voc": (("root",), ("sbd",)),
    "coco": (
        (),
        (
            *("root", "images", "annotations", "classes"),
            *("crowd", "overlap", "boxes", "min_area"),
        ),
    ),
    "folder": (
        ("images", "masks"),
        (
            *("names", "ignore", "ids", "colors", "channels", "bands", "page"),
            *("value_range", "nodata", "binary", "instances", "border"),
        ),
    ),
}


class DataOptions(msgspec.Struct):
    """The options that name a data set, as run.json has them."""

    data: Literal["shapes", "voc", "coco", "folder"]
    root: str | None = None
    classes: str | None = None
    sbd: str | None = None
    images: str | None = None
    annotations: str | None = None
    crowd: str | None = None
    overlap: str | None = None
    boxes: str | None = None
    min_area: float | None = None
    masks: str | None = None
    names: str | None = None
    ignore: str | None = None
    ids: str | None = None
    colors: str | None = None
    channels: int | None = None
    value_range: str | None = None
    nodata: float | Literal["nan"] | None = None
    bands: str | None = None
    page: int | Literal["all"] | None = None
    binary: bool | None = None
    instances: str | None = None
    border: int | None = None
    tiles: int | None = None
    tile_overlap: float | None = None
    train_split: str | None = None
    val_split: str | None = None


def with_absolute_paths(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a command as run.json has them, for commands given elsewhere."""
    given = {name: value for name, value in options.items() if name != "out"}
    files = list(PATHS)
    if given["data"] == "folder":
        if SPLIT not in f"{given['images']}{given['masks']}":
            files += ["train_split", "val_split"]
        if given["names"] is not None and os.path.isfile(given["names"]):
            files.append("names")
    for name in files:
        if given[name] is not None and "://" not in given[name]:
            given[name] = os.path.abspath(given[name])
    return given


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
    size, overlap = options.get("tiles"), options.get("tile_overlap")
    if size is None and overlap is not None:
        raise ValueError("Expected --tiles with --tile-overlap.")
    source = _whole_examples(options, split, stems)
    if size is None:
        return source
    # Pixels that are in two tiles would be scored twice.
    return data.tiles(source, size, (overlap or 0.0) if split == "train" else 0.0)


def _whole_examples(
    options: Mapping[str, Any], split: str, stems: Sequence[str] | None
) -> Source:
    """The data set that options name, before its images are cut into tiles."""
    kind = options["data"]
    needed, possible = _OPTIONS[kind]
    for name in needed:
        if options.get(name) is None:
            raise ValueError(f"Expected {_flag(name)} with --data {kind}.")
    for theirs, theirs_too in _OPTIONS.values():
        for name in {*theirs, *theirs_too} - {*needed, *possible}:
            if options.get(name) is not None:
                owners = [
                    k for k, both in _OPTIONS.items() if name in (*both[0], *both[1])
                ]
                given = f"--data {kind}"
                if kind == "shapes":
                    given += ", which is the default"
                likely = "folder" if "folder" in owners else owners[0]
                raise SuggestionError(
                    f"Expected {_flag(name)} with --data {' or '.join(owners)} only. "
                    f"Received: {given}",
                    {"data": likely},
                )
    chosen = options.get(f"{split}_split") or split
    if kind == "voc":
        return data.voc(options["root"], chosen, sbd=options.get("sbd"))
    if kind == "coco":
        return _coco(options, split, chosen)
    if kind == "folder":
        return _folder(options, split, stems)
    if chosen == "train":
        return data.shapes(1600, size=(64, 64), seed=0)
    if chosen == "val":
        return data.shapes(100, size=(64, 64), seed=1)
    raise ValueError(f"Expected split train or val of shapes. Received: {chosen!r}")


def _coco(options: Mapping[str, Any], split: str, name: str) -> Source:
    """Open COCO's own layout, or the folder and the file that a tool exported.

    Args:
        options: Those of the command.
        split: What is asked for: "train", "val", ...
        name: What the split is called in the paths.
    """
    images: Any = options.get("images")
    annotations: Any = options.get("annotations")
    root, classes = options["root"], options["classes"]
    if (root is None) == (images is None) or (images is None) != (annotations is None):
        raise ValueError(
            "Expected --root, a folder in COCO's own layout, or both --images and "
            "--annotations, with --data coco."
        )
    apart = SPLIT in f"{root}{images}{annotations}" or root is not None
    if root is not None:
        year = f"{name}2017" if tf.io.gfile.isdir(f"{root}/{name}2017") else name
        images, annotations = (
            f"{root}/{year}",
            f"{root}/annotations/instances_{year}.json",
        )
        _check_layout(root, annotations)
    elif apart:
        _check_split(annotations, split, name)
        images, annotations = (p.replace(SPLIT, name) for p in (images, annotations))
    elif options.get("train_split") or options.get("val_split"):
        raise ValueError(
            "Expected {split} in --annotations, for --train-split and --val-split to "
            f"stand in its place. Received: {annotations}"
        )
    if classes is None:
        classes = "coco" if root is None else "voc"
    chosen = ("crowd", "overlap", "boxes", "min_area")
    source = data.coco(
        images,
        annotations,
        classes=classes if classes in ("voc", "coco") else _words(classes),
        **{key: options[key] for key in chosen if options.get(key) is not None},
    )
    if apart or split == "all":
        return source
    return _held_out(source, split, strips=options.get("tiles") is not None)


def _check_split(pattern: str, split: str, name: str) -> None:
    """Raise if there is no file for a split, telling which splits there are."""
    if tf.io.gfile.exists(pattern.replace(SPLIT, name)):
        return
    before, _, after = pattern.partition(SPLIT)
    after = after.replace(SPLIT, "*")
    there = sorted(tf.io.gfile.glob(f"{before}*{after}"))
    names = [p[len(before) :].split("/")[0].removesuffix(after) for p in there]
    arguments = {}
    if not names:
        hint = "There is no file for any other {split} either"
    elif split in ("train", "val"):  # the nearest name: valid, or training
        best = max(names, key=lambda n: difflib.SequenceMatcher(None, split, n).ratio())
        arguments = {f"{split}_split": best}
        hint = f"There are {', '.join(names)}: say which, --{split}-split {best}"
    else:
        hint = f"There are {', '.join(names)}"
    raise MissingFilesError(
        f"Expected {pattern.replace(SPLIT, name)}. There is no file. {hint}.", arguments
    )


def _check_layout(root: str, annotations: str) -> None:
    """Raise if a folder hasn't COCO's own layout, telling how to name others."""
    if tf.io.gfile.exists(annotations):
        return
    found: list[str] = []
    for pattern in ("*.json", "*/*.json"):
        found += sorted(tf.io.gfile.glob(f"{root.rstrip('/')}/{pattern}"))
    raise FileNotFoundError(
        f"Expected COCO's own layout, with {annotations}. There is no such file. For "
        "the export of a labelling tool give --images and --annotations in place of "
        f"--root. JSON files in {root}: {listed(found) or 'none'}."
    )


def _held_out(source: Source, split: str, *, strips: bool) -> Source:
    """Four fifths for "train", a fifth for "val", the same in every command.

    With `strips` one or two examples are divided themselves.
    """
    by_strips = strips and len(source) in (1, 2)
    train, val = split_by_strips(source) if by_strips else source.split(0.8, seed=0)
    try:
        return {"train": train, "val": val}[split]
    except KeyError:
        raise ValueError(
            f"Expected split train, val or all. Received: {split!r}"
        ) from None


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
            ignore=None if ignore is None else _ignored(ignore),
            ids=None if ids is None else _ids(ids),
            palette=options["colors"],
            split=stems or wanted,
            channels=options.get("channels"),
            nodata=nodata_of(options),
            **range_of(options),
            bands=bands_of(options),
            page=options.get("page"),
            binary=bool(options.get("binary")),
            instances=options.get("instances"),
            border=options.get("border"),
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
    return _held_out(source, split, strips=options.get("tiles") is not None)


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


def _ignored(text: str) -> list[int | str]:
    """Ids and colours in a row: 0,255,#804000."""
    words = _words(text)
    ids = ",".join(word for word in words if not word.startswith("#"))
    flat: list[int | str] = [word for word in words if word.startswith("#")]
    for entry in _ids(ids) if ids else []:
        flat += entry if isinstance(entry, tuple) else [entry]
    return flat
