"""`keras-seg export`."""

import json
import shutil
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import keras_seg
from keras_seg.cli import export, main


def test_an_export_has_what_the_model_says_and_replaces_only_with_overwrite(
    run, tmp_path, capsys
):
    out = tmp_path / "served"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    assert main(["export", str(run), "--out", str(out)]) == 1
    error = capsys.readouterr().err
    assert "Choose another --out, or add --overwrite." in error
    assert "overwrite=True" not in error
    assert (out / "notes.txt").read_text() == "mine"
    copy = shutil.copytree(run, tmp_path / "run")
    described = json.loads((copy / "run.json").read_text())
    described["palette"][1] = [1, 2, 3]  # not VOC's
    (copy / "run.json").write_text(json.dumps(described))
    assert main(["export", str(copy), "--out", str(out), "--overwrite"]) == 0
    assert not (out / "notes.txt").exists()

    loaded = tf.saved_model.load(str(out))
    image = np.random.default_rng(0).integers(0, 256, (1, 19, 23, 3), np.uint8)
    mask = loaded.signatures["serving_default"](image=tf.constant(image))["mask"]
    model = keras.models.load_model(run / "model.keras")
    assert np.array_equal(mask[0], keras_seg.predict_mask(model, image[0]))
    names = out / "assets.extra/class_names.txt"
    assert names.read_text().splitlines()[:2] == ["background", "aeroplane"]
    about = json.loads((out / "assets.extra/keras_seg.json").read_text())
    assert about["palette"] == described["palette"]


def test_a_file_needs_the_ending_of_its_format(run, tmp_path, capsys):
    words = ["export", str(run), "--format", "onnx", "--out", str(tmp_path / "net")]
    assert main(words) == 1
    error = capsys.readouterr().err
    assert "ends in .onnx" in error
    assert f"Try: {tmp_path / 'net.onnx'}" in error
    words = ["export", str(run), "--quantize", "int8", "--out", str(tmp_path / "net")]
    assert main([*words, "--calibration", "1"]) == 1
    error = capsys.readouterr().err
    assert "--format onnx or --format litert with --quantize int8" in error
    assert "Received: --format saved_model" in error
    assert main(["export", str(run), "--out", str(tmp_path / "net.onnx")]) == 1
    error = capsys.readouterr().err
    assert "the name of a folder as --out with --format saved_model" in error
    assert "Try: --format onnx" in error
    assert not list(tmp_path.iterdir())


def test_what_an_export_cannot_be_is_told_before_the_model_is_loaded(
    run, tmp_path, capsys, monkeypatch
):
    loaded = []
    monkeypatch.setattr(export, "load_model", loaded.append)
    monkeypatch.setattr(export, "data_source", loaded.append)
    (tmp_path / "file").write_text("mine")
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    for words, said in (
        ("--quantize int8 --out {}/a", "--format onnx or --format litert"),
        ("--format litert --out {}/a.onnx", "Try: {}/a.tflite"),
        ("--out {}/file", "Expected nothing at {}/file. Choose another --out"),
        ("--out {}/file/a", "{}/file is a file. Choose another --out."),
        ("--format onnx --out {}/a.onnx", "pip install 'keras-seg[onnx]'"),
    ):
        assert main(["export", str(run), *words.format(tmp_path).split()]) == 1
        assert said.format(tmp_path) in capsys.readouterr().err
    assert loaded == []


def test_int8_says_which_images_it_misses(run, tmp_path, capsys):
    words = ["--format", "onnx", "--quantize", "int8", "--root", str(tmp_path)]
    out = str(tmp_path / "net.onnx")
    assert main(["export", str(run), *words, "--out", out]) == 1
    error = capsys.readouterr().err
    assert "Expected the run's training images, on which --quantize int8 mea" in error
    assert f"the folder {tmp_path}/ImageSets" in error


@pytest.mark.slow  # conversion and calibration
@pytest.mark.parametrize(
    "words",
    [
        "--out {}/served",
        "--format onnx --out {}/a.onnx",
        "--format onnx --quantize int8 --calibration 2 --out {}/a.onnx",
        "--format litert --out {}/a.tflite",
        "--format litert --quantize int8 --calibration 2 --out {}/a.tflite",
    ],
)
def test_no_converter_writes_into_the_json(run, tmp_path, capfd, words):
    words = words.format(tmp_path).split()
    assert main(["export", str(run), "--json", *words]) == 0
    assert json.loads(capfd.readouterr().out)["export"] == words[-1]


def test_ranges_are_measured_on_images_from_all_over_the_training_split(
    run, voc_tree, tmp_path, monkeypatch, capsys
):
    seen = {}
    monkeypatch.setattr(keras_seg, "export", lambda *_, **given: seen.update(given))
    words = ["export", str(run), "--format", "onnx", "--out", str(tmp_path / "n.onnx")]
    assert main([*words, "--size", "32,48"]) == 0
    assert (seen["examples"], seen["quantize"], seen["size"]) == (None, None, (32, 48))
    assert "Measuring" not in capsys.readouterr().out
    assert main([*words, "--quantize", "int8", "--calibration", "3"]) == 0
    assert capsys.readouterr().out.startswith("Measuring on 3 training images\n")
    assert (seen["format"], seen["quantize"]) == ("onnx", "int8")
    source = keras_seg.data.voc(voc_tree, "train")
    for k, example in zip((0, 2, 5), seen["examples"], strict=True):  # of six
        np.testing.assert_array_equal(example, source[k][0])


@pytest.mark.slow  # conversion and calibration
def test_an_int8_file_is_calibrated_scored_and_predicts(run, tmp_path, capsys):
    out = tmp_path / "net.onnx"
    words = ["--format", "onnx", "--quantize", "int8", "--calibration", "3"]
    assert main(["export", str(run), "--out", str(out), *words]) == 0
    said = capsys.readouterr().out
    assert f"Wrote {out}: " in said
    assert "the model's class at" in said
    root = json.loads((run / "run.json").read_text())["root"]
    source = keras_seg.data.voc(root, "train")
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    assert main(["evaluate", str(copy), "--export", str(out)]) == 0
    scores = json.loads((copy / "metrics_net.onnx.json").read_text())
    expected = keras_seg.evaluate(out, keras_seg.data.voc(root, "val"))
    assert scores["confusion_matrix"] == expected.confusion_matrix.tolist()

    keras.utils.save_img(tmp_path / "a.png", source[0][0], scale=False)
    words = [str(tmp_path / "a.png"), "--out", str(tmp_path / "masks")]
    assert main(["predict", str(copy), *words, "--export", str(out)]) == 0
    with Image.open(tmp_path / "masks/a.png") as mask:
        assert np.array_equal(mask, keras_seg.predict_mask(out, source[0][0]))


@pytest.mark.slow  # conversion
def test_a_size_may_be_fixed(run, tmp_path, capsys):
    out = tmp_path / "net.tflite"
    words = ["--format", "litert", "--size", "32,48"]
    assert main(["export", str(run), "--out", str(out), *words]) == 0
    assert "for images of 32 x 48" in capsys.readouterr().out
