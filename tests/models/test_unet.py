import functools
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_seg import unet
from keras_seg.models.blocks import up_convolution
from keras_seg.models.layers import CropTo, UpsampleBilinear
from keras_seg.models.valid_sizes import is_valid_size
from tests.models.shapes_only import no_numbers


def counted(build):
    """Number of weights that learn, of a model that is built without any numbers."""
    with no_numbers():
        variables = build().trainable_variables
    return sum(int(np.prod(variable.shape)) for variable in variables)


def convolution(size, inputs, filters):
    return size**2 * inputs * filters + filters


def papers_parameters(channels, classes, *, up):
    """Figure 1: two 3x3 convolutions a level, up-convolutions of size `up`, a score."""
    widths = (64, 128, 256, 512, 1024)
    total = convolution(1, widths[0], classes)
    for above, width in zip((channels, *widths), widths, strict=False):
        total += convolution(3, above, width) + convolution(3, width, width)
    for width, below in itertools.pairwise(widths):
        total += convolution(up, below, width)
        total += convolution(3, 2 * width, width) + convolution(3, width, width)
    return total


@pytest.mark.parametrize(
    ("channels", "num_classes", "upsampling", "published"),
    [
        (1, 2, "transpose", 31_030_658),
        (3, 21, "transpose", 31_033_045),
        (3, 21, "bilinear", None),
        (3, 21, "nearest", None),
    ],
)
def test_parameters_are_those_of_the_paper(
    channels, num_classes, upsampling, published
):
    # The paper's 2x2 transposed convolution, or a 1x1 convolution and a resize.
    up = 2 if upsampling == "transpose" else 1
    expected = papers_parameters(channels, num_classes, up=up)
    assert published in (None, expected)
    shape = (None, None, channels)
    build = functools.partial(
        unet, num_classes, input_shape=shape, upsampling=upsampling
    )
    assert counted(build) == expected


@pytest.mark.parametrize("upsampling", ["transpose", "bilinear", "nearest"])
def test_every_skip_reaches_the_logits(upsampling, gradients):
    keras.utils.set_random_seed(0)
    model = unet(num_classes=3, widths=(4, 4, 4, 4), upsampling=upsampling)
    scale = {"transpose": "transpose"}.get(upsampling, "conv0")
    image = np.random.default_rng(0).uniform(0, 255, (1, 17, 31, 3)).astype("float32")
    paths = [variable.path for variable in model.trainable_variables]
    for level in (1, 2, 3):
        # With the way up from below cut off, the skip alone is left.
        below = model.get_layer(f"up{level}_{scale}")
        weights = below.get_weights()
        below.set_weights([np.zeros_like(weight) for weight in weights])
        found = gradients(model, lambda model: keras.ops.sum(model(image) ** 2))
        assert np.any(found[paths.index(f"down{level}_conv2/kernel")]), level
        below.set_weights(weights)


def test_joins_put_the_skip_beside_as_many_channels_from_below():
    model = unet(num_classes=3, widths=(4, 6, 8, 10))
    for level, width in enumerate((4, 6, 8), start=1):
        skip, below = model.get_layer(f"up{level}_join").input
        assert skip is model.get_layer(f"down{level}_conv2").output
        assert (skip.shape[-1], below.shape[-1]) == (width, width)


def test_every_level_has_two_convolutions_on_the_way_down_and_up():
    model = unet(num_classes=3, widths=(4, 6, 8))
    filters = {
        layer.name: layer.filters
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D) and layer.kernel_size == (3, 3)
    }
    places = {"down1": 4, "down2": 6, "bottom": 8, "up2": 6, "up1": 4}
    assert filters == {f"{p}_conv{k}": n for p, n in places.items() for k in (1, 2)}


def test_images_are_scaled_to_minus_1_to_1_inside_the_model():
    model = unet(num_classes=3, widths=(4, 8))
    scaled = keras.Model(model.input, model.get_layer("rescale").output)
    image = np.array([0, 51, 255], "uint8").reshape(1, 1, 1, 3)
    np.testing.assert_allclose(np.ravel(scaled(image)), [-1, -0.6, 1], rtol=1e-6)


def test_dropout_is_at_the_two_deepest_levels():
    model = unet(num_classes=3, widths=(4, 4, 4, 4), dropout=0.5)
    dropped = {
        layer.name: (layer.rate, layer.input.name)
        for layer in model.layers
        if isinstance(layer, keras.layers.Dropout)
    }
    after = {f"{p}_dropout": model.get_layer(f"{p}_conv2") for p in ("down3", "bottom")}
    assert dropped == {name: (0.5, conv.output.name) for name, conv in after.items()}


@pytest.mark.parametrize(
    "widths", [(), (8,), (8, 0), (8, -8), (8, 2.5), ("8", "16"), "ab", (8, None)]
)
def test_widths_that_are_none_raise(widths):
    with pytest.raises(ValueError, match=r"Expected `widths`.*Received: "):
        unet(num_classes=3, widths=widths)


