"""Files by stem: which are there, which belong together, which are missing."""

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import tensorflow as tf


class Paths:
    """Paths of files by index, inside tf.data: a folder, a stem and a suffix each.

    One string tensor holds the stems, so that a million of them are small.

    Args:
        stems: What differs between files.
        before: What stands before each stem: a folder, say.
        after: What stands after each: one suffix, or one per file.
    """

    def __init__(self, stems: Sequence[str], before: str, after: str | Sequence[str]):
        self._stems = tf.constant(stems, tf.string, (len(stems),))
        self._before = before
        kinds = sorted({after} if isinstance(after, str) else set(after))
        self._after = tf.constant(kinds)
        self._which = None
        if len(kinds) > 1:
            self._which = tf.constant([kinds.index(a) for a in after], tf.int32)

    def __getitem__(self, index: Any) -> tf.Tensor:
        after = self._after[0 if self._which is None else self._which[index]]
        return tf.strings.join([self._before, self._stems[index], after])


def read_lines(path: str) -> list[str]:
    """Read stems, one a line, whatever ends the lines; blank ones are left out."""
    with tf.io.gfile.GFile(path, "rb") as file:
        text = file.read().decode("utf-8-sig")
    return [line for line in map(str.strip, text.splitlines()) if line]


def check_exist(folder: str, stems: Iterable[str], suffix: str, named_by: str) -> None:
    """Raise if files are missing; lists the folder once.

    Args:
        folder: Where they should be.
        stems: Their stems.
        suffix: What follows each stem.
        named_by: What named them: "the split file", say.

    Raises:
        FileNotFoundError: naming the first one that is missing.
    """
    there = list_folder(folder)
    missing = [stem for stem in stems if stem + suffix not in there]
    if missing:
        raise FileNotFoundError(
            f"Expected {folder}/{missing[0]}{suffix}, which {named_by} names. It isn't "
            f"there, and {len(missing) - 1} more aren't. Unpack the data set again, or "
            f"take them out of {named_by}."
        )


def list_folder(folder: str) -> set[str]:
    """Names of all that is in a folder.

    Raises:
        FileNotFoundError: if there is no such folder.
    """
    if not tf.io.gfile.isdir(folder):
        raise FileNotFoundError(f"Expected the folder {folder}. It isn't there.")
    return set(tf.io.gfile.listdir(folder))


def walk(folder: str) -> Iterator[str]:
    """Paths of all files in a folder and the folders in it, relative to it.

    Those whose name begins with a dot are left out.
    """
    list_folder(folder)
    walked = tf.io.gfile.walk(folder) if "://" in folder else os.walk(folder)
    for where, _, names in walked:
        within = where[len(folder) :].strip("/")
        for name in names:
            if not name.startswith("."):
                yield f"{within}/{name}" if within else name


def listed(names: Sequence[str], most: int = 1000) -> str:
    """Names in a row, for an error that should leave none out."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
