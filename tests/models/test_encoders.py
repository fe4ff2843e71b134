"""Backbones of Keras and models of one's own as encoders: features by level."""

import functools
import sys

import keras
import numpy as np
import pytest
from keras import layers

from keras_seg.models import encoder
from keras_seg.models.encoders.encoder import Encoder
from keras_seg.models.encoders.keras_applications import normalization_of
from keras_seg.models.encoders.levels import require_levels
from keras_seg.training import freeze_batch_normalization
from tests.models.backbones import patches, tiny
from tests.models.shapes_only import no_numbers

#: Where each level is. Channels are those of segmentation_models_pytorch 0.6 (of timm,
#: for ConvNeXt), but for VGG16 and DenseNet, whose maps are taken elsewhere there.
TAPS = {
    "VGG16": {
        "P1": ("block2_conv2", 128),
        "P2": ("block3_conv3", 256),
        "P3": ("block4_conv3", 512),
        "P4": ("block5_conv3", 512),
        "P5": ("block5_pool", 512),
    },
    "resnet50": {
        "P1": ("relu", 64),
        "P2": ("layer1_2_relu", 256),
        "P3": ("layer2_3_relu", 512),
        "P4": ("layer3_5_relu", 1024),
        "P5": ("layer4_2_relu", 2048),
    },
    "EfficientNetB0": {
        "P1": ("stem_activation", 32),
        "P2": ("block2b_add", 24),
        "P3": ("block3b_add", 40),
        "P4": ("block5a_project_bn", 112),  # smp's; block5c is not joined to a decoder
        "P5": ("block7a_project_bn", 320),
    },
    "MobileNetV2": {
        "P1": ("expanded_conv_project_BN", 16),
        "P2": ("block_2_add", 24),
        "P3": ("block_5_add", 32),
        "P4": ("block_12_add", 96),
        "P5": ("out_relu", 1280),
    },
    "DenseNet121": {
        "P1": ("conv1_relu", 64),
        "P2": ("pool2_conv", 128),
        "P3": ("pool3_conv", 256),
        "P4": ("pool4_conv", 512),
        "P5": ("relu", 1024),
    },
    "efficientnet_lite0": {
        "P1": ("stem_relu", 32),
        "P2": ("block2_add", 24),
        "P3": ("block4_add", 40),
        "P4": ("block10_add", 112),
        "P5": ("block15_project_norm", 320),
    },
    # Residual sums that are no layers, which Keras numbers itself.
    "ConvNeXtTiny": {
        "P2": ("add", 96),
        "P3": ("add", 192),
        "P4": ("add", 384),
        "P5": ("layer_normalization", 768),
    },
}
MODULES = {
    "VGG16": "vgg16",
    "EfficientNetB0": "efficientnet",
    "MobileNetV2": "mobilenet_v2",
    "DenseNet121": "densenet",
    "ConvNeXtTiny": "convnext",
}


@functools.cache
def built(name):
    """An encoder that tests share and leave as it is; only MobileNetV2 has weights."""
    if name == "MobileNetV2":
        return encoder(name)
    with no_numbers():
        return encoder(name)


def backbone(model):
    return next(layer for layer in model.layers if isinstance(layer, keras.Model))


def images(*size, channels=3):
    return np.random.default_rng(0).integers(0, 256, (2, *size, channels), np.uint8)


class Subclassed(keras.Model):
    """A model that shows its layers only when called."""

    def call(self, x):
        return x


# ------------------------------------------------------------------ features


@pytest.mark.parametrize("name", TAPS)
def test_features_are_those_of_the_field_by_level(name):
    taps = {
        level: (output._keras_history.operation.name, output.shape[-1])
        for level, output in zip(
            built(name).output, backbone(built(name)).outputs, strict=True
        )
    }
    assert list(taps) == list(TAPS[name])
    for level, (layer, channels) in TAPS[name].items():
        assert taps[level][1] == channels
        assert taps[level][0].startswith(layer)
        assert built(name).output[level].shape[-1] == channels


