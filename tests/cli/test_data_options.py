"""Options that name a data set."""

import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from keras_seg.cli import data_options, main
from keras_seg.cli.data_options import data_source
from keras_seg.cli.options import parser

TINY = ["--widths", "4,8", "--size", "32", "--batch-size", "2", "--epochs", "1"]


def read(path):
    return json.loads(path.read_text())


@pytest.mark.slow
def test_a_prepared_set_is_trained_and_validated_on_its_own_splits(
    voc_tree, tmp_path, capsys, given_to_fit
):
    prepared = tmp_path / "prepared"
    voc = ["--data", "voc", "--root", str(voc_tree)]
    assert main(["prepare", *voc, "--out", str(prepared)]) == 0
    said = capsys.readouterr().out.split("Next: keras-seg train ")[1]
    folders = [word.strip("'") for word in said.split()]
    assert folders[:2] == ["--data", "folder"]
    assert main(["inspect", *folders, "--sheet", str(tmp_path / "sheet.png")]) == 0
    assert "train: 6 examples" in capsys.readouterr().out
    seen = given_to_fit(*folders, *TINY)
    assert "6 images to train on, 5 to validate" in seen.said
    assert read(seen.out / "run.json")["class_names"][15] == "person"
    for split, images in ((), 5), (("--split", "train"), 6):
        assert main(["evaluate", str(seen.out), *split]) == 0
        assert re.search(rf"^images +{images}$", capsys.readouterr().out, re.M)


def test_names_and_colors_that_are_no_files_or_rows_say_so(tmp_path, capsys):
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        Image.new("L", (4, 4)).save(tmp_path / name / "a.png")
    folder = ["inspect", "--data", "folder", "--images", f"{tmp_path}/x"]
    folder += ["--masks", f"{tmp_path}/y"]
    assert main([*folder, "--names", "nmes.txt"]) == 1
    assert "nmes.txt, which is no file here" in capsys.readouterr().err
    (tmp_path / "colors.txt").write_text("0, 0, 0\nred\n")
    colors = ["--colors", str(tmp_path / "colors.txt")]
    assert main([*folder, "--names", "a,b", *colors]) == 1
    assert "colors.txt: Expected 'R G B'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("0,255", [0, 255]),
        ("0,1-255", [0, (*range(1, 256),)]),
        ("0,1+7,2-4+9", [0, (1, 7), (2, 3, 4, 9)]),
        ("3-3", [3]),
    ],
)
def test_ids_of_the_command_line_are_those_of_python(text, ids):
    assert data_options._ids(text) == ids


@pytest.mark.parametrize("text", ["", "0,", "0,x", "5-2", "1-", "-1", "0;1", "1--2"])
def test_ids_that_are_none_are_refused_with_an_example(text):
    with pytest.raises(ValueError, match=r"1-255 or 1\+7. Received: "):
        data_options._ids(text)


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_grey_images_and_alpha_become_rgb_where_asked_for(tmp_path, capsys, channels):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    rng = np.random.default_rng(0)
    for k in range(3):
        pixels = rng.integers(0, 256, (8, 9, channels)).astype(np.uint8).squeeze()
        Image.fromarray(pixels).save(tmp_path / f"images/{k}.png")
        mask = rng.integers(0, 2, (8, 9)).astype(np.uint8)
        Image.fromarray(mask).save(tmp_path / f"masks/{k}.png")
    words = ["--images", f"{tmp_path}/images", "--masks", f"{tmp_path}/masks"]
    words += ["--data", "folder", "--names", "a,b"]
    assert main(["inspect", *words]) == 0
    assert ("--channels 3" in capsys.readouterr().out) == (channels in (2, 4))
    assert main(["inspect", *words, "--channels", "3"]) == 0
    assert "leave it out" not in capsys.readouterr().out
    options = {"images": words[1], "masks": words[3], "data": "folder", "names": "a,b"}
    options |= dict.fromkeys(("ids", "ignore", "colors", "train_split", "val_split"))
    for asked, expected in ((None, channels), (3, 3)):
        source = data_source(options | {"channels": asked}, "train")
        assert source[0][0].shape == (8, 9, expected)


