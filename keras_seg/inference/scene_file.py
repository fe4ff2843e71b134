"""Image files that needn't fit into memory, as arrays that are read by rows."""

import os
from collections.abc import Callable, Sequence
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
from keras_seg.data.values import check_nodata, missing, values_of
from keras_seg.inference.files import grey
from keras_seg.inference.nets import Net
from keras_seg.inference.ranges import check_range

# Pixels of images whose masks are too large for what shows PNGs.
_LARGE = 2**26


def is_scene(path: str | os.PathLike) -> bool:
    """Whether a file is a TIFF that is georeferenced, or large: over 2**26 pixels.

    The masks of such files are TIFFs, which `predict_scene` writes. A file that can't
    be read isn't one.
    """
    if not is_tiff(path):
        return False
    try:
        facts = scene_facts(path)
    except (ValueError, OSError):
        return False
    return facts.georeference is not None or facts.height * facts.width > _LARGE


def is_tiff(path: str | os.PathLike) -> bool:
    """Whether a file is a TIFF by its name."""
    return os.fspath(path).lower().endswith((".tif", ".tiff"))


class Scene:
    """An image file as an array `[1, height, width, channels]` for `blocks`.

    It is read by rows, and the last rows are kept: what a row of tiles needs.

    Args:
        path: The file.
        net: The model, whose channels it gets.
        page: Which page.
        bands: Bands to take, by number; None for the model's, else for all.
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
        self._by_rows = is_tiff(path)  # others are decoded as a whole
        self._path, self._page = path, page
        self._nodata = facts.nodata if nodata is None else check_nodata(nodata)
        #: Tags of the georeference.
        self.tags = facts.tags
        bands = net.bands if bands is None else check_bands(bands)
        if bands is not None:
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
