"""Backbones of Keras and models of one's own as encoders, alone and in a U-Net."""

import functools
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_seg import unet
from keras_seg.models import encoder
from keras_seg.models.encoders import STRIDES, _convention

# The last output at each of the strides 2, 4, 8, 16 and 32.
TAPS = {
    "VGG16": "block2_conv2 block3_conv3 block4_conv3 block5_conv3 block5_pool",
    "ResNet50": "conv1_relu conv2_block3_out conv3_block4_out conv4_block6_out "
    "conv5_block3_out",
    "EfficientNetB0": "block2a_expand_activation block3a_expand_activation "
    "block4a_expand_activation block6a_expand_activation top_activation",
    "MobileNetV2": "block_1_expand_relu block_3_expand_relu block_6_expand_relu "
    "block_13_expand_relu out_relu",
    "DenseNet121": "conv1_relu pool2_conv pool3_conv pool4_conv relu",
}
MODULES = {
    "VGG16": "vgg16",
    "ResNet50": "resnet",
    "EfficientNetB0": "efficientnet",
    "MobileNetV2": "mobilenet_v2",
    "DenseNet121": "densenet",
}
WIDTHS = (4, 4, 4, 4, 4)


@functools.cache
def built(name):
    """An encoder that tests share and leave as it is."""
    return encoder(name)


def backbone(model):
    return next(layer for layer in model.layers if isinstance(layer, keras.Model))


def images(*size, channels=3):
    return np.random.default_rng(0).integers(0, 256, (2, *size, channels), np.uint8)


def tiny(size=(None, None), *, channels=3, kind="functional", padding="same"):
    """Five strided convolutions, each normalised: a backbone of one's own."""
    keras.utils.set_random_seed(0)
    stack = [keras.Input((*size, channels))]
    for k, width in enumerate((4, 6, 8, 10, 12), start=1):
        stack += [
            layers.Conv2D(width, 3, strides=2, padding=padding, name=f"conv{k}"),
            layers.BatchNormalization(name=f"norm{k}"),
            layers.ReLU(name=f"relu{k}"),
        ]
    if kind == "sequential":
        return keras.Sequential(stack, name="tiny")
    x = stack[0]
    for layer in stack[1:]:
        x = layer(x)
    return keras.Model(stack[0], x, name="tiny")


class Subclassed(keras.Model):
    """A model that shows its layers only when called."""

    def call(self, x):
        return x


# ------------------------------------------------------------------ features


@pytest.mark.parametrize("name", TAPS)
def test_features_are_the_last_outputs_at_each_stride(name):
    taps = [
        output._keras_history.operation.name for output in backbone(built(name)).outputs
    ]
    assert taps == TAPS[name].split()