@pytest.mark.parametrize(
    ("words", "names", "ids"),
    [
        (["--binary"], ("background", "object"), [0, 1]),
        (["--binary", "--names", "land,sea"], ("land", "sea"), [0, 1]),
        (["--binary", "--ignore", "9"], ("background", "object"), [0, 1, 255]),
        (
            ["--instances", "border", "--border", "1"],
            ("background", "inside", "border"),
            [0, 1, 2],
        ),
        (["--instances", "touching"], ("background", "inside", "border"), [0, 1, 2]),
    ],
)
def test_masks_of_objects_need_no_names(tmp_path, words, names, ids):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    Image.fromarray(np.zeros((9, 20, 4), np.uint8)).save(tmp_path / "images/a.png")
    mask = np.zeros((9, 20), np.uint8)
    mask[:, 2:11], mask[:, 11:18], mask[0, 19] = 1, 255, 9
    Image.fromarray(mask).save(tmp_path / "masks/a.png")
    given = ["--images", f"{tmp_path}/images", "--masks", f"{tmp_path}/masks"]
    given += ["--data", "folder", "--bands", "3,1", *words]
    options = vars(parser().parse_args(["inspect", *given]))
    source = data_source(options, "all")
    assert source.class_names == names
    image, mask = source[0]
    assert image.shape == (9, 20, 2)
    assert np.unique(mask).tolist() == ids


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--binary"], "--binary with --data folder only"),
        (["--data", "folder", "--bands", "3,x"], "whole number.*received x"),
        (["--data", "folder", "--bands", "3,0,3"], "each once, as 3,0,1, received"),
        (["--data", "folder", "--border", "0"], "--border: expected a whole number"),
        (["--data", "folder", "--instances", "edges"], "--instances.*edges"),
    ],
)
def test_options_of_objects_and_bands_that_do_not_fit_are_told(words, said, capsys):
    try:
        status = main(["inspect", *words])
    except SystemExit as exit:
        status = exit.code
    assert status
    assert re.search(said, capsys.readouterr().err)


def folder_options(root):
    options = ["--images", str(root / "images"), "--masks", f"{root}/masks/*_mask.png"]
    options += ["--names", "land, water", "--ids", "0,255"]
    return ["--data", "folder", *options]


def test_an_own_folder_is_trained_on_and_a_fifth_held_out(
    own_folders, tmp_path, given_to_fit
):
    seen = given_to_fit(*folder_options(own_folders), *TINY)
    assert "16 images to train on, 4 to validate" in seen.said
    assert read(seen.out / "run.json")["class_names"] == ["land", "water"]
    assert seen.model.input_shape[-1] == seen.batches.element_spec[0].shape[-1] == 4
    assert main(["evaluate", str(seen.out)]) == 0
    scores = read(seen.out / "metrics.json")
    assert (scores["images"], [*scores["iou"]]) == (4, ["land", "water"])

    image = str(own_folders / "images/tile3.png")
    masks = ["--out", str(tmp_path / "masks")]
    assert main(["predict", str(seen.out), image, *masks]) == 0
    assert Image.open(tmp_path / "masks/tile3_overlay.jpg").size == (44, 36)


@pytest.mark.slow
def test_lists_say_what_an_own_folder_learns_from(
    own_folders, tmp_path, capsys, given_to_fit
):
    (tmp_path / "a.txt").write_text("tile1\ntile2\n")
    (tmp_path / "b.txt").write_text("tile3\ntile4\ntile5\n")
    (tmp_path / "names.txt").write_text("land\nwater\n")
    options = folder_options(own_folders)
    options[options.index("land, water")] = str(tmp_path / "names.txt")
    options += ["--train-split", str(tmp_path / "a.txt")]
    assert main(["train", *options, "--out", str(tmp_path / "run"), *TINY]) == 1
    error = capsys.readouterr().err
    assert "Expected --train-split and --val-split, or neither of them." in error
    options += ["--val-split", str(tmp_path / "b.txt")]
    out = given_to_fit(*options, *TINY).out
    assert main(["evaluate", str(out)]) == 0
    assert read(out / "metrics.json")["images"] == 3
    assert main(["evaluate", str(out), "--split", str(tmp_path / "a.txt")]) == 0
    assert read(out / "metrics_a.json")["images"] == 2


def save_mat(path, ids):
    """A mask as SBD's authors store it."""
    fields = {"Boundaries": 0, "Segmentation": ids, "CategoriesPresent": 0}
    savemat(path, {"GTcls": fields}, do_compression=True)


def test_masks_of_sbd_are_read_where_asked(voc_tree, tmp_path):
    root, sbd = tmp_path / "VOC2012", tmp_path / "cls"
    shutil.copytree(voc_tree, root)
    sbd.mkdir()
    (root / "SegmentationClass/train_000001.png").unlink()
    mask = np.random.default_rng(0).integers(0, 21, (40, 50), np.uint8)
    save_mat(sbd / "train_000001.mat", mask)
    stems = root / "ImageSets/Segmentation/train_aug.txt"
    stems.write_text("train_000000\ntrain_000001\n")
    options = {"data": "voc", "root": str(root), "train_split": "train_aug"}
    source = data_source(options | {"sbd": str(sbd)}, "train")
    assert list(source.names) == ["train_000000", "train_000001"]
    np.testing.assert_array_equal(source[1][1], mask)