@pytest.mark.parametrize("name", MODULES)
def test_input_is_what_preprocess_input_of_the_family_makes(name):
    model = built(name)
    module = getattr(keras.applications, MODULES[name])
    x = np.random.default_rng(0).uniform(0, 255, (1, 32, 64, 3)).astype("float32")
    names = [layer.name for layer in model.layers]
    before = model.layers[names.index(backbone(model).name) - 1]
    seen = keras.Model(model.input, before.output)(x)
    expected = module.preprocess_input(x.copy())
    np.testing.assert_allclose(seen, expected, rtol=1e-5, atol=1e-4)
    assert np.allclose(expected, x) == (not {"to_bgr", "normalize"} & set(names))


def test_every_convention_of_keras_is_one_linear_map():
    modules = {
        sys.modules[build.__module__]
        for build in vars(keras.applications).values()
        if callable(build)
    }
    assert len(modules) > 8
    x = np.random.default_rng(0).uniform(0, 255, (1, 5, 7, 3)).astype("float32")
    for module in modules:
        convention = normalization_of(module.preprocess_input)
        scale, offset, reverse = convention or (1.0, 0.0, False)
        seen = (x[..., ::-1] if reverse else x) * np.array(scale) + np.array(offset)
        expected = module.preprocess_input(x.copy())
        np.testing.assert_allclose(seen, expected, atol=1e-3, err_msg=module.__name__)


