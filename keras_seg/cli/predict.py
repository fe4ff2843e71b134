"""What `keras-seg predict` does."""

import argparse
import glob
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from keras_seg.files import written_aside
from keras_seg.inference.files import predict_files
from keras_seg.terminal import progress
from keras_seg.training.run_files import load_model, read_run
from keras_seg.visualize import overlay, save_mask, visible

_IMAGES = (".jpg", ".jpeg", ".png")
# How the two files that are written for an image end.
_MASK, _OVERLAY = ".png", "_overlay.png"
# Images without a mask that are listed at the end.
_LISTED = 10


def predict(options: argparse.Namespace) -> int:
    """Predict masks of image files; see `keras-seg predict --help`."""
    run = read_run(options.run)
    images = _find(options.images, options.out)
    names = _names(images, options.out)
    model = load_model(options.run)
    palette = np.array(run["palette"], np.uint8)

    def write(path: Path, image: np.ndarray, mask: np.ndarray) -> None:
        place = names[path]
        place.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(f"{place}{_MASK}") as aside:
            save_mask(aside, mask, palette)
        with written_aside(f"{place}{_OVERLAY}") as aside:
            Image.fromarray(overlay(visible(image), mask, palette)).save(aside)

    failed = []
    bar = progress(len(names), "image", "Predicting")
    for path, error in predict_files(
        model, names, write, batch_size=options.batch_size
    ):
        if error is not None:
            text = str(error)
            failed.append(text if str(path) in text else f"{path}: {text}")
        bar.add(1)
    done = len(names) - len(failed)
    print(f"Wrote masks and overlays of {done} of {len(names)} images to {options.out}")
    for message in sorted(failed)[:_LISTED]:
        print(f"keras-seg: left out: {message}", file=sys.stderr)
    if len(failed) > _LISTED:
        print(f"keras-seg: ... and {len(failed) - _LISTED:,} more", file=sys.stderr)
    return 1 if failed else 0


def _find(arguments: Sequence[str], out: Path) -> dict[Path, Path]:
    """Each image that the arguments name, and the folder it was looked for in."""
    found: dict[Path, Path] = {}
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            inside = _images_in(path, out)
            if not inside:
                raise FileNotFoundError(
                    f"Expected JPEG or PNG files in {path}. Received: none."
                )
            found |= dict.fromkeys(inside, path)
        elif path.is_file():
            found[path] = path.parent
        elif glob.has_magic(argument):
            matches = sorted(map(Path, glob.glob(argument, recursive=True)))
            files = [match for match in matches if match.is_file()]
            if not files:
                raise FileNotFoundError(
                    f"Expected files that match {argument}. Received: none."
                )
            fixed = re.split(r"[*?[]", argument)[0]
            found |= dict.fromkeys(files, Path(os.path.dirname(fixed)))
        else:
            raise FileNotFoundError(f"Expected an image at {path}. It isn't there.")
    return found


def _images_in(folder: Path, out: Path) -> list[Path]:
    """Image files in a folder and the folders in it, but those in `out`."""
    if out.resolve() == folder.resolve():
        raise ValueError(
            f"Expected --out to be another folder than the images'. Received: {out}. "
            "Masks would be taken for images the next time."
        )
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in _IMAGES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and out.resolve() not in path.resolve().parents
    ]


def _names(images: dict[Path, Path], out: Path) -> dict[Path, Path]:
    """Where the files of each image go, without their endings.

    Below the deepest folder that holds all images, they keep their folders.
    """
    top = os.path.commonpath([os.path.abspath(folder) for folder in images.values()])
    names: dict[Path, Path] = {}
    places: dict[str, Path] = {}
    seen = set()
    for path in images:
        absolute = Path(os.path.abspath(path))
        if absolute in seen:
            continue  # named twice
        seen.add(absolute)
        names[path] = out / absolute.relative_to(top).with_suffix("")
        for ending in (_MASK, _OVERLAY):
            other = places.setdefault(f"{names[path]}{ending}", path)
            if other is not path:
                raise ValueError(
                    "Expected images whose names differ, not only their suffixes. "
                    f"Received: {other} and {path}, both for {names[path]}{ending}"
                )
    written = {os.path.realpath(place) for place in places}
    for path in names:
        if os.path.realpath(path) in written:
            raise ValueError(
                f"Expected another --out. {path} would be written over: --out {out}"
            )
    return names
