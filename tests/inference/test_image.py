import pathlib

import keras
import numpy as np
import pytest

from keras_seg import predict, predict_files, predict_mask, unet

CLASSES = 3


def image(*size, channels=3, dtype="uint8"):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (*size, channels)).astype(dtype)


def pointwise(classes=CLASSES, activation=None, input_shape=(None, None, 3)):
    """The least model: each pixel by itself."""
    convolution = keras.layers.Conv2D(classes, 1, activation=activation)
    return keras.Sequential([keras.Input(input_shape), convolution])


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


def test_a_model_that_ends_in_a_softmax_gets_no_second_one():
    model = tiny(activation="softmax")
    model.get_layer("score").bias.assign([0.0, 1.0, 3.0])
    expected = np.asarray(model(image(17, 31)[None]))[0]
    assert expected.max() > 0.6  # a second softmax would give less
    np.testing.assert_allclose(predict(model, image(17, 31)), expected, atol=1e-6)


def test_logits_that_look_like_probabilities_get_their_softmax():
    # All 0.5 or more, with a sum of 1: numbers can't tell.
    model = pointwise(2)
    model.set_weights([np.zeros((1, 1, 3, 2)), np.array([0.25, 0.75])])
    likely = 1 / (1 + np.exp(-0.5))
    np.testing.assert_allclose(predict(model, image(1, 1)), [[[1 - likely, likely]]])


def test_a_half_precision_model_gives_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")  # and conftest.py resets it
    probabilities = predict(tiny(), image(17, 31))
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-5)


def test_dropout_is_off():
    model = tiny(dropout=0.9)
    first, second = (predict(model, image(17, 31)) for _ in range(2))
    np.testing.assert_allclose(first, second, atol=1e-6)


both = pytest.mark.parametrize("function", [predict, predict_mask])


@both
@pytest.mark.parametrize(
    ("shape", "given", "said"),
    [
        ((None, None, 1), (17, 31), r"image\[\.\.\., None\]\.$"),
        ((None, None, 3), (17, 31), r"image\[\.\.\., None\]\.repeat\(3, -1\)"),
        ((None, None, 3), (1, 17, 31, 3), r"a batch.*images\[0\]"),
        ((None, None, 3), (17, 31, 1), r"image\.repeat\(3, -1\)"),
        ((None, None, 3), (17, 31, 4), r"alpha.*image\[\.\.\., :3\]"),
        ((None, None, 4), (17, 31, 3), r"\(17, 31, 3\)\.$"),
        ((16, 32, 3), (17, 32, 3), ""),
        ((16, 32, 3), (16, 31, 3), ""),
        ((None, 32, 3), (16, 31, 3), ""),
        ((None, None, 3), (0, 31, 3), r"\(0, 31, 3\)"),
    ],
)
def test_an_image_of_another_shape_is_refused_with_a_remedy(
    function, shape, given, said
):
    model = pointwise(input_shape=shape)
    with pytest.raises(ValueError, match=rf"Expected an image.*Received: .*{said}"):
        function(model, np.zeros(given, "uint8"))


@both
@pytest.mark.parametrize("path", ["a.jpg", pathlib.Path("a.jpg")])
def test_a_path_is_refused_with_the_line_that_reads_it(function, path, tmp_path):
    with pytest.raises(
        ValueError, match=r"path 'a\.jpg'.*Read the file first"
    ) as caught:
        function(pointwise(), path)
    # The line does what it says.
    keras.utils.save_img(tmp_path / "a.png", image(5, 7), scale=False)
    line = str(caught.value).split("image = ")[1].rstrip(".")
    read = eval(line, {"keras": keras, "path": tmp_path / "a.png"})
    np.testing.assert_array_equal(read, image(5, 7))
    assert function(pointwise(), read).shape[:2] == (5, 7)


@both
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: x / 255, r"float64 in 0\.\d+\.\.1.*Multiply it by 255"),
        (lambda x: (x / 255).astype("float16"), "float16.*Multiply it by 255"),
        (lambda x: x > 99, r"bool in 0\.\.1.*Multiply"),
        (lambda x: x / 127.5 - 1, r"in -0\.\d+\.\.1.*Leave out its normalization"),
        (lambda x: x * 257.0, "Scale it"),
        (lambda x: x.astype("uint16") * 257, "uint16.*Scale it"),
        (lambda x: np.where(x > 99, np.nan, x), "no numbers"),
        (lambda x: x.astype(str), "numbers. Received: <U"),
        (lambda x: x * 1j, "numbers. Received: complex"),
    ],
)
def test_an_image_of_another_range_is_refused_with_a_remedy(function, change, said):
    pixels = np.maximum(image(17, 31), 1)
    with pytest.raises(ValueError, match=f"Expected an image .*{said}"):
        function(pointwise(), change(pixels))


@both
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_black_images_are_images(function, dtype):
    assert np.isfinite(function(pointwise(), np.zeros((2, 3, 3), dtype))).all()


def test_dark_images_of_integers_are_images():
    predict(pointwise(), np.ones((2, 3, 3), "uint8"))


@both
@pytest.mark.parametrize("place", [0, 2, -1], ids=["first", "middle", "last"])
def test_a_model_that_diverged_to_nan_is_refused(function, place):
    model = tiny()
    weights = model.get_weights()
    weights[place][:] = np.nan
    model.set_weights(weights)
    with pytest.raises(ValueError, match=r"NaN or infinity .*diverged"):
        function(model, image(17, 31))


@both
def test_a_model_of_one_sigmoid_is_refused(function):
    model = pointwise(1, "sigmoid")
    with pytest.raises(ValueError, match=r"one output channel.*num_classes=2"):
        function(model, image(2, 2))


def test_a_sigmoid_for_each_class_has_a_mask_but_no_probabilities():
    model = pointwise(3, "sigmoid")
    expected = np.asarray(model(image(2, 2)[None]))[0].argmax(-1)
    np.testing.assert_array_equal(predict_mask(model, image(2, 2)), expected)
    with pytest.raises(ValueError, match="a sigmoid for each class"):
        predict(model, image(2, 2))


def test_masks_of_more_than_255_classes_raise():
    model = pointwise(256)
    with pytest.raises(ValueError, match=r"at most 255 classes.*256"):
        predict_mask(model, image(2, 2))
    assert predict(model, image(2, 2)).shape == (2, 2, 256)


def test_masks_of_255_classes_are_uint8():
    model = pointwise(255)
    bias = np.zeros(255)
    bias[254] = 1e6
    model.layers[-1].bias.assign(bias)
    assert (predict_mask(model, image(2, 2)) == 254).all()


def test_a_file_that_can_not_be_read_is_an_error_in_its_place(model, tmp_path):
    for name in ("a.png", "c.png"):
        keras.utils.save_img(tmp_path / name, image(8, 9), scale=False)
    (tmp_path / "b.png").mkdir()
    paths = [tmp_path / name for name in ("a.png", "b.png", "missing.png", "c.png")]
    masks = {}

    def keep(path, image, mask):
        masks[path] = mask

    found = dict(predict_files(model, paths, keep))
    assert [found[path] is None for path in paths] == [True, False, False, True]
    for path in paths[1:3]:
        assert str(path) in str(found[path])
    assert [masks[path].shape for path in (paths[0], paths[3])] == [(8, 9), (8, 9)]