@pytest.mark.parametrize("size", [(1, 1), (33, 65), (32, 64)])
def test_features_have_the_sizes_of_images_padded_to_32(size):
    features = built("MobileNetV2")(images(*size))
    padded = [-(-side // 32) * 32 for side in size]
    for k, level in enumerate(["P1", "P2", "P3", "P4", "P5"], start=1):
        assert tuple(features[level].shape[1:3]) == tuple(s // 2**k for s in padded)


def test_padding_is_zero_at_the_bottom_and_right():
    model = encoder(tiny())
    x = images(33, 50).astype("float32")
    padded = np.pad(x, [(0, 0), (0, 31), (0, 14), (0, 0)])
    expected = model(padded)
    for level, feature in model(x).items():
        np.testing.assert_allclose(feature, expected[level], rtol=1e-5, atol=1e-5)


def test_images_are_padded_to_multiples_of_the_deepest_stride_only():
    model = encoder(tiny(levels=3))
    assert list(model.output) == ["P1", "P2", "P3"]
    assert model.get_layer("pad").multiple == 8
    for size, pads in [((64, 96), False), ((64, 97), True), ((64, 100), True)]:
        fixed = encoder(tiny(), input_shape=(*size, 3))
        assert ("pad" in [layer.name for layer in fixed.layers]) == pads


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


# ------------------------------------------------------------------ variables' paths


def test_paths_of_variables_begin_with_encoder_after_saving_too(tmp_path):
    models = [built("MobileNetV2"), encoder(tiny()), encoder(tiny(), output_stride=8)]
    models[1].save(tmp_path / "encoder.keras")
    models.append(keras.saving.load_model(tmp_path / "encoder.keras"))
    for model in models:
        assert isinstance(model, Encoder)
        assert model.name == "encoder"
        paths = [variable.path for variable in model.variables]
        assert all(path.startswith("encoder/") for path in paths)
        assert len(set(paths)) == len(paths)


def test_paths_of_layers_that_are_built_after_an_encoder_are_their_own():
    encoder(tiny())
    layer = layers.Dense(2, name="after")
    layer.build((None, 3))
    assert layer.kernel.path == "after/kernel"


# ------------------------------------------------------------------ output stride


def padded_tiny():
    """Inverted residuals with 5x5 kernels, padding layers, and a strided pool."""
    keras.utils.set_random_seed(0)
    image = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, strides=2, padding="same")(image)
    x = layers.ZeroPadding2D(((0, 1), (0, 1)))(x)
    x = layers.DepthwiseConv2D(3, strides=2, padding="valid")(x)
    x = layers.Conv2D(6, 5, strides=2, padding="same", activation="relu")(x)
    x = x + layers.SeparableConv2D(6, 3, padding="same")(x)
    x = layers.ZeroPadding2D(1)(x)
    x = layers.Conv2D(8, 3, strides=2, padding="valid", activation="relu")(x)
    x = layers.Conv2D(8, 5, padding="same", activation="relu")(x)
    x = layers.ZeroPadding2D(((1, 2), (1, 2)))(x)
    x = layers.DepthwiseConv2D(5, strides=2, padding="valid")(x)
    x = x + layers.Conv2D(8, 3, padding="same", dilation_rate=2)(x)
    return keras.Model(image, x, name="padded")


def pooled_tiny():
    """Convolutions and pools, as VGG has them."""
    keras.utils.set_random_seed(0)
    x = image = keras.Input((None, None, 3))
    for width in (4, 4, 6, 6, 8):
        x = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D()(x)
    return keras.Model(image, x, name="pooled")


@pytest.mark.parametrize(
    ("make", "output_stride"),
    [
        (padded_tiny, 16),
        (padded_tiny, 8),
        (pooled_tiny, 16),
        (tiny, 8),
        *(
            pytest.param(lambda name=name: name, 8, marks=pytest.mark.slow)
            for name in (
                *("efficientnet_lite0", "resnet50", "ResNet50V2"),
                *("MobileNet", "MobileNetV2"),
            )
        ),
    ],
)
def test_every_nth_pixel_of_a_dilated_map_is_the_coarse_map(make, output_stride):
    coarse = encoder(make())
    fine = encoder(make(), output_stride=output_stride)
    fine.set_weights(coarse.get_weights())
    x = images(64, 96)[:1]
    expected, found = coarse(x), fine(x)
    for k, level in enumerate(["P1", "P2", "P3", "P4", "P5"], start=1):
        stride = min(2**k, output_stride)
        wanted, map_ = np.asarray(expected[level]), np.asarray(found[level])
        assert map_.shape[1:3] == (64 // stride, 96 // stride)
        n = 2**k // stride
        # Which ones depends on where padding stood: on one side, or on both.
        errors = [np.abs(map_[:, i::n, i::n] - wanted).max() for i in range(n)]
        assert min(errors) <= 1e-4 * np.ptp(wanted)
        assert np.ptp(wanted) > 0


@pytest.mark.parametrize(
    ("make", "layer"),
    [
        (pooled_tiny, r"max_pooling2d\S* \(MaxPooling2D\)"),
        pytest.param(lambda: "ConvNeXtTiny", r"\(Sequential\)", marks=pytest.mark.slow),
    ],
)
def test_what_can_not_be_dilated_names_the_layer(make, layer):
    with pytest.raises(ValueError, match=f"Expected an encoder that can.*{layer}"):
        encoder(make(), output_stride=8)


@pytest.mark.parametrize("stride", [4, 64, 0, None, "8"])
def test_other_output_strides_raise(stride):
    with pytest.raises(ValueError, match=r"Expected `output_stride`.*Received"):
        encoder(tiny(), output_stride=stride)


# ------------------------------------------------------------------ what decoders need


def test_a_decoder_says_which_levels_are_missing():
    strides = {"P1": 2, "P2": 4, "P3": 8}
    require_levels(encoder(tiny()), strides, decoder="it")
    with pytest.raises(ValueError, match=r"for it\. Missing: P1\. .*has: P2, P3, P4"):
        require_levels(encoder(patches()), strides, decoder="it")


def test_a_decoder_says_which_strides_are_wrong():
    dilated = encoder(tiny(), output_stride=8)
    require_levels(dilated, {"P2": 4, "P5": 8}, decoder="it")
    with pytest.raises(ValueError, match=r"Received: \{'P5': 8\}.*output_stride"):
        require_levels(dilated, {"P2": 4, "P5": 32}, decoder="it")


def test_features_are_residual_sums_that_are_no_layers():
    own = patches()
    model = encoder(own)
    assert list(model.output) == ["P2", "P3", "P4", "P5"]
    x = images(32, 64).astype("float32")
    np.testing.assert_allclose(model(x)["P5"], own(x), rtol=1e-5)
    first = keras.Model(own.input, own.get_layer("patch2").output)
    second = keras.Sequential([own.get_layer("conv2")])
    summed = first(x) + second(first(x))
    np.testing.assert_allclose(model(x)["P2"], summed, rtol=1e-5, atol=1e-5)


# ------------------------------------------------------------------ models of one's own


@pytest.mark.parametrize(
    ("size", "kind"),
    [
        ((None, None), "functional"),
        ((64, 64), "sequential"),
        ((None, 64), "functional"),
        ((100, 100), "functional"),
    ],
)
def test_a_model_of_ones_own_gives_its_features_at_any_size(size, kind):
    own = tiny(size, kind=kind)
    model = encoder(own)
    assert not {id(v) for v in own.variables} & {id(v) for v in model.variables}
    x = images(50, 90).astype("float32")
    free = tiny()
    free.set_weights(own.get_weights())
    padded = np.pad(x, [(0, 0), (0, 14), (0, 6), (0, 0)])
    relus = [free.get_layer(f"relu{k}").output for k in range(1, 6)]
    expected = keras.Model(free.input, relus)(padded)
    for feature, wanted in zip(model(x).values(), expected, strict=True):
        np.testing.assert_allclose(feature, wanted, rtol=1e-5, atol=1e-5)


def test_an_encoder_that_was_made_before_comes_back_as_it_is():
    made = encoder(tiny())
    assert encoder(made) is made
    for arguments in ({"output_stride": 8}, {"scale": 2.0}, {"offset": 1.0}):
        with pytest.raises(ValueError, match=r"Expected .*where the encoder is made"):
            encoder(made, **arguments)


def test_a_model_gets_images_as_scale_and_offset_say():
    scale, offset = [1 / 50, 1 / 60, 1 / 70], [-1.0, -2.0, -3.0]
    x = images(32, 32).astype("float32")
    found = encoder(tiny(), scale=scale, offset=offset)(x)
    expected = encoder(tiny())(x * np.float32(scale) + np.float32(offset))
    np.testing.assert_allclose(found["P5"], expected["P5"], rtol=1e-4, atol=1e-5)
    assert np.abs(found["P5"] - encoder(tiny())(x)["P5"]).max() > 1e-3


def test_scale_and_offset_are_for_models_not_for_names():
    for argument in ("scale", "offset"):
        with pytest.raises(ValueError, match="Expected `scale` and `offset` with a mo"):
            encoder("mobilenetv2", **{argument: 1.0})


# ------------------------------------------------------------------ KerasHub


def of_kerashub():
    """What a backbone of KerasHub is: a model with a dictionary of features."""
    model = tiny()
    levels = {f"P{k}": model.get_layer(f"norm{k}").output for k in range(2, 6)}
    model.pyramid_outputs = levels | {"P7": model.output}
    return model


def test_a_backbone_of_kerashub_gives_its_own_features_normalized():
    model = encoder(of_kerashub(), scale=1 / 255, offset=[0.0, -0.5, 0.5])
    assert list(model.output) == ["P2", "P3", "P4", "P5"]
    x = images(32, 32).astype("float32")
    own = of_kerashub()
    expected = keras.Model(own.input, own.get_layer("norm5").output)(
        x / 255 + np.float32([0.0, -0.5, 0.5])
    )
    np.testing.assert_allclose(model(x)["P5"], expected, rtol=1e-4, atol=1e-5)


def test_a_backbone_of_kerashub_without_scale_or_offset_is_refused():
    with pytest.raises(ValueError, match=r"Expected `scale` and `offset`.*KerasHub"):
        encoder(of_kerashub())


def test_presets_need_kerashub(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(ImportError, match="pip install keras-hub"):
        encoder("keras_hub:resnet_50_imagenet")


def test_a_preset_brings_its_own_scale_and_offset(tmp_path):
    keras_hub = pytest.importorskip("keras_hub", reason="KerasHub isn't installed")
    own = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 8, 8, 8],
        stackwise_num_blocks=[1, 1, 1, 1],
        stackwise_num_strides=[1, 2, 2, 2],
        block_type="basic_block",
    )
    own.save_to_preset(str(tmp_path))
    scale, offset = [1 / 50, 1 / 60, 1 / 70], [-1.0, -2.0, -3.0]
    converter = keras_hub.layers.ResNetImageConverter(scale=scale, offset=offset)
    converter.save_to_preset(str(tmp_path))
    model = encoder(f"keras_hub:{tmp_path}", weights="imagenet")
    assert list(model.output) == ["P2", "P3", "P4", "P5"]
    x = images(64, 96).astype("float32")
    expected = keras.Model(own.input, own.pyramid_outputs)(
        x * np.float32(scale) + np.float32(offset)
    )
    for level, feature in model(x).items():
        np.testing.assert_allclose(feature, expected[level], rtol=1e-3, atol=1e-4)
    same = encoder(own, scale=scale, offset=offset)
    np.testing.assert_allclose(same(x)["P5"], expected["P5"], rtol=1e-3, atol=1e-4)


# ------------------------------------------------------------------ weights


def stand_in_for_mobilenet(monkeypatch):
    """Make "mobilenetv2" a tiny net; what Keras is asked for comes back in a list."""
    asked = []

    def stand_in(*, weights, **_):
        asked.append(weights)
        return tiny()

    stand_in.__module__ = keras.applications.MobileNetV2.__module__
    monkeypatch.setattr(keras.applications, "MobileNetV2", stand_in)
    return asked


def with_random_weights(model):
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(size=w.shape) for w in model.get_weights()])
    return model


