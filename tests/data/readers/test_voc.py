import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scipy.io import savemat

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
    with pytest.raises(FileNotFoundError, match=r"val\.txt.*splits train\."):
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


AUGMENT = data.standard_augmentation()


def save_mat(path, ids):
    """A mask as SBD's authors store it."""
    present = np.unique(ids[ids > 0])[:, None]
    fields = {"Boundaries": 0, "Segmentation": ids, "CategoriesPresent": present}
    savemat(path, {"GTcls": fields}, do_compression=True)


@pytest.fixture
def sbd_tree(voc_tree, tmp_path):
    """A tree whose train_aug.txt has masks of all three kinds, and those masks.

    `stem0x` and `stem3x` are VOC's own, `stem1x` is in SegmentationClassAug, `stem2x`
    in a .mat file. SegmentationClassAug has `stem3x` too, without its border.
    """
    root = voc_tree([(20, 30), (20, 30), (12, 9), (20, 30)])
    masks = {}
    for stem in ("stem0x", "stem1x", "stem2x", "stem3x"):
        with Image.open(root / f"SegmentationClass/{stem}.png") as image:
            masks[stem] = np.asarray(image).copy()
    for folder in ("SegmentationClassAug", "cls"):
        (root / folder).mkdir()
    for stem in ("stem1x", "stem3x"):
        bare = np.where(masks[stem] == 255, 0, masks[stem])
        save_label(root / f"SegmentationClassAug/{stem}.png", bare)
    masks["stem1x"][masks["stem1x"] == 255] = 0
    masks["stem2x"][masks["stem2x"] == 255] = 0
    save_mat(root / "cls/stem2x.mat", masks["stem2x"])
    for stem in ("stem1x", "stem2x"):
        (root / f"SegmentationClass/{stem}.png").unlink()
    write_split(root, "train_aug", ["stem3x", "stem2x", "stem1x", "stem0x", "stem2x"])
    write_split(root, "val", ["stem9x"])
    return root, masks


def save_label(path, mask):
    image = Image.fromarray(mask)
    image.putpalette(bytes(768))
    image.save(path)


def write_split(root, split, stems):
    path = root / f"ImageSets/Segmentation/{split}.txt"
    path.write_text("".join(f"{stem}\n" for stem in stems))


def test_masks_of_train_aug_are_vocs_where_it_has_them_else_sbds(sbd_tree):
    root, masks = sbd_tree
    source = data.voc(root, "train_aug", sbd=root / "cls")
    names = ["stem3x", "stem2x", "stem1x", "stem0x", "stem2x"]
    assert list(source.names) == names
    for name, (image, mask) in zip(names, source, strict=True):
        assert mask.dtype == np.int32
        np.testing.assert_array_equal(mask, masks[name], err_msg=name)
        with Image.open(root / f"JPEGImages/{name}.jpg") as expected:
            np.testing.assert_array_equal(image, np.asarray(expected))
    assert 255 in masks["stem3x"]  # the border, which SegmentationClassAug hasn't
    for name, (_, mask) in zip(names, source.batches(1), strict=True):
        height, width = masks[name].shape
        np.testing.assert_array_equal(mask[0, :height, :width], masks[name])


def test_train_aug_is_made_of_the_lists_of_voc_and_sbd(sbd_tree):
    root, _ = sbd_tree
    (root / "ImageSets/Segmentation/train_aug.txt").unlink()
    write_split(root, "train", ["stem0x"])
    write_split(root, "val", ["stem3x"])
    with pytest.raises(FileNotFoundError, match=r"train_aug.*There are"):
        data.voc(root, "train_aug")
    with pytest.raises(FileNotFoundError, match=r"train\.txt, to make the list"):
        data.voc(root, "train_aug", sbd=root / "cls")
    (root / "train.txt").write_text("stem2x\nstem0x\n")
    (root / "val.txt").write_text("stem1x\nstem3x\n")
    for sbd in (root / "cls", f"{root}/cls/"):
        source = data.voc(root, "train_aug", sbd=sbd)
        assert list(source.names) == ["stem0x", "stem1x", "stem2x"]


def test_a_list_of_pairs_of_files_is_an_error_that_says_what_to_keep(sbd_tree):
    root, _ = sbd_tree
    write_split(root, "train_aug", ["/JPEGImages/a.jpg /SegmentationClassAug/a.png"])
    with pytest.raises(ValueError, match=r"stems in .*train_aug\.txt.*keep the names"):
        data.voc(root, "train_aug", sbd=root / "cls")


def test_masks_of_mat_files_are_read_in_parts_and_augmented(sbd_tree):
    root, masks = sbd_tree
    source = data.voc(root, "train_aug", sbd=str(root / "cls"))[1:2]
    np.testing.assert_array_equal(source[0][1], masks["stem2x"])
    ((_, mask),) = source.batches(1, size=(40, 40), augment=AUGMENT)
    assert {*np.unique(mask)} <= {*np.unique(masks["stem2x"]), 255}
    assert np.unique(mask).size > 2


