"""Paths of files, lists of stems in text files, and which files are missing."""

import os
import re
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
        self.stems = stems if tf.is_tensor(stems) else string_tensor(stems)
        self._around = around
        self._which = None if which is None else tf.constant(which, tf.uint8)

    def __getitem__(self, index: Any) -> tf.Tensor:
        if self._which is None:
            before, after = self._around[0]
        else:
            pair = tf.cast(tf.gather(self._which, index), tf.int32)
            before, after = tf.unstack(tf.gather(self._around, pair))
        return tf.strings.join([before, tf.gather(self.stems, index), after])


def string_tensor(names: Sequence[str]) -> tf.Tensor:
    """Names of files as a string tensor, also where they aren't UTF-8."""
    try:
        return tf.constant(names, tf.string)
    except ValueError:  # Python keeps foreign bytes as lone surrogates
        return tf.constant([os.fsencode(name) for name in names])


def printable(name: str | bytes) -> str:
    r"""A name of a file that can be printed: bytes that aren't UTF-8 become `\xe9`."""
    return os.fsencode(name).decode(errors="backslashreplace")


def read_lines(path: str) -> list[str]:
    """Read the lines of a text file, without blanks around them and blank lines.

    Raises:
        ValueError: naming the file, if it isn't text.
    """
    stripped = (line.strip(" \t") for line in read_raw_lines(path))
    return [line for line in stripped if line]


def read_raw_lines(path: str) -> list[str]:
    """Read the lines of a text file as they are.

    A line ends with a line feed, a carriage return, or both. Python's `splitlines`
    also cuts at characters that names of files may have, such as U+2028.

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
    return re.split(r"\r\n|\r|\n", text)


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
    files_of_folder: dict[str, set[str]] = {}
    for within in {stem.rpartition("/")[0] for stem in stems}:
        inside = ".." not in within.split("/")
        path = f"{folder}/{within}" if within else folder
        files_of_folder[within] = list_folder(path) if inside else set()
    missing = []
    for stem in stems:
        within, _, name = stem.rpartition("/")
        if name + suffix not in files_of_folder[within]:
            missing.append(stem)
    return missing


def list_folder(folder: str) -> set[str]:
    """Names of all files and folders in a folder.

    Raises:
        FileNotFoundError: if there is no such folder.
    """
    check_is_folder(folder)
    if "://" in folder:
        return set(tf.io.gfile.listdir(folder))
    return set(os.listdir(folder))


def check_is_folder(folder: str) -> None:
    """Raise FileNotFoundError if there is no such folder."""
    is_remote = "://" in folder
    if not (tf.io.gfile.isdir(folder) if is_remote else os.path.isdir(folder)):
        is_file = not is_remote and os.path.isfile(folder)
        fault = "It is a file" if is_file else "It isn't there"
        raise FileNotFoundError(f"Expected the folder {printable(folder)}. {fault}.")


def walk(folder: str) -> Iterator[tuple[str, list[str]]]:
    """(path in the folder, names) of the files in a folder and the folders in it.

    Names that begin with a dot are left out. Links are followed, but no folder is read
    twice.
    """
    check_is_folder(folder)
    if "://" in folder:
        walked = tf.io.gfile.walk(folder)
    else:
        walked = os.walk(folder, followlinks=True, onerror=_raise)
    seen = {os.path.realpath(folder)}
    for path, folders, names in walked:
        for name in folders[:]:
            real = os.path.realpath(f"{path}/{name}")
            if name.startswith(".") or real in seen:
                folders.remove(name)
            seen.add(real)
        yield (
            path[len(folder) :].strip("/"),
            [name for name in names if not name.startswith(".")],
        )


def _raise(error: OSError) -> None:
    """What os.walk should do with a folder that it can't read."""
    raise error


def listed(names: Sequence[str], most: int = 8, length: int = 300) -> str:
    """The first names in a row, and the number of the others.

    Args:
        names: What to list.
        most: How many names at most.
        length: How many characters at most, but for the first name.
    """
    shown: list[str] = []
    for name in map(printable, names[:most]):
        if shown and sum(map(len, shown)) + len(name) > length:
            break
        shown.append(name)
    rest = len(names) - len(shown)
    return ", ".join(shown) + (f" and {rest:,} more" if rest else "")
