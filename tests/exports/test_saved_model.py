import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from keras_seg import export, fcn16s, predict, unet
from keras_seg.exports.comparison import compare
from keras_seg.inference.exported import SavedModelNet

CLASSES = 3
NAMES = ["ground", "cat", "dog"]


def tiny(**arguments):
    keras.utils.set_random_seed(0)
    return unet(CLASSES, widths=(4, 8), **arguments)


def pointwise(classes=CLASSES, *, shape=(None, None, 3), end=None):
    """The least model: each pixel by itself, and perhaps an own layer at its end."""
    keras.utils.set_random_seed(0)
    image = keras.Input(shape)
    x = keras.layers.Rescaling(1 / 255)(image)
    x = keras.layers.Conv2D(classes, 1, name="score")(x)
    if end is not None:
        x = keras.layers.Softmax()(end(x))
    return keras.Model(image, x)


@keras.saving.register_keras_serializable(package="test")
class InGraphs(keras.layers.Layer):
    """A layer that does something else in a graph than outside of it."""

    def __init__(self, change, **kwargs):
        super().__init__(**kwargs)
        self.change = change

    def call(self, x):
        return x if tf.executing_eagerly() else self.change(x)


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


def test_a_numbered_folder_is_what_tensorflow_serving_looks_for(tmp_path):
    # By https://www.tensorflow.org/tfx/serving/serving_basic and signature_defs: a
    # folder per version, the tag "serve", and this signature with this method.
    assert export(pointwise(), tmp_path / "seg" / "1").path == tmp_path / "seg/1"
    assert {"saved_model.pb", "variables"} <= {*names_in(tmp_path / "seg" / "1")}
    content = (tmp_path / "seg/1/saved_model.pb").read_bytes()
    (graph,) = SavedModel.FromString(content).meta_graphs
    assert [*graph.meta_info_def.tags] == ["serve"]
    signature = graph.signature_def["serving_default"]
    assert signature.method_name == "tensorflow/serving/predict"
    for ends, name, shape in (
        (signature.inputs, "image", [-1, -1, -1, 3]),
        (signature.outputs, "mask", [-1, -1, -1]),
    ):
        assert [*ends] == [name]
        assert ends[name].dtype == tf.uint8.as_datatype_enum
        assert [side.size for side in ends[name].tensor_shape.dim] == shape


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


@pytest.mark.slow
def test_an_export_needs_tensorflow_only(tmp_path):
    model = tiny()  # with a crop, an upsampling and a join
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
    model = pointwise(shape=shape)
    export(model, tmp_path / "served")
    loaded = tf.saved_model.load(str(tmp_path / "served"))
    signature = loaded.signatures["serving_default"].structured_input_signature[1]
    assert signature["image"].shape.as_list() == [None, *shape]
    for size in sizes:
        images = image(*size, channels=shape[-1])
        mask, probabilities = serve(loaded, images)
        assert (mask.dtype, probabilities.dtype) == (np.uint8, np.float32)
        expected = keras.ops.softmax(model(images))
        np.testing.assert_allclose(probabilities, expected, atol=1e-5)
        np.testing.assert_array_equal(mask, probabilities.argmax(-1))


def test_a_model_that_ends_in_a_softmax_gets_no_second_one(tmp_path):
    model = pointwise(end=keras.layers.Identity())
    export(model, tmp_path / "served")
    loaded = tf.saved_model.load(str(tmp_path / "served"))
    _, probabilities = serve(loaded, image(17, 31))
    np.testing.assert_allclose(probabilities, model(image(17, 31)), atol=1e-5)


def test_logits_that_look_like_probabilities_get_their_softmax(tmp_path):
    model = pointwise(2)
    model.get_layer("score").set_weights(
        [np.zeros((1, 1, 3, 2)), np.array([0.25, 0.75])]
    )
    export(model, tmp_path / "served")
    loaded = tf.saved_model.load(str(tmp_path / "served"))
    _, probabilities = serve(loaded, image(1, 1, batch=1))
    likely = 1 / (1 + np.exp(-0.5))
    np.testing.assert_allclose(probabilities, [[[[1 - likely, likely]]]], rtol=1e-6)


@pytest.mark.slow
def test_an_fcn_is_served(tmp_path):
    model = fcn16s(CLASSES, widths=(2, 2, 2, 2, 2), head_width=2)
    model.get_layer("score_fr").bias.assign([0.0, 3.0, 1.0])
    export(model, tmp_path / "served")
    loaded = tf.saved_model.load(str(tmp_path / "served"))
    _, probabilities = serve(loaded, image(17, 31))
    expected = keras.ops.softmax(model(image(17, 31)))
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)


