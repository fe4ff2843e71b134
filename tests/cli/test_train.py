"""`keras-seg train`, driven as a user drives it."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import keras_seg
from keras_seg.cli import main

TINY = ["--widths", "4,8", "--size", "32", "--batch-size", "2", "--epochs", "1"]


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
    ours, theirs = os.openpty()  # progress within an epoch is for terminals only
    process = subprocess.Popen(
        [*command, "--steps-per-epoch", "100000"],
        stdout=theirs,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background jobs ignore Ctrl-C, and so would what they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        # The first step has run when the progress bar shows a loss.
        seen = ""
        deadline = time.monotonic() + 120
        while "loss:" not in seen and time.monotonic() < deadline:
            seen += os.read(ours, 4096).decode(errors="replace")
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Interrupted" in rest
    assert "Traceback" not in rest
    model = keras.models.load_model(out / "model.keras")
    assert model.name == "unet"
    assert not re.findall(r"writing", " ".join(os.listdir(out)))
