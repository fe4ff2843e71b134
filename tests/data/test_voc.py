import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_seg import data

SIZES = [(20, 30), (33, 17), (1, 1)]


def test_examples_come_in_the_order_of_the_split_file(voc_tree):
    source = data.voc(voc_tree([(2, 3), (4, 5), (6, 7)]))
    assert list(source.names) == ["stem2x", "stem1x", "stem0x"]
    assert [mask.shape for _, mask in source] == [(6, 7), (4, 5), (2, 3)]


def test_images_and_masks_equal_pillows(voc_tree):
    root = voc_tree(SIZES)
    source = data.voc(str(root), "train")
    assert len(source) == len(SIZES)
    for name, (image, mask) in zip(source.names, source, strict=True):
        assert (image.dtype, mask.dtype) == (np.uint8, np.int32)
        with Image.open(root / f"JPEGImages/{name}.jpg") as expected:
            np.testing.assert_array_equal(image, np.asarray(expected))
        with Image.open(root / f"SegmentationClass/{name}.png") as expected:
            np.testing.assert_array_equal(mask, np.asarray(expected))


def test_classes_and_colors_are_vocs(voc_tree):
    source = data.voc(voc_tree([(2, 2)]))
    assert source.num_classes == len(source.class_names) == 21
    # From the devkit: VOClabelcolormap(21).
    named = {"background": 0, "aeroplane": 1, "cat": 8, "person": 15, "tvmonitor": 20}
    colors = {0: (0, 0, 0), 1: (128, 0, 0), 8: (64, 0, 0), 15: (192, 128, 128)}
    colors |= {20: (0, 64, 128)}
    for name, label in named.items():
        assert source.class_names[label] == name
        assert tuple(source.palette[label]) == colors[label]


def test_a_tree_that_was_written_reads_back(tmp_path):
    shapes = data.shapes(3, size=(20, 30))
    data.write_voc(shapes, tmp_path, "mini")
    source = data.voc(tmp_path, "mini")
    assert len(source) == 3
    for (image, mask), (expected_image, expected_mask) in zip(
        source, shapes, strict=True
    ):
        np.testing.assert_array_equal(mask, expected_mask)
        # JPEG of quality 95 of a noisy image: near, not equal.
        error = np.abs(image.astype(int) - expected_image)
        assert error.mean() < 4


def test_a_written_mask_has_vocs_colors_for_pillow(tmp_path):
    mask = np.array([[0, 1, 2, 255]], np.uint8)
    image = np.zeros((1, 4, 3), np.uint8)
    data.write_voc(
        data.arrays([image], [mask], class_names=["background", "disc", "ring"]),
        tmp_path,
    )
    (path,) = (tmp_path / "SegmentationClass").iterdir()
    with Image.open(path) as written:
        colors = np.asarray(written.convert("RGB"))[0].tolist()
    assert colors == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [224, 224, 192]]


def test_writing_a_split_leaves_the_others(tmp_path):
    for seed, split in enumerate(["train", "val"]):
        data.write_voc(data.shapes(2, size=(8, 8), seed=seed), tmp_path, split)
    for seed, split in enumerate(["train", "val"]):
        expected = data.shapes(2, size=(8, 8), seed=seed)
        for (_, mask), (_, there) in zip(
            data.voc(tmp_path, split), expected, strict=True
        ):
            np.testing.assert_array_equal(mask, there)


@pytest.mark.parametrize(
    ("channels", "classes", "message"),
    [(3, 22, "at most 21 classes. Received: 22"), (4, 2, r"Expected RGB images.*4")],
)
def test_what_vocs_layout_cannot_hold_is_not_written(
    tmp_path, channels, classes, message
):
    images = np.zeros((1, 2, 2, channels), np.uint8)
    names = [f"class {label}" for label in range(classes)]
    source = data.arrays(images, np.zeros((1, 2, 2), int), class_names=names)
    with pytest.raises(ValueError, match=message):
        data.write_voc(source, tmp_path)


def test_a_missing_root_is_an_error_that_says_which_folder_to_give(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere.*holds JPEGImages"):
        data.voc(tmp_path / "nowhere")


def test_a_missing_split_is_an_error_that_lists_those_there(voc_tree):
    with pytest.raises(FileNotFoundError, match=r"split='val'.*\['train'\]"):
        data.voc(voc_tree([(2, 2)]), "val")


@pytest.mark.parametrize(
    "path", ["JPEGImages/stem1x.jpg", "SegmentationClass/stem1x.png"]
)
def test_a_missing_file_is_an_error_before_anything_is_read(voc_tree, path):
    root = voc_tree([(2, 2)] * 3)
    (root / path).unlink()
    with pytest.raises(FileNotFoundError, match=f"{path}.* 0 more"):
        data.voc(root)


@pytest.mark.parametrize("folder", ["JPEGImages", "SegmentationClass"])
def test_a_missing_folder_is_an_error_that_names_it(voc_tree, folder):
    root = voc_tree([(2, 2)])
    (root / folder).rename(root / "elsewhere")
    with pytest.raises(FileNotFoundError, match=folder):
        data.voc(root)


def test_a_split_file_without_stems_is_an_error_that_names_it(voc_tree):
    root = voc_tree([(2, 2)])
    (root / "ImageSets/Segmentation/blank.txt").write_text("\n \n")
    with pytest.raises(ValueError, match=r"blank\.txt"):
        data.voc(root, "blank")


def test_blank_lines_and_windows_line_ends_are_no_stems(voc_tree):
    root = voc_tree([(2, 2)] * 2)
    split = root / "ImageSets/Segmentation/mine.txt"
    split.write_bytes(b"stem1x\r\n\r\nstem0x\r\n")
    assert list(data.voc(root, "mine").names) == ["stem1x", "stem0x"]


def test_an_augmented_image_is_decoded_in_its_window_only(voc_tree, monkeypatch):
    windows = []
    decode = tf.image.decode_and_crop_jpeg
    monkeypatch.setattr(
        tf.image,
        "decode_and_crop_jpeg",
        lambda *a, **k: windows.append(1) or decode(*a, **k),
    )
    whole = tf.io.decode_jpeg
    monkeypatch.setattr(
        tf.io, "decode_jpeg", lambda *a, **k: windows.append("whole") or whole(*a, **k)
    )
    source = data.voc(voc_tree([(40, 50)]))
    augment = data.standard_augmentation()
    next(iter(source.batches(1, size=(16, 16), augment=augment)))
    assert windows == [1]
