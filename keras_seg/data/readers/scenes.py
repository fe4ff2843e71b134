"""GeoTIFFs of images and masks: whether both lie at one place on the Earth."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from keras_seg.data.decode.array_file import ArrayWindow, scene_facts
from keras_seg.data.decode.numpy_op import file_op
from keras_seg.labels import FilePath

_TIFF = (b".tif", b".tiff")


def place_check(image_suffixes: list[str], mask_suffixes: list[str]) -> Callable | None:
    """Make the function that checks the places of images and masks.

    Args:
        image_suffixes: How the names of images end.
        mask_suffixes: Likewise.

    Returns:
        Function (image path, mask path) that raises a ValueError for files that are
        georeferenced, and not alike, each mask once. It returns 0, an int64 scalar to
        use: a graph leaves out what nothing uses. None where files can't be.
    """
    for suffixes in (image_suffixes, mask_suffixes):
        if not any(suffix.lower().encode().endswith(_TIFF) for suffix in suffixes):
            return None
    known: set[bytes] = set()

    def check(image: bytes, mask: bytes, _: ArrayWindow) -> np.ndarray:
        if mask not in known:
            _check_same_place(image, mask)
            known.add(mask)
        return np.array(0, np.int64)

    def checked(image: FilePath, mask: FilePath) -> tf.Tensor:
        return file_op(check, [image, mask], None, tf.int64, ())

    return checked


def _check_same_place(image: bytes, mask: bytes) -> None:
    if not (image.lower().endswith(_TIFF) and mask.lower().endswith(_TIFF)):
        return
    facts = scene_facts(image)
    one, other = facts.georeference, scene_facts(mask).georeference
    if one is None or other is None or one.agrees(other, facts.height, facts.width):
        return
    raise ValueError(
        "Expected an image and a mask of the same place. Received: the image has "
        f"{one}; the mask has {other}. Try: warp the mask to the image's grid, with "
        "the nearest neighbour, as `gdalwarp -r near` does."
    )
