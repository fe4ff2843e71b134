"""Colours of ids, and masks as files."""

import numpy as np
import pytest
from PIL import Image

from keras_seg.palette import color_table
from keras_seg.visualize import colorize, save_mask

PALETTE = np.array([(0, 0, 0), (200, 10, 30), (7, 250, 90)], "uint8")
CREAM = (224, 224, 192)  # of ignored pixels, in VOC
RNG = np.random.default_rng(0)
MASK = RNG.choice([0, 1, 2, 255], (9, 13))


def colors_of(mask):
    known = PALETTE[np.where(mask == 255, 0, mask)]
    return np.where(mask[..., None] == 255, CREAM, known)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_each_id_gets_its_color_and_ignored_pixels_are_cream(dtype):
    colored = colorize(MASK.astype(dtype), PALETTE)
    assert colored.dtype == np.uint8
    np.testing.assert_array_equal(colored, colors_of(MASK))


def test_palettes_of_255_colors_are_fine():
    palette = RNG.integers(0, 256, (255, 3))
    mask = np.arange(255).reshape(15, 17)
    np.testing.assert_array_equal(colorize(mask, palette), palette[mask])


@pytest.mark.parametrize("stray", [3, 254, -1, 256])
def test_an_id_without_a_color_raises_and_is_named(stray, tmp_path):
    mask = MASK.astype("int32")
    mask[0, 0] = stray
    said = rf"Expected ids 0\.\.2 or 255.*\[{stray}\]"
    with pytest.raises(ValueError, match=said):
        colorize(mask, PALETTE)
    with pytest.raises(ValueError, match=said):
        save_mask(tmp_path / "mask.png", mask, PALETTE)
    assert not (tmp_path / "mask.png").exists()


@pytest.mark.parametrize("mask", [np.zeros((2, 3, 1), int), np.zeros((2, 3))])
def test_what_is_no_mask_of_integers_raises(mask):
    with pytest.raises(ValueError, match="Expected a mask of integers"):
        colorize(mask, PALETTE)


@pytest.mark.parametrize("dtype", ["uint8", "int64"])
def test_a_saved_mask_has_its_ids_and_colors_for_pillow(dtype, tmp_path):
    save_mask(tmp_path / "mask.PNG", MASK.astype(dtype), PALETTE.tolist())
    with Image.open(tmp_path / "mask.PNG") as image:
        assert image.format == "PNG"
        np.testing.assert_array_equal(np.asarray(image), MASK)
        shown = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(shown, colors_of(MASK))


def test_a_mask_is_not_saved_as_what_would_change_its_ids(tmp_path):
    with pytest.raises(ValueError, match=r"ends in \.png.*mask\.jpg"):
        save_mask(tmp_path / "mask.jpg", MASK, PALETTE)


def test_ids_beyond_a_palette_have_colors_of_their_own():
    table = color_table(PALETTE)
    assert table.shape == (256, 3)
    np.testing.assert_array_equal(table[:3], PALETTE)
    assert tuple(table[255]) == CREAM
    # VOC's person, as the set's own palette has it.
    assert table[15].tolist() == [192, 128, 128]
