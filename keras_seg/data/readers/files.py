"""Files by stem: which are there, which belong together, which are missing."""

import os
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf


class Paths:
    """Paths of files by index, inside tf.data: a stem between two strings.

    Stems are one string tensor, so that a million of them are small.

    Args:
        stems: What differs between files, a sequence or a tensor.
        around: (before, after): what stands around each stem, a folder and a suffix,
            say. If there are several such pairs, `which` has the number of each file's.
        which: Integers, one per file.
    """

    def __init__(
        self, stems: Any, *around: tuple[str, str], which: Sequence[int] | None = None
    ):
        self.stems = tf.convert_to_tensor(stems, tf.string)
        self._around = around
        self._which = None if which is None else tf.constant(which, tf.uint8)

    def __getitem__(self, index: Any) -> tf.Tensor:
        if self._which is None:
            before, after = self._around[0]
        else:
            pair = tf.cast(tf.gather(self._which, index), tf.int32)
            before, after = tf.unstack(tf.gather(self._around, pair))
        return tf.strings.join([before, tf.gather(self.stems, index), after])


def read_lines(path: str) -> list[str]:
    """Read stems, one a line, whatever ends the lines; blank ones are left out.

    Raises:
        ValueError: naming the file, if it isn't text.
    """
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            text = file.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: Expected text in UTF-8. Received: other bytes ({error.reason} at "
            f"{error.start}). Windows' PowerShell writes UTF-16: save it as UTF-8."
        ) from None
    lines = text.splitlines()
    del text
    return [line for line in map(str.strip, lines) if line]


def check_exist(folder: str, stems: Sequence[str], suffix: str, named_by: str) -> None:
    """Raise if files are missing.

    Args:
        folder: Where they should be.
        stems: Their stems, which may begin with folders in that folder.
        suffix: What follows each stem.
        named_by: What named them: "the split file", say.

    Raises:
        FileNotFoundError: naming the first one that is missing.
    """
    missing = without_file(folder, stems, suffix)
    if missing:
        raise FileNotFoundError(
            f"Expected {folder}/{missing[0]}{suffix}, which {named_by} names. It isn't "
            f"there, and {len(missing) - 1} more aren't. Unpack the data set again, or "
            f"take them out of {named_by}."
        )


def without_file(folder: str, stems: Sequence[str], suffix: str) -> list[str]:
    """Stems that have no file; each folder is listed once, and `..` isn't followed."""
    there = {}
    for within in {stem.rpartition("/")[0] for stem in stems}:
        inside = ".." not in within.split("/")
        where = f"{folder}/{within}" if within else folder
        there[within] = list_folder(where) if inside else set()
    missing = []
    for stem in stems:
        within, _, name = stem.rpartition("/")
        if name + suffix not in there[within]:
            missing.append(stem)
    return missing


def list_folder(folder: str) -> set[str]:
    """Names of all that is in a folder.

    Raises:
        FileNotFoundError: if there is no such folder.
    """
    if not tf.io.gfile.isdir(folder):
        raise FileNotFoundError(f"Expected the folder {folder}. It isn't there.")
    return set(tf.io.gfile.listdir(folder))


def walk(folder: str) -> Iterator[tuple[str, list[str]]]:
    """(where, names) of the files in a folder and the folders in it.

    What has a name that begins with a dot is left out. Links are followed, but no
    folder is read twice.
    """
    list_folder(folder)
    if "://" in folder:
        walked = tf.io.gfile.walk(folder)
    else:
        walked = os.walk(folder, followlinks=True, onerror=_raise)
    seen = {os.path.realpath(folder)}
    for where, folders, names in walked:
        for name in folders[:]:
            real = os.path.realpath(f"{where}/{name}")
            if name.startswith(".") or real in seen:
                folders.remove(name)
            seen.add(real)
        yield (
            where[len(folder) :].strip("/"),
            [name for name in names if not name.startswith(".")],
        )


def _raise(error: OSError) -> None:
    """What os.walk should do with a folder that it can't read."""
    raise error


def listed(names: Sequence[str], most: int = 1000) -> str:
    """Names in a row, for an error that should leave none out."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
