"""A VOC tree that is written without keras_seg."""

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def voc_tree(tmp_path):
    """Function sizes -> root of a tree with an image and a mask of each size.

    Stems are `stem0x`, `stem1x`, ..., and `train.txt` has them backwards.
    """

    def write(sizes):
        rng = np.random.default_rng(0)
        for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
            (tmp_path / folder).mkdir(parents=True)
        stems = [f"stem{index}x" for index in range(len(sizes))]
        for stem, (height, width) in zip(stems, sizes, strict=True):
            image = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
            mask = rng.choice([*range(21), 255], (height, width)).astype(np.uint8)
            Image.fromarray(image).save(tmp_path / f"JPEGImages/{stem}.jpg")
            save_palette_png(tmp_path / f"SegmentationClass/{stem}.png", mask)
        split = tmp_path / "ImageSets/Segmentation/train.txt"
        split.write_text("".join(f"{stem}\n" for stem in reversed(stems)))
        return tmp_path

    return write


def save_palette_png(path, mask):
    image = Image.fromarray(mask)
    image.putpalette(np.random.default_rng(1).bytes(768))
    image.save(path)