def test_weights_of_an_encoder_come_from_a_file_of_it(monkeypatch, tmp_path):
    asked = stand_in_for_mobilenet(monkeypatch)
    saved = with_random_weights(encoder("mobilenetv2"))
    saved.save(tmp_path / "encoder.keras")
    whole = keras.Sequential([keras.Input((32, 32, 3)), saved], name="whole")
    whole.save(tmp_path / "whole.keras")
    backbone = saved.get_layer("tiny")
    # Layers behind the last features of a backbone aren't used.
    more = keras.layers.Conv2D(2, 1, name="top")(backbone.outputs[-1])
    keras.Model(backbone.inputs, more).save(tmp_path / "backbone.keras")
    saved.save_weights(tmp_path / "encoder.weights.h5")
    for file in (
        "encoder.keras",
        "whole.keras",
        "backbone.keras",
        "encoder.weights.h5",
    ):
        loaded = encoder("mobilenetv2", weights=str(tmp_path / file))
        for a, b in zip(loaded.get_weights(), saved.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    assert set(asked) == {None}  # Keras is asked for none


def test_batch_normalization_of_trained_weights_stays_unless_it_is_thawed(
    monkeypatch, tmp_path
):
    def kinds(model):
        return {variable.name for variable in model.trainable_variables}

    stand_in_for_mobilenet(monkeypatch)
    scratch = encoder("mobilenetv2")
    assert kinds(scratch) == {"kernel", "bias", "gamma", "beta"}
    scratch.save(tmp_path / "encoder.keras")
    trained = encoder("mobilenetv2", weights=str(tmp_path / "encoder.keras"))
    assert kinds(trained) == {"kernel", "bias"}
    trained.save(tmp_path / "trained.keras")
    loaded = keras.saving.load_model(tmp_path / "trained.keras")
    assert kinds(loaded) == {"kernel", "bias"}

    x = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3))
    np.testing.assert_array_equal(trained(x, training=True)["P2"], trained(x)["P2"])
    freeze_batch_normalization(trained, False)
    assert kinds(trained) == {"kernel", "bias", "gamma", "beta"}
    assert not np.allclose(trained(x, training=True)["P2"], trained(x)["P2"], atol=0.1)


