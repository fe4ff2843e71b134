"""Every model in every format: ids as the model gives them, at five sizes."""

import keras
import numpy as np
import pytest

import keras_seg
from keras_seg.exports.formats import FORMATS
from keras_seg.inference.opened import as_net
from tests.models.test_models import CLASSES, DECODER, MODELS, UNET, build

#: Backbones that pad, and U-Net's ways up, beside what MODELS has.
MORE = {
    "unet-nearest": UNET | {"upsampling": "nearest"},
    "unet-resnet18": DECODER | {"encoder": "resnet18"},
    "unet-resnet18-bilinear": DECODER
    | {"encoder": "resnet18", "upsampling": "bilinear"},
    "unet-resnet18-transpose": DECODER
    | {"encoder": "resnet18", "upsampling": "transpose"},
    "unet-efficientnet_lite0": DECODER | {"encoder": "efficientnet_lite0"},
}
SIZES = ((65, 97), (1, 1), (17, 31), (64, 64), (40, 100))


def model_of(name):
    if name in MODELS:
        return build(name)
    keras.utils.set_random_seed(0)
    return keras_seg.unet(CLASSES, **MORE[name])


@pytest.mark.slow  # tens of seconds each: converters are slow
@pytest.mark.parametrize("format", ["onnx", "litert"])
@pytest.mark.parametrize("name", [*MODELS, *MORE])
def test_ids_are_those_of_the_model(name, format, tmp_path):
    model = model_of(name)
    path = tmp_path / f"model{FORMATS[format][0]}"
    written = keras_seg.export(model, path, format=format)
    assert written.size == (None, None)
    net = as_net(path)
    rng = np.random.default_rng(1)
    equal = pixels = 0
    for size in SIZES:
        images = rng.integers(0, 256, (2, *size, 3), np.uint8)
        mask, _ = net.masks(images)
        expected = keras.ops.argmax(model(images, training=False), axis=-1)
        assert mask.shape == expected.shape
        equal += (mask == np.asarray(expected)).sum()
        pixels += mask.size
    assert equal >= 0.9999 * pixels


@pytest.mark.slow  # converters are slow
@pytest.mark.parametrize("format", ["onnx", "litert"])
def test_an_unpadded_unet_has_the_masks_of_the_model(format, tmp_path):
    keras.utils.set_random_seed(0)
    model = keras_seg.unet(CLASSES, widths=(4, 6, 8), padding="valid")
    path = tmp_path / f"model{FORMATS[format][0]}"
    keras_seg.export(model, path, format=format)
    net = as_net(path)
    for size in ((48, 60), (64, 44)):
        images = np.random.default_rng(1).integers(0, 256, (2, *size, 3), np.uint8)
        expected = np.asarray(keras.ops.argmax(model(images), axis=-1))
        np.testing.assert_array_equal(net.served("mask", images), expected)
    with pytest.raises(ValueError, match="padding='valid'"):
        net.masks(images)
