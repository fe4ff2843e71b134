import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_seg.models.layers import (
    Bilinear,
    CropTo,
    UpsampleBilinear,
    check_input_shape,
    crop_to,
)


def random(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def enlarge_line(line, factor):
    """Linear interpolation between the centres of pixels, constant beyond the ends."""
    centres = (np.arange(len(line) * factor) + 0.5) / factor - 0.5
    return np.interp(centres, np.arange(len(line)), line)


@pytest.mark.parametrize("factor", [1, 2, 3, 8, 32])
def test_upsampling_interpolates_between_centres_of_pixels(factor):
    x = random(2, 3, 5, 4)
    expected = np.apply_along_axis(enlarge_line, 1, x, factor)
    expected = np.apply_along_axis(enlarge_line, 2, expected, factor)
    np.testing.assert_allclose(UpsampleBilinear(factor)(x), expected, atol=1e-5)


def test_one_upsampling_of_unknown_size_serves_several_sizes_in_graph_mode():
    image = keras.Input((None, None, 1))
    model = keras.Model(image, UpsampleBilinear(2)(image))
    assert model.output_shape == (None, None, None, 1)
    for size in ((1, 1), (3, 5), (4, 2)):
        x = np.ones((2, *size, 1), "float32")
        assert model.predict(x, verbose=0).shape == (2, 2 * size[0], 2 * size[1], 1)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_upsampling_keeps_the_dtype(dtype):
    x = keras.ops.ones((1, 2, 2, 1), dtype)
    y = UpsampleBilinear(2, dtype=dtype)(x)
    assert keras.backend.standardize_dtype(y.dtype) == dtype


@pytest.mark.parametrize("size", range(1, 10))
def test_bilinear_kernel_is_that_of_the_fcn_authors(size):
    f = (size + 1) // 2
    c = f - 1 if size % 2 else f - 0.5
    y, x = np.ogrid[:size, :size]
    expected = np.zeros((size, size, 2, 2))
    for k in range(2):
        expected[:, :, k, k] = (1 - abs(y - c) / f) * (1 - abs(x - c) / f)
    np.testing.assert_allclose(Bilinear()((size, size, 2, 2)), expected, atol=1e-7)


def test_crop_takes_the_top_left():
    x, like = random(2, 4, 6, 3), np.zeros((2, 3, 5, 1))
    np.testing.assert_array_equal(CropTo()(x, like), x[:, :3, :5])


def test_crop_leaves_float32_alone_under_a_mixed_policy():
    x = tf.constant([[[[1 + 2**-20]]]])
    y = CropTo(dtype="mixed_float16")(x, x)
    np.testing.assert_array_equal(y, x)


@pytest.mark.parametrize(
    ("size", "like", "cropped"),
    [
        ((8, 8), (8, 8), False),
        ((8, 8), (7, 8), True),
        ((8, 8), (8, 5), True),
        ((None, 8), (None, 8), True),  # perhaps larger by a row
    ],
)
def test_crop_is_a_layer_only_where_it_may_do_something(size, like, cropped):
    x, like = keras.KerasTensor((None, *size, 2)), keras.KerasTensor((None, *like, 3))
    y = crop_to(x, like, name="crop")
    assert (y is not x) == cropped
    assert y.shape == (None, *like.shape[1:3], 2)


@pytest.mark.parametrize("layer", [UpsampleBilinear(3, name="a"), CropTo(name="b")])
def test_layers_survive_serialisation(layer):
    saved = keras.saving.serialize_keras_object(layer)
    loaded = keras.saving.deserialize_keras_object(saved)
    assert type(loaded) is type(layer)
    assert loaded.get_config() == layer.get_config()


@pytest.mark.parametrize(
    "shape", [(None, None, 3), (1, 1, 1), [32, None, 5], (np.int64(32), 32, 3)]
)
def test_an_input_shape_becomes_a_tuple(shape):
    assert check_input_shape(shape) == tuple(shape)
