"""Files that are whole or not there: written aside, synced, renamed."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras


@contextlib.contextmanager
def written_aside(path: str | os.PathLike, *, sync: bool = False) -> Iterator[Path]:
    """Give a path to write to; the file gets its name when it is whole.

    Args:
        path: What the file is to be called.
        sync: Whether the bytes should be on the disk before the name is: half a file
            never has the name of a whole one then, even after a power failure.

    Yields:
        A hidden path in the same folder, with the same suffix.
    """
    path = Path(path)
    writing = path.with_name(f".{path.stem}.writing{path.suffix}")
    try:
        yield writing
        if sync:
            with open(writing, "rb") as file:
                os.fsync(file.fileno())
        os.replace(writing, path)
    finally:
        writing.unlink(missing_ok=True)


def write_json(path: str | os.PathLike, content: dict[str, Any]) -> None:
    """Write a JSON file that is whole or not there."""
    with written_aside(path) as aside:
        aside.write_text(json.dumps(content, indent=2, default=str) + "\n")


def save_model(model: keras.Model, path: str | os.PathLike) -> None:
    """Write a `.keras` file that is whole or not there."""
    with written_aside(path, sync=True) as aside:
        model.save(aside)
