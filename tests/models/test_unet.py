import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_seg import unet


@pytest.mark.parametrize(
    ("channels", "num_classes", "upsampling", "parameters"),
    [
        (1, 2, "transpose", 31_030_658),
        (3, 21, "transpose", 31_033_045),
        (3, 21, "bilinear", 28_944_085),
        (3, 21, "nearest", 28_944_085),
    ],
)
def test_parameters_are_those_of_the_paper(
    channels, num_classes, upsampling, parameters, monkeypatch
):
    # Random numbers cost seconds, and only their count matters here.
    monkeypatch.setattr(
        keras.initializers.HeNormal,
        "__call__",
        lambda self, shape, dtype=None: keras.ops.zeros(shape, dtype),
    )
    model = unet(num_classes, input_shape=(None, None, channels), upsampling=upsampling)
    assert model.count_params() == parameters


@pytest.mark.parametrize("upsampling", ["transpose", "bilinear", "nearest"])
@pytest.mark.parametrize("level", [1, 2, 3])
def test_every_skip_reaches_the_logits(level, upsampling):
    keras.utils.set_random_seed(0)
    model = unet(num_classes=3, widths=(4, 4, 4, 4), upsampling=upsampling)
    # With the way up from below cut off, the skip alone is left.
    scale = {"transpose": "transpose"}.get(upsampling, "conv0")
    for variable in model.get_layer(f"up{level}_{scale}").variables:
        variable.assign(keras.ops.zeros(variable.shape))
    image = np.random.default_rng(0).uniform(0, 255, (1, 17, 31, 3)).astype("float32")

    kernel = model.get_layer(f"down{level}_conv2").kernel
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(model(image) ** 2)
    assert np.any(tape.gradient(total, kernel.value))


@pytest.mark.parametrize("level", [1, 2, 3])
def test_joins_put_the_skip_beside_as_many_channels_from_below(level):
    model = unet(num_classes=3, widths=(4, 6, 8, 10))
    skip, below = model.get_layer(f"up{level}_join").input
    width = (4, 6, 8)[level - 1]
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
    np.testing.assert_allclose(scaled(image).numpy().ravel(), [-1, -0.6, 1], rtol=1e-6)


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