def test_weights_of_another_encoder_are_told_by_layer(monkeypatch, tmp_path):
    stand_in_for_mobilenet(monkeypatch)
    encoder(patches()).save(tmp_path / "other.keras")
    with pytest.raises(ValueError, match=r"other\.keras: .*Missing: tiny/conv1, tiny/"):
        encoder("mobilenetv2", weights=str(tmp_path / "other.keras"))


def test_imagenet_and_files_of_keras_are_loaded_by_keras(monkeypatch, tmp_path):
    asked = stand_in_for_mobilenet(monkeypatch)
    path = tmp_path / "mobilenet_notop.h5"
    path.write_bytes(b"")
    for weights in ("imagenet", str(path)):
        encoder("mobilenetv2", weights=weights)
    assert asked == ["imagenet", str(path)]


@pytest.mark.parametrize("name", ["mobilenetv2", "efficientnet_lite0"])
def test_weights_are_refused_before_a_net_is_built(name, monkeypatch, tmp_path):
    monkeypatch.setattr(keras, "Input", None)  # which every net begins with
    monkeypatch.setattr(keras.applications, "MobileNetV2", lambda **_: 1 / 0)
    other = {"mobilenetv2": "a.pth", "efficientnet_lite0": "a.h5"}[name]
    for weights in ("noisy", "", str(tmp_path / other)):
        with pytest.raises(ValueError, match=r"Expected `weights`.*Received"):
            encoder(name, weights=weights)
    with pytest.raises(FileNotFoundError, match=r"none\.keras"):
        encoder(name, weights=str(tmp_path / "none.keras"))


