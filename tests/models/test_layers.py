import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_seg.models.arguments import check_input_shape
from keras_seg.models.initializers import Bilinear
from keras_seg.models.inputs import CheckRange
from keras_seg.models.layers import (
    CropTo,
    PadToMultiple,
    ReverseChannels,
    UpsampleBilinear,
    UpsampleNearest,
    crop_to,
)
from keras_seg.models.valid_sizes import RequireValidSize


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


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("factor", [2, (3, 1)])
def test_nearest_upsampling_repeats_pixels(factor, jit_compile, training):
    layer = UpsampleNearest(factor)
    rows, columns = factor if isinstance(factor, tuple) else (factor, factor)

    def call(x):
        return layer(x, training=training)

    if keras.backend.backend() == "tensorflow":
        spec = None if jit_compile else [tf.TensorSpec((None, None, None, 4))]
        call = tf.function(call, jit_compile=jit_compile, input_signature=spec)
    for shape in ((2, 3, 5, 4), (1, 1, 1, 4)):
        x = random(*shape)
        expected = x.repeat(rows, axis=1).repeat(columns, axis=2)
        np.testing.assert_array_equal(call(x), expected)


@pytest.mark.usefixtures("tensorflow_only")  # on others the gradient is Keras's
def test_gradients_of_nearest_upsampling_are_sums_over_copies():
    x, weights = tf.constant(random(1, 2, 3, 1)), random(1, 4, 6, 1)
    layer = UpsampleNearest(2)
    for training in (False, True):
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(layer(x, training=training) * weights)
        expected = weights.reshape(1, 2, 2, 3, 2, 1).sum((2, 4))
        np.testing.assert_allclose(tape.gradient(total, x), expected, rtol=1e-5)


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


def test_crop_starts_at_its_offset():
    x, like = random(2, 9, 12, 3), np.zeros((2, 3, 5, 1))
    np.testing.assert_array_equal(CropTo(4)(x, like), x[:, 4:7, 4:9])


def test_crop_leaves_out_as_much_on_both_sides_of_the_centre():
    x = random(1, 8, 11, 2)
    centre = CropTo("centre")(x, np.zeros((1, 4, 5, 1)))
    np.testing.assert_array_equal(centre, x[:, 2:6, 3:8])
    turned = CropTo("centre")(x[:, ::-1, ::-1], np.zeros((1, 4, 5, 1)))
    np.testing.assert_array_equal(turned, centre[:, ::-1, ::-1])


@pytest.mark.parametrize("size", [(1, 1), (4, 8), (5, 7), (31, 33)])
def test_padding_is_the_least_that_makes_a_multiple(size):
    x = random(2, *size, 3)
    padded = np.asarray(PadToMultiple(4)(x))
    extra = [next(n for n in range(4) if (s + n) % 4 == 0) for s in size]
    np.testing.assert_array_equal(
        padded, np.pad(x, [(0, 0), (0, extra[0]), (0, extra[1]), (0, 0)])
    )
    assert (
        PadToMultiple(4).compute_output_shape((None, *size, 3))[1:]
        == (padded.shape[1:])
    )


def test_reversed_channels_are_blue_to_red():
    x = random(2, 3, 4, 5)
    np.testing.assert_array_equal(ReverseChannels()(x), x[..., [4, 3, 2, 1, 0]])


def fractions(low, high):
    return np.random.default_rng(0).uniform(low, high, (2, 3, 4, 3)).astype("float32")


SCALED = [fractions(0, 1), fractions(-1, 1), fractions(-2.1, 2.6)]


def trained_on(images, **options):
    image = keras.Input((None, None, 3))
    model = keras.Model(image, layers.Conv2D(1, 1)(CheckRange()(image)))
    model.compile("sgd", "mse", **options)
    return model.train_on_batch(images, images[..., :1])


@pytest.mark.usefixtures("tensorflow_only")
@pytest.mark.parametrize("images", SCALED, ids=["0..1", "-1..1", "normalized"])
@pytest.mark.parametrize("eagerly", [False, True])
def test_training_on_images_that_were_scaled_before_is_an_error(images, eagerly):
    said = r"(?s)Expected images in 0\.\.255\. Received.*leave out what scales them"
    with pytest.raises(tf.errors.InvalidArgumentError, match=said):
        trained_on(images, run_eagerly=eagerly)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 3, 4, 3)),
        np.ones((2, 3, 4, 3)),  # dark, and whole as images of integers are
        fractions(0, 2),
        fractions(-20, 280),  # after augmentation
        fractions(0, 255),
    ],
    ids=["black", "dark", "dark_fractions", "beyond", "image"],
)
def test_training_on_images_of_0_to_255_goes_on(images):
    assert np.isfinite(trained_on(images))


@pytest.mark.usefixtures("tensorflow_only")
@pytest.mark.parametrize("images", SCALED, ids=["0..1", "-1..1", "normalized"])
def test_the_range_is_checked_nowhere_but_in_training(images):
    np.testing.assert_array_equal(CheckRange()(images), images)
    graph = tf.function(CheckRange()).get_concrete_function(tf.constant(images)).graph
    assert {op.type for op in graph.get_operations()} <= {"Placeholder", "Identity"}
    assert np.isfinite(trained_on(images, jit_compile=True))  # XLA drops it


def sized_by_its_input(image):
    """All layers whose output's size depends on that of their input."""
    x = UpsampleBilinear(2)(PadToMultiple(4)(ReverseChannels()(image)))
    return CropTo("centre")(CropTo(1)(x, image), image)


@pytest.mark.usefixtures("tensorflow_only")
def test_layers_work_eagerly_in_graphs_of_unknown_size_under_xla_and_saved(tmp_path):
    image = keras.Input((None, None, 2))
    model = keras.Model(image, sized_by_its_input(image))
    assert model.output_shape == (None, None, None, 2)
    fixed = keras.Input((5, 7, 2))
    compiled = tf.function(
        keras.Model(fixed, sized_by_its_input(fixed)), jit_compile=True
    )
    graph = tf.function(
        model, input_signature=[tf.TensorSpec((None, None, None, 2), tf.float32)]
    )
    model.export(tmp_path / "saved", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "saved"))
    for size in [(5, 7), (4, 9), (1, 1)]:
        x = random(2, *size, 2)
        eager = model(x)
        assert eager.shape == x.shape
        others = [graph, served.serve] + ([compiled] if size == (5, 7) else [])
        for other in others:
            np.testing.assert_allclose(other(tf.constant(x)), eager, atol=1e-6)


def test_crop_leaves_float32_alone_under_a_mixed_policy():
    x = keras.ops.convert_to_tensor([[[[1 + 2**-20]]]])
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


@pytest.mark.parametrize(
    "layer",
    [
        UpsampleBilinear(3, name="a"),
        CropTo(name="b"),
        CropTo(31, name="c"),
        CropTo("centre", name="d"),
        PadToMultiple(8, name="e"),
        ReverseChannels(name="f"),
        RequireValidSize(4, name="g"),
        CheckRange(name="h"),
    ],
    ids=lambda layer: layer.name,
)
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
