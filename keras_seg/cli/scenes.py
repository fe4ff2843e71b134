"""TIFFs among the images of `keras-seg predict`: scenes, and stacks of images.

The masks of scenes are GeoTIFFs. Each page of a stack has a mask, as an image has.
"""

import argparse
import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from keras_seg.cli.image_options import bands_of, nodata_of
from keras_seg.data.decode.array_file import array_head
from keras_seg.inference.scene import predict_scene
from keras_seg.training.progress import LiveLine, duration

#: How the name of a scene's mask ends.
SCENE = ".tif"
_TILE = 1024


def pages_of(path: Path) -> list[Path]:
    """An image file, or the pages of one that has several: "volume.tif#07"."""
    if path.suffix.lower() not in (".tif", ".tiff"):
        return [path]
    try:
        pages = array_head(path).pages
    except (ValueError, OSError):  # which reading it will tell
        return [path]
    if pages == 1:
        return [path]
    digits = len(str(pages - 1))
    return [path.with_name(f"{path.name}#{k:0{digits}}") for k in range(pages)]


def without_suffix(path: Path) -> Path:
    """The path of an image without its ending; "volume_07" for a page."""
    name, _, page = path.suffix.partition("#")
    return path.with_name(f"{path.stem}_{page}" if name and page else path.stem)


def predict_scenes(
    model: Any,
    scenes: Mapping[Path, Path],
    run: Mapping[str, Any],
    options: argparse.Namespace,
) -> Iterator[tuple[Path, Exception | None]]:
    """Predict the masks of scenes, one after the other.

    Args:
        model: What `predict_scene` takes.
        scenes: Where the mask of each goes, without its ending.
        run: What is written of the run.
        options: Those of the command.

    Yields:
        (path, error) of each scene; None if its mask is written.
    """
    for path, place in scenes.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            with contextlib.nullcontext() if options.json else LiveLine() as line:
                predict_scene(
                    model,
                    path,
                    f"{place}{SCENE}",
                    tile=options.tile or _TILE,
                    overlap=options.overlap,
                    flips=options.flips,
                    scales=options.scales,
                    bands=bands_of(run),
                    page=run.get("page") or 0,
                    nodata=nodata_of(run),
                    palette=run["palette"],
                    progress=None if line is None else _shown(line, path.name),
                )
        except (ValueError, OSError) as error:
            yield path, error
        else:
            yield path, None


def _shown(line: LiveLine, name: str) -> Callable[[int, int], None]:
    """Say how many rows of a scene are done, and how long the rest takes."""
    begin = time.monotonic()

    def show(done: int, total: int) -> None:
        left = (time.monotonic() - begin) / done * (total - done)
        line(f"{name}: {done:,} of {total:,} rows, {duration(left)} left")

    return show
