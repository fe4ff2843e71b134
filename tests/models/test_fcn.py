import gc

import keras
import numpy as np
import pytest

from keras_seg import fcn8s, fcn16s, fcn32s


def scored_at_random(model):
    """Score layers start at zero: give them something to say."""
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if layer.name.startswith("score"):
            layer.kernel.assign(rng.normal(size=layer.kernel.shape) / 50)
            layer.bias.assign(rng.normal(size=layer.bias.shape))
    return model


def random_image(*size):
    return np.random.default_rng(1).integers(0, 256, (1, *size, 3), np.uint8)


@pytest.mark.parametrize(
    ("build", "upsampling", "parameters"),
    [
        (fcn32s, "bilinear", 134_346_581),
        (fcn16s, "bilinear", 134_357_354),
        (fcn8s, "bilinear", 134_362_751),
        (fcn32s, "transpose", 136_152_917),
        (fcn16s, "transpose", 134_815_994),
        (fcn8s, "transpose", 134_489_759),
    ],
)
def test_parameters_are_those_of_the_paper(build, upsampling, parameters, monkeypatch):
    # Random numbers cost seconds, and only their count matters here.
    monkeypatch.setattr(
        keras.initializers.HeNormal,
        "__call__",
        lambda self, shape, dtype=None: keras.ops.zeros(shape, dtype),
    )
    model = build(num_classes=21, upsampling=upsampling)
    counted = model.count_params()
    del model
    gc.collect()  # half a gigabyte
    assert counted == parameters


def test_encoder_is_the_vgg16_of_keras():
    model = fcn32s(num_classes=2, head_width=2)
    pool5 = keras.Model(model.input, model.get_layer("pool5").output)
    vgg = keras.applications.VGG16(weights=None, include_top=False)
    kernel, *others = pool5.get_weights()
    vgg.set_weights([kernel[:, :, ::-1], *others])  # its channels are blue to red

    image = random_image(64, 96)
    # The FCN authors' mean, which isn't the one in keras.applications.
    bgr = image[..., ::-1] - np.array([104.00699, 116.66877, 122.67892], "float32")
    np.testing.assert_allclose(pool5(image), vgg(bgr), rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("channels", [1, 5])
def test_the_middle_of_the_range_is_taken_from_bands_other_than_rgb(channels):
    model = fcn32s(num_classes=2, input_shape=(None, None, channels), head_width=2)
    centred = keras.Model(model.input, model.get_layer("subtract_mean").output)
    image = np.array([0, 255], "uint8").reshape(1, 2, 1, 1).repeat(channels, -1)
    expected = np.array([-127.5, 127.5]).reshape(1, 2, 1, 1).repeat(channels, -1)
    np.testing.assert_allclose(centred(image), expected)


@pytest.mark.parametrize("build", [fcn32s, fcn16s, fcn8s])
def test_all_classes_are_equally_likely_before_training(build):
    logits = build(num_classes=3, head_width=2)(random_image(33, 47))
    np.testing.assert_array_equal(logits, np.zeros((1, 33, 47, 3)))


@pytest.mark.parametrize("build", [fcn32s, fcn16s, fcn8s])
def test_transposed_convolutions_start_as_bilinear_upsampling(build):
    transposed = scored_at_random(build(3, head_width=4, upsampling="transpose"))
    bilinear = build(3, head_width=4, upsampling="bilinear")
    for layer in bilinear.layers:
        if layer.weights:
            layer.set_weights(transposed.get_layer(layer.name).get_weights())

    image = random_image(128, 160)
    # Beyond the border one sees zeros, the other the last pixel.
    inside = np.s_[:, 32:-32, 32:-32]
    logits = transposed(image).numpy()[inside]
    assert np.ptp(logits, axis=(1, 2)).min() > 0.01
    np.testing.assert_allclose(logits, bilinear(image).numpy()[inside], atol=2e-4)


@pytest.mark.parametrize(
    ("build", "scores"),
    [
        (fcn32s, {"score_fr": 32}),
        (fcn16s, {"score_fr": 32, "score_pool4": 16}),
        (fcn8s, {"score_fr": 32, "score_pool4": 16, "score_pool3": 8}),
    ],
)
def test_logits_are_the_sum_of_scores_at_every_stride(build, scores):
    model = build(num_classes=2, head_width=2, upsampling="bilinear")
    image = random_image(64, 64)
    for name, stride in scores.items():
        layer = model.get_layer(name)
        layer.bias.assign([stride, -stride])
        source = keras.Model(model.input, layer.output)(image)
        assert source.shape[1:3] == (64 // stride, 64 // stride)
    total = sum(scores.values())
    np.testing.assert_allclose(
        model(image), np.broadcast_to([total, -total], (1, 64, 64, 2)), rtol=1e-6
    )


def test_dropout_follows_fc6_and_fc7_and_can_be_left_out():
    def dropped(model):
        return {
            layer.name: layer.rate
            for layer in model.layers
            if isinstance(layer, keras.layers.Dropout)
        }

    assert dropped(fcn32s(num_classes=2, head_width=2)) == {
        "fc6_dropout": 0.5,
        "fc7_dropout": 0.5,
    }
    assert not dropped(fcn32s(num_classes=2, head_width=2, dropout=0.0))