# ------------------------------------------------------------------ the paper's sizes

VALID = {"padding": "valid", "widths": (2, 2, 2, 2, 2)}


def test_572_pixels_become_388():
    model = unet(2, input_shape=(572, 572, 1), **VALID)
    assert model.output_shape == (None, 388, 388, 2)
    model = unet(2, input_shape=(None, None, 1), **VALID)
    assert model.output_shape == (None, None, None, 2)
    for height, width in [(572, 572), (188, 236)]:
        logits = model(np.zeros((1, height, width, 1), "float32"))
        assert logits.shape == (1, height - 184, width - 184, 2)


def test_sizes_that_fit_leave_no_pixel_over():
    # 16 k + 60 with four pools; with two, s - 4 and (s - 4) / 2 - 4 are even.
    found = {n: [s for s in range(1, 700) if is_valid_size(s, n)] for n in (1, 2, 4)}
    assert found[4] == [s for s in range(16 * 8 + 60, 700) if (s - 60) % 16 == 0]
    assert found[2] == list(range(44, 700, 4))
    assert found[1] == list(range(18, 700, 2))


@pytest.mark.parametrize(
    ("levels", "size"), [(1, 18), (1, 20), (2, 44), (2, 48), (3, 92), (3, 100)]
)
def test_sizes_that_fit_give_masks(levels, size):
    model = unet(2, padding="valid", widths=(2,) * (levels + 1))
    lost = {1: 16, 2: 40, 3: 88}[levels]  # 4 per level and side, doubled on the way up
    assert is_valid_size(size, levels)
    logits = model(np.ones((1, size, size, 3), "float32"))
    assert logits.shape == (1, size - lost, size - lost, 2)


@functools.cache
def valid_unet():
    """An unpadded U-Net that tests share and leave as it is."""
    return unet(2, **VALID)


@functools.cache
def valid_graph():
    """It as a graph, whose sizes are unknown where they can be."""
    if keras.backend.backend() != "tensorflow":
        return valid_unet()
    images = tf.TensorSpec((None, None, None, 3), tf.float32)
    return tf.function(valid_unet(), input_signature=[images])


def predicting_unet():
    """It, or an own one on JAX, where a model whose `predict` raises is lost."""
    is_lost = keras.backend.backend() == "jax"
    return unet(2, **VALID) if is_lost else valid_unet()


@pytest.mark.parametrize(
    "feed",
    [
        lambda image: unet(2, input_shape=image.shape[1:], **VALID),
        lambda image: valid_unet()(image),
        lambda image: predicting_unet().predict(image, verbose=0),
        lambda image: valid_graph()(image),
    ],
    ids=["build", "call", "predict", "graph"],
)
@pytest.mark.parametrize(
    ("size", "side", "nearest"),
    [
        ((571, 572), 571, r"556\D+572"),  # in a graph, brackets stand between them
        ((188, 189), 189, r"188\D+204"),
        ((1, 188), 1, "188"),
    ],
)
def test_sizes_that_do_not_fit_name_the_nearest(feed, size, side, nearest):
    image = np.zeros((1, *size, 3), "float32")
    said = rf"(?s)Expected height and width.*Received:\D*{side}\b.*{nearest}"
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match=said):
        feed(image)


def test_a_fixed_size_that_does_not_fit_is_told_by_unet_itself():
    message = r"^Expected height and width .* Received: 33\. Nearest: 188\.$"
    with pytest.raises(ValueError, match=message):
        unet(2, padding="valid", widths=(2,) * 5, input_shape=(33, 33, 3))


@pytest.mark.usefixtures("tensorflow_only")
def test_a_dataset_of_unknown_sizes_that_fit_is_predicted():
    sizes = [(188, 204), (204, 188)]
    dataset = tf.data.Dataset.from_generator(
        lambda: (np.ones((1, *size, 3), "float32") for size in sizes),
        output_signature=tf.TensorSpec((None, None, None, 3), tf.float32),
    )
    found = [tuple(valid_graph()(x).shape[1:3]) for x in dataset]
    assert found == [(4, 20), (20, 4)]


