"""Files of images and masks in folders, paired by stem."""

import os
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import tensorflow as tf

from keras_seg.data.decode import array_file, label_file
from keras_seg.data.readers.files import (
    Paths,
    listed,
    printable,
    read_raw_lines,
    string_tensor,
    walk,
)
from keras_seg.data.readers.patterns import common_affixes
from keras_seg.data.readers.stacks import is_stack, pair_pages
from keras_seg.data.suggestions import MissingFilesError, SuggestionError, spelled

_IMAGES, _MASKS = (".jpg", ".jpeg", ".png", *array_file.ENDINGS), label_file.ENDINGS
# Formats that aren't read: to pass over such files would hide images.
_NO_IMAGES = (".heic",)
_NO_MASKS = (".jpg", ".jpeg", ".webp", ".jp2", ".j2k", ".heic")


class Pairs(NamedTuple):
    """Images and masks that belong together."""

    #: What the pairs are called, in order.
    stems: list[str]
    images: Paths
    masks: Paths
    #: The folders that hold them.
    image_root: str
    mask_root: str
    #: How the names of images, and of masks, end.
    image_suffixes: list[str]
    mask_suffixes: list[str]
    #: Whether they are pages of two files.
    are_pages: bool = False


def pair_files(
    images: str | os.PathLike,
    masks: str | os.PathLike,
    split: str | os.PathLike | Sequence[str] | None,
) -> Pairs:
    """Pair the files of two folders; the arguments are those of `folder`."""
    if is_stack(images):
        root, mask_root = (
            os.path.dirname(os.fspath(path)) or "." for path in (images, masks)
        )
        ends = [".tif"]
        stems, image_pages, mask_pages = pair_pages(images, masks, split)
        return Pairs(
            stems, image_pages, mask_pages, root, mask_root, ends, ends, are_pages=True
        )
    image_files = Files(images, _IMAGES, _NO_IMAGES)
    mask_files = Files(masks, _MASKS, _NO_MASKS)
    if image_files.root == mask_files.root:
        fewer, others = sorted((image_files, mask_files), key=lambda f: len(f.pattern))
        fewer.leave_out(others)
    if split is None:
        stems = _stems_of_all(image_files, mask_files)
    else:
        stems = _stems_of_split(image_files, mask_files, split)
    shared = string_tensor(stems)
    return Pairs(
        stems,
        image_files.paths(stems, shared),
        mask_files.paths(stems, shared),
        image_files.root,
        mask_files.root,
        sorted({*image_files.suffix_of.values()}),
        sorted({*mask_files.suffix_of.values()}),
    )


