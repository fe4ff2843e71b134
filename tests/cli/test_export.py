"""`keras-seg export`."""

import keras
import numpy as np
import tensorflow as tf

import keras_seg
from keras_seg.cli import main


def test_export_writes_what_the_model_says(run, tmp_path):
    assert main(["export", str(run), "--out", str(tmp_path / "served")]) == 0
    loaded = tf.saved_model.load(str(tmp_path / "served"))
    image = np.random.default_rng(0).integers(0, 256, (1, 19, 23, 3), np.uint8)
    mask = loaded.signatures["serving_default"](image=tf.constant(image))["mask"]
    model = keras.models.load_model(run / "model.keras")
    assert np.array_equal(mask[0], keras_seg.predict_mask(model, image[0]))
    names = tmp_path / "served/assets.extra/class_names.txt"
    assert names.read_text().splitlines()[:2] == ["background", "aeroplane"]


def test_an_export_replaces_something_only_with_overwrite(run, tmp_path, capsys):
    out = tmp_path / "served"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    assert main(["export", str(run), "--out", str(out)]) == 1
    error = capsys.readouterr().err
    assert "Choose another --out, or add --overwrite." in error
    assert "overwrite=True" not in error
    assert (out / "notes.txt").read_text() == "mine"
    assert main(["export", str(run), "--out", str(out), "--overwrite"]) == 0
    assert (out / "saved_model.pb").exists()
    assert not (out / "notes.txt").exists()
