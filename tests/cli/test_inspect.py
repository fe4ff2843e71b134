"""`keras-seg inspect`."""

import json
import re
import shutil

from PIL import Image

from keras_seg.cli import main

TINY = ["--widths", "4,8", "--size", "32", "--batch-size", "2", "--epochs", "1"]


def folder_options(root):
    options = ["--images", str(root / "images"), "--masks", f"{root}/masks/*_mask.png"]
    options += ["--names", "land, water", "--ids", "0,255"]
    return ["--data", "folder", *options]


def test_inspect_tells_of_a_healthy_set_and_pictures_it(voc_tree, tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    options = ["--data", "voc", "--root", str(voc_tree), "--sheet", str(sheet)]
    assert main(["inspect", *options]) == 0
    said = capsys.readouterr().out
    assert "train: 6 examples" in said
    assert "val: 5 examples" in said
    assert "Nothing that would make training go wrong." in said
    assert Image.open(sheet).size[0] > 500


def test_inspect_of_a_sick_set_goes_on_and_exits_with_1(own_folders, tmp_path, capsys):
    root = tmp_path / "own"
    shutil.copytree(own_folders, root)
    (root / "images/tile3.png").unlink()
    (root / "masks/tile4_mask.png").write_bytes(b"")
    options = [*folder_options(root), "--sheet", str(tmp_path / "sheet.png")]
    assert main(["inspect", *options]) == 1
    said = capsys.readouterr().out
    assert re.search(r"WRONG .*tile3.*has no image", said)
    assert re.search(r"WRONG .*tile4.*an empty file", said)
    assert "19 examples" in said

    assert main(["inspect", *options, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["serious"]
    wrong = {p["example"] for p in report["problems"] if p["serious"]}
    assert wrong == {"tile3", "tile4"}
    assert report["splits"]["all"]["classes"]["water"]["images"] > 0


def test_training_does_not_begin_with_what_inspect_finds_at_a_glance(
    own_folders, tmp_path, capsys
):
    options = ["--images", f"{own_folders}/images", "--names", "land,water"]
    options += ["--masks", f"{own_folders}/masks/*_mask.png", "--data", "folder"]
    assert main(["train", *options, "--out", str(tmp_path / "run"), *TINY]) == 1
    assert "ids=[0, 255]" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_an_image_in_both_lists_is_found_before_training(voc_tree, tmp_path, capsys):
    options = ["--data", "voc", "--root", str(voc_tree), "--train-split", "val"]
    assert main(["train", *options, "--out", str(tmp_path / "run"), *TINY]) == 1
    assert "says nothing" in capsys.readouterr().err