class Files:
    """Files of one kind in a folder, by stem.

    Args:
        pattern: A folder, or one with a `*` in the name of its files.
        suffixes: Suffixes of the files to read, in lower case.
        refused: Suffixes of files that can't be read, and are an error.
    """

    def __init__(
        self,
        pattern: str | os.PathLike,
        suffixes: tuple[str, ...],
        refused: tuple[str, ...],
    ):
        self.pattern = os.fspath(pattern)
        self.root, name = self.pattern.rstrip("/") or "/", "*"
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
        #: What follows each stem in the name of its file. Stems are in Unicode's
        #: composed form: systems store the same name in one form or the other.
        self.suffix_of: dict[str, str] = {}
        self._stem_on_disk: dict[str, str] = {}
        unreadable = []
        for within, names in walk(self.root):
            within = f"{within}/" if within else ""
            for base in names:
                parts = self._parts.fullmatch(base)
                if parts:
                    self._add(within + parts[1], sys.intern(parts[2]))
                elif not after and base.lower().endswith(refused):
                    unreadable.append(within + base)
        if unreadable:
            raise ValueError(
                f"Expected {self._kinds()} files in {self.root}. Received: "
                f"{listed(sorted(unreadable))}. {_conversion(unreadable)}"
            )
        if not self.suffix_of:
            raise ValueError(
                f"Expected {self._kinds()} files at {self.pattern}. Received: none."
            )

    def _add(self, stem_on_disk: str, suffix: str) -> None:
        stem = composed(stem_on_disk)
        if stem in self.suffix_of:
            known, new = self.name(stem), self.name(stem_on_disk, suffix)
            raise ValueError(
                f"Expected one file of stem {printable(stem)!r} in {self.root}. "
                f"Received: {printable(known)} and {printable(new)}."
            )
        self.suffix_of[stem] = suffix
        if stem != stem_on_disk:
            self._stem_on_disk[stem] = stem_on_disk

    def leave_out(self, others: "Files") -> None:
        """Forget files that others has too: a mask that is named like an image."""
        self.suffix_of = {
            stem: suffix
            for stem, suffix in self.suffix_of.items()
            if not others._parts.fullmatch(os.path.basename(self.name(stem)))
        }

    def paths(self, stems: Sequence[str], shared: tf.Tensor) -> Paths:
        """Paths of the files of these stems.

        Args:
            stems: Which files.
            shared: The same as a tensor, which all files hold once.
        """
        if self._before or self._stem_on_disk:
            shared = string_tensor([self.name(stem, "") for stem in stems])
        suffixes = sorted({*self.suffix_of.values()})
        which = None
        if len(suffixes) > 1:
            which = [suffixes.index(self.suffix_of[stem]) for stem in stems]
        return Paths(shared, *[(f"{self.root}/", s) for s in suffixes], which=which)

    def name(self, stem: str, suffix: str | None = None) -> str:
        """Name in the folder of the file of a stem, with its suffix or another."""
        suffix = self.suffix_of[stem] if suffix is None else suffix
        within, base = os.path.split(self._stem_on_disk.get(stem, stem))
        return os.path.join(within, f"{self._before}{base}{suffix}")

    def stem_of_line(self, line: str, folder: str) -> str | None:
        """The stem that a line of a list means; None if it has no file.

        A line is a stem, the name of a file, or its path from the folder of the list
        or the working directory. Blanks around it may belong to it or not.

        Args:
            line: The line as it is in the file.
            folder: Where the list lies.
        """
        for text in map(composed, (line, line.strip(" \t"), line.strip())):
            if text in self.suffix_of:
                return text
            stem, suffix = os.path.splitext(text)
            if suffix.lower() in _IMAGES and stem in self.suffix_of:
                return stem
            paths = (os.path.join(folder, text), text)
            for path in (text, *(os.path.relpath(path, self.root) for path in paths)):
                within, name = os.path.split(path)
                parts = self._parts.fullmatch(name)
                stem = os.path.join(within, parts[1]) if parts else path
                if stem in self.suffix_of:
                    return stem
        return None

    def _kinds(self) -> str:
        *first, last = (suffix.lstrip(".").upper() for suffix in self._suffixes)
        return f"{', '.join(first)} or {last}" if first else last


def composed(text: str) -> str:
    """Text in Unicode's composed form (NFC)."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _conversion(unreadable: Sequence[str]) -> str:
    """What to do with pictures of formats that aren't read."""
    suffix = os.path.splitext(unreadable[0])[1].lower()
    if suffix == ".heic":
        return "Convert them to PNG, which holds up to 4 channels of 8 or 16 bits."
    kind = "JPEG" if suffix in (".jpg", ".jpeg") else suffix.lstrip(".").upper()
    return (
        f"{kind} changes ids: write the masks again, as PNGs. If these are images, say "
        "how masks are called, as in `masks='masks/*.png'`."
    )


