"""What holds for every loss."""

import functools
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_seg import losses
from keras_seg.losses import (
    BoundaryF1,
    Dice,
    Focal,
    Jaccard,
    Lovasz,
    Sum,
    TopKCrossEntropy,
    Tversky,
    WeightedCrossEntropy,
)
from tests.losses.formulas import (
    CLASSES,
    KINDS,
    LABELS,
    LOGITS,
    LOSSES,
    MAP,
    SHAPE,
    WEIGHTS,
    every_loss,
    every_loss_with_formula,
    random_batch,
    received_labels,
    softmax,
    tensorflow_only,
)


@every_loss_with_formula
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("weighted", [False, True])
def test_loss_is_the_formula(build, formula, seed, weighted):
    y, z, s = random_batch(seed)
    value = build()(y, z, s if weighted else None)
    expected = formula(y, z, s if weighted else np.ones_like(s))
    np.testing.assert_allclose(value, expected, rtol=1e-5)


@every_loss_with_formula
def test_gradient_is_the_slope_of_the_formula(value_and_gradient, build, formula):
    _, gradient = value_and_gradient(build(), LABELS, LOGITS, MAP)
    step = 1e-5
    for pixel in np.argwhere(LABELS != 255)[::5]:
        for c in range(CLASSES):
            z, at = LOGITS.astype("float64"), (*pixel, c)
            z[at] += step
            above = formula(LABELS, z, MAP)
            z[at] -= 2 * step
            slope = (above - formula(LABELS, z, MAP)) / (2 * step)
            np.testing.assert_allclose(gradient[at], slope, atol=2e-6)


@every_loss
def test_ignored_pixels_have_no_gradient_and_no_say(value_and_gradient, build):
    value, gradient = value_and_gradient(build(), LABELS, LOGITS, MAP)
    assert np.isfinite(gradient).all()
    assert not gradient[LABELS == 255].any()
    assert gradient[LABELS != 255].any()
    other = LOGITS.copy()
    other[LABELS == 255] *= -100
    np.testing.assert_allclose(build()(LABELS, other, MAP), value, rtol=1e-6)


@every_loss
def test_a_pixel_of_weight_0_counts_like_an_ignored_one(value_and_gradient, build):
    known = np.where(LABELS == 255, 0, LABELS)
    weights = MAP * (LABELS != 255)
    expected = value_and_gradient(build(), LABELS, LOGITS, MAP)
    value, gradient = value_and_gradient(build(), known, LOGITS, weights)
    np.testing.assert_allclose(value, expected[0], rtol=1e-6)
    np.testing.assert_allclose(gradient, expected[1], atol=1e-7)


# Compiled in every run of the tests; the others on request.
SEEN = ("lovasz", "sum")
# Inputs of one shape and dtype, so that each loss is compiled for XLA once.
of_each_graph = pytest.mark.parametrize(
    "build",
    [
        pytest.param(build, id=name, marks=[] if name in SEEN else pytest.mark.slow)
        for name, (build, _) in LOSSES.items()
    ],
)
EMPTY = [
    (np.full(SHAPE, 255), np.ones(SHAPE, "float32")),
    (np.ones(SHAPE, int), np.zeros(SHAPE, "float32")),
]


@every_loss
def test_a_batch_without_labels_has_loss_0_and_no_gradient(value_and_gradient, build):
    for labels, weights in EMPTY:
        value, gradient = value_and_gradient(build(), labels, LOGITS, weights)
        assert value == 0
        assert not gradient.any()


def test_every_public_loss_is_among_those_of_which_all_this_holds():
    made = {type(build()).__name__ for build, _ in LOSSES.values()}
    assert made == set(losses.__all__) - {"SegmentationLoss"}


@of_each_graph
def test_xla_gives_the_loss_and_gradient_of_eager_mode(
    value_and_gradient, of_xla, build
):
    # It can't raise: a label that is no class is left out.
    stray, ignored = LABELS.copy(), LABELS.copy()
    stray[0, 0], ignored[0, 0] = [CLASSES, -1, 254, 100, -7, 99], 255
    for given, labels in ((LABELS, LABELS), (stray, ignored)):
        value, gradient = of_xla(build, given, LOGITS, MAP)
        expected = value_and_gradient(build(), labels, LOGITS, MAP)
        np.testing.assert_allclose(value, expected[0], rtol=1e-5)
        np.testing.assert_allclose(gradient, expected[1], atol=1e-6)
    for labels, weights in EMPTY:
        value, gradient = of_xla(build, labels, LOGITS, weights)
        assert value == 0
        assert not gradient.any()
    for bad in (np.nan, np.inf, -1):
        value, _ = of_xla(build, LABELS, LOGITS, weights_with(bad))
        assert np.isnan(value), bad
    value, gradient = of_xla(build, LABELS, HUGE, MAP)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


