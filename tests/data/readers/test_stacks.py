"""TIFFs whose pages are images, with those of masks."""

import numpy as np
import pytest
import tensorflow as tf

from keras_seg import data
from keras_seg.data.decode.array_file import array_head, is_array_file, read_array
from keras_seg.data.suggestions import SuggestionError

tifffile = pytest.importorskip(
    "tifffile", reason="keras-seg[tiff] isn't installed: pip install 'keras-seg[tiff]'"
)
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (12, 30, 40)).astype(np.uint8)
MASKS = RNG.integers(0, 2, (12, 30, 40)).astype(np.uint8)
NAMES = ["membrane", "cell"]


@pytest.fixture
def stack(tmp_path):
    """Paths of a TIFF of images and of one of masks."""
    paths = tmp_path / "volume.tif", tmp_path / "labels.tif"
    for path, pages in zip(paths, (IMAGES, MASKS), strict=True):
        options = {"photometric": "minisblack", "compression": "zlib"}
        tifffile.imwrite(path, pages, **options)
    return paths


def test_each_page_is_an_example(stack):
    source = data.folder(*stack, class_names=NAMES)
    assert list(source.names)[:3] == ["00", "01", "02"]
    assert len(source) == 12
    for k, (image, mask) in enumerate(source.dataset()):
        assert np.array_equal(image[..., 0], IMAGES[k])
        assert np.array_equal(mask, MASKS[k])
    batch = source[3:].batches(
        2, size=(16, 16), augment=data.standard_augmentation(flip="both")
    )
    images, masks = next(iter(batch))
    assert (images.shape, masks.shape) == ((2, 16, 16, 1), (2, 16, 16))
    (part, mask), *_ = data.tiles(source[7:], 16)
    assert np.array_equal(part[..., 0], IMAGES[7, :16, :16])
    assert np.array_equal(mask, MASKS[7, :16, :16])


def test_pages_are_picked_by_their_numbers(stack, tmp_path):
    source = data.folder(*stack, class_names=NAMES, split=["11", "3"])
    assert list(source.names) == ["11", "03"]
    assert np.array_equal(source[1][1], MASKS[3])
    (tmp_path / "val.txt").write_text("5\n\n7\n")
    source = data.folder(*stack, class_names=NAMES, split=tmp_path / "val.txt")
    assert np.array_equal(source[1][0][..., 0], IMAGES[7])
    for split in (["12"], ["-1"], ["x"], []):
        with pytest.raises(ValueError, match="pages from 0 to 11"):
            data.folder(*stack, class_names=NAMES, split=split)


def test_masks_of_0_and_255_are_two_classes_by_one_word(stack):
    tifffile.imwrite(stack[1], MASKS * 255, photometric="minisblack")
    source = data.folder(*stack, binary=True)
    assert np.array_equal(source[4][1], MASKS[4])


def test_pages_of_files_in_a_folder_are_not_passed_over(tmp_path):
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    folders = tmp_path / "images", tmp_path / "masks"
    stack, labels = (folder / "a.tif" for folder in folders)
    tifffile.imwrite(stack, IMAGES, photometric="minisblack")
    tifffile.imwrite(labels, MASKS, photometric="minisblack")
    with pytest.raises(
        SuggestionError, match=r"a\.tif: .*12 pages\. If each"
    ) as raised:
        data.folder(*folders, class_names=NAMES)
    source = data.folder(**raised.value.arguments, class_names=NAMES)
    assert len(source) == 12
    tifffile.imwrite(labels, MASKS[0], photometric="minisblack")
    with pytest.raises(SuggestionError, match="If its pages are channels") as raised:
        data.folder(*folders, class_names=NAMES)
    source = data.folder(*folders, class_names=NAMES, **raised.value.arguments)
    assert np.array_equal(source[0][0], IMAGES.transpose(1, 2, 0))
    first = data.folder(*folders, class_names=NAMES, page=0)
    assert np.array_equal(first[0][0][..., 0], IMAGES[0])


def test_another_number_of_pages_is_an_error_with_both(stack, tmp_path):
    tifffile.imwrite(stack[1], MASKS[:11], photometric="minisblack")
    with pytest.raises(
        ValueError, match=r"12 in .*volume\.tif and 11 in .*labels\.tif"
    ):
        data.folder(*stack, class_names=NAMES)
    with pytest.raises(ValueError, match="Expected `masks` to be a TIFF"):
        data.folder(stack[0], tmp_path, class_names=NAMES)


def test_a_page_that_is_wrong_is_named_by_its_number(stack):
    masks = MASKS.copy()
    masks[7, 3, 4] = 9
    tifffile.imwrite(stack[1], masks, photometric="minisblack")
    source = data.folder(*stack, class_names=NAMES)
    with pytest.raises(ValueError, match=r"labels\.tif#07: .*Received: 9"):
        source[7]
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"labels\.tif#07: .*9"):
        list(source.dataset())


def test_a_page_has_an_address_of_its_own(stack):
    path = f"{stack[0]}#05"
    assert is_array_file(path)
    assert not is_array_file(f"{stack[0]}#")
    assert np.array_equal(read_array(path, (1, 2, 9, 8))[..., 0], IMAGES[5, 1:10, 2:10])
    assert array_head(path).pages == 12
    with pytest.raises(
        ValueError, match=r"volume\.tif#12: Expected `page` to be below"
    ):
        read_array(f"{stack[0]}#12")
