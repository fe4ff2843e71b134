"""Predictions for scenes: images that needn't fit into memory, and their masks.

Memory that is needed, for a scene of width W, C channels of b bytes and n classes:

    tile W C b            the rows of a row of tiles, as they are in the file
    2 overlap tile W 4 n  probabilities where rows of tiles overlap
    256 W                 a row of tiles of the file that is written

and what the model needs for one tile. For 20,000 x 20,000 x 3 bytes, tiles of 1,024
that overlap by a quarter and 8 classes: 61 MB + 328 MB + 5 MB.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_seg.data.decode.array_file import Page
from keras_seg.files import written_aside
from keras_seg.inference.blocks import blocks, check_tile
from keras_seg.inference.nets import Net
from keras_seg.inference.opened import Model, as_net
from keras_seg.inference.passes import Passes, check_passes
from keras_seg.inference.scene_file import Scene, is_tiff
from keras_seg.labels import IGNORE
from keras_seg.packages import package
from keras_seg.palette import color_map, color_table

# Tiles of the file that is written, and pixels of which on it is a BigTIFF, which not
# all programs read: compressed ids have less than a byte each.
_TILE, _BIG = 256, 2**32 - 2**25
_NODATA = 42113


def predict_scene(
    model: Model,
    path: str | os.PathLike,
    out: str | os.PathLike,
    *,
    tile: int | tuple[int, int] = 1024,
    overlap: float = 0.25,
    flips: bool = False,
    scales: Sequence[float] = (1.0,),
    page: Page = 0,
    bands: Sequence[int] | None = None,
    nodata: float | None = None,
    palette: Any = None,
    progress: Callable[[int, int], Any] | None = None,
) -> None:
    """Predict the class of each pixel of an image file of any size.

    The scene is read, predicted and written by rows of tiles, so neither it nor its
    mask has to fit into memory. The mask is a tiled TIFF of ids, compressed without
    loss (deflate), with the colours of the classes, and with the coordinates of the
    scene if this is a GeoTIFF. Pixels without data are 255.

    Args:
        model: A model from images to logits or probabilities, of 2 to 255 classes. Or
            the path of what `export` wrote: a SavedModel, an ONNX or a LiteRT file.
        path: A TIFF, of any kind that `data.folder` reads; a tiled one is read fastest.
            BMP, GIF, WebP and JPEG 2000 files are decoded as a whole.
        out: File to write, `.tif`. It has this name when it is whole.
        tile: Height and width of the tiles, pixels or (height, width).
        overlap: Fraction by which neighbouring tiles overlap, 0 or more, below 1. They
            are blended there.
        flips: Whether to average with the prediction for the mirror image.
        scales: Factors that tiles are resized by; predictions are averaged.
        page: Which page of a TIFF, from 0, or "all" for all pages as channels.
        bands: Bands (channels of a file) to take, numbered from 0, in the order that
            the model was trained on; None for all.
        nodata: The value of pixels without data, as of `data.Source`. None takes the
            one of the file's tag GDAL_NODATA, if any.
        palette: Colours of the classes in 0..255, `[num_classes, 3]`; None for VOC's.
        progress: Called with the rows that are done, and all rows.

    Raises:
        FileNotFoundError: if there is no such file.
        ImportError: if tifffile and imagecodecs aren't installed.
        ValueError: naming the file, if it can't be read or has other channels or
            another range than the model takes; for a model of one class or of more than
            255, or an option out of range.
        MemoryError: if a tile doesn't fit into memory.

    Example:
        keras_seg.predict_scene(model, "scene.tif", "mask.tif", palette=source.palette)
    """
    tifffile = package("tifffile", "tiff")
    package("imagecodecs", "tiff")
    path, out = Path(path), Path(out)
    if tile is None:
        raise ValueError("Expected `tile` to be pixels. Received: None")
    passes = check_passes(tile, overlap, flips, scales)
    net = as_net(model)
    if not 2 <= net.num_classes <= 255:
        raise ValueError(
            "Expected a model of 2 to 255 classes. Received: "
            f"{net.num_classes} output channels"
        )
    check_tile(net, passes)
    if not is_tiff(out):
        raise ValueError(f"Expected `out` to end in .tif. Received: {out}")
    if out.exists() and out.samefile(path):
        raise ValueError(f"Expected `out` to be another file than {path}.")
    colors = color_table(color_map(net.num_classes) if palette is None else palette)
    scene = Scene(path, net, page=page, bands=bands, nodata=nodata)
    _, height, width, _ = scene.shape
    with written_aside(out) as aside:
        tifffile.imwrite(
            aside,
            _tiles(_rows(net, scene, passes, progress), width),
            shape=(height, width),
            dtype=np.uint8,
            bigtiff=height * width > _BIG,
            tile=(_TILE, _TILE),
            compression="zlib",
            photometric="palette",
            colormap=colors.T.astype(np.uint16) * 257,
            extratags=[*scene.tags, (_NODATA, 2, None, str(IGNORE).encode(), True)],
            metadata=None,
            software=False,
            buffersize=_TILE * width,  # or it would collect 256 MB before it writes
        )


def _rows(
    net: Net,
    scene: Scene,
    passes: Passes,
    progress: Callable[[int, int], Any] | None,
) -> Iterator[np.ndarray]:
    """Ids of the rows that each row of tiles finishes, uint8 `[rows, width]`."""
    _, height, width, _ = scene.shape
    ids = np.zeros((0, width), np.uint8)
    for block in blocks(net, scene, passes):  # type: ignore[arg-type] # array enough
        _, rows, columns, _ = block.scores.shape
        if not block.left:
            ids = np.empty((rows, width), np.uint8)
        right = block.left + columns
        ids[:, block.left : right] = block.scores[0].argmax(-1)
        if right == width:
            ids[scene.missing(block.top, block.top + rows)] = IGNORE
            if progress is not None:
                progress(block.top + rows, height)
            yield ids


def _tiles(rows: Iterator[np.ndarray], width: int) -> Iterator[np.ndarray]:
    """Cut rows that come one after the other into tiles of a file, row by row."""
    kept = np.zeros((0, width), np.uint8)
    for more in rows:
        kept = np.concatenate([kept, more])
        while len(kept) >= _TILE:
            yield from _row_of_tiles(kept[:_TILE])
            kept = kept[_TILE:]
    if len(kept):
        yield from _row_of_tiles(kept)


def _row_of_tiles(rows: np.ndarray) -> Iterator[np.ndarray]:
    for left in range(0, rows.shape[1], _TILE):
        part = rows[:, left : left + _TILE]
        tile = np.full((_TILE, _TILE), IGNORE, np.uint8)
        tile[: part.shape[0], : part.shape[1]] = part
        yield tile
