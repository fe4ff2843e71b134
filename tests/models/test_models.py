"""One list of models, and what is true of each of them.

A new architecture is a line in MODELS. Each model is built once and traced once, in one
process; the properties read from that. What takes seconds runs for few of them, and
for all with `-m slow`: logits under XLA for one, a falling loss for another.
"""

import functools
import inspect
import json
import re
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_seg
from keras_seg.losses import WeightedCrossEntropy
from keras_seg.models.auxiliary import WithAuxiliary
from keras_seg.models.layers import CropTo, UpsampleBilinear
from tests.models.backbones import narrow_resnet, patches, tiny, tiny_mit

VGG = {"widths": (2, 4, 4, 6, 6), "head_width": 4}
UNET = {"widths": (4, 6, 8)}
DECODER = {"widths": (4, 4, 4, 6, 6)}

#: Builder and arguments: each thin, together all ways through the builders.
MODELS = {
    "fcn32s": ("fcn32s", VGG),
    "fcn32s-caffe": ("fcn32s", VGG | {"padding": "caffe"}),
    "fcn16s-bilinear": ("fcn16s", VGG | {"upsampling": "bilinear"}),
    "fcn8s": ("fcn8s", VGG),
    "fcn8s-bilinear": ("fcn8s", VGG | {"upsampling": "bilinear"}),
    "unet": ("unet", UNET),
    "unet-bilinear": ("unet", UNET | {"upsampling": "bilinear"}),
    "unet-nearest-group": (
        "unet",
        UNET | {"upsampling": "nearest", "normalization": "group"},
    ),
    "unet-batch-dropout": ("unet", UNET | {"normalization": "batch", "dropout": 0.5}),
    "unet-encoder": ("unet", DECODER | {"encoder": tiny}),
    "unet-encoder-p2": ("unet", DECODER | {"encoder": patches, "dropout": 0.5}),
    "attention_unet": ("attention_unet", UNET | {"dropout": 0.5}),
    "attention_unet-encoder": (
        "attention_unet",
        DECODER | {"encoder": tiny, "upsampling": "bilinear"},
    ),
    "bisenet_v2": ("bisenet_v2", {"head_width": 4}),
    "fcn": ("fcn", {"encoder": tiny}),
    "fcn-16-auxiliary": (
        "fcn",
        {"encoder": narrow_resnet, "output_stride": 16, "auxiliary": 0.5},
    ),
    "deeplab_v3": ("deeplab_v3", {"encoder": tiny, "head_width": 6}),
    "segformer": ("segformer", {"encoder": tiny_mit, "head_width": 6}),
    "segformer-encoder": (
        "segformer",
        {"encoder": tiny, "head_width": 6, "dropout": 0.0},
    ),
    "deeplab_v3_plus": (
        "deeplab_v3_plus",
        {"encoder": tiny, "head_width": 6, "skip_width": 3},
    ),
    "fpn": ("fpn", {"encoder": tiny, "pyramid_width": 6, "head_width": 4}),
    "linknet": ("linknet", {"encoder": tiny, "head_width": 4}),
    "pspnet": ("pspnet", {"encoder": tiny, "head_width": 6}),
    "upernet": ("upernet", {"encoder": patches, "head_width": 6}),
    "unet_plus_plus": ("unet_plus_plus", UNET | {"auxiliary": 1.0}),
    "unet_plus_plus-encoder": ("unet_plus_plus", DECODER | {"encoder": tiny}),
}
#: Those that together hold every kind of layer but attention (see test_mit.py).
HEAVY = ("unet-nearest-group", "deeplab_v3", "upernet")
#: The first model of each builder.
BUILDERS = {builder: name for name, (builder, _) in reversed(MODELS.items())}

CLASSES, CHANNELS = 3, 5
SIZES = [(17, 31), (1, 1), (65, 97)]


def of(names, slow=()):
    """Parameters, of which some are tested on request only."""
    return [
        pytest.param(name, marks=[pytest.mark.slow] if name in slow else [])
        for name in names
    ]


#: Those whose parts others have too.
MORE = (
    "unet-batch-dropout",
    "unet-encoder-p2",
    "fcn-16-auxiliary",
    "fcn8s-bilinear",
    "unet-bilinear",
    "attention_unet-encoder",
    "segformer-encoder",
    "unet_plus_plus-encoder",
)
every_model = pytest.mark.parametrize("name", of(MODELS, slow=MORE))
every_builder = pytest.mark.parametrize("name", of(BUILDERS.values()))
some_models = pytest.mark.parametrize("name", of(MODELS, slow=MODELS.keys() - HEAVY))


