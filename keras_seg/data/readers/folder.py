"""Your own data: a folder of images, a folder of masks, paired by stem.

Masks are PNGs of class ids (palette or grey, 1 to 16 bits deep) or of colours. Images
are JPEGs or PNGs, of 8 or 16 bits and 1 to 4 channels.
"""

import json
import os
import re
import sys
from collections.abc import Container, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_seg.data.checks import naming, require
from keras_seg.data.decode.image import count_channels, read_image
from keras_seg.data.decode.png import read_label_or_color_png, read_label_png
from keras_seg.data.readers.files import Paths, listed, read_lines, walk
from keras_seg.data.source import Source
from keras_seg.labels import IGNORE

_IMAGES, _MASKS = (".jpg", ".jpeg", ".png"), (".png",)
# Pictures that aren't read: to pass over them would hide images.
_NO_IMAGES = (".tif", ".tiff", ".bmp", ".gif", ".webp", ".jp2", ".heic")
_NO_MASKS = (*_NO_IMAGES, ".jpg", ".jpeg")
_LARGEST_ID = 2**16 - 1

#: What describes a set that `data.prepare` wrote, and one that isn't finished.
DATASET, UNFINISHED = "dataset.json", ".unfinished.json"


def folder(
    images: str | os.PathLike,
    masks: str | os.PathLike,
    *,
    class_names: Sequence[str] | None = None,
    ignore: int | Sequence[int] = IGNORE,
    palette: Any = None,
    split: str | os.PathLike | Sequence[str] | None = None,
    ids: Sequence[int] | None = None,
    channels: int | None = None,
) -> Source:
    """Read images and masks that lie in two folders, or in one under two names.

    A folder is read with the folders in it, and an image goes with the mask of the
    same stem: `images/a/1.jpg` with `masks/a/1.png`. Where names differ, `*` stands for
    the stem: `folder("scans/*.jpg", "scans/*_mask.png", ...)`.

    Args:
        images: Folder of images, or with a `*` in the name of its files.
        masks: Folder of masks, likewise.
        class_names: A name per class. None for a set that `data.prepare` wrote, whose
            `dataset.json` beside the folder of masks has them.
        ignore: Id, or several, of pixels without a label in the files. They become
            255.
        palette: Colours of the ids, if masks are RGB or in a palette that says the
            same: row i is the colour of id i, also of ignored ones. Grey masks are ids
            all the same. It also gives the classes the colours of pictures.
        split: Text file of the stems to read, one a line, in this order, or a list of
            them; repeats are allowed, and in a file a suffix may follow a stem. None
            for all, in order of stems.
        ids: The id in the files of each class; None means 0, 1, 2, ...
        channels: Of the images, 1 to 4; None for those of the first one. With 3, grey
            images are made RGB and a fourth channel is left out; with others, an image
            of another number is an error.

    Returns:
        A Source; what its examples are called are the stems.

    Raises:
        FileNotFoundError: for a folder that isn't there.
        ValueError: naming every image without a mask and mask without an image; for two
            files of one stem, pictures of a kind that isn't read, stems that aren't
            there, or arguments that don't fit each other.

    Example:
        source = keras_seg.data.folder("photos", "masks", class_names=["land", "sea"])
        train, val = source.split(0.8, seed=0)
    """
    image_files = _Files(images, _IMAGES, _NO_IMAGES)
    mask_files = _Files(masks, _MASKS, _NO_MASKS)
    if image_files.root == mask_files.root:
        fewer, more = sorted((image_files, mask_files), key=lambda f: len(f.pattern))
        fewer.leave_out(more)
    stems = _stems(image_files, mask_files, split)
    as_tensor = tf.constant(stems)
    image_paths = image_files.paths(stems, as_tensor)
    mask_paths = mask_files.paths(stems, as_tensor)
    prepared = _prepared(mask_files.root)
    described: dict[str, Any] = {}
    if class_names is None:
        if prepared is None:
            raise ValueError(
                "Expected `class_names`, or masks of a set that `data.prepare` wrote, "
                f"with {DATASET} beside their folder. Received: neither."
            )
        described, class_names = prepared, list(prepared["class_names"])
    num_classes = len(class_names)
    channels = channels or described.get("channels")
    if channels is None:
        channels = count_channels(image_paths[0].numpy().decode())
    to_ids = _ids_of_colors(palette)
    to_labels, names_of = _labels_of_ids(num_classes, ids, ignore)

    def image(index: Any, window: Any = None, mask_size: Any = None) -> tf.Tensor:
        return read_image(
            image_paths[index], channels=channels, window=window, mask_size=mask_size
        )

    def mask(index: Any) -> tf.Tensor:
        path = mask_paths[index]
        if to_ids is not None:
            found = read_label_or_color_png(path, to_ids)
        else:
            found = read_label_png(path, tf.uint8 if to_labels is None else tf.int32)
        if to_labels is None:
            return found
        with naming(path):
            labels = tf.gather(to_labels, found)
            require(
                tf.reduce_all(labels >= 0),
                lambda: _unknown_ids(found, labels, names_of),
            )
        return labels

    return Source(
        len(stems),
        image,
        mask,
        class_names=class_names,
        names=stems,
        palette=described.get(
            "palette", _palette_of_classes(palette, num_classes, ids)
        ),
        image_path=image_paths.__getitem__,
        mask_path=mask_paths.__getitem__,
        origin=f"folder({images!r}, {masks!r})",
    )