@pytest.mark.parametrize("name", TAPS)
def test_input_is_what_preprocess_input_of_the_family_makes(name):
    model = built(name)
    module = getattr(keras.applications, MODULES[name])
    x = np.random.default_rng(0).uniform(0, 255, (1, 32, 64, 3)).astype("float32")
    names = [layer.name for layer in model.layers]
    before = model.layers[names.index(backbone(model).name) - 1]
    seen = keras.Model(model.input, before.output)(x)
    expected = module.preprocess_input(x.copy())
    np.testing.assert_allclose(seen, expected, rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(
        np.allclose(expected, x), not {"to_bgr", "normalize"} & set(names)
    )


def test_every_convention_of_keras_is_one_linear_map():
    modules = {
        sys.modules[build.__module__]
        for build in vars(keras.applications).values()
        if callable(build)
    }
    assert len(modules) > 8
    x = np.random.default_rng(0).uniform(0, 255, (1, 5, 7, 3)).astype("float32")
    for module in modules:
        convention = _convention(module.preprocess_input, 3)
        scale, offset, reverse = convention or (1.0, 0.0, False)
        seen = (x[..., ::-1] if reverse else x) * np.array(scale) + np.array(offset)
        expected = module.preprocess_input(x.copy())
        np.testing.assert_allclose(seen, expected, atol=1e-3, err_msg=module.__name__)


@pytest.mark.parametrize("name", ["EfficientNetB0", "MobileNetV2"])
def test_other_bands_reach_the_first_convolution_at_the_scale_of_1(name):
    model = encoder(name, input_shape=(None, None, 1))
    inner = backbone(model)
    first = next(x for x in inner.layers if isinstance(x, layers.Conv2D))
    see = keras.Model(inner.input, first.input)
    black, white = (
        see(keras.Sequential(model.layers[1 : model.layers.index(inner)])(x))
        for x in (np.zeros((1, 32, 32, 1)), np.full((1, 32, 32, 1), 255.0))
    )
    assert 0.5 < np.max(white - black) < 10


@pytest.mark.parametrize("name", ["MobileNetV2", "VGG16"])
def test_features_have_the_sizes_of_images_padded_to_32(name):
    for height, width in [(1, 1), (33, 65), (32, 64)]:
        features = built(name)(images(height, width))
        assert [tuple(f.shape[1:3]) for f in features] == [
            (-(-height // 32) * 32 // s, -(-width // 32) * 32 // s) for s in STRIDES
        ]


def test_padding_is_zero_at_the_bottom_and_right():
    model = encoder(tiny())
    x = images(33, 50).astype("float32")
    padded = np.pad(x, [(0, 0), (0, 31), (0, 14), (0, 0)])
    for feature, expected in zip(model(x), model(padded), strict=True):
        np.testing.assert_allclose(feature, expected, rtol=1e-5, atol=1e-5)


def test_a_fixed_size_of_multiples_of_32_is_not_padded():
    names = [
        [x.name for x in encoder(tiny(), input_shape=s).layers]
        for s in (
            (64, 96, 3),
            (64, 97, 3),
        )
    ]
    assert ["pad" in found for found in names] == [False, True]


def test_case_and_underscores_of_a_name_do_not_matter(monkeypatch):
    asked = []

    def stand_in(**arguments):
        asked.append(arguments)
        return tiny()

    stand_in.__module__ = keras.applications.MobileNetV2.__module__
    monkeypatch.setattr(keras.applications, "MobileNetV2", stand_in)
    for name in ("mobilenetv2", "MOBILENET_V2", "mobilenet-v2"):
        encoder(name)
    same = {"include_top": False, "weights": None, "input_shape": (None, None, 3)}
    assert asked == 3 * [same]


# ------------------------------------------------------------------ models of one's own


@pytest.mark.parametrize(
    ("size", "kind"),
    [
        ((None, None), "functional"),
        ((None, None), "sequential"),
        ((64, 64), "sequential"),
        ((64, 96), "functional"),
        ((None, 64), "functional"),
        ((100, 100), "functional"),
    ],
)
def test_a_model_of_ones_own_gives_its_features_at_any_size(size, kind):
    own = tiny(size, kind=kind)
    model = encoder(own)
    x = images(50, 90).astype("float32")
    free = tiny()
    free.set_weights(own.get_weights())
    padded = np.pad(x, [(0, 0), (0, 14), (0, 6), (0, 0)])
    relus = [free.get_layer(f"relu{k}").output for k in range(1, 6)]
    expected = keras.Model(free.input, relus)(padded)
    for feature, wanted in zip(model(x), expected, strict=True):
        np.testing.assert_allclose(feature, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [(None, None), (64, 64)])
def test_a_copy_is_made_of_a_model(size):
    own = tiny(size)
    model = encoder(own)
    assert not {id(v) for v in own.variables} & {id(v) for v in model.variables}
    for copied, weight in zip(model.get_weights(), own.get_weights(), strict=True):
        np.testing.assert_array_equal(copied, weight)


def test_an_encoder_can_be_made_before_its_unet():
    # And so can any model that holds its backbone as one layer.
    made = encoder(tiny())
    model = unet(3, encoder=made, widths=WIDTHS)
    inside = model.get_layer("encoder")
    x = images(33, 40).astype("float32")
    for feature, wanted in zip(inside(x), made(x), strict=True):
        np.testing.assert_allclose(feature, wanted, rtol=1e-5, atol=1e-5)


def test_an_encoder_of_a_unet_is_its_layer_encoder():
    own = tiny()
    model = unet(3, encoder=own, widths=WIDTHS)
    assert isinstance(model.get_layer("encoder"), keras.Model)
    inside = [w for w in model.get_layer("encoder").get_weights()]
    for weight, wanted in zip(inside, own.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, wanted)
    assert len(inside) == 5 * 6


def test_features_reach_every_level_of_the_decoder():
    model = unet(3, encoder=tiny(), widths=(4, 6, 8, 10, 14))
    assert [
        model.get_layer(f"up{k}_conv1").kernel.shape[2:] for k in (5, 4, 3, 2, 1)
    ] == [(10 + 14, 14), (8 + 10, 10), (6 + 8, 8), (4 + 6, 6), (4, 4)]


def test_decoder_widths_with_an_encoder_are_16_to_256():
    model = unet(3, encoder=tiny())
    filters = [model.get_layer(f"up{k}_conv2").filters for k in (1, 2, 3, 4, 5)]
    assert filters == [16, 32, 64, 128, 256]


def test_masks_have_the_size_of_images_with_an_encoder():
    model = unet(3, encoder=tiny(), widths=WIDTHS, upsampling="bilinear")
    assert model.output_shape == (None, None, None, 3)
    for size in [(1, 1), (64, 32), (70, 31)]:
        assert model(images(*size)).shape == (2, *size, 3)
    x = images(33, 65)
    np.testing.assert_allclose(
        model.predict(x, verbose=0), model(x), rtol=1e-3, atol=1e-4
    )
    fixed = unet(3, encoder=tiny(), widths=WIDTHS, input_shape=(33, 65, 3))
    assert fixed.output_shape == (None, 33, 65, 3)


@pytest.mark.usefixtures("tensorflow_only")
def test_a_dataset_of_unknown_sizes_goes_through_an_encoder():
    dataset = tf.data.Dataset.from_generator(
        lambda: (images(*size) for size in [(33, 40), (40, 33)]),
        output_signature=tf.TensorSpec((None, None, None, 3), tf.uint8),
    )
    model = unet(3, encoder=tiny(), widths=WIDTHS)
    step = tf.function(model)
    assert [tuple(step(x).shape) for x in dataset] == [(2, 33, 40, 3), (2, 40, 33, 3)]


def test_the_output_with_an_encoder_is_called_logits():
    assert unet(3, encoder=tiny(), widths=WIDTHS).layers[-1].name == "logits"


def test_an_encoder_survives_keras_files(tmp_path):
    model = unet(3, encoder="mobilenetv2", widths=WIDTHS)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    x = images(33, 40)
    np.testing.assert_allclose(loaded(x), model(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("frozen", [True, False])
def test_a_frozen_encoder_keeps_its_weights_and_statistics(frozen):
    model = unet(3, encoder=tiny(), widths=WIDTHS, normalization="batch")
    inner = model.get_layer("encoder")
    inner.trainable = not frozen
    before = {v.path: v.numpy() for v in model.variables}
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(images(32, 32), np.zeros((2, 32, 32), "uint8"), verbose=0)
    moved = {v.path for v in model.variables if np.any(v.numpy() != before[v.path])}

    statistics = {v.path for v in inner.variables if "moving" in v.path}
    assert len(statistics) == 10
    if frozen:
        assert not moved & {v.path for v in inner.variables}
    else:
        assert moved >= statistics
    # The decoder learns in both cases.
    assert any("up1_norm1" in path and "moving_mean" in path for path in moved)
    assert any("up1_conv1" in path for path in moved)


# ------------------------------------------------------------------ what can't be used


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("Xception", r"1/2\b.*aren't padded"),
        ("InceptionV3", r"1/2\b.*aren't padded"),
        ("ConvNeXtTiny", r"1/2\b.*larger stride"),
        pytest.param("NASNetMobile", "", marks=pytest.mark.slow),
    ],
)
def test_backbones_that_do_not_fit_say_why(name, why):
    with pytest.raises(ValueError, match=f"(?s)Expected .*{why}"):
        encoder(name)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("resnet51", r"Expected `encoder`.*'resnet51'.*resnet50"),
        ("", r"Expected `encoder`.*Received: ''"),
        (5, r"Expected `encoder`.*Received: 5"),
        (Subclassed, r"Expected `encoder`.*functional.*Received"),
        (lambda: Subclassed(), r"Expected `encoder`.*functional.*Received"),
        (lambda: keras.Sequential([layers.Conv2D(3, 3)]), r"Expected `encoder`.*Recei"),
        (lambda: tiny(channels=4), r"Expected .*3 channels.*Received one for 4"),
        (lambda: tiny(padding="valid"), r"Expected .*strides.*'tiny'.*aren't padded"),
        (
            lambda: keras.Model(a := keras.Input((4,)), layers.Dense(3)(a)),
            r"Expected an encoder with one input.*Received",
        ),
    ],
    ids=[
        "unknown",
        "empty",
        "number",
        "class",
        "subclassed",
        "unbuilt",
        "channels",
        "valid",
        "vector",
    ],
)
def test_what_is_no_encoder_raises(bad, said):
    made = bad() if callable(bad) and bad is not Subclassed else bad
    for build in (encoder, lambda model: unet(3, encoder=model)):
        with pytest.raises(ValueError, match=f"(?s){said}"):
            build(made)


def test_weights_are_for_names_not_for_models():
    for build in (
        encoder,
        lambda model, weights: unet(3, encoder=model, weights=weights),
    ):
        with pytest.raises(ValueError, match="Expected `weights` with the name"):
            build(tiny(), weights="imagenet")


def test_imagenet_needs_an_encoder_and_says_so_before_the_net_is_built(monkeypatch):
    monkeypatch.setattr(keras, "Input", None)  # which every net begins with
    with pytest.raises(
        ValueError, match="Expected an `encoder` with weights='imagenet'"
    ):
        unet(3, weights="imagenet")


def test_valid_padding_is_not_for_encoders():
    with pytest.raises(ValueError, match=r"Expected padding='same'.*Received: 'valid'"):
        unet(3, encoder=tiny(), padding="valid")


def test_widths_with_an_encoder_are_five():
    for widths in [(4, 4), (4,) * 6, (4, 4, 4, 4, 0)]:
        with pytest.raises(ValueError, match=r"Expected `widths`.*five.*Received"):
            unet(3, encoder="mobilenetv2", widths=widths)


@pytest.mark.parametrize("build", [encoder, functools.partial(unet, 3)])
def test_a_failed_download_says_where_to_put_the_file(build, monkeypatch, tmp_path):
    def offline(**_):
        # What keras.utils.get_file raises.
        raise Exception("URL fetch failure on https://host/a/net_notop.h5: None -- no")

    monkeypatch.setattr(keras.applications, "ResNet50", offline)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    argument = {"encoder": "resnet50"} if build is not encoder else {}
    arguments = [] if argument else ["resnet50"]
    with pytest.raises(OSError, match=r"https://host/a/net_notop\.h5") as caught:
        build(*arguments, **argument, weights="imagenet")
    assert f"Put net_notop.h5 into {tmp_path / 'models'}" in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *("VGG19", "ResNet101", "ResNet50V2", "MobileNet", "MobileNetV3Small"),
        *("MobileNetV3Large", "DenseNet169", "EfficientNetB3", "EfficientNetV2B0"),
        *("EfficientNetV2S", "efficientnet_lite1"),
    ],
)
def test_any_backbone_that_fits_gives_masks_of_the_size_of_images(name):
    model = unet(3, encoder=name, widths=WIDTHS, upsampling="bilinear")
    for size in [(1, 1), (33, 65)]:
        logits = model(images(*size))
        assert logits.shape == (2, *size, 3)
        assert np.isfinite(logits).all()
