"""The file that describes a set which `data.prepare` wrote.

PATH/
    dataset.json: class names, palette, channels; written last, so half a set has none
    images/STEM.jpg or .png
    masks/STEM.png
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from keras_seg.files import write_json

#: What describes a whole set, and one that isn't finished.
DATASET, UNFINISHED = "dataset.json", ".unfinished.json"


def read_description(masks: str) -> dict[str, Any] | None:
    """Read what describes the set whose masks lie in a folder.

    Returns:
        `class_names`, `palette`, `channels` and others; None if `prepare` didn't write
        this folder.

    Raises:
        ValueError: for a set that isn't finished.
    """
    root = os.path.dirname(masks) or "."
    path = f"{root}/{DATASET}"
    if tf.io.gfile.exists(path):
        with tf.io.gfile.GFile(path, "rb") as file:
            return _checked(file.read())
    if tf.io.gfile.exists(f"{root}/{UNFINISHED}"):
        raise ValueError(
            f"Expected a set that is whole in {root}. Preparing it was stopped: call "
            "`prepare` again, with the same arguments."
        )
    return None


def write_unfinished(root: Path, description: Mapping[str, Any]) -> None:
    """Mark a folder as that of a set that is being written."""
    write_json(root / UNFINISHED, dict(description))


def write_finished(root: Path, description: Mapping[str, Any]) -> None:
    """Mark a folder as that of a set that is whole."""
    write_json(root / DATASET, dict(description))
    (root / UNFINISHED).unlink(missing_ok=True)


def _checked(contents: bytes) -> dict[str, Any] | None:
    """A description; None for another file, since others use this name too."""
    try:
        description = json.loads(contents)
        names, palette = description["class_names"], description["palette"]
        ours = all(isinstance(name, str) for name in names)
        return description if ours and len(palette) == len(names) else None
    except (ValueError, TypeError, KeyError):
        return None
