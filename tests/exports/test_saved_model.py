import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_seg import export, fcn16s, predict, predict_mask, unet
from keras_seg.exports import saved_model

CLASSES = 3
NAMES = ["ground", "cat", "dog"]


def tiny(**arguments):
    keras.utils.set_random_seed(0)
    return unet(CLASSES, widths=(4, 8), **arguments)


def image(*size, batch=2, channels=3):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (batch, *size, channels), np.uint8)


def serve(loaded, images):
    """Mask and probabilities that a SavedModel gives."""
    images = tf.constant(images)
    mask = loaded.signatures["serving_default"](image=images)["mask"]
    probabilities = loaded.signatures["probabilities"](image=images)["probabilities"]
    return mask.numpy(), probabilities.numpy()


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


SERVE = """
import pathlib, sys
sys.modules["keras_seg"] = sys.modules["keras"] = None  # to import them is an error
import json, numpy as np, tensorflow as tf

folder = pathlib.Path(sys.argv[1])
loaded = tf.saved_model.load(str(folder / "served"))
for path in folder.glob("images*.npy"):
    images = tf.constant(np.load(path))
    for name, function in loaded.signatures.items():
        np.savez(folder / f"{name}_{path.stem}.npz", **function(image=images))
specs = {
    name: {
        key: [spec.dtype.name, spec.shape.as_list()]
        for key, spec in (
            function.structured_input_signature[1] | function.structured_outputs
        ).items()
    }
    for name, function in loaded.signatures.items()
}
assert not [name for name in sys.modules if name.startswith(("keras.", "keras_seg."))]
print("SPECS", json.dumps(specs))
"""


