"""What `keras-seg predict` does."""

import argparse
import glob
import itertools
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from keras_seg.cli.image_options import bands_of, nodata_of
from keras_seg.cli.output import Output
from keras_seg.cli.run_model import run_model
from keras_seg.cli.scenes import SCENE, pages_of, predict_scenes, without_suffix
from keras_seg.data.decode.array_file import ENDINGS
from keras_seg.files import check_folder_path, written_aside
from keras_seg.inference.files import predict_files
from keras_seg.inference.scene_file import is_scene
from keras_seg.training.progress import LiveLine, duration
from keras_seg.training.run_files import read_run
from keras_seg.visualize import overlay, save_mask, visible

_IMAGES = (".jpg", ".jpeg", ".png", *ENDINGS)
# How the files that are written for an image end.
_MASK, _OVERLAY, _PROBABILITIES = ".png", "_overlay.jpg", "_probabilities.npz"
# Quality of the overlays; at Pillow's own, 75, thin objects have fringes.
_QUALITY = 90
# Images without a mask that are listed at the end.
_LISTED = 10


def predict(options: argparse.Namespace) -> int:
    """Predict masks of image files; see `keras-seg predict --help`."""
    run = read_run(options.run)
    check_folder_path(options.out)
    images = _find(options.images, options.out)
    if run.get("page") is None:
        images = {
            page: folder for path, folder in images.items() for page in pages_of(path)
        }
    of_photo = [_MASK]
    of_photo += [] if options.no_overlays else [_OVERLAY]
    of_photo += [_PROBABILITIES] if options.probabilities else []
    endings = {path: [SCENE] if is_scene(path) else of_photo for path in images}
    names = _names(images, options.out, endings)
    missing = names
    if options.resume:
        missing = {
            path: place
            for path, place in names.items()
            if not all(os.path.exists(f"{place}{ending}") for ending in endings[path])
        }
    scenes = {path: names[path] for path in missing if endings[path] == [SCENE]}
    photos = {path: names[path] for path in missing if path not in scenes}
    palette = np.array(run["palette"], np.uint8)

    def write(path: Path, image: np.ndarray, mask: np.ndarray, *more: Any) -> None:
        place = names[path]
        place.parent.mkdir(parents=True, exist_ok=True)
        if not options.no_overlays:
            laid = Image.fromarray(overlay(visible(image), mask, palette))
            with written_aside(f"{place}{_OVERLAY}") as aside:
                laid.save(aside, quality=_QUALITY)
        for probabilities in more:
            with written_aside(f"{place}{_PROBABILITIES}") as aside:
                np.savez_compressed(
                    aside,
                    probabilities=probabilities,
                    class_names=np.array(run["class_names"]),
                )
        with written_aside(f"{place}{_MASK}") as aside:
            save_mask(aside, mask, palette)

    failed = []
    if missing:
        model = run_model(options)
        done = predict_files(
            model,
            photos,
            write,
            batch_size=options.batch_size,
            tile=options.tile,
            overlap=options.overlap,
            flips=options.flips,
            scales=options.scales,
            probabilities=options.probabilities,
            bands=bands_of(run),
            page=run.get("page") or 0,
            nodata=nodata_of(run),
        )
        if not options.json:
            done = _shown(done, len(photos))
        of_scenes = predict_scenes(model, scenes, run, options)
        for path, error in itertools.chain(done, of_scenes):
            if error is not None:
                text = str(error)
                failed.append(text if str(path) in text else f"{path}: {text}")
    _report(options, len(names), len(missing), failed, scenes=len(scenes))
    return 1 if failed else 0


def _shown(done: Iterable[Any], total: int) -> Iterator[Any]:
    """The same, while a line says how many there were and how long the rest takes."""
    begin = time.monotonic()
    with LiveLine() as line:
        for count, item in enumerate(done, start=1):
            seconds = time.monotonic() - begin
            rate = count / max(seconds, 1e-3)
            line(
                f"{count:,} of {total:,} images, {rate:.3g} a second, "
                f"{duration((total - count) / rate)} left"
            )
            yield item


def _report(
    options: argparse.Namespace,
    images: int,
    missing: int,
    failed: list[str],
    *,
    scenes: int,
) -> None:
    output = Output(json=options.json)
    kinds = ["masks"]
    if missing > scenes or not scenes:
        kinds += [] if options.no_overlays else ["overlays"]
        kinds += ["probabilities"] if options.probabilities else []
    what = " and ".join(filter(None, [", ".join(kinds[:-1]), kinds[-1]]))
    done = missing - len(failed)
    text = f"Wrote {what} of {done:,} of {images:,} images to {options.out}"
    if scenes and len(kinds) > 1:
        text += f"\n{scenes:,} of them are scenes, which have a mask only, a GeoTIFF."
    if options.resume:
        text += f"\n{images - missing:,} of them were there already."
    result = {
        "out": str(options.out),
        "images": images,
        "written": done,
        "there_already": images - missing,
        "failed": sorted(failed),
    }
    then: Sequence[Any] = ["export", options.run, "--out", "DIR"]
    if options.export is not None:  # which is there, so its score is what is next
        then = ["evaluate", options.run, "--export", options.export]
    output.done(result, text, then if done or not failed else ())
    for message in sorted(failed)[:_LISTED]:
        print(f"keras-seg: left out: {message}", file=sys.stderr)
    if len(failed) > _LISTED:
        print(f"keras-seg: ... and {len(failed) - _LISTED:,} more", file=sys.stderr)


def _find(arguments: Sequence[str], out: Path) -> dict[Path, Path]:
    """Each image that the arguments name, and the folder it was looked for in."""
    found: dict[Path, Path] = {}
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            inside = _images_in(path, out)
            if not inside:
                raise FileNotFoundError(
                    f"Expected image files in {path}. Received: none whose name "
                    f"ends in {', '.join(_IMAGES)}."
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


def _names(
    images: dict[Path, Path], out: Path, endings: Mapping[Path, Sequence[str]]
) -> dict[Path, Path]:
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
        names[path] = out / without_suffix(absolute.relative_to(top))
        for ending in endings[path]:
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