@pytest.mark.parametrize("fixed", [True, False])
def test_skips_are_cropped_around_their_centre(fixed):
    size = (96, 120)
    shape = (*size, 3) if fixed else (None, None, 3)
    model = unet(2, padding="valid", widths=(2, 3, 4), input_shape=shape)
    parts = ("down{}_conv2", "up{}_crop", "up{}_join")
    outputs = [model.get_layer(p.format(k)).output for k in (1, 2) for p in parts]
    image = np.random.default_rng(0).uniform(0, 255, (1, *size, 3))
    values = [np.asarray(v) for v in keras.Model(model.input, outputs)(image)]
    for skip, cropped, joined in (values[:3], values[3:]):
        top, left = (np.subtract(skip.shape, cropped.shape) // 2)[1:3]
        assert min(top, left) > 0
        np.testing.assert_array_equal(cropped, skip[:, top:-top, left:-left])
        np.testing.assert_array_equal(joined[..., : skip.shape[-1]], cropped)


def test_a_mask_shows_the_centre_of_its_image():
    # A pixel in the lost border moves logits at that end alone.
    keras.utils.set_random_seed(0)
    model = unet(2, padding="valid", widths=(16, 16))
    image = np.random.default_rng(0).uniform(0, 255, (1, 30, 30, 3)).astype("float32")
    other = image.copy()
    other[:, :2, :2] = 255 - other[:, :2, :2]
    moved = np.any(model(image) != model(other), axis=(0, -1))
    assert moved.shape == (14, 14)
    assert moved[0, 0]
    assert not moved[9:].any()
    assert not moved[:, 9:].any()


# ------------------------------------------------------------------ layers


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_only_what_comes_up_to_a_skip_is_cropped(padding):
    model = unet(2, widths=(2, 2, 2), padding=padding)
    cropped = {layer.name for layer in model.layers if isinstance(layer, CropTo)}
    assert cropped == {"up1_crop", "up2_crop"}


def test_kernels_start_he_normal_and_that_of_scores_glorot_uniform():
    keras.utils.set_random_seed(0)
    model = unet(32, widths=(32, 64), upsampling="bilinear", dropout=0.5)
    convolutions = [x for x in model.layers if isinstance(x, keras.layers.Conv2D)]
    assert [x.name for x in convolutions][-1] == "score"
    for layer in convolutions:
        *size, inputs, filters = layer.kernel.shape
        variance = 2 / (np.prod(size) * inputs)
        if layer.name == "score":
            variance = 2 / (inputs + filters)
        # Of 1,024 numbers or more: 0.1 is four standard errors.
        assert np.std(layer.kernel) == pytest.approx(variance**0.5, rel=0.1)


@pytest.mark.parametrize(
    ("upsampling", "resize"),
    [
        ("bilinear", UpsampleBilinear(2)),
        ("nearest", keras.layers.UpSampling2D(2)),
    ],
)
def test_convolving_before_resizing_equals_resizing_before_convolving(
    upsampling, resize
):
    image = keras.Input((5, 7, 6))
    up = up_convolution(image, 4, upsampling=upsampling, name="up")
    model = keras.Model(image, up)
    convolution = model.get_layer("up_conv0")
    rng = np.random.default_rng(0)
    convolution.bias.assign(rng.normal(size=4))
    x = rng.normal(size=(2, 5, 7, 6)).astype("float32")
    np.testing.assert_allclose(model(x), convolution(resize(x)), rtol=1e-5, atol=1e-5)
    # A quarter of the work.
    assert convolution.output.shape[1:3] == (5, 7)


@pytest.mark.parametrize("normalization", ["batch", "group"])
def test_normalization_comes_between_convolution_and_relu(normalization):
    model = unet(2, widths=(4, 6, 8), normalization=normalization)
    kinds = {
        "batch": keras.layers.BatchNormalization,
        "group": keras.layers.GroupNormalization,
    }
    for place in ("down1", "down2", "bottom", "up2", "up1"):
        for k in (1, 2):
            convolution = model.get_layer(f"{place}_conv{k}")
            norm = model.get_layer(f"{place}_norm{k}")
            relu = model.get_layer(f"{place}_relu{k}")
            assert convolution.activation is keras.activations.linear
            assert not convolution.use_bias  # which the normalization takes away
            assert isinstance(norm, kinds[normalization])
            assert norm.input is convolution.output
            assert relu.input is norm.output
            assert norm.epsilon == 1e-5
            assert normalization == "group" or norm.momentum == 0.9
    assert model.get_layer("score").use_bias


@pytest.mark.parametrize("normalization", [None, "none"])
def test_without_normalization_convolutions_have_a_bias_and_a_relu(normalization):
    model = unet(2, widths=(4, 8), normalization=normalization)
    assert not [layer for layer in model.layers if "norm" in layer.name]
    convolution = model.get_layer("down1_conv1")
    assert convolution.use_bias
    assert convolution.activation is keras.activations.relu


def test_groups_divide_any_width_and_are_32_at_most():
    model = unet(2, widths=(7, 6, 48, 64, 96), normalization="group")
    groups = [model.get_layer(f"down{k}_norm1").groups for k in (1, 2, 3, 4)]
    assert groups == [1, 2, 16, 32]
    assert model.get_layer("bottom_norm1").groups == 32
    assert np.isfinite(model(np.ones((1, 33, 17, 3), "float32"))).all()


@pytest.mark.parametrize(
    "arguments",
    [
        {"padding": "caffe"},
        {"padding": None},
        {"normalization": "layer"},
        {"normalization": True},
    ],
    ids=str,
)
def test_unknown_words_raise(arguments):
    (argument,) = arguments
    with pytest.raises(ValueError, match=rf"Expected `{argument}`.*Received: "):
        unet(num_classes=3, **arguments)