def test_an_export_needs_tensorflow_only(tmp_path):
    model = tiny()
    export(model, tmp_path / "served")
    for size in ((33, 47), (64, 32)):
        np.save(tmp_path / f"images_{size[0]}.npy", image(*size))
    done = subprocess.run(
        [sys.executable, "-c", SERVE, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    free = [None, None, None]
    assert json.loads(done.stdout.split("SPECS")[1]) == {
        "serving_default": {"image": ["uint8", [*free, 3]], "mask": ["uint8", free]},
        "probabilities": {
            "image": ["uint8", [*free, 3]],
            "probabilities": ["float32", [*free, CLASSES]],
        },
    }
    for size in ((33, 47), (64, 32)):
        (mask,) = np.load(tmp_path / f"serving_default_images_{size[0]}.npz").values()
        (given,) = np.load(tmp_path / f"probabilities_images_{size[0]}.npz").values()
        expected = np.stack([predict(model, one) for one in image(*size)])
        np.testing.assert_allclose(given, expected, atol=1e-5)
        np.testing.assert_array_equal(mask, expected.argmax(-1))
        assert len(np.unique(mask)) > 1


@pytest.mark.parametrize(
    ("shape", "sizes"),
    [
        ((32, 48, 3), [(32, 48)]),
        ((None, 48, 1), [(32, 48), (17, 48)]),
        ((None, None, 5), [(1, 1), (17, 31)]),
    ],
)
def test_fixed_sizes_and_other_channels_are_served(tmp_path, shape, sizes):
    model = tiny(input_shape=shape)
    export(model, tmp_path / "served")
    loaded = tf.saved_model.load(str(tmp_path / "served"))
    signature = loaded.signatures["serving_default"].structured_input_signature[1]
    assert signature["image"].shape.as_list() == [None, *shape]
    for size in sizes:
        images = image(*size, channels=shape[-1])
        mask, probabilities = serve(loaded, images)
        assert (mask.dtype, probabilities.dtype) == (np.uint8, np.float32)
        for k in range(2):
            np.testing.assert_array_equal(mask[k], predict_mask(model, images[k]))
            expected = predict(model, images[k])
            np.testing.assert_allclose(probabilities[k], expected, atol=1e-5)


def test_a_model_that_ends_in_a_softmax_gets_no_second_one(tmp_path):
    model = tiny(activation="softmax")
    export(model, tmp_path / "served")
    loaded = tf.saved_model.load(str(tmp_path / "served"))
    _, probabilities = serve(loaded, image(17, 31))
    np.testing.assert_allclose(probabilities, model(image(17, 31)), atol=1e-5)


def test_an_fcn_is_served(tmp_path):
    model = fcn16s(CLASSES, head_width=2)
    model.get_layer("score_fr").bias.assign([0.0, 3.0, 1.0])
    export(model, tmp_path / "served")
    loaded = tf.saved_model.load(str(tmp_path / "served"))
    _, probabilities = serve(loaded, image(17, 31))
    expected = keras.ops.softmax(model(image(17, 31)))
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)


def test_a_half_precision_model_is_served(tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")  # and conftest.py resets it
    model = tiny()
    export(model, tmp_path / "served")
    loaded = tf.saved_model.load(str(tmp_path / "served"))
    _, probabilities = serve(loaded, image(17, 31))
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(
        probabilities, keras.ops.softmax(model(image(17, 31))), atol=0.05
    )


def test_class_names_are_kept_beside_the_graph(tmp_path):
    export(tiny(), tmp_path / "new" / "served", class_names=NAMES)
    text = tmp_path / "new" / "served" / "assets.extra" / "class_names.txt"
    assert text.read_text().splitlines() == NAMES
    assert names_in(tmp_path / "new") == ["served"]


def occupy(path, occupied_by):
    if occupied_by == "folder":
        path.mkdir()
        (path / "old").write_text("old")
    elif occupied_by == "file":
        path.write_text("old")
    else:
        path.with_name("elsewhere").mkdir()
        (path.with_name("elsewhere") / "old").write_text("old")
        path.symlink_to(path.with_name("elsewhere"))


every_occupant = pytest.mark.parametrize("occupied_by", ["folder", "file", "link"])


@every_occupant
def test_what_is_there_is_not_replaced_unless_told(tmp_path, occupied_by):
    path = tmp_path / "served"
    occupy(path, occupied_by)
    before = names_in(tmp_path)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        export(tiny(), path)
    assert names_in(tmp_path) == before
    assert (path if occupied_by == "file" else path / "old").read_text() == "old"


@every_occupant
def test_what_is_there_is_replaced_when_told(tmp_path, monkeypatch, occupied_by):
    # Which files are written doesn't matter here, and to write a graph takes seconds.
    monkeypatch.setattr(
        saved_model, "_write_saved_model", lambda model, folder, _: folder.mkdir()
    )
    monkeypatch.setattr(saved_model, "_compare", lambda *_: None)
    path = tmp_path / "served"
    occupy(path, occupied_by)
    before = names_in(tmp_path)
    export(tiny(), path, class_names=NAMES, overwrite=True)
    assert names_in(path) == ["assets.extra"]
    assert names_in(tmp_path) == before


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("fails", ["_write_saved_model", "_compare"])
def test_a_failed_export_leaves_nothing_new(tmp_path, monkeypatch, fails, overwrite):
    path = tmp_path / "served"
    if overwrite:
        occupy(path, "folder")
    before = names_in(tmp_path)

    def fail(model, folder, examples):
        folder.mkdir(exist_ok=True)
        (folder / "half").write_text("half")
        raise OSError("No space left on device")

    monkeypatch.setattr(saved_model, fails, fail)
    with pytest.raises(OSError, match="No space"):
        export(tiny(), path, overwrite=overwrite)
    assert names_in(tmp_path) == before
    assert not overwrite or names_in(path) == ["old"]


def test_an_export_that_differs_from_the_model_is_an_error(tmp_path, monkeypatch):
    write = saved_model._write_saved_model
    other = tiny()
    other.get_layer("score").bias.assign([0.0, 0.0, 0.1])
    monkeypatch.setattr(
        saved_model, "_write_saved_model", lambda model, *rest: write(other, *rest)
    )
    with pytest.raises(RuntimeError, match="differs from the model at 64 x 96"):
        export(tiny(), tmp_path / "served")
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"format": "onnx2"}, r"Expected `format`.*Received: 'onnx2'"),
        ({"class_names": NAMES[:2]}, r"Expected 3 `class_names`.*Received: 2"),
        ({"class_names": [*NAMES, "cow"]}, r"Expected 3 `class_names`.*Received: 4"),
    ],
)
def test_bad_arguments_raise_and_write_nothing(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        export(tiny(), tmp_path / "served", **arguments)
    assert names_in(tmp_path) == []


def test_masks_of_more_than_255_classes_raise(tmp_path):
    with pytest.raises(ValueError, match=r"at most 255 classes.*256"):
        export(unet(256, widths=(2, 2)), tmp_path / "served")


def test_a_model_that_gives_nan_is_not_exported(tmp_path):
    model = tiny()
    model.get_layer("score").bias.assign([0.0, np.nan, 0.0])
    with pytest.raises(ValueError, match="finite outputs"):
        export(model, tmp_path / "served")
    assert names_in(tmp_path) == []


def test_an_export_that_gives_nan_differs_from_the_model(tmp_path, monkeypatch):
    write = saved_model._write_saved_model
    other = tiny()
    other.get_layer("score").bias.assign([0.0, np.nan, 0.0])
    monkeypatch.setattr(
        saved_model, "_write_saved_model", lambda model, *rest: write(other, *rest)
    )
    with pytest.raises(RuntimeError, match="differs from the model"):
        export(tiny(), tmp_path / "served")


def test_an_unpadded_unet_is_served(tmp_path):
    model = unet(CLASSES, widths=(2, 2, 2, 2, 2), padding="valid")
    export(model, tmp_path / "served")
    loaded = tf.saved_model.load(str(tmp_path / "served"))
    mask, probabilities = serve(loaded, image(188, 204))
    assert mask.shape == (2, 4, 20)
    expected = keras.ops.softmax(model(image(188, 204)))
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)


def test_a_model_that_takes_no_size_tried_is_an_error(tmp_path):
    given = keras.Input((None, None, 3))
    model = keras.Model(given, keras.layers.Reshape((7, 7, 3))(given))
    with pytest.raises(ValueError, match=r"takes images of one of the sizes 64 x 96"):
        export(model, tmp_path / "served")


def test_half_precision_is_seen_in_a_loaded_model_and_its_softmax_served(tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    inner = tiny()
    half = keras.layers.Softmax(dtype="mixed_bfloat16")(inner.output)
    keras.Model(inner.input, half).save(tmp_path / "half.keras")
    keras.config.set_dtype_policy("float32")
    model = keras.models.load_model(tmp_path / "half.keras")
    assert saved_model._is_half(model)
    assert not saved_model._is_half(tiny())
    export(model, tmp_path / "served")
    loaded = tf.saved_model.load(str(tmp_path / "served"))
    _, probabilities = serve(loaded, image(17, 31))
    assert probabilities.dtype == np.float32