@pytest.mark.slow
def test_a_compiled_loss_is_the_eager_one_on_jax():
    pytest.importorskip("jax")
    name = "test_xla_gives_the_loss_and_gradient_of_eager_mode"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            f"{__file__}::{name}",
            *"-n 0 -q -m".split(),
            "",
        ],
        env=os.environ | {"KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert f"{len(LOSSES)} passed" in done.stdout


def weights_with(bad):
    """The map of weights with one bad weight, of a labelled pixel."""
    weights = MAP.copy()
    weights[tuple(np.argwhere(LABELS != 255)[3])] = bad
    return weights


@every_loss
def test_a_weight_of_nan_makes_loss_and_gradient_nan(value_and_gradient, build):
    of_images = np.array([1, np.nan], "float32")
    for weights in (weights_with(np.nan), of_images, np.full(SHAPE, np.nan, "f")):
        value, gradient = value_and_gradient(build(), LABELS, LOGITS, weights)
        assert np.isnan(value)
        assert np.isnan(gradient[LABELS != 255]).any()


@every_loss
def test_a_weight_of_nan_on_an_ignored_pixel_says_nothing(value_and_gradient, build):
    weights = np.where(LABELS == 255, np.float32(np.nan), MAP)
    value, gradient = value_and_gradient(build(), LABELS, LOGITS, weights)
    expected, expected_gradient = value_and_gradient(build(), LABELS, LOGITS, MAP)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-7)


@every_loss
@pytest.mark.parametrize("bad", [-0.5, np.inf, -np.inf])
def test_a_negative_or_infinite_weight_raises_and_is_named(build, bad):
    message = rf"^Expected `sample_weight` to be finite.*(from|to) {bad:g}[. ]"
    with pytest.raises(ValueError, match=message):
        build()(LABELS, LOGITS, weights_with(bad))


@every_loss
def test_a_logit_of_nan_makes_the_loss_nan(build):
    logits = LOGITS.copy()
    logits[(*np.argwhere(LABELS != 255)[3], 1)] = np.nan
    assert np.isnan(float(build()(LABELS, logits, MAP)))


# The ends of float32: their difference is beyond it.
HUGE = np.where(LOGITS > 0, 3e38, -3e38).astype("float32")


@every_loss
@pytest.mark.parametrize(
    "logits",
    [HUGE, -HUGE, np.full_like(HUGE, 3e38), np.full_like(HUGE, -3e38)],
    ids=["mixed", "other way round", "all large", "all small"],
)
def test_any_finite_logits_have_a_finite_loss_and_gradient(
    value_and_gradient, build, logits
):
    value, gradient = value_and_gradient(build(), LABELS, logits, MAP)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    if len(np.unique(logits)) == 1:
        # All classes are as likely as another.
        expected = build()(LABELS, np.zeros_like(logits), MAP)
        np.testing.assert_allclose(value, expected, rtol=1e-6)


@every_loss_with_formula
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_huge_logits_have_a_finite_loss_and_gradient(
    value_and_gradient, build, formula, dtype
):
    z = keras.ops.cast(np.sign(LOGITS) * 1e4, dtype)
    value, gradient = value_and_gradient(build(), LABELS, z)
    expected = formula(
        LABELS, keras.ops.convert_to_numpy(keras.ops.cast(z, "float32")), np.ones(SHAPE)
    )
    np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-6)
    assert np.isfinite(gradient).all()


@every_loss
@pytest.mark.parametrize("sign", [1, -1], ids=["right", "wrong"])
@pytest.mark.parametrize("from_logits", [True, False])
def test_certainty_has_a_finite_loss_and_gradient(
    value_and_gradient, build, sign, from_logits
):
    one_hot = np.eye(CLASSES, dtype="float32")[np.where(LABELS == 255, 0, LABELS)]
    z = 1e4 * (2 * one_hot - 1) * sign
    sure = one_hot if sign == 1 else np.roll(one_hot, 1, axis=-1)
    loss = build(from_logits=from_logits)
    value, gradient = value_and_gradient(loss, LABELS, z if from_logits else sure)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