@pytest.mark.slow
def test_an_unpadded_unet_is_served(tmp_path):
    model = unet(CLASSES, widths=(2, 2), padding="valid")
    export(model, tmp_path / "served")
    loaded = tf.saved_model.load(str(tmp_path / "served"))
    mask, probabilities = serve(loaded, image(24, 36))
    assert mask.shape == (2, 8, 20)
    expected = keras.ops.softmax(model(image(24, 36)))
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)


def test_half_precision_is_served_in_float32_after_loading_too(tmp_path):
    # A loaded model forgets the policy; half precision needs a wider tolerance.
    keras.config.set_dtype_policy("mixed_bfloat16")  # and conftest.py resets it
    inner = pointwise()
    half = keras.layers.Softmax(dtype="mixed_bfloat16")(inner.output)
    keras.Model(inner.input, half).save(tmp_path / "half.keras")
    keras.config.set_dtype_policy("float32")
    model = keras.models.load_model(tmp_path / "half.keras")
    export(model, tmp_path / "served")
    loaded = tf.saved_model.load(str(tmp_path / "served"))
    _, probabilities = serve(loaded, image(17, 31))
    assert probabilities.dtype == np.float32
    expected = keras.ops.cast(model(image(17, 31)), "float32")
    np.testing.assert_allclose(probabilities, expected, atol=0.05)


@pytest.mark.parametrize(
    "layer",
    [keras.layers.Dropout(0.9), keras.layers.BatchNormalization()],
    ids=["dropout", "statistics of a batch"],
)
def test_what_is_different_in_training_is_served_as_it_predicts(tmp_path, layer):
    model = pointwise(end=layer)
    export(model, tmp_path / "served")
    loaded = tf.saved_model.load(str(tmp_path / "served"))
    _, probabilities = serve(loaded, image(17, 31))
    expected = np.stack([predict(model, one) for one in image(17, 31)])
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)


# ------------------------------------------------------------------ class names


def test_class_names_are_kept_beside_the_graph(tmp_path):
    names = ["ground", "Kühe, weiß", "two words"]
    export(pointwise(), tmp_path / "new" / "served", class_names=iter(names))
    text = tmp_path / "new" / "served" / "assets.extra" / "class_names.txt"
    assert text.read_text(encoding="utf-8").splitlines() == names
    assert names_in(tmp_path / "new") == ["served"]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (NAMES[:2], "Expected 3 `class_names`.*Received: 2"),
        ([*NAMES, "cow"], "Expected 3 `class_names`.*Received: 4"),
        (["a\nb", "c", "d"], r"one line each.*Received: 'a\\nb'"),
        (["a\n", "c", "d"], "one line each"),
        (["a\u2028b", "c", "d"], "one line each"),
        (["a", "", "d"], "one line each.*Received: ''"),
        (["a", " ", "d"], "one line each.*Received: ' '"),
        ([0, 1, 2], "one line each.*Received: 0"),
        ({0: "a", 1: "b", 2: "c"}, "one line each.*Received: 0"),
        (["a", None, "d"], "one line each.*Received: None"),
        (["cow", "ground", "cow"], "differ. Received more than once: 'cow'"),
        ("abc", "Expected 3 `class_names`.*Received: 1"),
    ],
)
def test_names_that_would_not_stay_apart_are_refused(tmp_path, names, said):
    with pytest.raises(ValueError, match=said):
        export(pointwise(), tmp_path / "served", class_names=names)
    assert names_in(tmp_path) == []


# ------------------------------------------------------------------ what is at the path


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


@pytest.mark.parametrize("occupied_by", ["folder", "file", "link"])
def test_what_is_there_is_replaced_only_when_told(tmp_path, occupied_by):
    path = tmp_path / "served"
    occupy(path, occupied_by)
    before = names_in(tmp_path)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        export(pointwise(), path)
    assert names_in(tmp_path) == before
    assert (path if occupied_by == "file" else path / "old").read_text() == "old"

    export(pointwise(), path, overwrite=True)
    assert names_in(tmp_path) == before
    assert "saved_model.pb" in names_in(path)
    assert "old" not in names_in(path)
    if occupied_by == "link":
        assert names_in(path.with_name("elsewhere")) == ["old"]


# ------------------------------------------------------------------ the comparison


@pytest.mark.parametrize(
    ("change", "overwrite"),
    [
        (lambda x: x + tf.constant([0.0, 0.0, 0.1]), True),
        (lambda x: x + tf.constant([0.0, np.nan, 0.0]), False),
        (lambda x: x[:, :, ::-1], False),
    ],
    ids=["bias", "nan", "mirrored"],
)
def test_an_export_that_differs_from_the_model_leaves_nothing_new(
    tmp_path, change, overwrite
):
    path = tmp_path / "served"
    if overwrite:
        occupy(path, "folder")
    before = names_in(tmp_path)
    model = pointwise(end=InGraphs(change))
    with pytest.raises(RuntimeError, match="differs from the model at 64 x 96"):
        export(model, path, overwrite=overwrite)
    assert names_in(tmp_path) == before
    assert not overwrite or names_in(path) == ["old"]


