"""U-Net with an encoder: the net of segmentation_models_pytorch, by its parts."""

import functools

import keras
import numpy as np
import pytest

from keras_seg import unet
from keras_seg.models import encoder
from tests.models.backbones import patches, tiny, tiny_encoder
from tests.models.shapes_only import no_numbers

WIDTHS = (4, 4, 4, 4, 4)
TINY = functools.partial(unet, 3, widths=WIDTHS)


def images(*size):
    return np.random.default_rng(0).integers(0, 256, (2, *size, 3), np.uint8)


@functools.cache
def shared():
    """A U-Net that tests share and leave as it is."""
    keras.utils.set_random_seed(1)
    return unet(3, encoder=tiny(), widths=(4, 6, 8, 10, 14))


# ------------------------------------------------------------------ parameters


def learning(model):
    return sum(int(np.prod(v.shape)) for v in model.trainable_variables)


def fields_decoder(features, *, classes, widths=(256, 128, 64, 32, 16)):
    """smp: [up, skip] -> two 3x3 convolutions without bias, batch-normalized; a score.

    Args:
        features: Channels of the features, the deepest last; 0 where there are none.
    """
    *skips, x = features
    total = 0
    for skip, width in zip([*reversed(skips), 0], widths, strict=True):
        total += 9 * (x + skip) * width + 9 * width * width + 2 * 2 * width
        x = width
    return total + 9 * x * classes + classes


@pytest.mark.parametrize(
    ("name", "features", "of_smp", "difference"),
    [
        ("MobileNetV2", (16, 24, 32, 96, 1280), 6_631_845, 0),
        # There, the last 1x1 convolution to 1280 and its normalization are counted, but
        # not used.
        (
            "EfficientNetB0",
            (32, 24, 40, 112, 320),
            6_254_369,
            -(320 * 1280 + 2 * 1280),
        ),
        ("resnet18", (64, 64, 128, 256, 512), 14_331_109, 0),
        ("resnet50", (64, 256, 512, 1024, 2048), 32_524_005, 0),
        # timm's ends in the last block; Keras normalizes its features.
        ("ConvNeXtTiny", (0, 96, 192, 384, 768), 31_931_653, 2 * 768),
    ],
)
def test_parameters_are_those_of_segmentation_models_pytorch(
    name, features, of_smp, difference
):
    with no_numbers():
        model = unet(21, encoder=name)
        inside = model.get_layer("encoder")
        decoder = learning(model) - learning(inside)
        assert decoder == fields_decoder(features, classes=21)
        assert learning(model) == of_smp + difference


# ------------------------------------------------------------------ parts


def test_a_step_up_is_nearest_then_the_skip_then_two_normalized_convolutions():
    model = shared()
    for k in (5, 4, 3, 2, 1):
        nearest = model.get_layer(f"up{k}_nearest")
        assert nearest.interpolation == "nearest"
        assert nearest.size == (2, 2)
        if k > 1:
            below, skip = model.get_layer(f"up{k}_join").input
            assert below is nearest.output
            assert skip.shape[-1] == {5: 10, 4: 8, 3: 6, 2: 4}[k]
        assert (
            model.get_layer(f"up{k}_conv1").kernel.shape[2:]
            == {
                5: (12 + 10, 14),
                4: (14 + 8, 10),
                3: (10 + 6, 8),
                2: (8 + 4, 6),
                1: (6, 4),
            }[k]
        )
        for n in (1, 2):
            norm = model.get_layer(f"up{k}_norm{n}")
            assert isinstance(norm, keras.layers.BatchNormalization)
            assert (norm.epsilon, norm.momentum) == (1e-5, 0.9)  # as in PyTorch
            assert not model.get_layer(f"up{k}_conv{n}").use_bias
    assert model.get_layer("score").kernel.shape == (3, 3, 4, 3)
    assert [layer.name for layer in model.layers][-3:] == ["score", "crop", "logits"]


