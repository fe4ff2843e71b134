import warnings

import keras
import numpy as np
import pytest

from keras_seg import fcn8s, fcn16s, fcn32s
from tests.models.shapes_only import no_numbers

#: A 32nd of VGG16's filters.
WIDTHS = (2, 4, 8, 16, 16)
THIN = {"widths": WIDTHS, "head_width": 4}


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


def convolution(size, inputs, outputs):
    return size**2 * inputs * outputs + outputs


def parameters(net, classes, *, transposed):
    """Section 4.1 and table 2: VGG16, its classifier as convolutions, and scores."""
    inputs, total = 3, 0
    for repeats, width in [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)]:
        for _ in range(repeats):
            total += convolution(3, inputs, width)
            inputs = width
    assert total == 14_714_688  # of VGG16 without its classifier, as published
    total += convolution(7, 512, 4096) + convolution(1, 4096, 4096)
    scored = {32: [4096], 16: [4096, 512], 8: [4096, 512, 256]}[net]
    total += sum(convolution(1, width, classes) for width in scored)
    strides = {32: [32], 16: [2, 16], 8: [2, 2, 8]}[net]  # kernels are twice as large
    return total + transposed * sum((2 * s * classes) ** 2 for s in strides)


@pytest.mark.parametrize("upsampling", ["transpose", "bilinear"])
@pytest.mark.parametrize(("build", "net"), [(fcn32s, 32), (fcn16s, 16), (fcn8s, 8)])
def test_parameters_are_those_of_the_paper(build, net, upsampling):
    with no_numbers():
        counted = build(num_classes=21, upsampling=upsampling).count_params()
    assert counted == parameters(net, 21, transposed=upsampling == "transpose")


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


@pytest.mark.parametrize("build", [fcn32s, fcn16s, fcn8s])
def test_all_classes_are_equally_likely_before_training(build):
    logits = build(num_classes=3, **THIN)(random_image(33, 47))
    np.testing.assert_array_equal(logits, np.zeros((1, 33, 47, 3)))


@pytest.mark.parametrize("build", [fcn32s, fcn16s, fcn8s])
def test_transposed_convolutions_start_as_bilinear_upsampling(build):
    transposed = scored_at_random(build(3, **THIN, upsampling="transpose"))
    bilinear = build(3, **THIN, upsampling="bilinear")
    for layer in bilinear.layers:
        if layer.weights:
            layer.set_weights(transposed.get_layer(layer.name).get_weights())

    image = random_image(128, 160)
    # Beyond the border one sees zeros, the other the last pixel.
    inside = np.s_[:, 32:-32, 32:-32]
    logits = np.asarray(transposed(image))[inside]
    assert np.ptp(logits, axis=(1, 2)).min() > 0.01
    np.testing.assert_allclose(logits, np.asarray(bilinear(image))[inside], atol=2e-4)


@pytest.mark.parametrize(
    ("build", "scores"),
    [
        (fcn32s, {"score_fr": 32}),
        (fcn16s, {"score_fr": 32, "score_pool4": 16}),
        (fcn8s, {"score_fr": 32, "score_pool4": 16, "score_pool3": 8}),
    ],
)
def test_logits_are_the_sum_of_scores_at_every_stride(build, scores):
    model = build(num_classes=2, **THIN, upsampling="bilinear")
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

    assert dropped(fcn32s(num_classes=2, **THIN)) == {
        "fc6_dropout": 0.5,
        "fc7_dropout": 0.5,
    }
    assert not dropped(fcn32s(num_classes=2, **THIN, dropout=0.0))


@pytest.mark.parametrize(
    "arguments",
    [{"padding": "valid"}, {"padding": None}, {"head_width": 0}, {"head_width": 2.5}],
    ids=str,
)
def test_unknown_words_and_widths_raise(arguments):
    (argument,) = arguments
    with pytest.raises(ValueError, match=rf"Expected `{argument}`.*Received: "):
        fcn8s(num_classes=3, **arguments)