class OrphansError(SuggestionError):
    """Images without a mask, or masks without an image.

    Args:
        images: Stems of images without a mask.
        masks: Stems of masks without an image.
        pairs: Stems that have both.
        patterns: `images` and `masks` that would pair them, where names differ.
    """

    def __init__(
        self,
        images: Sequence[str],
        masks: Sequence[str],
        pairs: Sequence[str],
        patterns: Mapping[str, str],
    ):
        if patterns:
            remedy = (
                "Their names differ; say how files are named, where * stands for what "
                f"is common: {spelled(patterns)}."
            )
        else:
            remedy = (
                "Add the missing files, remove the others, or list the stems to read "
                "in a text file, `split`."
            )
        super().__init__(
            "Expected a mask for each image and an image for each mask. Images without "
            f"a mask: {listed(images) or 'none'}. Masks without an image: "
            f"{listed(masks) or 'none'}. {remedy}",
            patterns,
        )
        self.images, self.masks, self.pairs = images, masks, pairs
        self.patterns = dict(patterns)


def _stems_of_all(images: Files, masks: Files) -> list[str]:
    """All stems, if each image has a mask and each mask an image."""
    lonely = sorted(images.suffix_of.keys() - masks.suffix_of.keys())
    unused = sorted(masks.suffix_of.keys() - images.suffix_of.keys())
    if lonely or unused:
        pairs = sorted(images.suffix_of.keys() & masks.suffix_of.keys())
        patterns = suggest_patterns(images, masks)
        if images.pattern == masks.pattern and not patterns:
            raise ValueError(
                "Expected `images` and `masks` to be two folders, or two kinds of "
                "names in one, as `images='set/*.jpg'` and `masks='set/*_mask.png'`. "
                f"Received: {printable(images.pattern)} for both."
            )
        raise OrphansError(lonely, unused, pairs, patterns)
    return sorted(images.suffix_of)


def _stems_of_split(
    images: Files, masks: Files, split: str | os.PathLike | Sequence[str]
) -> list[str]:
    """The stems of a text file or a list, if all have both files."""
    if isinstance(split, str | os.PathLike):
        path = printable(os.fspath(split))
        if not tf.io.gfile.exists(os.fspath(split)):
            raise FileNotFoundError(f"Expected the split file {path}. It isn't there.")
        lines = [line for line in read_raw_lines(os.fspath(split)) if line.strip()]
        folder = os.path.dirname(os.fspath(split))
        stems = [images.stem_of_line(line, folder) or line.strip() for line in lines]
    else:
        path, stems = "`split`", list(map(composed, split))
    if not stems:
        raise ValueError(f"Expected stems in {path}, one a line. Received: none.")
    for files in (images, masks):
        missing = [stem for stem in stems if stem not in files.suffix_of]
        if missing:
            patterns = suggest_patterns(images, masks) if files is masks else {}
            remedy = ""
            if patterns:
                remedy = f" Their names differ: {spelled(patterns)}."
            elif len(missing[0].split()) > 1:
                remedy = " If its lines have pairs of files, keep the images' column."
            raise MissingFilesError(
                f"Expected files at {printable(files.pattern)} for all stems in {path}."
                f" Missing: {listed(missing)}.{remedy}",
                patterns,
            )
    return stems


def suggest_patterns(images: Files, masks: Files) -> dict[str, str]:
    """Find `images` and `masks` that pair files whose names differ.

    Returns:
        One of them or both, the first choice; empty if nothing helps.
    """
    names = [images.name(stem, "") for stem in images.suffix_of]
    mask_names = [masks.name(stem, "") for stem in masks.suffix_of]
    if not names and images.root == masks.root:
        names = mask_names
    found = common_affixes(names, mask_names)
    if not found:
        return {}
    patterns = {}
    for argument, files, (before, after) in (
        ("images", images, found[0].image),
        ("masks", masks, found[0].mask),
    ):
        if before or after:
            suffixes = Counter(files.suffix_of.values()) or Counter([".png"])
            _, _, kind = suffixes.most_common(1)[0][0].rpartition(".")
            patterns[argument] = f"{files.root}/{before}*{after}.{kind}"
    return patterns
