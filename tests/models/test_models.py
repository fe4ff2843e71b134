"""One list of models, and what is true of each of them."""

import functools
import json
import re
import subprocess
import sys
from unittest import mock

import keras
import numpy as np
import pytest

import keras_seg
from keras_seg.losses import WeightedCrossEntropy
from keras_seg.models import fcn
from keras_seg.models.layers import CropTo, UpsampleBilinear

BUILDERS = {"fcn32s": {"head_width": 8}, "fcn16s": {"head_width": 8}}
BUILDERS |= {"fcn8s": {"head_width": 8}, "unet": {"widths": (4, 6, 8)}}

MODELS = [
    *[(f"fcn{k}s", up) for k in (32, 16, 8) for up in ("transpose", "bilinear")],
    *[("unet", up) for up in ("transpose", "bilinear", "nearest")],
]
# The same models with an option, where an option may matter.
OPTIONS = {
    "caffe": {"padding": "caffe"},
    "batch": {"normalization": "batch"},
    "group": {"normalization": "group"},
    "mobilenetv2": {"encoder": "mobilenetv2", "widths": (4, 4, 6, 6, 8)},
}
VARIANTS = [
    ("fcn32s", "transpose", "caffe"),
    ("fcn8s", "transpose", "caffe"),
    ("unet", "transpose", "batch"),
    ("unet", "transpose", "group"),
    ("unet", "bilinear", "mobilenetv2"),
]
SIZES = [(1, 1), (17, 31), (65, 97)]
CLASSES = 3

every_model = pytest.mark.parametrize("model", MODELS, ids="-".join)
every_variant = pytest.mark.parametrize("model", MODELS + VARIANTS, ids="-".join)
every_builder = pytest.mark.parametrize("builder", BUILDERS)


