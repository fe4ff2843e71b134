"""Whether outputs are logits is read off a model's end."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_seg.models.outputs import check_finite, count_classes, ends_in_softmax


def image():
    return keras.Input((None, None, 2), name="image")


def convolution(x, activation=None, filters=2):
    return layers.Conv2D(filters, 1, activation=activation)(x)


def ending(function):
    given = image()
    return keras.Model(given, function(convolution(given)))


class OwnScores(layers.Layer):
    def call(self, x):
        return x


@pytest.mark.parametrize(
    "end",
    [
        layers.Softmax(),
        layers.Softmax(axis=3),
        layers.Activation("softmax"),
        layers.Conv2D(2, 1, activation="softmax"),
        ops.softmax,
        lambda x: layers.Activation("linear")(layers.Softmax()(x)),
        lambda x: layers.UpSampling2D(2)(layers.Softmax()(x)),
        lambda x: layers.Dropout(0.1)(layers.Cropping2D(1)(layers.Softmax()(x))),
        lambda x: ops.cast(layers.Softmax()(x), "float32"),
        lambda x: layers.Average()([layers.Softmax()(x), layers.Softmax()(-x)]),
        lambda x: keras.Sequential([layers.Softmax()])(x),
        lambda x: ending(layers.Softmax())(x),
        lambda x: ending(lambda y: ending(layers.Softmax())(y))(x),
    ],
)
def test_a_softmax_at_the_end_makes_probabilities(end):
    assert ends_in_softmax(ending(end))


@pytest.mark.parametrize(
    "end",
    [
        lambda x: x,
        lambda x: convolution(layers.Softmax()(x)),
        lambda x: convolution(x, "tanh"),
        lambda x: layers.Conv2DTranspose(2, 2, strides=2)(x),
        lambda x: layers.Dense(2)(x),
        layers.Activation("linear"),
        layers.Activation("log_softmax"),
        ops.log_softmax,
        lambda x: layers.UpSampling2D(2)(x),
        lambda x: layers.Resizing(8, 8)(x),
        lambda x: layers.Add()([x, x]),
        lambda x: x + convolution(x),
        lambda x: ending(lambda y: y)(x),
    ],
)
def test_other_ends_that_can_be_read_are_logits(end):
    assert not ends_in_softmax(ending(end))


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (layers.Lambda(lambda x: x, name="mine"), "Received: Lambda 'mine'"),
        (OwnScores(name="own"), "Received: OwnScores 'own'"),
        (layers.BatchNormalization(), "BatchNormalization"),
        (lambda x: ops.exp(x), "Exp"),
        (lambda x: layers.UpSampling2D(2)(OwnScores(name="own")(x)), "OwnScores 'own'"),
        (layers.Activation("sigmoid"), "a sigmoid for each class.*loss on logits"),
        (lambda x: convolution(x, "sigmoid"), "a sigmoid for each class"),
        (ops.sigmoid, "a sigmoid for each class"),
        (layers.Softmax(axis=1), "another axis"),
        (lambda x: layers.Average()([x, layers.Softmax()(x)]), "both logits and prob"),
        (lambda x: layers.Add()([x, layers.Softmax()(x)]), "sum of probabilities"),
    ],
)
def test_an_end_that_can_not_be_read_is_named(end, said):
    with pytest.raises(ValueError, match=f"Expected a model whose last layer.*{said}"):
        ends_in_softmax(ending(end))


def test_the_remedy_for_such_an_end_makes_probabilities():
    model = ending(OwnScores())
    assert ends_in_softmax(keras.Model(model.input, layers.Softmax()(model.output)))


def test_a_loaded_model_is_read_like_the_one_that_was_saved(tmp_path):
    for name, end in {"softmax": layers.Softmax(), "none": lambda x: x}.items():
        path = tmp_path / f"{name}.keras"
        ending(end).save(path)
        loaded = keras.models.load_model(path)
        assert ends_in_softmax(loaded) == (name == "softmax")


@pytest.mark.parametrize("activation", ["sigmoid", None, "softmax"])
def test_one_channel_is_refused_with_a_remedy(activation):
    given = image()
    model = keras.Model(given, convolution(given, activation, filters=1))
    for read in (ends_in_softmax, count_classes):
        with pytest.raises(ValueError, match=r"one output channel.*num_classes=2"):
            read(model)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: "model.keras", "functional.*Received: 'model.keras'"),
        (lambda: keras.Sequential([layers.Conv2D(2, 1)]), "functional.*Received"),
        (lambda: keras.Model(x := image(), [x, x]), "one output"),
        (lambda: keras.Model(x := image(), layers.Flatten()(x)), "one output"),
    ],
)
def test_what_is_no_model_of_one_map_is_refused(make, said):
    with pytest.raises(ValueError, match=f"(?s)Expected .*{said}"):
        count_classes(make())


def test_classes_are_counted_up_to_a_number():
    given = image()
    model = keras.Model(given, convolution(given, filters=256))
    assert count_classes(model) == 256
    with pytest.raises(ValueError, match=r"at most 255 classes.*Received: 256"):
        count_classes(model, at_most=255)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_the_share_of_pixels_without_a_number_is_told(bad):
    model = ending(lambda x: x)
    scores = np.zeros((2, 2, 2), "float32")
    scores[0, 0, 1] = -np.inf  # a class that can't be is fine
    check_finite(model, scores)
    scores[0, 1, 0] = bad
    with pytest.raises(ValueError, match="NaN or infinity at 25 % of the pixels"):
        check_finite(model, scores)


def test_weights_that_are_no_numbers_are_named():
    model = ending(lambda x: x)
    model.layers[-1].bias.assign([0.0, np.nan])
    with pytest.raises(ValueError, match=r"in its weights conv2d\w*/bias\."):
        check_finite(model, np.zeros((1, 1, 2)))