def build(name, /, *, fresh=False, **arguments):
    """Build a model; unless it's to be fresh, no weight of it is zero."""
    builder, own = MODELS[name]
    *_, channels = arguments.get("input_shape", (3,))
    own = {k: v(channels=channels) if k == "encoder" else v for k, v in own.items()}
    keras.utils.set_random_seed(0)
    built = getattr(keras_seg, builder)(CLASSES, **(own | arguments))
    rng = np.random.default_rng(0)
    for variable in built.trainable_variables:
        if not fresh and not np.any(variable):  # score layers and biases
            variable.assign(rng.normal(0, 0.1, variable.shape))
    return built


@functools.cache
def any_size(name):
    """The model for any size, which tests share and leave as it is."""
    return build(name)


@functools.cache
def fixed(name):
    """The same weights in a model for 17 x 31 pixels, shared too."""
    return build(name, input_shape=(17, 31, 3))


@functools.cache
def other(name):
    """The model with all that is seldom asked for, shared too."""
    shape = (None, None, CHANNELS)
    return build(name, input_shape=shape, activation="softmax", name="mine")


@functools.cache
def other_scores(name):
    """Logits and probabilities of images with one channel changed, and one without."""
    x = np.repeat(images(9, 14, channels=CHANNELS)[:1], CHANNELS + 1, axis=0)
    for channel in range(CHANNELS):
        x[channel, ..., channel] = 255 - x[channel, ..., channel]
    net = other(name)
    scores = keras.Model(net.input, [net.layers[-1].input, net.output])
    return [np.asarray(found) for found in scores(x)]


@functools.cache
def under(policy, name):
    """The model for 64 x 96 pixels under a dtype policy, shared too."""
    keras.config.set_dtype_policy(policy)  # and conftest.py resets it
    return build(name, input_shape=(64, 96, 3))


@functools.cache
def in_graph(name):
    """Logits of the shared model from a graph, traced once where sizes can be free.

    Of float32 images, where `logits` are of uint8.
    """
    net = any_size(name)
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(net)
    import tensorflow as tf

    images = tf.TensorSpec((None, None, None, 3), tf.float32)
    graph = tf.function(net, input_signature=[images])
    return lambda x: graph(tf.cast(x, tf.float32))


def images(*size, channels=3):
    return np.random.default_rng(1).integers(0, 256, (2, *size, channels), np.uint8)


@functools.cache
def logits(name):
    """Logits of the shared model, computed eagerly."""
    return np.asarray(any_size(name)(images(17, 31)))


# ------------------------------------------------------------------ sizes and numbers


@every_model
def test_logits_have_the_size_of_the_images(name):
    assert any_size(name).input_shape == (None, None, None, 3)
    assert any_size(name).output_shape == (None, None, None, CLASSES)
    for size in SIZES:
        found = np.asarray(in_graph(name)(images(*size)))
        assert found.shape == (2, *size, CLASSES)
        assert np.isfinite(found).all()


@every_model
def test_one_image_of_one_pixel_is_a_batch(name):
    assert in_graph(name)(images(1, 1)[:1]).shape == (1, 1, 1, CLASSES)


@every_model
def test_a_graph_gives_the_logits_of_eager_mode(name):
    found = in_graph(name)(images(17, 31))
    np.testing.assert_allclose(found, logits(name), rtol=1e-3, atol=1e-3)


@every_model
def test_the_images_of_a_batch_do_not_influence_each_other(name):
    second = in_graph(name)(images(17, 31)[1:])
    np.testing.assert_allclose(second, logits(name)[1:], rtol=1e-3, atol=1e-3)


@some_models
def test_uint8_and_float32_images_are_the_same(name):
    found = any_size(name)(images(17, 31).astype("float32"))
    np.testing.assert_allclose(found, logits(name), rtol=1e-5, atol=1e-5)


@every_builder
def test_every_one_of_any_number_of_channels_counts(name):
    scores = other_scores(name)[1]
    found = np.log(np.maximum(scores, np.finfo(np.float32).tiny))
    assert found.shape == (CHANNELS + 1, 9, 14, CLASSES)
    assert np.abs(found[:-1] - found[-1]).max(axis=(1, 2, 3)).min() > 1e-4