@every_loss
def test_the_loss_is_float32_under_a_mixed_policy(build):
    keras.config.set_dtype_policy("mixed_float16")  # and conftest.py resets it
    half = LOGITS.astype("float16")
    value = build()(LABELS, half, MAP)
    assert keras.backend.standardize_dtype(value.dtype) == "float32"
    expected = build()(LABELS, half.astype("float32"), MAP)
    np.testing.assert_allclose(value, expected, rtol=1e-6)


@every_loss
@pytest.mark.parametrize("label", [CLASSES, 254, -100])
def test_a_label_that_is_no_class_raises_and_is_named(build, label):
    labels = LABELS.copy()
    labels[0, 0, 0] = label
    with pytest.raises(ValueError, match=r"^Expected labels 0\.\.3, or 255") as error:
        build()(labels, LOGITS)
    assert received_labels(error.value) == [label, label]


@every_loss
def test_probabilities_give_the_loss_of_their_logits(build):
    value = build(from_logits=False)(LABELS, softmax(LOGITS), MAP)
    np.testing.assert_allclose(value, build()(LABELS, LOGITS, MAP), rtol=1e-5)


@functools.cache
def trained_on_logits(build):
    """Loss and weights of a step with a model that ends in logits."""
    return train(build, "linear", from_logits=True, run_eagerly=True)


def train(build, activation, from_logits, **options):
    """Loss and weights of a step with a model that ends in `activation`."""
    keras.utils.set_random_seed(0)
    layers = [keras.Input((5, 6, CLASSES)), keras.layers.Conv2D(CLASSES, 1)]
    model = keras.Sequential([*layers, keras.layers.Activation(activation)])
    model.compile("sgd", loss=build(from_logits=from_logits), **options)
    logs = model.fit(LOGITS, LABELS, verbose=0).history
    return logs["loss"][0], model.get_weights()


# One for each way from predictions to a loss.
of_each_kind = pytest.mark.parametrize("build", KINDS.values(), ids=KINDS)


