"""Models of images in another range than 0..255."""

import keras
import numpy as np
import pytest

import keras_seg
from keras_seg.models.inputs import FromValueRange, image_input, value_range_of

BYTES = np.random.default_rng(0).integers(0, 256, (1, 33, 47, 3)).astype(np.float32)
# One of each way to begin: with a path down, an encoder, VGG16, branches.
BUILDERS = {
    "unet": {"widths": (4, 8)},
    "linknet": {"encoder": "resnet18"},
    "fcn32s": {"widths": (2,) * 5, "head_width": 4},
    "bisenet_v2": {"head_width": 8},
}


def build(name, **arguments):
    keras.utils.set_random_seed(0)
    return getattr(keras_seg, name)(3, **BUILDERS[name], **arguments)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name == "unet" else pytest.mark.slow)
        for name in BUILDERS
    ],
)
def test_the_same_picture_in_another_range_gives_the_same_scores(name, tmp_path):
    expected = np.asarray(build(name)(BYTES))
    model = build(name, value_range=(100, 1120))
    assert value_range_of(model) == (100, 1120)
    np.testing.assert_allclose(model(4 * BYTES + 100), expected, rtol=1e-4, atol=1e-4)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert value_range_of(loaded) == (100, 1120)


def test_every_model_has_a_value_range():
    for name in keras_seg.models.__all__:
        build = getattr(keras_seg.models, name)
        if "num_classes" in getattr(build, "__annotations__", {}):
            with pytest.raises(ValueError, match=r"`value_range`.*low below high"):
                build(3, value_range=(1, 0))


def test_each_channel_may_have_its_own_range():
    layer = FromValueRange((0, 10, -1), (1, 20, 1))
    image = np.array([[[[0, 10, -1], [1, 20, 1], [0.5, 12, 3]]]], np.float32)
    expected = [[[[0, 0, 0], [255, 255, 255], [127.5, 51, 510]]]]
    np.testing.assert_allclose(layer(image), expected, rtol=1e-6)
    with pytest.raises(ValueError, match=r"3 channels.*Received: 2 pairs"):
        image_input((None, None, 3), ((0, 0), (1, 1)))


def test_16_bits_are_mapped_in_float32_under_mixed_precision():
    layer = FromValueRange(0, 65535, dtype="mixed_float16")
    levels = np.array([65535, 65534, 1], np.uint16).reshape(1, 1, 3, 1)
    mapped = np.asarray(layer(levels)).ravel()
    assert mapped.dtype == np.float32
    np.testing.assert_allclose(mapped, levels.ravel() * (255 / 65535), rtol=1e-6)


def trained_on(images, value_range):
    image, x = image_input((None, None, 1), value_range)
    model = keras.Model(image, keras.layers.Conv2D(2, 1)(x))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.train_on_batch(images, np.zeros(images.shape[:3], int))


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="other backends can't raise in fit"
)
@pytest.mark.parametrize(
    ("value_range", "images"),
    [
        ((0, 4095), np.linspace(0.1, 1, 64)),  # scaled before
        ((0, 4095), np.linspace(30000, 40000, 64)),  # of 16 bits
        ((0, 1), np.arange(64.0)),
        ((-1000, 3000), np.full(64, -9999.0)),
    ],
)
def test_training_refuses_images_of_another_range(value_range, images):
    images = images.reshape(1, 8, 8, 1)
    with pytest.raises(Exception, match="Expected images in"):
        trained_on(images, value_range)


@pytest.mark.parametrize(
    ("value_range", "images"),
    [
        ((0, 4095), np.arange(64) % 3),  # a dark crop of whole numbers
        ((0, 4095), np.linspace(0, 8000, 64)),
        ((0, 1), np.linspace(0, 1, 64)),
        ((1000, 1100), np.linspace(950, 1150, 64)),  # measured: some lie outside
    ],
)
def test_training_takes_images_of_the_range(value_range, images):
    trained_on(images.reshape(1, 8, 8, 1).astype(np.float32), value_range)