@every_builder
def test_a_fixed_size_changes_no_logit(name):
    assert fixed(name).output_shape == (None, 17, 31, CLASSES)
    found = fixed(name)(images(17, 31))
    np.testing.assert_allclose(found, logits(name), rtol=1e-4, atol=1e-4)


@every_builder
def test_a_fixed_size_of_multiples_of_32_builds_no_crop(name):
    def crops(net):
        return [layer.name for layer in net.layers if isinstance(layer, CropTo)]

    assert crops(fixed(name))  # of 17 x 31, or the line below is blind
    if MODELS[name][1].get("padding") != "caffe":  # which crops its own padding
        assert crops(under("mixed_bfloat16", name)) == []


@every_builder
def test_softmax_makes_probabilities_of_the_logits(name):
    net = other(name)
    assert net.layers[-1].name == "probabilities"
    of_logits, probabilities = other_scores(name)
    exp = np.exp(of_logits.astype("float64"))
    np.testing.assert_allclose(np.sum(probabilities, -1), 1, rtol=1e-5)
    np.testing.assert_allclose(
        probabilities, exp / exp.sum(-1, keepdims=True), atol=1e-4
    )


# ------------------------------------------------------------------ training


@every_model
def test_every_weight_gets_a_gradient(name, gradients):
    net = any_size(name)
    x = images(33, 47)
    y = np.random.default_rng(2).integers(0, CLASSES, (2, 33, 47))

    def loss(net):
        if not isinstance(net, WithAuxiliary):
            return WeightedCrossEntropy()(y, net(x))
        return sum(WeightedCrossEntropy()(y, p) for p in net.trained(x).values())

    found = gradients(net, loss)
    without = [
        v.path
        for v, g in zip(net.trainable_variables, found, strict=True)
        if g is None or not np.any(g) or not np.isfinite(g).all()
    ]
    # What is added to all keys alike, the softmax over keys takes away.
    without = [path for path in without if not path.endswith("attention_key/bias")]
    assert without == []
    # The seeds of dropout, the statistics of a batch, the authors' bilinear kernels.
    fixed = "seed|moving"
    if MODELS[name][1].get("padding") == "caffe":
        fixed += "|upscore"
    assert all(re.search(fixed, v.path) for v in net.non_trainable_variables)


@pytest.mark.parametrize("name", of(MODELS, slow=MODELS.keys() - {"fcn8s"}))
def test_fit_lowers_the_loss(name):
    net = build(name, fresh=True, input_shape=(32, 48, 3), dropout=0.0)
    # Steps of a fixed length: FCN's features are as large as its images' values.
    rate = 1e-3 if "widths" in MODELS[name][1] and "fcn" in name else 0.1
    optimizer = keras.optimizers.SGD(rate, global_clipnorm=1.0)
    net.compile(optimizer, loss=WeightedCrossEntropy())
    x, y = images(32, 48), np.zeros((2, 32, 48), "uint8")
    x[:, :, 24:] //= 8  # dark is class 1
    y[:, :, 24:] = 1
    losses = net.fit(x, y, epochs=10, verbose=0).history["loss"]
    assert losses[-1] < 0.95 * losses[0]


@pytest.mark.usefixtures("tensorflow_only")
@every_builder
def test_fit_refuses_images_that_were_scaled_before(name):
    net = keras.Model(other(name).input, other(name).output)
    net.compile("sgd", WeightedCrossEntropy(), run_eagerly=True)
    x, y = images(32, 32, channels=CHANNELS) / 255, np.zeros((2, 32, 32), int)
    with pytest.raises(Exception, match=r"Expected images in 0\.\.255\. Received"):
        net.fit(x, y, verbose=0)


# ------------------------------------------------------------------ where it runs


def own_kinds_of_layers(model):
    inside = [own_kinds_of_layers(x) for x in model.layers if hasattr(x, "layers")]
    kinds = {type(layer) for layer in [model, *model.layers]}.union(*inside)
    return {kind for kind in kinds if kind.__module__.startswith("keras_seg.")}