@tensorflow_only
@of_each_kind
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_softmax_taken_for_logits_is_noticed_and_does_no_harm(build):
    with pytest.warns(UserWarning, match="from_logits=True"):
        loss, weights = train(build, "softmax", from_logits=True)
    expected, expected_weights = trained_on_logits(build)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    for one, other in zip(weights, expected_weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@of_each_kind
def test_a_model_with_a_softmax_trains_without_a_word(build, recwarn):
    loss, _ = train(build, "softmax", from_logits=False)
    expected, _ = trained_on_logits(build)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    assert not [w for w in recwarn if "from_logits" in str(w.message)]


@every_loss
def test_logits_taken_for_probabilities_raise(build):
    with pytest.raises(ValueError, match=r"^Expected probabilities.*from_logits=True"):
        build(from_logits=False)(LABELS, LOGITS)


@tensorflow_only
def test_logits_taken_for_probabilities_raise_in_fit():
    with pytest.raises(tf.errors.InvalidArgumentError, match="from_logits=True"):
        train(WeightedCrossEntropy, "linear", from_logits=False)


@every_loss
def test_masks_and_maps_may_have_a_last_axis(build):
    # Square, where axes could be broadcast against each other.
    y, z, s = LABELS[:, :5, :5], LOGITS[:, :5, :5], MAP[:, :5, :5]
    value = build()(y[..., None].astype("uint8"), z, s[..., None])
    np.testing.assert_allclose(value, build()(y, z, s), rtol=1e-6)


@every_loss
def test_weights_per_image_weigh_images(build):
    # As many images as columns, where axes could be broadcast.
    y, z, s = LABELS[..., :2], LOGITS[..., :2, :], np.array([0.25, 1.5], "float32")
    everywhere = np.broadcast_to(s[:, None, None], y.shape)
    value = float(build()(y, z, s))
    np.testing.assert_allclose(value, build()(y, z, everywhere), rtol=1e-6)
    assert abs(value - float(build()(y, z))) > 1e-3


@every_loss
@pytest.mark.parametrize("ignore", [-1, CLASSES])
def test_another_id_can_be_ignored(build, ignore):
    value = build(ignore=ignore)(np.where(LABELS == 255, ignore, LABELS), LOGITS)
    np.testing.assert_allclose(value, build()(LABELS, LOGITS), rtol=1e-6)


@every_loss
def test_an_ignore_that_is_a_class_raises(build):
    with pytest.raises(ValueError, match=r"Expected `ignore`.*ignore=3"):
        build(ignore=3)(LABELS, LOGITS)


@every_loss
def test_one_logit_raises(build):
    with pytest.raises(ValueError, match="use num_classes=2"):
        build()(np.zeros((1, 2, 2)), np.zeros((1, 2, 2, 1), "float32"))


@every_loss
@pytest.mark.parametrize("masks", [(2, 6, 5), (2, 5, 6, CLASSES), (5, 6), (1, 5, 6)])
def test_masks_of_another_shape_raise(build, masks):
    with pytest.raises(ValueError, match=r"Expected masks .*Received: masks"):
        build()(np.zeros(masks, int), LOGITS)


@of_each_kind
@tensorflow_only
def test_masks_of_another_size_raise_where_sizes_are_unknown(build):
    signature = [tf.TensorSpec([None] * 3, tf.int32), tf.TensorSpec([None] * 3 + [4])]
    loss = tf.function(build().__call__, input_signature=signature)
    message = "Expected masks of the"
    for size in [(2, 1, 6), (2, 6, 5)]:  # an axis of 1 would be broadcast
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            loss(tf.zeros(size, tf.int32), LOGITS)


@every_loss
@pytest.mark.parametrize("shape", [(2, 6), (5, 6), (2, 5, 7), (3, 5, 6), (3,)])
def test_weights_of_another_shape_raise(build, shape):
    with pytest.raises(ValueError, match=r"Expected `sample_weight`.*Received: "):
        build()(LABELS, LOGITS, np.ones(shape, "float32"))


@pytest.mark.parametrize("loss", [WeightedCrossEntropy, Focal, TopKCrossEntropy])
@pytest.mark.parametrize("count", [1, 3, 5])
def test_another_number_of_class_weights_than_classes_raises(loss, count):
    with pytest.raises(ValueError, match=rf"one weight per class.*{count} weights"):
        loss(class_weights=[1.0] * count)(LABELS, LOGITS)


@pytest.mark.parametrize(
    ("loss", "arguments", "named"),
    [
        (WeightedCrossEntropy, {"label_smoothing": -0.1}, "label_smoothing"),
        (WeightedCrossEntropy, {"label_smoothing": 1.1}, "label_smoothing"),
        (WeightedCrossEntropy, {"class_weights": [1.0, np.nan]}, "class_weights"),
        (Focal, {"gamma": -0.5}, "gamma"),
        (Focal, {"gamma": float("nan")}, "gamma"),
        (Focal, {"class_weights": [1.0, -1.0]}, "class_weights"),
        (TopKCrossEntropy, {"fraction": 0.0}, "fraction"),
        (TopKCrossEntropy, {"fraction": 1.5}, "fraction"),
        (TopKCrossEntropy, {"fraction": float("nan")}, "fraction"),
        (TopKCrossEntropy, {"class_weights": [float("inf")]}, "class_weights"),
        (Tversky, {"alpha": -0.1}, "alpha"),
        (Tversky, {"beta": -0.1}, "beta"),
        (Tversky, {"gamma": 0.0}, "gamma"),
        (BoundaryF1, {"width": 2}, "width"),
        (BoundaryF1, {"width": -1}, "width"),
        (BoundaryF1, {"reach": 4}, "reach"),
        (BoundaryF1, {"reach": 2.5}, "reach"),
    ],
)
def test_bad_arguments_raise_and_say_what_was_expected(loss, arguments, named):
    with pytest.raises(ValueError, match=rf"Expected .*`{named}`.*Received: "):
        loss(**arguments)


def reloaded(loss):
    saved = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    return keras.saving.deserialize_keras_object(saved)


OPTIONS = {"ignore": -1, "from_logits": False, "name": "mine", "dtype": "float64"}


@pytest.mark.parametrize(
    ("loss", "own"),
    [
        (
            WeightedCrossEntropy,
            {"class_weights": WEIGHTS, "label_smoothing": 0.1},
        ),
        (Focal, {"gamma": 1.5, "class_weights": WEIGHTS}),
        (TopKCrossEntropy, {"fraction": 0.5, "class_weights": WEIGHTS}),
        (Dice, {}),
        (Jaccard, {}),
        (Tversky, {"alpha": 0.3, "beta": 0.7, "gamma": 1.5}),
        (Lovasz, {}),
        (BoundaryF1, {"width": 5, "reach": 7}),
    ],
)
def test_a_loss_survives_serialisation(loss, own):
    loaded = reloaded(loss(**own, **OPTIONS))
    assert type(loaded) is loss
    assert loaded.get_config() == own | OPTIONS


@of_each_kind
def test_a_compiled_model_survives_saving(build, tmp_path):
    layers = [keras.Input((5, 6, 4)), keras.layers.Conv2D(CLASSES, 1, name="logits")]
    model = keras.Sequential(layers)
    sgd = keras.optimizers.SGD(0.1, momentum=0.9)
    model.compile(sgd, loss=build(), run_eagerly=True)  # graphs are traced above
    model.fit(LOGITS, LABELS, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert type(loaded.loss) is type(build())
    assert loaded.loss.get_config() == build().get_config()
    for kept, own in zip(
        loaded.optimizer.variables, model.optimizer.variables, strict=True
    ):
        np.testing.assert_array_equal(kept, own)
    # The next step is the same one.
    losses = [m.train_on_batch(LOGITS, LABELS) for m in (model, loaded)]
    after = [m.evaluate(LOGITS, LABELS, verbose=0) for m in (model, loaded)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-6)
    np.testing.assert_allclose(after[1], after[0], rtol=1e-6)
    assert abs(after[0] - losses[0]) > 1e-4


@pytest.mark.parametrize(
    ("loss", "name"),
    [
        (WeightedCrossEntropy, "weighted_cross_entropy"),
        (Focal, "focal"),
        (TopKCrossEntropy, "top_k_cross_entropy"),
        (Dice, "dice"),
        (Jaccard, "jaccard"),
        (Tversky, "tversky"),
        (Lovasz, "lovasz"),
        (BoundaryF1, "boundary_f1"),
    ],
)
def test_a_loss_is_named_after_itself(loss, name):
    assert loss().name == name
    assert loss(name="mine").name == "mine"


A, B, C = Dice(), WeightedCrossEntropy(WEIGHTS), Lovasz()


@pytest.mark.parametrize(
    ("loss", "parts", "factors"),
    [
        (A + B, [A, B], [1.0, 1.0]),
        (0.5 * A + B, [A, B], [0.5, 1.0]),
        (A * 0.5, [A], [0.5]),
        (2 * (0.5 * A + B), [A, B], [1.0, 2.0]),
        ((A + B) * 3 + C, [A, B, C], [3.0, 3.0, 1.0]),
        (C + (A + B) * 3, [C, A, B], [1.0, 3.0, 3.0]),
        (0.1 * (A + B) + 0.2 * (B + C), [A, B, B, C], [0.1, 0.1, 0.2, 0.2]),
        (A + A, [A, A], [1.0, 1.0]),
    ],
)
def test_sums_and_multiples_of_losses_are_losses(loss, parts, factors):
    assert isinstance(loss, keras.losses.Loss)
    assert loss.losses == parts
    np.testing.assert_allclose(loss.factors, factors)
    values = [float(part(LABELS, LOGITS, MAP)) for part in parts]
    expected = np.dot(factors, values)
    np.testing.assert_allclose(loss(LABELS, LOGITS, MAP), expected, rtol=1e-6)


def test_adding_to_a_sum_leaves_it_as_it_was():
    loss = A + B
    assert len((loss + C).losses) == 3
    assert (loss * 2).factors == [2.0, 2.0]
    assert (loss.losses, loss.factors) == ([A, B], [1.0, 1.0])


def test_a_sum_survives_serialisation():
    loss = 0.5 * Dice(name="mine") + WeightedCrossEntropy(WEIGHTS, ignore=7) * 2
    loss = Sum(loss.losses, loss.factors, name="both")
    loaded = reloaded(loss)
    assert type(loaded) is Sum
    assert [type(part) for part in loaded.losses] == [Dice, WeightedCrossEntropy]
    assert [part.name for part in loaded.losses] == ["mine", "weighted_cross_entropy"]
    assert loaded.losses[1].get_config() == loss.losses[1].get_config()
    assert loaded.factors == [0.5, 2.0]
    assert loaded.name == "both"


@pytest.mark.parametrize("other", [1.0, "dice", keras.losses.MeanSquaredError()])
def test_only_losses_of_this_package_can_be_added(other):
    with pytest.raises(TypeError, match="unsupported operand"):
        A + other
    with pytest.raises(TypeError, match="unsupported operand"):
        (A + B) + other


def test_losses_and_numbers_can_only_be_multiplied():
    with pytest.raises(TypeError):
        A * B