def decoded(features, model):
    """smp's decoder in NumPy: what the layers of a model make of features."""

    def convolve(x, name):
        kernel = np.asarray(model.get_layer(name).kernel, "f8")
        height, width = x.shape[1:3]
        padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
        return sum(
            padded[:, i : i + height, j : j + width] @ kernel[i, j]
            for i, j in np.ndindex(3, 3)
        )

    *skips, x = features
    for level, skip in zip((5, 4, 3, 2, 1), [*reversed(skips), None], strict=True):
        x = x.repeat(2, 1).repeat(2, 2)
        x = x if skip is None else np.concatenate([x, skip], axis=-1)
        for n in (1, 2):
            norm = model.get_layer(f"up{level}_norm{n}")
            gamma, beta, mean, variance = (np.asarray(w, "f8") for w in norm.weights)
            x = convolve(x, f"up{level}_conv{n}")
            x = (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta
            x = np.maximum(x, 0)
    return convolve(x, "score") + np.asarray(model.get_layer("score").bias)


def test_logits_are_those_of_the_fields_decoder_in_numpy():
    model = shared()
    x = images(20, 37)
    features = [np.asarray(f, "f8") for f in model.get_layer("encoder")(x).values()]
    expected = decoded(features, model)[:, :20, :37]
    found = np.asarray(model(x))
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.ptp(expected))


@pytest.mark.parametrize("upsampling", ["transpose", "bilinear", "nearest"])
def test_upsampling_is_as_asked(upsampling):
    kind = {
        "transpose": keras.layers.Conv2DTranspose,
        "bilinear": "UpsampleBilinear",
        "nearest": "UpsampleNearest",
    }[upsampling]
    model = TINY(encoder=tiny_encoder(), upsampling=upsampling)
    layer = model.get_layer(f"up3_{upsampling}")
    assert type(layer).__name__ == getattr(kind, "__name__", kind)
    assert model(images(33, 20)).shape == (2, 33, 20, 3)


def test_normalization_is_as_asked():
    for normalization in ("none", "group"):
        model = TINY(encoder=tiny_encoder(), normalization=normalization)
        kinds = {type(layer).__name__ for layer in model.layers if "norm" in layer.name}
        assert kinds == ({"GroupNormalization"} if normalization == "group" else set())
        assert model.get_layer("up1_conv1").use_bias == (normalization == "none")


def test_dropout_is_at_the_two_deepest_levels_with_an_encoder_too():
    model = TINY(encoder=tiny_encoder(), dropout=0.5)
    features = model.get_layer("encoder").output
    dropped = {
        layer.name: (layer.rate, layer.input.shape[-1])
        for layer in model.layers
        if isinstance(layer, keras.layers.Dropout)
    }
    assert dropped == {
        "skip_dropout": (0.5, features["P4"].shape[-1]),
        "bottom_dropout": (0.5, features["P5"].shape[-1]),
    }
    # And both are on the way to the logits.
    x = images(32, 32)
    twice = [np.asarray(model(x, training=True)) for _ in range(2)]
    assert np.any(twice[0] != twice[1])
    assert (
        model.get_layer("up5_join").input[1] is model.get_layer("skip_dropout").output
    )
    assert model.get_layer("up5_nearest").input is (
        model.get_layer("bottom_dropout").output
    )


# ------------------------------------------------------------------ the encoder in it


def test_variables_of_the_encoder_and_only_those_have_paths_that_begin_with_it():
    model = shared()
    inside = {id(v) for v in model.get_layer("encoder").variables}
    assert len(inside) == 5 * 6
    for variable in model.variables:
        assert variable.path.startswith("encoder/") == (id(variable) in inside)


def test_optimizers_know_the_encoder_by_its_paths(tmp_path):
    # After a model was loaded from a file, too; so it is the one that is trained here.
    model = TINY(encoder=tiny())
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert [v.path for v in loaded.variables] == [v.path for v in model.variables]
    still, moving = keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.1)
    chosen = keras.optimizers.OptimizerMap(moving, {"encoder/.*": still})
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    loaded.compile(keras.optimizers.MultiOptimizer(chosen), loss, run_eagerly=True)
    before = {v.path: v.numpy() for v in loaded.trainable_variables}
    loaded.train_on_batch(images(32, 32), np.zeros((2, 32, 32), "uint8"))
    moved = {v.path for v in loaded.trainable_variables if np.any(v != before[v.path])}
    assert not [path for path in moved if path.startswith("encoder/")]
    assert {"up1_conv1/kernel", "score/bias"} <= moved


def test_a_model_is_copied_with_its_weights():
    own = tiny()
    inside = shared().get_layer("encoder")
    for weight, wanted in zip(inside.get_weights(), own.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, wanted)
    assert not {id(v) for v in own.variables} & {id(v) for v in inside.variables}


def test_an_encoder_can_be_made_before_its_unet():
    made = encoder(tiny(), scale=1 / 255)
    model = TINY(encoder=made)
    assert model.get_layer("encoder") is made


@pytest.mark.parametrize("frozen", [True, False])
def test_a_frozen_encoder_keeps_its_weights_and_statistics(frozen):
    model = TINY(encoder=tiny())
    inner = model.get_layer("encoder")
    inner.trainable = not frozen
    before = {v.path: v.numpy() for v in model.variables}
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, run_eagerly=True)
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