@pytest.mark.slow
def test_saved_models_load_by_themselves(tmp_path):
    # In one process more, where only keras_seg is known: models that together hold
    # every kind of our own layers.
    names = [name for name in MODELS if name not in MORE]
    kinds = {name: own_kinds_of_layers(any_size(name)) for name in names}
    left, saved = set().union(*kinds.values()), []
    while left:
        saved.append(max(kinds, key=lambda name: len(kinds[name] & left)))
        left -= kinds[saved[-1]]
    assert 1 < len(saved) < len(MODELS)
    for name in saved:
        any_size(name).save(tmp_path / f"{name}.keras")
    np.save(tmp_path / "images.npy", images(17, 31))
    script = """
import pathlib, sys
import keras, numpy as np, keras_seg
folder = pathlib.Path(sys.argv[1])
images = np.load(folder / "images.npy")
for path in folder.glob("*.keras"):
    np.save(path.with_suffix(".npy"), keras.saving.load_model(path)(images))
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
    for name in saved:
        found = np.load(tmp_path / f"{name}.npy")
        np.testing.assert_allclose(found, logits(name), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        (name, policy)
        for policy, names in [
            ("mixed_bfloat16", BUILDERS.values()),
            ("mixed_float16", ["fcn8s"]),
        ]
        for name in names
    ],
)
def test_logits_are_float32_under_a_mixed_policy(name, policy):
    net = under(policy, name)
    kinds = (keras.layers.Conv2D, keras.layers.Conv2DTranspose, UpsampleBilinear)
    ends = ("score", "upsample")
    inside = [x for x in net.layers if isinstance(x, kinds) and x.name not in ends]
    assert {x.compute_dtype for x in inside} == {policy.removeprefix("mixed_")}
    assert {x.compute_dtype for x in net.layers if x.name in ends} <= {"float32"}
    found = net(images(64, 96))
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    assert net.output.dtype == "float32"
    # Eight bits of mantissa, after twenty layers.
    expected = np.asarray(in_graph(name)(images(64, 96)))
    np.testing.assert_allclose(found, expected, atol=0.1 * np.ptp(expected))


@pytest.mark.parametrize("name", of(MODELS, slow=MODELS.keys() - {HEAVY[0]}))
def test_xla_gives_the_same_logits(name, compiled):
    x = keras.ops.cast(images(17, 31), "float32")
    found = compiled(fixed(name))(x)
    np.testing.assert_allclose(found, logits(name), rtol=1e-3, atol=1e-3)


# ------------------------------------------------------------------ names and arguments


@every_builder
def test_names_do_not_depend_on_what_was_built_before(name):
    # Keras numbers the layers that have no name: conv2d, conv2d_1, ...
    names = [layer.name for layer in any_size(name).layers]
    again = [layer.name for layer in fixed(name).layers]  # which may need less crops
    assert [x for x in names if "crop" not in x] == [
        x for x in again if "crop" not in x
    ]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch("[a-z][a-z0-9]*(_[a-z0-9]+)*", name) for name in names)
    assert (names[0], names[-1]) == ("image", "logits")


@every_builder
def test_a_model_has_the_name_of_its_builder_unless_told_otherwise(name):
    assert any_size(name).name == MODELS[name][0]
    assert other(name).name == "mine"


BAD = [
    ("num_classes", [0, 1, -3, 2.5, "a", None]),
    ("upsampling", ["cubic", "", ["transpose"]]),
    ("input_shape", [(), (None, None), (None, None, None), (None, None, 0)]),
    ("input_shape", [(0, 32, 3), (32, -32, 3), (32.0, 32, 3), (2, 32, 32, 3)]),
    ("input_shape", ["abc"]),
    ("widths", [(), (4, 0, 4, 4, 4), (4, 2.5, 4, 4, 4), "abcde", 5]),
    ("dropout", [-0.1, 1.0, "0.5"]),
    ("output_stride", [4, 64, "8", None]),
    ("head_width", [0, -1, 2.5, "a"]),
    ("auxiliary", [-0.5, float("nan"), float("inf"), "0.5", None, True]),
]


def has(name, argument):
    """Whether the builder of a model takes an argument."""
    return argument in inspect.signature(getattr(keras_seg, MODELS[name][0])).parameters


@pytest.mark.parametrize(
    ("name", "argument", "values"),
    [
        pytest.param(name, *bad, id=f"{name}-{json.dumps(bad)}")
        for name in BUILDERS.values()
        for bad in BAD
        if has(name, bad[0])
    ],
)
def test_bad_arguments_raise_and_say_what_was_expected(name, argument, values):
    builder, own = MODELS[name]
    for value in values:
        arguments = {"num_classes": CLASSES} | own | {argument: value}
        with pytest.raises(ValueError, match=rf"Expected `{argument}`.*Received: "):
            getattr(keras_seg, builder)(**arguments)


@every_builder
def test_options_are_given_by_name(name):
    with pytest.raises(TypeError, match="positional"):
        getattr(keras_seg, MODELS[name][0])(CLASSES, (32, 32, 3))
