"""The command, driven as a user drives it."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import keras_seg
from keras_seg.cli import main

TINY = ["--widths", "4,8", "--size", "32", "--batch-size", "2", "--epochs", "1"]


@pytest.fixture(scope="session")
def voc_tree(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("voc") / "VOC2012"
    keras_seg.data.write_voc(keras_seg.data.shapes(6, size=(40, 50)), root, "train")
    keras_seg.data.write_voc(
        keras_seg.data.shapes(5, size=(37, 61), seed=1), root, "val"
    )
    return root


@pytest.fixture(scope="session")
def run(voc_tree, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "voc"
    status = main(
        ["train", "--data", "voc", "--root", str(voc_tree), "--out", str(out), *TINY]
    )
    assert status == 0
    return out


def test_train_leaves_a_whole_run(run):
    assert sorted(os.listdir(run)) == [
        "curves.png",
        "history.csv",
        "metrics.json",
        "model.keras",
        "run.json",
        "samples.png",
        "saved_model",
    ]
    described = json.loads((run / "run.json").read_text())
    assert described["widths"] == [4, 8]
    assert described["seed"] == 0
    assert described["steps_per_epoch"] == 3
    assert len(described["class_names"]) == 21
    assert described["class_names"][15] == "person"
    assert described["palette"][15] == [192, 128, 128]
    assert described["versions"]["keras"] == keras.__version__
    with open(run / "history.csv") as file:
        (epoch,) = csv.DictReader(file)
    assert {"epoch", "loss", "mean_iou", "val_loss", "val_mean_iou"} <= set(epoch)
    for picture in ("curves.png", "samples.png"):
        assert Image.open(run / picture).size > (100, 100)


def test_numbers_agree_between_training_evaluate_and_predicted_files(
    run, voc_tree, tmp_path, capsys
):
    assert main(["evaluate", str(run)]) == 0
    assert "background" in capsys.readouterr().out
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["images"] == 5
    assert metrics["split"] == "val"

    with open(run / "history.csv") as file:
        (epoch,) = csv.DictReader(file)
    assert metrics["mean_iou"] == pytest.approx(float(epoch["val_mean_iou"]), abs=1e-5)

    images = sorted((voc_tree / "JPEGImages").glob("val_*.jpg"))
    assert main(["predict", str(run), *map(str, images), "--out", str(tmp_path)]) == 0
    intersection, union, ignored = np.zeros(21), np.zeros(21), 0
    for image in images:
        prediction = np.array(Image.open(tmp_path / f"{image.stem}.png"))
        truth = np.array(
            Image.open(voc_tree / "SegmentationClass" / f"{image.stem}.png")
        )
        labelled = truth != 255
        ignored += (~labelled).sum()
        for c in range(21):
            a, b = (truth == c) & labelled, (prediction == c) & labelled
            intersection[c] += (a & b).sum()
            union[c] += (a | b).sum()
    iou = intersection[union > 0] / union[union > 0]
    assert metrics["mean_iou"] == pytest.approx(iou.mean(), abs=1e-6)
    assert metrics["ignored_pixels"] == ignored
    assert metrics["iou"]["tvmonitor"] is None or union[20] > 0


def test_predict_writes_palette_masks_and_overlays_of_the_image_size(
    run, voc_tree, tmp_path
):
    image = voc_tree / "JPEGImages" / "val_000000.jpg"
    assert main(["predict", str(run), str(image), "--out", str(tmp_path)]) == 0
    mask = Image.open(tmp_path / "val_000000.png")
    assert (mask.mode, mask.size) == ("P", (61, 37))
    assert mask.getpalette()[3:6] == [128, 0, 0]
    assert Image.open(tmp_path / "val_000000_overlay.png").size == (61, 37)


def test_predict_reads_png_images(run, tmp_path):
    Image.new("RGB", (9, 5), "red").save(tmp_path / "a.png")
    out = tmp_path / "out"
    assert main(["predict", str(run), str(tmp_path / "a.png"), "--out", str(out)]) == 0
    assert Image.open(out / "a.png").size == (9, 5)


def test_export_writes_what_the_model_says(run, tmp_path):
    assert main(["export", str(run), "--out", str(tmp_path / "served")]) == 0
    loaded = tf.saved_model.load(str(tmp_path / "served"))
    image = np.random.default_rng(0).integers(0, 256, (1, 19, 23, 3), np.uint8)
    mask = loaded.signatures["serving_default"](image=tf.constant(image))["mask"]
    model = keras.models.load_model(run / "model.keras")
    assert np.array_equal(mask[0], keras_seg.predict_mask(model, image[0]))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["train", "--data", "voc"], "--root"),
        (["train", "--data", "voc", "--root", "/nowhere"], "/nowhere"),
        (["train", "--root", "."], "--root"),
        (["train", "--model", "fcn8s", "--widths", "4,8"], "--widths"),
        (["train", "--model", "fcn8s", "--encoder", "resnet50"], "--encoder"),
        (["train", "--model", "fcn8s", "--normalization", "batch"], "--normalization"),
        (["train", "--encoder", "nosuch"], "nosuch"),
        (["train", "--freeze-encoder", "--widths", "4,8"], "--encoder"),
        (["train", "--weights", "imagenet"], "encoder"),
        (["train", "--weights", "nowhere.keras"], "nowhere.keras"),
        (["train", "--widths", "4"], "widths"),
        (["train", "--model", "fcn8s", "--upsampling", "nearest"], "upsampling"),
        (["train", "--val-split", "test"], "test"),
        (["evaluate", "nowhere"], "nowhere"),
        (["export", "nowhere", "--out", "x"], "nowhere"),
        (["predict", "nowhere", "a.jpg", "--out", "x"], "nowhere"),
    ],
)
def test_bad_options_get_one_clear_line(arguments, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.count("keras-seg: error:") == 1
    assert says in error
    assert "Traceback" not in error
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--model", "unett"],
        ["train", "--data", "nosuch"],
        ["train", "--epochs", "0"],
        ["train", "--widths", "4,-8"],
        ["train", "--scale", "2,1"],
        ["train", "--scale", "1"],
        ["train", "--nosuch"],
        [],
    ],
)
def test_unknown_words_end_with_usage(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: keras-seg" in capsys.readouterr().err


@pytest.mark.parametrize("images", [["missing.jpg"], ["a/x.jpg", "b/x.jpg"]])
def test_predict_refuses_before_it_starts(run, images, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("a/x.jpg", "b/x.jpg"):
        Path(name).parent.mkdir()
        Image.new("RGB", (4, 4)).save(name)
    assert main(["predict", str(run), *images, "--out", "out"]) == 1
    assert Path(images[0]).stem in capsys.readouterr().err
    assert not Path("out").exists()


def test_a_folder_with_a_model_is_not_written_over(run, capsys):
    before = (run / "model.keras").stat().st_mtime_ns
    assert main(["train", "--out", str(run), *TINY]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert (run / "model.keras").stat().st_mtime_ns == before


def test_a_saved_model_is_not_deleted_either(tmp_path, capsys):
    (tmp_path / "saved_model").mkdir()
    (tmp_path / "saved_model/saved_model.pb").write_text("mine")
    assert main(["train", "--out", str(tmp_path), *TINY]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "saved_model/saved_model.pb").read_text() == "mine"


@pytest.mark.parametrize("names", [["a.png"], ["a.jpg", "a_overlay.jpg"]])
def test_predict_writes_over_nothing(run, names, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in names:
        Image.new("RGB", (4, 4), "red").save(name)
    assert main(["predict", str(run), *names, "--out", "."]) == 1
    assert "a_overlay.png" in (error := capsys.readouterr().err) or "a.png" in error
    assert sorted(os.listdir()) == sorted(names)


def test_a_split_to_evaluate_is_that_of_the_set(voc_tree, tmp_path, capsys):
    root = tmp_path / "VOC2012"
    shutil.copytree(voc_tree, root)
    lists = root / "ImageSets/Segmentation"
    (lists / "few.txt").write_text("train_000000\n")
    arguments = ["train", "--data", "voc", "--root", str(root), "--train-split", "few"]
    out = str(tmp_path / "run")
    assert main([*arguments, "--out", out, *TINY]) == 0
    for options, images in (
        (["--split", "train"], 6),
        (["--split", "few"], 1),
        ([], 5),
    ):
        assert main(["evaluate", out, *options]) == 0
        scores = json.loads((tmp_path / "run/metrics.json").read_text())
        assert (scores["images"], scores["split"]) == (
            images,
            options[-1] if options else "val",
        )


def test_a_prepared_set_is_trained_and_validated_on_its_own_splits(
    voc_tree, tmp_path, capsys
):
    prepared = tmp_path / "prepared"
    voc = ["--data", "voc", "--root", str(voc_tree)]
    assert main(["prepare", *voc, "--out", str(prepared)]) == 0
    said = capsys.readouterr().out.split("Read them with ")[1]
    folders = [word.strip("'") for word in said.split()]
    assert folders[:2] == ["--data", "folder"]
    assert main(["inspect", *folders, "--sheet", str(tmp_path / "sheet.png")]) == 0
    assert "train: 6 examples" in capsys.readouterr().out
    out = str(tmp_path / "run")
    assert main(["train", *folders, "--out", out, *TINY]) == 0
    assert "6 images to train on, 5 to validate" in capsys.readouterr().out
    assert main(["evaluate", out, "--split", "train"]) == 0
    assert json.loads((tmp_path / "run/metrics.json").read_text())["images"] == 6
    described = json.loads((tmp_path / "run/run.json").read_text())
    assert described["class_names"][15] == "person"


def test_names_and_colors_that_are_no_files_or_rows_say_so(tmp_path, capsys):
    folder = ["inspect", "--data", "folder", "--images", "x", "--masks", "y"]
    assert main([*folder, "--names", "nmes.txt"]) == 1
    assert "nmes.txt, which is no file here" in capsys.readouterr().err
    (tmp_path / "colors.txt").write_text("0, 0, 0\nred\n")
    colors = ["--colors", str(tmp_path / "colors.txt")]
    assert main([*folder, "--names", "a,b", *colors]) == 1
    assert "colors.txt: Expected 'R G B'" in capsys.readouterr().err


def test_help_names_no_default_that_is_none(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    said = capsys.readouterr().out
    assert "None" not in said
    assert "(default: 8)" in said


def test_training_goes_on_from_weights_of_another_run(run, voc_tree, tmp_path):
    arguments = ["train", "--data", "voc", "--root", str(voc_tree), *TINY]
    out = tmp_path / "next"
    weights = ["--weights", str(run / "model.keras"), "--learning-rate", "0"]
    assert main([*arguments, *weights, "--out", str(out)]) == 0
    first = keras.models.load_model(run / "model.keras")
    second = keras.models.load_model(out / "model.keras")
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_unet_with_an_encoder_is_trained_and_exported(voc_tree, tmp_path):
    arguments = ["train", "--data", "voc", "--root", str(voc_tree), "--size", "32"]
    arguments += ["--encoder", "MobileNet", "--widths", "4,4,4,4,4"]
    arguments += ["--freeze-encoder", "--scale", "0.3,0.5"]
    arguments += ["--epochs", "1", "--steps-per-epoch", "1", "--batch-size", "2"]
    out = tmp_path / "run"
    assert main([*arguments, "--out", str(out)]) == 0
    described = json.loads((out / "run.json").read_text())
    assert described["encoder"] == "MobileNet"
    assert described["scale"] == [0.3, 0.5]
    model = keras.models.load_model(out / "model.keras")
    assert not model.get_layer("encoder").trainable
    normalised = {layer.name for layer in model.layers if "_norm" in layer.name}
    assert len(normalised) == 10  # after each convolution of the way up
    assert (out / "saved_model" / "saved_model.pb").exists()


def test_a_unet_is_normalised_as_asked(run, voc_tree, tmp_path):
    arguments = ["train", "--data", "voc", "--root", str(voc_tree), *TINY]
    out = tmp_path / "run"
    assert main([*arguments, "--normalization", "group", "--out", str(out)]) == 0
    model = keras.models.load_model(out / "model.keras")
    kind = keras.layers.GroupNormalization
    assert isinstance(model.get_layer("down1_norm1"), kind)
    plain = keras.models.load_model(run / "model.keras")
    assert not any("_norm" in layer.name for layer in plain.layers)


def test_default_names_get_a_number(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("runs/shapes-unet").mkdir(parents=True)
    assert main(["train", "--steps-per-epoch", "1", *TINY]) == 0
    assert sorted(os.listdir("runs")) == ["shapes-unet", "shapes-unet-2"]
    assert os.listdir("runs/shapes-unet") == []


@pytest.mark.parametrize("damage", ["mask", "image"])
def test_a_bad_file_is_named_in_training(damage, tmp_path, capsys):
    root = tmp_path / "VOC2012"
    for split in ("train", "val"):
        keras_seg.data.write_voc(keras_seg.data.shapes(4, size=(32, 32)), root, split)
    if damage == "mask":
        path = root / "SegmentationClass" / "train_000002.png"
        Image.fromarray(np.full((32, 32), 77, np.uint8)).save(path)
    else:
        path = root / "JPEGImages" / "train_000002.jpg"
        path.write_bytes(path.read_bytes()[:200])
    arguments = ["train", "--data", "voc", "--root", str(root)]
    assert main([*arguments, "--out", str(tmp_path / "run"), *TINY]) == 1
    error = capsys.readouterr().err
    assert str(path) in error
    assert "Traceback" not in error
    assert not (tmp_path / "run" / "model.keras").exists()


def test_interrupted_training_leaves_a_model(tmp_path):
    out = tmp_path / "run"
    command = [sys.executable, "-m", "keras_seg", "train", "--out", str(out), *TINY]
    process = subprocess.Popen(
        [*command, "--steps-per-epoch", "100000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A shell's background jobs ignore Ctrl-C, and so would what they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        # The first step has run when the progress bar shows a loss.
        seen = ""
        deadline = time.monotonic() + 120
        while "loss:" not in seen and time.monotonic() < deadline:
            seen += os.read(process.stdout.fileno(), 4096).decode(errors="replace")
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Interrupted" in rest
    assert "Traceback" not in rest
    model = keras.models.load_model(out / "model.keras")
    assert model.name == "unet"
    assert not re.findall(r"writing", " ".join(os.listdir(out)))


@pytest.fixture(scope="session")
def own_folders(tmp_path_factory) -> Path:
    """Images of four bands and masks of 0 and 255, 20 of each."""
    root = tmp_path_factory.mktemp("own")
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    for k in range(20):
        mask = np.zeros((36, 44), np.uint8)
        mask[5 : 5 + k, 8:30] = 255
        bands = (
            rng.integers(0, 100, (36, 44, 4)).astype(np.uint8) + mask[..., None] // 2
        )
        Image.fromarray(bands, "RGBA").save(root / f"images/tile{k}.png")
        Image.fromarray(mask).save(root / f"masks/tile{k}_mask.png")
    return root


def folder_options(root):
    options = ["--images", str(root / "images"), "--masks", f"{root}/masks/*_mask.png"]
    options += ["--names", "land, water", "--ids", "0,255"]
    return ["--data", "folder", *options]


def test_an_own_folder_is_trained_on_and_a_fifth_held_out(own_folders, tmp_path):
    out = tmp_path / "run"
    assert main(["train", *folder_options(own_folders), "--out", str(out), *TINY]) == 0
    described = json.loads((out / "run.json").read_text())
    assert described["class_names"] == ["land", "water"]
    first = json.loads((out / "metrics.json").read_text())
    assert first["images"] == 4
    assert set(first["iou"]) == {"land", "water"}
    assert main(["evaluate", str(out)]) == 0
    assert json.loads((out / "metrics.json").read_text()) == first
    assert keras.models.load_model(out / "model.keras").input_shape[-1] == 4

    image = str(own_folders / "images/tile3.png")
    assert main(["predict", str(out), image, "--out", str(tmp_path / "masks")]) == 0
    assert Image.open(tmp_path / "masks/tile3_overlay.png").size == (44, 36)


def test_lists_say_what_an_own_folder_learns_from(own_folders, tmp_path, capsys):
    (tmp_path / "a.txt").write_text("tile1\ntile2\n")
    (tmp_path / "b.txt").write_text("tile3\ntile4\ntile5\n")
    (tmp_path / "names.txt").write_text("land\nwater\n")
    options = folder_options(own_folders)
    options[options.index("land, water")] = str(tmp_path / "names.txt")
    options += ["--train-split", str(tmp_path / "a.txt")]
    out = tmp_path / "run"
    assert main(["train", *options, "--out", str(out), *TINY]) == 1
    assert "--val-split" in capsys.readouterr().err
    options += ["--val-split", str(tmp_path / "b.txt")]
    assert main(["train", *options, "--out", str(out), *TINY]) == 0
    assert json.loads((out / "metrics.json").read_text())["images"] == 3
    assert main(["evaluate", str(out), "--split", str(tmp_path / "a.txt")]) == 0
    assert json.loads((out / "metrics.json").read_text())["images"] == 2


def test_coco_is_trained_on(tmp_path):
    root = tmp_path / "coco"
    (root / "annotations").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for split, year in (("train", "train2017"), ("val", "val2017")):
        (root / year).mkdir()
        names = [f"{split}{k}.jpg" for k in range(2)]
        for name in names:
            pixels = rng.integers(0, 256, (30, 40, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(root / year / name)
        content = {
            "categories": [{"id": 17, "name": "cat"}, {"id": 3, "name": "car"}],
            "images": [
                {"id": k, "file_name": name, "height": 30, "width": 40}
                for k, name in enumerate(names)
            ],
            "annotations": [
                {
                    "id": k,
                    "image_id": k,
                    "category_id": 17,
                    "iscrowd": 0,
                    "area": 200,
                    "segmentation": [[5, 5, 25, 5, 25, 15, 5, 15]],
                }
                for k in range(2)
            ],
        }
        path = root / f"annotations/instances_{year}.json"
        path.write_text(json.dumps(content))
    out = tmp_path / "run"
    options = ["--data", "coco", "--root", str(root), "--classes", "cat"]
    assert main(["train", *options, "--out", str(out), *TINY]) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    assert list(metrics["iou"]) == ["background", "cat"]
    assert metrics["images"] == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--data", "coco"], "--root"),
        (["--data", "folder", "--images", "a"], "--masks"),
        (["--data", "voc", "--root", ".", "--images", "a"], "--images"),
        (["--classes", "cat"], "--classes"),
        (
            "--data folder --images a --masks b --names x,y --ids one".split(),
            "one",
        ),
    ],
)
def test_options_of_another_data_set_are_refused(arguments, says, capsys):
    assert main(["train", *arguments]) == 1
    assert says in capsys.readouterr().err


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