def test_at_once_scales_pools_before_they_are_scored():
    model = fcn8s(2, **THIN, at_once=True)
    scales = {
        layer.name: (layer.scale, layer.input.name, layer.output)
        for layer in model.layers
        if layer.name.startswith("scale")
    }
    assert set(scales) == {"scale_pool3", "scale_pool4"}
    for pool, factor in (("pool4", 0.01), ("pool3", 0.0001)):
        scale, source, scaled = scales[f"scale_{pool}"]
        assert scale == factor
        assert source == model.get_layer(pool).output.name
        assert model.get_layer(f"score_{pool}").input is scaled
    names = {layer.name for layer in fcn16s(2, **THIN, at_once=True).layers}
    assert names & {"scale_pool3", "scale_pool4"} == {"scale_pool4"}


# ------------------------------------------------------------------ weights


def made_up_vgg16():
    """VGG16 as Keras has it, but for its widths."""
    keras.utils.set_random_seed(0)
    image = x = keras.Input((224, 224, 3))
    for block, (repeats, width) in enumerate(
        zip((2, 2, 3, 3, 3), WIDTHS, strict=True), start=1
    ):
        for k in range(1, repeats + 1):
            x = keras.layers.Conv2D(
                width,
                3,
                activation="relu",
                padding="same",
                name=f"block{block}_conv{k}",
            )(x)
        x = keras.layers.MaxPooling2D(name=f"block{block}_pool")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dense(4, "relu", name="fc1")(x)
    x = keras.layers.Dense(4, "relu", name="fc2")(x)
    x = keras.layers.Dense(1000, "softmax", name="predictions")(x)
    made = keras.Model(image, x, name="vgg16")
    rng = np.random.default_rng(0)
    for layer in made.layers:
        if layer.weights:
            layer.bias.assign(rng.normal(size=layer.bias.shape))
    return made


def test_vgg16_of_keras_has_the_names_and_order_that_are_made_up_here():
    with no_numbers():
        real = keras.applications.VGG16(weights=None)
    names = [layer.name for layer in real.layers if layer.weights]
    assert names == [layer.name for layer in made_up_vgg16().layers if layer.weights]


def test_imagenet_is_the_classifier_of_vgg16_cast_to_convolutions(monkeypatch):
    vgg16 = made_up_vgg16()
    asked = []
    monkeypatch.setattr(
        keras.applications, "VGG16", lambda **given: asked.append(given) or vgg16
    )
    model = fcn32s(num_classes=2, encoder_weights="imagenet", **THIN)
    assert asked == [{"weights": "imagenet"}]  # with its classifier

    image = random_image(224, 224)
    bgr = image[..., ::-1] - np.array([104.00699, 116.66877, 122.67892], "float32")
    fc2 = keras.Model(vgg16.input, vgg16.get_layer("fc2").output)(bgr)
    fc7 = keras.Model(model.input, model.get_layer("fc7").output)(image)
    assert fc7.shape == (1, 7, 7, 4)
    assert np.count_nonzero(fc2) > 1
    np.testing.assert_allclose(fc7[:, 3, 3], fc2, rtol=1e-3, atol=1e-3 * np.max(fc2))
    assert not np.any(model.get_layer("score_fr").kernel)


def test_imagenet_of_other_widths_raises(monkeypatch):
    vgg16 = made_up_vgg16()
    monkeypatch.setattr(keras.applications, "VGG16", lambda weights: vgg16)
    with pytest.raises(ValueError, match=r"VGG16 .*Expected.*Received"):
        fcn16s(2, encoder_weights="imagenet", **(THIN | {"head_width": 5}))