def test_an_export_that_differs_at_a_second_size_only_is_refused(tmp_path):
    def change(x):
        return x + tf.where(tf.shape(x)[1] == 64, 0.0, [0.0, 0.0, 0.1])

    with pytest.raises(RuntimeError, match="differs from the model at 33 x 47"):
        export(pointwise(end=InGraphs(change)), tmp_path / "served")
    assert names_in(tmp_path) == []


def test_a_failed_write_leaves_nothing_new(tmp_path):
    def fail(x):
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space"):
        export(pointwise(end=InGraphs(fail)), tmp_path / "served")
    assert names_in(tmp_path) == []


def written_by_hand(path, mask):
    """A SavedModel that gives fixed probabilities and this mask."""
    given = np.zeros((1, 2, 2, 3), np.float32) + np.array([0.2, 0.5, 0.3], np.float32)
    spec = tf.TensorSpec((None, None, None, 3), tf.uint8, name="image")
    functions = {
        "probabilities": tf.function(
            lambda image: {"probabilities": tf.constant(given)}, input_signature=[spec]
        ),
        "serving_default": tf.function(
            lambda image: {"mask": tf.constant([mask], tf.uint8)},
            input_signature=[spec],
        ),
    }
    module = tf.Module()
    module.functions = functions
    signatures = {k: f.get_concrete_function() for k, f in functions.items()}
    tf.saved_model.save(module, str(path), signatures)
    return [(np.zeros((1, 2, 2, 3), np.uint8), given)]


# Of classes 0, 1 and 2 with probabilities 0.2, 0.5 and 0.3.
@pytest.mark.parametrize(
    ("mask", "tolerance", "fits"),
    [
        ([[1, 1], [1, 1]], 1e-3, True),
        ([[0, 0], [0, 0]], 1e-3, False),
        ([[1, 1], [1, 2]], 1e-3, False),
        ([[1, 1], [1, 255]], 1e-3, False),
        ([[1, 1], [1, 2]], 0.21, True),
    ],
    ids=["right", "least", "one_pixel", "ignored", "nearly_as_likely"],
)
def test_masks_are_compared_with_the_probabilities(tmp_path, mask, tolerance, fits):
    examples = written_by_hand(tmp_path / "served", mask)
    if fits:
        compare(SavedModelNet(tmp_path / "served"), examples, tolerance=tolerance)
        return
    with pytest.raises(RuntimeError, match=r"differs from the model at 2 x 2.*mask"):
        compare(SavedModelNet(tmp_path / "served"), examples, tolerance=tolerance)


def test_pixels_without_a_number_are_ignored_in_masks(tmp_path):
    # Each pixel divided by its sum: black ones are 0 / 0.
    given = keras.Input((None, None, 3))
    shares = given / keras.ops.sum(given, axis=-1, keepdims=True)
    model = keras.Model(given, keras.layers.Conv2D(2, 1)(shares))
    export(model, tmp_path / "served")
    loaded = tf.saved_model.load(str(tmp_path / "served"))
    images = np.maximum(image(3, 4), 1)
    images[0, 1, 2] = 0
    mask, probabilities = serve(loaded, images)
    assert np.isnan(probabilities[0, 1, 2]).all()
    assert np.argwhere(mask == 255).tolist() == [[0, 1, 2]]


# ------------------------------------------------------------------ what is refused


def test_another_format_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"Expected `format`.*Received: 'onnx2'"):
        export(pointwise(), tmp_path / "served", format="onnx2")


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (lambda: pointwise(256), r"at most 255 classes.*256"),
        (lambda: pointwise(1), r"one output channel.*num_classes=2"),
        (
            lambda: keras.Sequential([keras.Input((8, 8, 3)), InGraphs(tf.abs)]),
            "InGraph",
        ),
        (lambda: pointwise(end=keras.layers.Reshape((7, 7, 3))), "one of the sizes 64"),
    ],
    ids=["many", "one", "unreadable", "reshape"],
)
def test_a_model_that_can_not_be_served_is_refused(tmp_path, model, said):
    with pytest.raises(ValueError, match=said):
        export(model(), tmp_path / "served")
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("weight", [0, 1])
def test_a_model_that_gives_nan_is_not_exported(tmp_path, weight):
    model = pointwise()
    weights = model.get_weights()
    weights[weight].flat[1] = np.nan
    model.set_weights(weights)
    with pytest.raises(ValueError, match="finite outputs"):
        export(model, tmp_path / "served")
    assert names_in(tmp_path) == []