def _prepared(masks: str) -> dict[str, Any] | None:
    """What `data.prepare` wrote of the set whose masks are here; None if it didn't."""
    root = os.path.dirname(masks) or "."
    path = f"{root}/{DATASET}"
    if tf.io.gfile.exists(path):
        with tf.io.gfile.GFile(path) as file:
            return json.load(file)
    if tf.io.gfile.exists(f"{root}/{UNFINISHED}"):
        raise ValueError(
            f"Expected a set that is whole in {root}. Preparing it was stopped: call "
            "`prepare` again, with the same arguments."
        )
    return None


class _Files:
    """Files of one kind in a folder, by stem."""

    def __init__(
        self,
        pattern: str | os.PathLike,
        suffixes: tuple[str, ...],
        refused: tuple[str, ...],
    ):
        self.pattern = os.fspath(pattern)
        self.root, name = self.pattern.rstrip("/"), "*"
        if "*" in os.path.basename(self.root):
            self.root, name = os.path.split(self.root)
            self.root = self.root or "."
        if name.count("*") != 1 or "*" in self.root:
            raise ValueError(
                "Expected one `*` in the name of the files, for the stem. Received: "
                f"{self.pattern!r}"
            )
        self._before, after = name.split("*")
        self._suffixes = (after,) if after else suffixes
        ends = "|".join(map(re.escape, self._suffixes))
        self._parts = re.compile(f"{re.escape(self._before)}(.*)((?i:{ends}))", re.S)
        #: What follows each stem in the name of its file.
        self.after: dict[str, str] = {}
        pictures = []
        for where, names in walk(self.root):
            within = f"{where}/" if where else ""
            for base in names:
                parts = self._parts.fullmatch(base)
                if parts:
                    stem, end = within + parts[1], sys.intern(parts[2])
                    if self.after.setdefault(stem, end) != end:
                        raise ValueError(
                            f"Expected one file of stem {stem!r} in {self.root}. "
                            f"Received: {self._name(stem)} and {within}{base}."
                        )
                elif not after and base.lower().endswith(refused):
                    pictures.append(within + base)
        if pictures:
            raise ValueError(
                f"Expected {self._kinds()} files in {self.root}. Received: "
                f"{listed(sorted(pictures), 8)}. {_hint(pictures)}"
            )
        if not self.after:
            raise ValueError(
                f"Expected {self._kinds()} files at {self.pattern}. Received: none."
            )

    def leave_out(self, others: "_Files") -> None:
        """Forget files that others has too: a mask that is named like an image."""
        self.after = {
            stem: end
            for stem, end in self.after.items()
            if not others._parts.fullmatch(os.path.basename(self._name(stem)))
        }

    def paths(self, stems: Sequence[str], as_tensor: tf.Tensor) -> Paths:
        """Paths of the files of these stems."""
        if self._before:  # a folder may stand before it, in the stem
            as_tensor = tf.constant(
                [self._name(stem).removesuffix(self.after[stem]) for stem in stems]
            )
        kinds = sorted({*self.after.values()})
        which = None
        if len(kinds) > 1:
            which = [kinds.index(self.after[stem]) for stem in stems]
        return Paths(as_tensor, *[(f"{self.root}/", k) for k in kinds], which=which)

    def _name(self, stem: str) -> str:
        within, base = os.path.split(stem)
        return os.path.join(within, f"{self._before}{base}{self.after[stem]}")

    def _kinds(self) -> str:
        return " or ".join(suffix.lstrip(".").upper() for suffix in self._suffixes)


def _hint(pictures: Sequence[str]) -> str:
    """What to do with pictures that aren't read."""
    if pictures[0].lower().endswith((".jpg", ".jpeg")):
        return (
            "JPEG changes ids: make the masks anew, as PNGs. If these are images, say "
            "how masks are called, as in `masks/*.png`."
        )
    return "Convert them to PNG, which holds up to 4 channels of 8 or 16 bits."


class OrphansError(ValueError):
    """Images without a mask, or masks without an image."""

    def __init__(self, images: Sequence[str], masks: Sequence[str], pairs: list[str]):
        super().__init__(
            "Expected a mask for each image and an image for each mask. Images without "
            f"a mask: {listed(images) or 'none'}. Masks without an image: "
            f"{listed(masks) or 'none'}. Add what is missing, take away what is too "
            "much, or name the stems to read in a file, `split`."
        )
        self.images, self.masks, self.pairs = images, masks, pairs