def build(model, *, fresh=False, **arguments):
    """Build a small model; unless it's to be fresh, no weight of it is zero."""
    builder, upsampling, *options = model
    keras.utils.set_random_seed(0)
    for option in options:
        arguments = OPTIONS[option] | arguments
    arguments = BUILDERS[builder] | {"upsampling": upsampling} | arguments
    # VGG16's filters aren't an argument; an eighth of them saves most of the time.
    convolution = fcn._conv

    def thin(x, width, size, padding, *, name):
        return convolution(x, max(width // 8, 8), size, padding, name=name)

    with mock.patch.object(fcn, "_conv", thin):
        built = getattr(keras_seg, builder)(CLASSES, **arguments)
    rng = np.random.default_rng(0)
    for variable in built.trainable_variables:
        if not fresh and not np.any(variable):  # score layers and biases
            variable.assign(rng.normal(0, 0.1, variable.shape))
    return built


@functools.cache
def any_size(model):
    """The model for any size, which tests share and leave as it is."""
    return build(model)


def images(*size, channels=3):
    return np.random.default_rng(1).integers(0, 256, (2, *size, channels), np.uint8)


def masks(*size):
    return np.random.default_rng(2).integers(0, CLASSES, (2, *size))


@pytest.fixture(scope="module")
def reloaded(tmp_path_factory):
    """Logits of every model, saved here and loaded where only keras_seg is known."""
    folder = tmp_path_factory.mktemp("saved")
    for model in MODELS + VARIANTS:
        any_size(model).save(folder / f"{'-'.join(model)}.keras")
    np.save(folder / "images.npy", images(17, 31))
    script = """
import pathlib, sys
import keras, numpy as np, keras_seg
folder = pathlib.Path(sys.argv[1])
images = np.load(folder / "images.npy")
for path in folder.glob("*.keras"):
    np.save(path.with_suffix(".npy"), keras.saving.load_model(path)(images))
"""
    subprocess.run([sys.executable, "-c", script, str(folder)], check=True)
    return lambda model: np.load(folder / f"{'-'.join(model)}.npy")


@every_variant
@pytest.mark.parametrize("mode", ["call", "predict"])
def test_logits_have_the_size_of_the_images(model, mode):
    net = any_size(model)
    assert net.input_shape == (None, None, None, 3)
    assert net.output_shape == (None, None, None, CLASSES)
    for size in SIZES:
        x = images(*size)
        logits = net(x) if mode == "call" else net.predict(x, verbose=0)
        assert tuple(logits.shape) == (2, *size, CLASSES)
        assert np.isfinite(logits).all()


@every_variant
def test_graph_mode_gives_the_logits_of_eager_mode(model):
    x = images(17, 31)
    logits = any_size(model).predict(x, verbose=0)
    np.testing.assert_allclose(logits, any_size(model)(x), rtol=1e-3, atol=1e-3)


@every_model
def test_the_images_of_a_batch_are_strangers(model):
    x = images(17, 31)
    both, second = any_size(model)(x), any_size(model)(x[1:])
    np.testing.assert_allclose(both[1:], second, rtol=1e-3, atol=1e-3)


@every_model
def test_uint8_and_float32_images_are_the_same(model):
    x = images(17, 31)
    np.testing.assert_array_equal(
        any_size(model)(x), any_size(model)(x.astype("float32"))
    )


@every_model
@pytest.mark.parametrize("channels", [1, 5])
def test_images_can_have_any_number_of_channels(model, channels):
    net = build(model, input_shape=(None, None, channels))
    x = images(17, 31, channels=channels)
    logits = np.asarray(net(x))
    assert logits.shape == (2, 17, 31, CLASSES)
    x[..., -1] = 255 - x[..., -1]
    assert np.abs(net(x) - logits).max() > 1e-3


@every_variant
def test_a_saved_model_loads_by_itself(model, reloaded):
    expected = any_size(model)(images(17, 31))
    np.testing.assert_allclose(reloaded(model), expected, rtol=1e-5, atol=1e-5)


@every_variant
def test_every_weight_gets_a_gradient(model, gradients):
    net = any_size(model)
    x, y = images(65, 97), masks(65, 97)
    found = gradients(net, lambda net: WeightedCrossEntropy()(y, net(x)))
    without = [
        v.path
        for v, g in zip(net.trainable_variables, found, strict=True)
        if g is None or not np.any(g) or not np.isfinite(g).all()
    ]
    assert without == []
    # The seeds of dropout, the statistics of a batch, the authors' bilinear kernels.
    fixed = "seed|moving|upscore" if model[-1] == "caffe" else "seed|moving"
    assert all(re.search(fixed, v.path) for v in net.non_trainable_variables)


@every_variant
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_logits_are_float32_under_a_mixed_policy(model, policy):
    exact = any_size(model)(images(17, 31))
    keras.config.set_dtype_policy(policy)  # and conftest.py resets it
    net = build(model)
    kinds = (keras.layers.Conv2D, keras.layers.Conv2DTranspose, UpsampleBilinear)
    inside = [x for x in net.layers if isinstance(x, kinds) and x.name != "score"]
    assert {x.compute_dtype for x in inside} == {policy.removeprefix("mixed_")}
    logits = net(images(17, 31))
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    assert net.output.dtype == "float32"
    # Eight bits of mantissa, after twenty layers.
    np.testing.assert_allclose(logits, exact, atol=0.1 * np.abs(exact).max())


@every_variant
def test_xla_gives_the_same_logits(model, compiled):
    fixed = build(model, input_shape=(33, 47, 3))
    x = keras.ops.cast(images(33, 47), "float32")
    np.testing.assert_allclose(compiled(fixed)(x), fixed(x), rtol=1e-3, atol=1e-3)


@every_model
def test_a_fixed_size_changes_no_logit(model):
    fixed = build(model, input_shape=(17, 31, 3))
    assert fixed.output_shape == (None, 17, 31, CLASSES)
    x = images(17, 31)
    np.testing.assert_allclose(fixed(x), any_size(model)(x), rtol=1e-4, atol=1e-4)


@every_model
def test_a_fixed_size_of_multiples_of_32_builds_no_crop(model):
    def crops(net):
        return [layer.name for layer in net.layers if isinstance(layer, CropTo)]

    assert crops(build(model, input_shape=(64, 96, 3))) == []
    assert crops(build(model, input_shape=(63, 96, 3)))  # or the line above is blind


@every_model
def test_fit_lowers_the_loss(model):
    net = build(model, fresh=True, input_shape=(32, 48, 3), dropout=0.0)
    # Steps of a fixed length: FCN's features are as large as its images' values.
    rate = 0.1 if model[0] == "unet" else 1e-3
    optimizer = keras.optimizers.SGD(rate, global_clipnorm=1.0)
    net.compile(optimizer, loss=WeightedCrossEntropy())
    x, y = images(32, 48), np.zeros((2, 32, 48), "uint8")
    x[:, :, 24:] //= 8  # dark is class 1
    y[:, :, 24:] = 1
    losses = net.fit(x, y, epochs=10, verbose=0).history["loss"]
    assert losses[-1] < 0.95 * losses[0]


@every_model
def test_softmax_makes_probabilities_of_the_logits(model):
    net = build(model, activation="softmax")
    probabilities = np.asarray(net(images(17, 31)))
    exp = np.exp(np.asarray(any_size(model)(images(17, 31))).astype("float64"))
    np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-5)
    np.testing.assert_allclose(
        probabilities, exp / exp.sum(-1, keepdims=True), atol=1e-4
    )
    assert net.layers[-1].name == "probabilities"


@every_model
def test_names_do_not_depend_on_what_was_built_before(model):
    # Keras numbers the layers that have no name: conv2d, conv2d_1, ...
    first, second = build(model), build(model)
    names = [layer.name for layer in first.layers]
    assert names == [layer.name for layer in second.layers]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch("[a-z][a-z0-9]*(_[a-z0-9]+)*", name) for name in names)
    assert (names[0], names[-1]) == ("image", "logits")


@every_model
def test_a_model_has_the_name_of_its_builder_unless_told_otherwise(model):
    assert any_size(model).name == model[0]
    assert build(model, name="mine").name == "mine"


@every_builder
@pytest.mark.parametrize(
    ("argument", "value"),
    [
        *[("num_classes", bad) for bad in (0, 1, -3, 2.5, "a", None)],
        *[("upsampling", bad) for bad in ("cubic", "", None, ["transpose"])],
        *[
            ("input_shape", bad)
            for bad in [
                (),
                (None, None),
                (None, None, None),
                (None, None, 0),
                (0, 32, 3),
                (32, -32, 3),
                (32.0, 32, 3),
                (2, 32, 32, 3),
                "abc",
            ]
        ],
    ],
    ids=lambda value: json.dumps(value) if not isinstance(value, str) else value,
)
def test_bad_arguments_raise_and_say_what_was_expected(builder, argument, value):
    arguments = {"num_classes": CLASSES} | BUILDERS[builder] | {argument: value}
    with pytest.raises(ValueError, match=rf"Expected `{argument}`.*Received: "):
        getattr(keras_seg, builder)(**arguments)


@pytest.mark.parametrize("builder", ["fcn32s", "fcn16s", "fcn8s"])
def test_only_unet_knows_nearest(builder):
    with pytest.raises(ValueError, match=r"'transpose', 'bilinear'.*'nearest'"):
        getattr(keras_seg, builder)(CLASSES, upsampling="nearest")


@every_builder
def test_options_are_given_by_name(builder):
    with pytest.raises(TypeError, match="positional"):
        getattr(keras_seg, builder)(CLASSES, (32, 32, 3))