def test_a_failed_download_says_where_to_put_the_file(monkeypatch, tmp_path):
    def offline(**_):
        # What keras.utils.get_file raises.
        raise Exception("URL fetch failure on https://x/y/name.h5: None -- no")

    monkeypatch.setattr(keras.applications, "VGG16", offline)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(OSError, match=r"https://x/y/name\.h5") as caught:
        fcn8s(num_classes=2, encoder_weights="imagenet", **THIN)
    assert f"Put name.h5 into {tmp_path / 'models'}" in str(caught.value)


def enlarge(x, factor):
    """Linear interpolation between the centres of pixels of `[height, width, c]`."""
    for axis in (0, 1):
        x = np.apply_along_axis(
            lambda line: np.interp(
                (np.arange(len(line) * factor) + 0.5) / factor - 0.5,
                np.arange(len(line)),
                line,
            ),
            axis,
            x,
        )
    return x


def test_finer_nets_start_from_the_scores_of_coarser_ones(tmp_path):
    image = random_image(77, 130)
    coarse, medium = tmp_path / "coarse.keras", tmp_path / "medium.keras"
    options = {"num_classes": 3, "upsampling": "bilinear"} | THIN

    net32 = scored_at_random(fcn32s(**options))
    net32.save(coarse)
    score = keras.Model(net32.input, net32.get_layer("score_fr").output)(image)[0]
    expected = enlarge(np.array(score, "f8"), 2)[:5, :9]  # pool4's size
    with pytest.warns(
        UserWarning, match=r"coarse\.keras: .*start: score_pool4; .*none"
    ):
        net16 = fcn16s(**options, weights=coarse)
    np.testing.assert_allclose(
        net16(image)[0], enlarge(expected, 16)[:77, :130], atol=1e-3
    )

    # Stage two learns scores of pool4, then FCN-8s begins as it.
    scored_at_random(net16)
    net16.save(medium)
    fused = keras.Model(net16.input, net16.get_layer("fuse_pool4").output)(image)[0]
    assert np.abs(fused - expected).max() > 0.1
    expected = enlarge(np.array(fused, "f8"), 2)[:10, :17]  # pool3's size
    with pytest.warns(
        UserWarning, match=r"medium\.keras: .*start: score_pool3; .*none"
    ):
        net8 = fcn8s(**options, weights=medium)
    np.testing.assert_allclose(
        net8(image)[0], enlarge(expected, 8)[:77, :130], atol=1e-3
    )


def test_transposed_convolutions_of_other_strides_start_anew(tmp_path):
    path = tmp_path / "coarse.keras"
    scored_at_random(fcn32s(3, **THIN)).save(path)
    said = "start: upscore2, score_pool4, upscore16; in the file, not used: upscore"
    with pytest.warns(UserWarning, match=said) as caught:
        model = fcn16s(3, **THIN, weights=path)
    ours = [warning for warning in caught if said in str(warning.message)]
    assert ours[0].filename == __file__  # the caller's line
    assert not np.any(model.get_layer("score_pool4").kernel)
    assert np.any(model.get_layer("score_fr").kernel)


def test_weights_of_an_equal_net_come_back_without_a_word(tmp_path):
    saved = scored_at_random(fcn8s(3, **THIN))
    saved.save(tmp_path / "net.keras")
    saved.save_weights(tmp_path / "net.weights.h5")
    for file in ("net.keras", "net.weights.h5"):
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            loaded = fcn8s(3, **THIN, weights=tmp_path / file)
        for a, b in zip(loaded.get_weights(), saved.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_weights_of_another_net_name_the_file(tmp_path):
    path = tmp_path / "net.keras"
    fcn32s(3, **THIN).save(path)
    for other in (
        {"num_classes": 4},
        {"head_width": 3},
        {"widths": (2, 4, 8, 16, 17)},
        {"input_shape": (None, None, 1)},
    ):
        arguments = {"num_classes": 3} | THIN | other
        with pytest.raises(ValueError, match=r"net\.keras: Expected.*Received"):
            fcn16s(**arguments, weights=path)