def test_weights_are_for_names_not_for_models():
    with pytest.raises(ValueError, match=r"Expected weights .*with the name"):
        encoder(tiny(), weights="imagenet")


def test_a_failed_download_says_where_to_put_the_file(monkeypatch, tmp_path):
    def offline(**_):
        # What keras.utils.get_file raises.
        raise Exception("URL fetch failure on https://host/a/net_notop.h5: None -- no")

    monkeypatch.setattr(keras.applications, "ResNet152", offline)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(OSError, match=r"https://host/a/net_notop\.h5") as caught:
        encoder("resnet152", weights="imagenet")
    assert f"Put net_notop.h5 into {tmp_path / 'models'}" in str(caught.value)


# ------------------------------------------------------------------ what can't be used


def test_backbones_without_padding_say_why():
    x = image = keras.Input((None, None, 3))
    for _ in range(3):
        x = layers.Conv2D(3, 3, strides=2)(x)
    valid = keras.Model(image, x, name="valid")
    with pytest.raises(ValueError, match=r"(?s)Expected .*'valid'.*aren't padded"):
        encoder(valid)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["InceptionV3", "NASNetMobile"])
def test_backbones_of_keras_that_do_not_fit_say_so(name):
    with pytest.raises(ValueError, match="Expected "):
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
        (
            lambda: keras.Model(a := keras.Input((4,)), layers.Dense(3)(a)),
            r"Expected an encoder with one input.*Received",
        ),
    ],
    ids=[
        *("unknown", "empty", "number", "class", "subclassed", "unbuilt", "channels"),
        "vector",
    ],
)
def test_what_is_no_encoder_raises(bad, said):
    made = bad() if callable(bad) and bad is not Subclassed else bad
    with pytest.raises(ValueError, match=f"(?s){said}"):
        encoder(made)


# ------------------------------------------------------------------ EfficientNet


def rescaled_by(model):
    """The layer that EfficientNet begins with, whose numbers come with its weights."""
    inside = next(x for x in model.layers if isinstance(x, keras.Model))
    return inside.get_layer("normalization")


def test_efficientnet_keeps_its_normalization_when_it_is_copied_or_dilated():
    def with_numbers():
        image = keras.Input((None, None, 3))
        first = keras.layers.Normalization(name="normalization")
        x = first(image)
        for k in range(1, 6):
            x = keras.layers.Conv2D(4, 3, strides=2, padding="same", name=f"c{k}")(x)
        first.set_weights([np.full(3, 5.0), np.full(3, 4.0), np.array(0)])
        first.finalize_state()
        return keras.Model(image, x, name="normalized")

    made = [encoder(with_numbers()), encoder(with_numbers(), output_stride=16)]
    for model in made:
        found = rescaled_by(model)(np.full((1, 1, 1, 3), 9.0))
        np.testing.assert_allclose(found, 2.0)  # (9 - 5) / sqrt(4)


@pytest.mark.slow
def test_weights_of_efficientnet_go_by_name_whatever_was_built_before(tmp_path):
    # Keras calls its normalization "normalization_1" the second time.
    model = encoder("EfficientNetB0")
    first = rescaled_by(model)
    first.set_weights([np.full(3, 5.0), np.full(3, 4.0), np.array(0)])
    first.finalize_state()
    model.save(tmp_path / "encoder.keras")
    loaded = encoder("EfficientNetB0", weights=str(tmp_path / "encoder.keras"))
    found = rescaled_by(loaded)(np.full((1, 1, 1, 3), 9.0))
    np.testing.assert_allclose(found, 2.0)
