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
import tensorflow as tf

from keras_seg.data.checks import naming
from keras_seg.data.decode.array_file import (
    Page,
    array_head,
    is_array_file,
    read_array,
    scene_facts,
)
from keras_seg.data.decode.bands import check_bands, require_bands
from keras_seg.data.decode.packages import package
from keras_seg.data.values import check_nodata, missing, values_of
from keras_seg.files import written_aside
from keras_seg.inference.blocks import blocks, check_tile
from keras_seg.inference.files import grey
from keras_seg.inference.nets import Net
from keras_seg.inference.opened import Model, as_net
from keras_seg.inference.passes import Passes, check_passes
from keras_seg.inference.ranges import check_range
from keras_seg.labels import IGNORE
from keras_seg.palette import color_map, color_table

# Tiles of the file that is written, and pixels of which on it is a BigTIFF, which not
# all programs read: compressed ids have less than a byte each.
_TILE, _BIG = 256, 2**32 - 2**25
_NODATA = 42113
# Pixels of images whose masks are too large for what shows PNGs.
_LARGE = 2**26


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
        overlap: Share of a tile that the next one has too, 0 or more, below 1. There
            the tiles are blended.
        flips: Whether to average with the prediction for the mirror image.
        scales: Factors that tiles are resized by; predictions are averaged.
        page: Which page of a TIFF, from 0, or "all" for all pages as channels.
        bands: Numbers of the channels to take, from 0 on and in the order that the
            model was trained on; None for all.
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
    if not _is_tiff(out):
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


def is_scene(path: str | os.PathLike) -> bool:
    """Whether a file is a TIFF that is georeferenced, or large: over 2**26 pixels.

    The masks of such files are TIFFs, which `predict_scene` writes. A file that can't
    be read isn't one.
    """
    if not _is_tiff(path):
        return False
    try:
        facts = scene_facts(path)
    except (ValueError, OSError):
        return False
    return facts.georeference is not None or facts.height * facts.width > _LARGE


def _is_tiff(path: str | os.PathLike) -> bool:
    return os.fspath(path).lower().endswith((".tif", ".tiff"))


class Scene:
    """An image file as an array `[1, height, width, channels]` for `blocks`.

    It is read by rows, and the last rows are kept: what a row of tiles needs.

    Args:
        path: The file.
        net: The model, whose channels it gets.
        page: Which page.
        bands: Numbers of the channels to take; None for all.
        nodata: Value of pixels without data; None for the file's.
    """

    def __init__(
        self,
        path: Path,
        net: Net,
        *,
        page: Page = 0,
        bands: Sequence[int] | None = None,
        nodata: float | None = None,
    ):
        if not is_array_file(path):
            raise ValueError(
                f"Expected a TIFF. Received: {path}. `predict_files` has others, and "
                "`predict_mask` arrays."
            )
        head, facts = array_head(path, page=page), scene_facts(path)
        self._by_rows = _is_tiff(path)  # others are decoded as a whole
        self._path, self._page = path, page
        self._nodata = facts.nodata if nodata is None else check_nodata(nodata)
        #: Tags of the georeference.
        self.tags = facts.tags
        if bands is not None:
            bands = check_bands(bands)
            require_bands(bands, head.channels, os.fspath(path))
        found = head.channels if bands is None else len(bands)
        wanted = net.input_shape[-1] or found
        self._bands = bands
        self._take = _channels(found, wanted, path)
        self.shape = (1, head.height, head.width, wanted)
        self._value_range = net.value_range
        self._is_checked = False
        self._first, self._kept = 0, np.zeros((0, 0, 0))  # rows that were read last
        self._missing = np.zeros((0, 0), bool)

    def __len__(self) -> int:
        return 1

    def __getitem__(self, key: Any) -> np.ndarray:
        """Pixels `images[:, rows, columns]`, of slices or of arrays of indices."""
        _, rows, columns = key
        if isinstance(rows, slice):
            kept = self._read(rows.start, rows.stop)
            return kept[None, :, columns]
        first, stop = int(rows.min()), int(rows.max()) + 1
        return self._read(first, stop)[None, rows - first, columns]

    def missing(self, first: int, stop: int) -> np.ndarray:
        """Which pixels of rows have no data, bool `[rows, width]`."""
        self._read(first, stop)
        return self._missing[first - self._first : stop - self._first]

    def _read(self, first: int, stop: int) -> np.ndarray:
        """Rows as the model takes them."""
        if not self._first <= first <= stop <= self._first + len(self._kept):
            self._kept = self._kept[:0].copy()  # before others need memory
            self._first = first if self._by_rows else 0
            last = stop if self._by_rows else self.shape[1]
            self._kept = self._pixels(self._first, last)
        return self._kept[first - self._first : stop - self._first]

    def _pixels(self, first: int, stop: int) -> np.ndarray:
        window = first, 0, stop - first, self.shape[2]
        pixels = read_array(self._path, window, page=self._page)
        pixels = pixels if self._bands is None else pixels[..., list(self._bands)]
        pixels = self._take(pixels)
        if pixels.dtype not in (np.uint8, np.uint16, np.float32):
            pixels = pixels.astype(np.float32)
        self._missing = np.zeros(pixels.shape[:2], bool)
        if self._nodata is not None:
            image = tf.convert_to_tensor(pixels)
            values = values_of(image.dtype, self._value_range, "keep")
            self._missing = missing(image, self._nodata, values).numpy()
        some = self._missing.any()
        if not self._is_checked and not self._missing.all():
            with naming(lambda: os.fspath(self._path)):
                known = pixels[~self._missing] if some else pixels
                check_range(known, self._value_range)
            self._is_checked = True
        if some:  # black, as in training
            pixels = np.array(pixels)
            pixels[self._missing] = self._value_range[0]
        return pixels


def _channels(
    found: int, wanted: int, path: Path
) -> Callable[[np.ndarray], np.ndarray]:
    """The function from a file's channels to those that a model takes."""
    if found == wanted:
        return lambda pixels: pixels
    if (found, wanted) in ((4, 3), (2, 1)):
        return lambda pixels: pixels[..., :wanted]
    if wanted == 3 and found < 3:
        return lambda pixels: np.repeat(pixels[..., :1], 3, axis=-1)
    if wanted == 1 and found in (3, 4):
        return lambda pixels: grey(tf.convert_to_tensor(pixels[..., :3])).numpy()
    raise ValueError(
        f"{path}: Expected an image of {wanted} channels, as the model was trained on. "
        f"Received: {found}"
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
