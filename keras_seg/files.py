"""Files that are whole or not there, and locks that end with their process."""

import contextlib
import datetime
import errno
import json
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import keras

try:
    import fcntl
except ImportError:  # Windows has no such locks; nothing is locked there
    fcntl = None  # type: ignore[assignment]  # for mypy it is a module

# What is being written now, for `remove_unfinished`.
_unfinished: set[Path] = set()


@contextlib.contextmanager
def unfinished(path: str | os.PathLike) -> Iterator[Path]:
    """Let `remove_unfinished` know of a file or folder that isn't whole yet."""
    path = Path(path)
    _unfinished.add(path)
    try:
        yield path
    finally:
        _unfinished.discard(path)


def remove_unfinished() -> None:
    """Remove what is being written: for a process that ends without unwinding."""
    for path in list(_unfinished):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()


@contextlib.contextmanager
def written_aside(
    path: str | os.PathLike, *, sync: bool = False, needed: int | None = None
) -> Iterator[Path]:
    """Give a path to write to; the file gets its name when it is whole.

    Args:
        path: What the file is to be called.
        sync: Whether the bytes should be on the disk before the name is, and the name
            before this returns: after a power failure the path then has the old file
            or the new one, whole.
        needed: Bytes that the file will have, if that is known, for errors.

    Yields:
        A hidden path in the same folder, with the same suffix.

    Raises:
        OSError: if the disk is full, saying how much is needed and how much is free.
    """
    path = Path(path)
    with unfinished(path.with_name(f".{path.stem}.writing{path.suffix}")) as writing:
        try:
            yield writing
            if sync:
                _sync(writing)
            os.replace(writing, path)
            if sync and os.name != "nt":  # Windows opens no folders
                _sync(path.parent)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            writing.unlink(missing_ok=True)
            raise OSError(error.errno, _no_space(path, needed), str(path)) from None
        finally:
            writing.unlink(missing_ok=True)


def _no_space(path: Path, needed: int | None) -> str:
    free = shutil.disk_usage(path.parent).free / 2**20
    size = "" if needed is None else f" It needs {needed / 2**20:,.1f} MiB;"
    kept = " The file that has this name is kept." if path.exists() else ""
    return f"No space left on the disk.{size} {free:,.1f} MiB are free.{kept} File"


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def check_folder_path(path: str | os.PathLike) -> None:
    """Raise if there can't be a folder at a path.

    Raises:
        NotADirectoryError: if it, or a folder that it is in, is a file.
    """
    path = Path(path)
    for place in (path, *path.parents):
        if os.path.lexists(place) and not place.is_dir():
            raise NotADirectoryError(
                f"Expected a folder at {path}, or nothing yet. Received: {place} is a "
                "file. Choose another `path`."
            )


def write_json(path: str | os.PathLike, content: dict[str, Any]) -> None:
    """Write a JSON file that is whole or not there."""
    with written_aside(path) as aside:
        aside.write_text(json.dumps(content, indent=2, default=str) + "\n")


def save_model(model: keras.Model, path: str | os.PathLike) -> None:
    """Write a `.keras` file that is whole or not there."""
    with written_aside(path, sync=True) as aside:
        model.save(aside)


@contextlib.contextmanager
def locked(path: str | os.PathLike) -> Iterator[None]:
    """Hold a lock file, and remove it at the end.

    The operating system holds the lock for this process, and gives it up when the
    process ends, in whatever way. So a file that a killed process left behind is no
    obstacle, and no process id has to be looked up, which means nothing in another
    container or on another machine. The id in the file is there for people to read.

    Args:
        path: The lock file, in a folder that exists.

    Raises:
        BlockingIOError: if another process holds it, with what that one wrote there.
    """
    path = Path(path)
    file = _lock(path)
    try:
        now = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {now}")
        file.flush()
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
        file.close()


def check_unlocked(path: str | os.PathLike) -> None:
    """Raise the error of `locked` if another process holds a lock file."""
    if os.path.exists(path):
        _lock(Path(path)).close()


def _lock(path: Path) -> IO[str]:
    while True:
        file = open(path, "a+", errors="replace")
        try:
            _lock_open_file(file)
            held = os.fstat(file.fileno())
            if os.path.exists(path) and os.path.samestat(held, os.stat(path)):
                return file
        except BaseException:
            file.close()
            raise
        file.close()  # its holder removed it after it was opened here


def _lock_open_file(file: IO[str]) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            file.seek(0)
            holder = " ".join(file.read(200).split()) or "another process"
            raise BlockingIOError(error.errno, holder, file.name) from None
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
            raise  # some network file systems have no locks