def test_sbds_masks_need_no_mat_files_where_pngs_are(sbd_tree):
    root, masks = sbd_tree
    write_split(root, "train_aug", ["stem1x", "stem0x"])
    source = data.voc(root, "train_aug")
    for name, (_, mask) in zip(["stem1x", "stem0x"], source, strict=True):
        np.testing.assert_array_equal(mask, masks[name])


def test_a_mask_that_is_nowhere_is_an_error_that_says_what_to_give(sbd_tree):
    root, _ = sbd_tree
    message = r"SegmentationClass/stem2x\.png.*SegmentationClassAug.*1 more.*`sbd`"
    with pytest.raises(FileNotFoundError, match=message):
        data.voc(root, "train_aug")
    (root / "cls/stem2x.mat").rename(root / "cls/other.mat")
    with pytest.raises(FileNotFoundError, match=message):
        data.voc(root, "train_aug", sbd=root / "cls")
    with pytest.raises(FileNotFoundError, match=r"Expected .*nowhere"):
        data.voc(root, "train_aug", sbd=root / "nowhere")


def test_mat_files_without_scipy_are_an_error_that_says_what_to_install(
    sbd_tree, monkeypatch
):
    root, _ = sbd_tree
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(ImportError, match=r"pip install 'keras-seg\[scipy\]'"):
        data.voc(root, "train_aug", sbd=root / "cls")


def test_a_train_aug_with_images_of_val_is_an_error_that_names_them(sbd_tree):
    root, _ = sbd_tree
    write_split(root, "val", ["stem9x", "stem1x", "stem0x"])
    message = r"train_aug\.txt.*Received: stem0x, stem1x\."
    with pytest.raises(ValueError, match=message):
        data.voc(root, "train_aug", sbd=root / "cls")
    (root / "ImageSets/Segmentation/val.txt").unlink()
    assert len(data.voc(root, "train_aug", sbd=root / "cls")) == 5


IDS = np.zeros((12, 9), np.uint8)
BAD_MATS = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("version https://git-lfs.github.com"),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-60]),
    "other contents": lambda path: savemat(path, {"masks": IDS}),
    "a label too large": lambda path: save_mat(path, IDS + np.uint8(21)),
    "a negative label": lambda path: save_mat(path, IDS.astype(np.int16) - 1),
    "fractions": lambda path: save_mat(path, IDS + 0.5),
    "three axes": lambda path: save_mat(path, np.stack([IDS, IDS])),
    "another size": lambda path: save_mat(path, IDS.T),
}


@pytest.mark.parametrize("damage", BAD_MATS.values(), ids=BAD_MATS)
def test_a_bad_mat_file_is_an_error_by_name(sbd_tree, damage):
    root, masks = sbd_tree
    save_mat(root / "cls/stem1x.mat", masks["stem1x"])
    (root / "SegmentationClassAug/stem1x.png").unlink()
    write_split(root, "train_aug", ["stem1x", "stem2x", "stem0x"])
    source = data.voc(root, "train_aug", sbd=root / "cls")
    damage(root / "cls/stem2x.mat")
    named = "stem2x.*Expected"
    with pytest.raises(ValueError, match=named) as error:
        source[1]
    assert "stem1x" not in str(error.value)
    dataset = source.masks()
    if damage is BAD_MATS["another size"]:  # than its image, which comes with it here
        dataset = source.batches(1, size=(8, 8), augment=AUGMENT)
    with pytest.raises(tf.errors.InvalidArgumentError, match=named):
        list(dataset)


def test_what_is_no_file_of_sbds_is_an_error_at_once(sbd_tree):
    root, _ = sbd_tree
    savemat(root / "cls/stem2x.mat", {"masks": IDS})
    with pytest.raises(ValueError, match=r"stem2x\.mat: Expected one of SBD's"):
        data.voc(root, "train_aug", sbd=root / "cls")


@pytest.mark.real_data
def test_every_mask_of_train_aug_equals_pillows(real_voc):
    source = data.voc(real_voc, "train_aug")
    stems = (real_voc / "ImageSets/Segmentation/train_aug.txt").read_text().split()
    assert len(source) == len(stems) == 500
    with_border = 0
    for stem, mask in zip(stems, source.masks().as_numpy_iterator(), strict=True):
        path = real_voc / f"SegmentationClass/{stem}.png"
        is_official = path.exists()
        if not is_official:
            path = real_voc / f"SegmentationClassAug/{stem}.png"
        with Image.open(path) as image:
            np.testing.assert_array_equal(mask, np.asarray(image), err_msg=stem)
        assert is_official == (255 in mask), stem
        with_border += is_official
    assert with_border == 440


def test_a_stem_that_leads_out_of_the_folders_is_an_error(voc_tree):
    root = voc_tree([(4, 5)])
    (root / "x").mkdir()
    for path in ("JPEGImages/stem0x.jpg", "SegmentationClass/stem0x.png"):
        (root / path).rename(root / "x" / path.rsplit("/", 1)[1])
    write_split(root, "train", ["../x/stem0x"])
    with pytest.raises(FileNotFoundError, match=r"\.\./x/stem0x"):
        data.voc(root)