# ------------------------------------------------------------------ levels


def test_an_encoder_that_begins_at_p2_has_no_skip_at_stride_2():
    # segmentation_models_pytorch goes up twice without a skip, too.
    model = TINY(encoder=patches())
    joins = [layer.name for layer in model.layers if layer.name.endswith("_join")]
    assert joins == ["up5_join", "up4_join", "up3_join"]
    for size in [(1, 1), (33, 65)]:
        assert model(images(*size)).shape == (2, *size, 3)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: tiny(levels=4),
            r"levels P2, P3, P4, P5 for a U-Net\. Missing: P5",
        ),
        (lambda: encoder(tiny(), output_stride=8), r"strides .*'P4': 8.*output_stride"),
    ],
)
def test_levels_that_do_not_fit_are_told(make, said):
    with pytest.raises(ValueError, match=f"Expected an encoder .*{said}"):
        TINY(encoder=make())


# ------------------------------------------------------------------ sizes


@pytest.mark.parametrize("shape", [(32, 64, 3), (64, 64, 4)])
def test_an_encoder_made_for_other_images_is_refused_by_unet_itself(shape):
    made = encoder(tiny(), input_shape=(64, 64, 3))
    message = r"^Expected an encoder for images .* for images \(64, 64, 3\)\.$"
    with pytest.raises(ValueError, match=message):
        TINY(encoder=made, input_shape=shape)


def test_a_fixed_size_gives_the_logits_of_any_size():
    keras.utils.set_random_seed(1)
    fixed = unet(3, encoder=tiny(), widths=(4, 6, 8, 10, 14), input_shape=(33, 65, 3))
    assert fixed.output_shape == (None, 33, 65, 3)
    fixed.set_weights(shared().get_weights())
    x = images(33, 65)
    np.testing.assert_allclose(fixed(x), shared()(x), rtol=1e-4, atol=1e-4)


# ------------------------------------------------------------------ refusals


def test_arguments_are_refused_before_a_net_is_built(monkeypatch, tmp_path):
    made = tiny()
    monkeypatch.setattr(keras, "Input", None)  # which every net begins with
    monkeypatch.setattr(keras.applications, "ResNet152", lambda **_: 1 / 0)
    named = {"encoder": "resnet152"}
    missing = str(tmp_path / "none.keras")
    refused = [
        ({"encoder_weights": "imagenet"}, "Expected an `encoder` with `encoder_w"),
        ({"weights": "imagenet"}, "use encoder_weights='imagenet'"),
        (named | {"encoder_weights": "noisy"}, "Expected `encoder_weights`.*noisy"),
        (named | {"encoder_weights": missing}, "no such file"),
        (named | {"weights": missing}, "no such file"),
        (named | {"weights": str(tmp_path)}, "the folder of a run with model.keras"),
        (
            named | {"encoder_weights": "imagenet", "weights": missing},
            "Expected `encoder_weights` or `weights`, not both",
        ),
        (named | {"padding": "valid"}, "Expected padding='same'.*'valid'"),
        (named | {"widths": (4, 4)}, "Expected `widths`.*five.*Received"),
        (named | {"widths": (4,) * 6}, "Expected `widths`.*five.*Received"),
        (named | {"widths": (4, 4, 4, 4, 0)}, "Expected `widths`.*five.*Received"),
        ({"encoder": "resnet51"}, "Expected `encoder`.*resnet50"),
        ({"encoder": 5}, "Expected `encoder`.*Received: 5"),
        ({"encoder": made, "encoder_weights": "imagenet"}, "name of a backbone"),
        ({"encoder": made, "normalization": "layer"}, "Expected `normalization`"),
    ]
    for arguments, said in refused:
        with pytest.raises((ValueError, FileNotFoundError), match=said):
            unet(3, **arguments)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *("VGG19", "ResNet152", "ResNet50V2", "MobileNet", "MobileNetV3Small"),
        *("MobileNetV3Large", "DenseNet169", "EfficientNetB3", "EfficientNetV2B0"),
        *("EfficientNetV2S", "efficientnet_lite1", "ConvNeXtTiny"),
    ],
)
def test_any_backbone_that_fits_gives_masks_of_the_size_of_images(name):
    model = TINY(encoder=name)
    for size in [(1, 1), (33, 65)]:
        logits = model(images(*size))
        assert logits.shape == (2, *size, 3)
        assert np.isfinite(logits).all()