def _stems(
    images: _Files, masks: _Files, split: str | os.PathLike | Sequence[str] | None
) -> list[str]:
    """Stems to read: those of a split file, or all, if all have their partner."""
    if split is None:
        lonely = sorted(images.after.keys() - masks.after.keys())
        unused = sorted(masks.after.keys() - images.after.keys())
        if lonely or unused:
            pairs = sorted(images.after.keys() & masks.after.keys())
            raise OrphansError(lonely, unused, pairs)
        return sorted(images.after)
    if isinstance(split, str | os.PathLike):
        path = os.fspath(split)
        if not tf.io.gfile.exists(path):
            raise FileNotFoundError(f"Expected the split file {path}. It isn't there.")
        stems = read_lines(path)
        for place, line in enumerate(stems):  # no second list beside a long one
            stems[place] = _without_suffix(line, images.after)
    else:
        path, stems = "`split`", list(split)
    if not stems:
        raise ValueError(f"Expected stems in {path}, one a line. Received: none.")
    for files in (images, masks):
        missing = [stem for stem in stems if stem not in files.after]
        if missing:
            raise FileNotFoundError(
                f"Expected files at {files.pattern} for all stems in {path}. Missing: "
                f"{listed(missing)}."
            )
    return stems


def _without_suffix(line: str, stems: Container[str]) -> str:
    """The stem that a line of a split file means."""
    stem, _, kind = line.rpartition(".")
    return stem if f".{kind.lower()}" in _IMAGES and line not in stems else line


def _ids_of_colors(palette: Any) -> tf.lookup.StaticHashTable | None:
    """A table from red + 256 green + 65536 blue to ids, -1 for other colours."""
    if palette is None:
        return None
    colors = np.asarray(palette)
    if colors.ndim != 2 or colors.shape[1] != 3 or colors.dtype.kind not in "iu":
        raise ValueError(
            "Expected `palette` to be rows of (red, green, blue) in 0..255. Received: "
            f"shape {colors.shape}, {colors.dtype}"
        )
    unique, counts = np.unique(colors, axis=0, return_counts=True)
    if colors.min() < 0 or colors.max() > 255 or counts.max() > 1:
        twice = unique[counts > 1].tolist()
        raise ValueError(
            "Expected colours in 0..255 that differ in `palette`. Received: "
            f"{colors.min()}..{colors.max()}, more than once: {twice or 'none'}"
        )
    numbers = colors.astype(np.int32) @ np.array([1, 256, 65536], np.int32)
    rows = tf.range(len(colors))
    return tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(tf.constant(numbers), rows), -1
    )


def _labels_of_ids(
    num_classes: int, ids: Sequence[int] | None, ignore: int | Sequence[int]
) -> tuple[tf.Tensor | None, str]:
    """A table from ids in files to labels, -1 for others; None where they are equal."""
    ignored = sorted({int(i) for i in np.atleast_1d(ignore)})
    known = range(num_classes) if ids is None else [int(i) for i in ids]
    if len(known) != num_classes or len({*known, *ignored}) != num_classes + len(
        ignored
    ):
        raise ValueError(
            "Expected `ids` to be one per class, none twice and none of `ignore`. "
            f"Received: {list(known)} for {num_classes} classes, ignore={ignored}"
        )
    if min([*known, *ignored]) < 0 or max([*known, *ignored]) > _LARGEST_ID:
        raise ValueError(
            f"Expected ids in 0..{_LARGEST_ID}. Received: {[*known, *ignored]}"
        )
    names_of = f"0..{num_classes - 1}" if ids is None else "those of `ids`"
    if ids is None and ignored == [IGNORE]:
        return None, names_of
    table = np.full(_LARGEST_ID + 1, -1, np.int32)
    table[list(known)] = range(num_classes)
    table[ignored] = IGNORE
    return tf.constant(table), f"{names_of}, or {ignored} where there is no label"


def _unknown_ids(found: tf.Tensor, labels: tf.Tensor, names_of: str) -> str:
    values = np.unique(found.numpy()[labels.numpy() < 0]).tolist()
    shown = ", ".join(map(str, values[:8])) + (", ..." if len(values) > 8 else "")
    return (
        f"Expected a mask of ids {names_of}. Received: {shown}. Give their classes in "
        "`class_names` and `ids`, or add them to `ignore`."
    )


def _palette_of_classes(
    palette: Any, num_classes: int, ids: Sequence[int] | None
) -> Any:
    if palette is None:
        return None
    rows = range(num_classes) if ids is None else ids
    if max(rows) >= len(palette):
        raise ValueError(
            f"Expected a colour for id {max(rows)} in `palette`, whose row i is that "
            f"of id i. Received: {len(palette)} rows."
        )
    return np.asarray(palette)[list(rows)]
