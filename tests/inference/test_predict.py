import keras
import numpy as np
import pytest

from keras_seg import fcn8s, predict, predict_mask, unet

CLASSES = 3


def image(*size, channels=3, dtype="uint8"):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (*size, channels)).astype(dtype)


def tiny(**arguments):
    keras.utils.set_random_seed(0)
    return unet(CLASSES, widths=(4, 8), **arguments)


@pytest.fixture(scope="module")
def model():
    return tiny()


def softmax(z):
    exp = np.exp(z.astype("float64") - z.max(-1, keepdims=True))
    return exp / exp.sum(-1, keepdims=True)


@pytest.mark.parametrize("size", [(1, 1), (17, 31), (64, 96)])
def test_probabilities_are_the_softmax_of_the_logits_at_any_size(model, size):
    probabilities = predict(model, image(*size))
    assert probabilities.shape == (*size, CLASSES)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-5)
    expected = softmax(np.asarray(model(image(*size)[None]))[0])
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (17, 31)])
def test_the_mask_is_the_most_likely_class(model, size):
    mask = predict_mask(model, image(*size))
    assert (mask.shape, mask.dtype) == (size, np.uint8)
    np.testing.assert_array_equal(mask, predict(model, image(*size)).argmax(-1))


def test_more_than_one_class_wins(model):
    # Else the test above would be blind.
    assert len(np.unique(predict_mask(model, image(17, 31)))) > 1


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_images_of_any_dtype_give_the_same(model, dtype):
    probabilities = predict(model, image(17, 31, dtype=dtype))
    np.testing.assert_allclose(probabilities, predict(model, image(17, 31)), atol=1e-6)


@pytest.mark.parametrize("build", [unet, fcn8s])
def test_a_model_that_ends_in_a_softmax_gets_no_second_one(build):
    small = {"widths": (4, 8)} if build is unet else {"head_width": 2}
    model = build(CLASSES, activation="softmax", **small)
    last = model.layers[-1]
    if build is fcn8s:  # whose scores are equal at the start
        model.get_layer("score_fr").bias.assign([0.0, 1.0, 3.0])
    assert last.name == "probabilities"
    expected = np.asarray(model(image(17, 31)[None]))[0]
    assert expected.max() > 0.6  # a second softmax would give less
    np.testing.assert_allclose(predict(model, image(17, 31)), expected, atol=1e-6)


def test_a_softmax_layer_at_the_end_is_seen(model):
    ended = keras.Model(model.input, keras.layers.Softmax()(model.output))
    np.testing.assert_allclose(
        predict(ended, image(17, 31)), predict(model, image(17, 31)), atol=1e-6
    )


def test_a_model_inside_a_model_gets_no_second_softmax():
    inner = tiny(activation="softmax")
    outer_image = keras.Input((None, None, 3))
    outer = keras.Model(outer_image, inner(outer_image))
    np.testing.assert_allclose(
        predict(outer, image(17, 31)), predict(inner, image(17, 31)), atol=1e-6
    )


def test_a_half_precision_model_gives_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")  # and conftest.py resets it
    probabilities = predict(tiny(), image(17, 31))
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-5)


def test_dropout_is_off():
    model = tiny(dropout=0.9)
    first, second = (predict(model, image(17, 31)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("function", [predict, predict_mask])
@pytest.mark.parametrize(
    ("shape", "given"),
    [
        ((None, None, 3), (17, 31)),
        ((None, None, 3), (1, 17, 31, 3)),
        ((None, None, 3), (17, 31, 1)),
        ((None, None, 4), (17, 31, 3)),
        ((16, 32, 3), (17, 32, 3)),
        ((16, 32, 3), (16, 31, 3)),
        ((None, 32, 3), (16, 31, 3)),
    ],
)
def test_an_image_that_the_model_does_not_take_raises(function, shape, given):
    model = tiny(input_shape=shape)
    with pytest.raises(ValueError, match=r"Expected an image .*Received: "):
        function(model, np.zeros(given, "uint8"))


def test_masks_of_more_than_255_classes_raise():
    model = unet(256, widths=(2, 2))
    with pytest.raises(ValueError, match=r"at most 255 classes.*256"):
        predict_mask(model, image(2, 2))
    assert predict(model, image(2, 2)).shape == (2, 2, 256)


@pytest.mark.parametrize(
    "ending",
    [
        keras.ops.softmax,
        lambda x: keras.layers.UpSampling2D(2)(keras.layers.Softmax()(x)),
        lambda x: keras.layers.Activation("linear")(keras.layers.Softmax()(x)),
    ],
)
def test_probabilities_are_seen_whatever_made_them(model, ending):
    ended = keras.Model(model.input, ending(model.output))
    expected = np.asarray(ended(image(17, 31)[None]))[0]
    np.testing.assert_allclose(predict(ended, image(17, 31)), expected, atol=1e-6)
