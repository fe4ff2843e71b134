"""Optimizers take the steps of PyTorch's, by formula, by PyTorch, and through `fit`."""

import json
import math
import os
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_seg
from keras_seg.training import Checkpoint, optimizer

STEPS = 20
ENCODER_RATE = 0.03  # the default
NAMES = ["adamw", "adam", "sgd"]
RATES = {"adamw": 1e-2, "adam": 1e-2, "sgd": 0.1}
SIZE = (16, 16)
SOURCE = keras_seg.data.shapes(8, size=SIZE)


def with_encoder():
    """One convolution in an encoder, normalized, and one convolution for scores."""
    keras.utils.set_random_seed(0)
    image = keras.Input((None, None, 3))
    x = layers.Rescaling(1 / 255)(image)
    x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(x)
    x = layers.BatchNormalization()(x)
    features = keras_seg.models.encoder(keras.Model(image, x))
    image = keras.Input((None, None, 3))
    x = layers.Conv2D(6, 1, name="score")(features(image)["P1"])
    return keras.Model(image, layers.UpSampling2D(2)(x))


def without_encoder():
    keras.utils.set_random_seed(0)
    image = keras.Input((None, None, 3))
    x = layers.Rescaling(1 / 255)(image)
    return keras.Model(image, layers.Conv2D(6, 1, name="score")(x))


def arrays(variables):
    return [np.copy(keras.ops.convert_to_numpy(v)) for v in variables]


def compiled(model, made, **options):
    model.compile(made, keras_seg.losses.WeightedCrossEntropy(), **options)
    return model


def fit(model, steps=3, **options):
    batches = SOURCE.batches(4, size=SIZE, shuffle=True, repeat=True)
    return model.fit(
        batches, steps_per_epoch=steps, shuffle=False, verbose=0, **options
    )


def assert_close(variables, expected, **tolerance):
    for v, value in zip(variables, expected, strict=True):
        found = keras.ops.convert_to_numpy(v)
        np.testing.assert_allclose(found, value, err_msg=v.path, **tolerance)


# -------------------------------------------------------------------- formulas


def decay(schedule, x):
    """The part of the learning rate that is left at a part x of the training."""
    x = min(x, 1.0)
    if schedule == "poly":
        return (1 - x) ** 0.9
    return (1 + math.cos(math.pi * x)) / 2 if schedule == "cosine" else 1.0


def rate(step, *, steps=STEPS, schedule="poly", warmup=0):
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return decay(schedule, (step - warmup) / (steps - warmup))


def trained(name, weights, gradients, rates, factors, decays):
    """Weights after PyTorch's optimizers, in 64 bits; one gradient for each rate.

    Args:
        name: Name of the optimizer.
        weights: One array per variable.
        gradients: For each step, one array per variable.
        rates: Learning rate of each step.
        factors: Of the rate, per variable.
        decays: Weight decay per variable.
    """
    results = []
    for k, w in enumerate(weights):
        w, m, v = w.astype(float), 0.0, 0.0
        for t, (at, lr) in enumerate(zip(gradients, rates, strict=True), start=1):
            lr, wd, g = lr * factors[k], decays[k], at[k].astype(float)
            if name == "adamw":
                w = w - lr * wd * w
            else:
                g = g + wd * w
            if name == "sgd":
                m = 0.9 * m + g
                w = w - lr * m
            else:
                m = 0.9 * m + 0.1 * g
                v = 0.999 * v + 0.001 * g**2
                m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.999**t)
                w = w - lr * m_hat / (np.sqrt(v_hat) + 1e-8)
        results.append(w)
    return results


def drawn_gradients(variables, steps=STEPS):
    """Gradients from 1 down to 1e-8, where epsilon counts."""
    rng = np.random.default_rng(0)
    sizes = 10.0 ** -rng.integers(0, 9, len(variables))
    return [
        [
            (size * rng.normal(size=v.shape)).astype("float32")
            for v, size in zip(variables, sizes, strict=True)
        ]
        for _ in range(steps)
    ]


def apply(made, gradients, variables, compiles=False):
    """Take a step for each of the gradients, by XLA if `compiles`."""
    made.build(variables)
    if keras.backend.backend() == "jax":  # as its trainer does
        import jax

        step = jax.jit(made.stateless_apply) if compiles else made.stateless_apply
        for each in gradients:
            state = [[v.value for v in x] for x in (made.variables, variables)]
            new = step(state[0], [jax.numpy.asarray(g) for g in each], state[1])
            for owners, values in zip((variables, made.variables), new, strict=True):
                for v, value in zip(owners, values, strict=True):
                    v.assign(value)
        return

    def step(*gradients):
        made.apply(list(gradients), variables)

    if compiles:
        step = tf.function(step, jit_compile=True)
    for each in gradients:
        step(*map(keras.ops.convert_to_tensor, each))


def factors_of(variables):
    return [ENCODER_RATE if v.path.startswith("encoder/") else 1.0 for v in variables]


def decays_of(variables, weight_decay):
    return [weight_decay if v.path.endswith("/kernel") else 0.0 for v in variables]


# ------------------------------------------------------------------------ rates


@pytest.mark.parametrize("warmup", [0, 1, 7])
@pytest.mark.parametrize("schedule", ["poly", "cosine", "constant"])
def test_the_rate_is_that_of_the_formula_at_each_step(schedule, warmup):
    made = optimizer(
        without_encoder(), 0.5, steps=STEPS, schedule=schedule, warmup=warmup
    )
    for step in [*range(STEPS + 3), 10 * STEPS, 2**31 - 1]:
        made.iterations.assign(step)
        expected = 0.5 * rate(step, schedule=schedule, warmup=warmup)
        found = float(keras.ops.convert_to_numpy(made.learning_rate))
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-7), step
        assert found >= 0


def test_one_step_of_training_is_at_the_whole_rate():
    made = optimizer(without_encoder(), 0.5, steps=1)
    assert float(keras.ops.convert_to_numpy(made.learning_rate)) == 0.5


# ------------------------------------------------------------------------ steps


@pytest.mark.parametrize("name", NAMES)
def test_weights_after_20_steps_under_xla_are_those_of_the_formula(name):
    model = with_encoder()
    variables = model.trainable_variables
    before, gradients = arrays(variables), drawn_gradients(variables)
    made = optimizer(
        model, RATES[name], steps=STEPS, name=name, warmup=5, weight_decay=0.1
    )
    apply(made, gradients, variables, compiles=True)
    rates = [RATES[name] * rate(step, warmup=5) for step in range(STEPS)]
    factors, decays = factors_of(variables), decays_of(variables, 0.1)
    assert len({*zip(factors, decays, strict=True)}) == 4  # all kinds are there
    expected = trained(name, before, gradients, rates, factors, decays)
    assert_close(variables, expected, rtol=1e-5, atol=1e-6)


def test_the_norm_that_is_clipped_is_that_of_all_variables_together():
    model = with_encoder()
    variables = model.trainable_variables
    before, gradients = arrays(variables), drawn_gradients(variables, 4)
    gradients[1] = [0.001 * g for g in gradients[1]]  # stays as it is
    made = optimizer(model, 0.1, steps=4, name="sgd", schedule="constant", clip=0.5)
    apply(made, gradients, variables)
    norms = [math.sqrt(sum((g.astype(float) ** 2).sum() for g in x)) for x in gradients]
    assert norms[1] < 0.5 < norms[0]
    clipped = [
        [min(1, 0.5 / norm) * g for g in each]
        for each, norm in zip(gradients, norms, strict=True)
    ]
    expected = trained(
        "sgd",
        before,
        clipped,
        [0.1] * 4,
        factors_of(variables),
        decays_of(variables, 1e-4),
    )
    assert_close(variables, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_accumulated_gradients_make_one_step_at_the_rate_of_the_last(name):
    model = with_encoder()
    variables = model.trainable_variables
    before, gradients = arrays(variables), drawn_gradients(variables, 8)
    made = optimizer(model, 0.1, steps=8, name=name, warmup=2, accumulate=2, clip=0.5)
    apply(made, gradients, variables)
    means = [
        [(a.astype(float) + b) / 2 for a, b in zip(*pair, strict=True)]
        for pair in zip(gradients[::2], gradients[1::2], strict=True)
    ]
    for mean in means:
        norm = math.sqrt(sum((g**2).sum() for g in mean))
        mean[:] = [min(1, 0.5 / norm) * g for g in mean]
    expected = trained(
        name,
        before,
        means,
        [0.1 * rate(step, steps=8, warmup=2) for step in (1, 3, 5, 7)],
        factors_of(variables),
        decays_of(variables, 1e-4),
    )
    assert_close(variables, expected, rtol=1e-5, atol=1e-6)


def test_the_average_of_weights_replaces_them_at_the_end():
    model = with_encoder()
    variables = model.trainable_variables
    before, gradients = arrays(variables), drawn_gradients(variables, 4)
    made = optimizer(model, 0.1, steps=4, name="sgd", schedule="constant", ema=0.7)
    apply(made, gradients, variables)
    factors, decays = factors_of(variables), decays_of(variables, 1e-4)
    weights = [
        trained("sgd", before, gradients[:n], [0.1] * n, factors, decays)
        for n in (1, 2, 3, 4)
    ]
    average = weights[0]
    for later in weights[1:]:
        average = [0.7 * a + 0.3 * w for a, w in zip(average, later, strict=True)]
    assert_close(variables, weights[-1], rtol=1e-5, atol=1e-6)
    made.finalize_variable_values(variables)
    assert_close(variables, average, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_variables_without_a_gradient_begin_when_they_have_one(name):
    model = with_encoder()
    variables = model.trainable_variables
    before, gradients = arrays(variables), drawn_gradients(variables)
    made = optimizer(model, 0.01, steps=STEPS, name=name, weight_decay=0.1, ema=0.5)
    made.build(variables)
    decoder = [v for v in variables if not v.path.startswith("encoder/")]
    for step, each in enumerate(gradients):
        trained_now = variables if step >= 12 else decoder
        each = {v.path: g for v, g in zip(variables, each, strict=True)}
        made.apply(
            [keras.ops.convert_to_tensor(each[v.path]) for v in trained_now],
            trained_now,
        )
    rates = [0.01 * rate(step) for step in range(STEPS)]
    factors, decays = factors_of(variables), decays_of(variables, 0.1)
    for start, group in ((12, "encoder"), (0, "score")):
        expected = trained(
            name, before, gradients[start:], rates[start:], factors, decays
        )
        for v, value in zip(variables, expected, strict=True):
            if v.path.startswith(group):
                assert_close([v], [value], rtol=1e-5, atol=1e-6)


def test_averages_are_of_their_own_variables_when_some_are_frozen():
    model = with_encoder()
    variables = model.trainable_variables
    made = optimizer(model, 0.1, steps=4, ema=0.7)
    apply(made, drawn_gradients(variables, 4), variables)
    expected = arrays(made._model_variables_moving_average)
    score = [v for v in variables if v.path.startswith("score/")]
    made.finalize_variable_values(score)
    assert_close(variables, expected, rtol=0)


def test_an_encoder_at_rate_0_keeps_its_weights():
    model = with_encoder()
    variables = model.trainable_variables
    before = arrays(variables)
    made = optimizer(model, 0.1, steps=3, encoder_rate=0, weight_decay=0.1)
    apply(made, drawn_gradients(variables, 3), variables)
    for v, value in zip(variables, before, strict=True):
        moved = np.abs(keras.ops.convert_to_numpy(v) - value).max() > 0
        assert moved != v.path.startswith("encoder/"), v.path


def test_without_an_encoder_the_factor_changes_nothing():
    found = []
    for factor in (0.1, 1.0):
        model = without_encoder()
        made = optimizer(model, 0.1, steps=3, encoder_rate=factor)
        variables = model.trainable_variables
        apply(made, drawn_gradients(variables, 3), variables)
        found.append(arrays(variables))
    assert_close(variables, found[0], rtol=0)


def test_biases_with_two_axes_are_not_decayed():
    attention = layers.MultiHeadAttention(2, 3, name="attention")
    x = keras.Input((5, 4))
    model = keras.Model(x, attention(x, x))
    variables = model.trainable_variables
    assert any(v.name == "bias" and len(v.shape) == 2 for v in variables)
    for v in variables:
        v.assign(np.ones(v.shape))
    made = optimizer(model, 0.5, steps=1, weight_decay=0.1)
    apply(made, [[np.zeros(v.shape, "float32") for v in variables]], variables)
    for v in variables:
        expected = 0.95 if v.name == "kernel" else 1.0
        np.testing.assert_allclose(keras.ops.convert_to_numpy(v), expected, rtol=1e-6)


def test_more_variables_can_be_spared_the_way_of_keras():
    model = without_encoder()
    made = optimizer(model, 0.5, steps=1, weight_decay=0.1)
    score = model.get_layer("score").kernel
    made.exclude_from_weight_decay(var_list=[score])
    before = arrays(model.trainable_variables)
    zeros = [np.zeros(v.shape, "float32") for v in model.trainable_variables]
    apply(made, [zeros], model.trainable_variables)
    for v, value in zip(model.trainable_variables, before, strict=True):
        factor = 0.95 if v.path.endswith("/kernel") and v is not score else 1.0
        assert_close([v], [factor * value], rtol=1e-6)


# ---------------------------------------------------------------------- through fit


def test_a_frozen_encoder_stays_and_the_decoder_learns():
    model = with_encoder()
    model.get_layer("encoder").trainable = False
    before = {
        v.path: x for v, x in zip(model.weights, arrays(model.weights), strict=True)
    }
    made = optimizer(model, 0.1, steps=3, ema=0.5, clip=1.0)
    fit(compiled(model, made, run_eagerly=True))
    assert {v.path for v in model.trainable_variables} < {*before}
    for v in model.weights:
        if v.path.startswith("encoder/"):
            assert_close([v], [before[v.path]], atol=0)
    score = model.get_layer("score").kernel
    assert np.abs(keras.ops.convert_to_numpy(score) - before[score.path]).max() > 0


EVERYTHING = {
    "schedule": "cosine",
    "warmup": 4,
    "weight_decay": 0.5,
    "encoder_rate": 0.3,
    "ema": 0.5,
    "accumulate": 2,
    "clip": 1.0,
}


@pytest.mark.parametrize("schedule", ["poly", "cosine", "constant"])
@pytest.mark.parametrize("name", NAMES)
def test_an_optimizer_is_made_anew_from_its_configuration(name, schedule):
    model = with_encoder()
    options = EVERYTHING | {"schedule": schedule}
    made = optimizer(model, RATES[name], steps=STEPS, name=name, **options)
    content = json.loads(json.dumps(keras.optimizers.serialize(made)))
    again = keras.optimizers.deserialize(content)
    assert type(again) is type(made)
    assert again.get_config() == made.get_config()


def test_a_saved_model_goes_on_with_the_same_optimizer(tmp_path):
    model = with_encoder()
    made = optimizer(model, 0.01, steps=STEPS, **EVERYTHING)
    compiled(model, made, run_eagerly=True)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, *SIZE, 3)).astype("uint8")
    masks = rng.integers(0, 6, (2, *SIZE))
    for _ in range(3):
        model.train_on_batch(images, masks)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.get_config() == made.get_config()
    assert_close(loaded.optimizer.variables, arrays(made.variables), atol=0)
    for either in (model, loaded):
        either.train_on_batch(images, masks)
    assert_close(loaded.variables, arrays(model.variables), atol=1e-6)
    assert_close(loaded.optimizer.variables, arrays(made.variables), atol=1e-6)


@pytest.mark.parametrize(
    ("policy", "options"),
    [
        ("float32", {"name": "adamw", "ema": 0.9, "accumulate": 2, "clip": 0.1}),
        pytest.param(
            "mixed_float16",
            {"name": "adam", "ema": 0.9, "warmup": 4, "clip": 1.0},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_an_interrupted_training_ends_with_the_same_bits(policy, options, tmp_path):
    keras.config.set_dtype_policy(policy)  # and conftest.py resets it

    class Copy(keras.callbacks.Callback):
        """What one has that is killed after its first epoch."""

        def on_epoch_end(self, epoch, logs=None):
            if epoch == 0:
                shutil.copytree(tmp_path / "whole", tmp_path / "part")

    def train(folder, *more):
        model = with_encoder()
        compiled(model, optimizer(model, 0.01, steps=9, **options))
        # What validates comes between the two.
        swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
        checkpoint = Checkpoint(folder, callbacks=[swap])
        epoch = checkpoint.restore(model)
        batches = SOURCE.batches(
            4, size=SIZE, shuffle=True, repeat=True, first_step=3 * epoch
        )
        model.fit(
            batches,
            steps_per_epoch=3,
            epochs=3,
            initial_epoch=epoch,
            callbacks=[swap, checkpoint, *more],
            shuffle=False,
            verbose=0,
        )
        return model

    whole = train(tmp_path / "whole", Copy())
    other = train(tmp_path / "part")
    is_scaled = isinstance(whole.optimizer, keras.optimizers.LossScaleOptimizer)
    assert is_scaled == (policy == "mixed_float16")
    assert_close(other.variables, arrays(whole.variables), rtol=0)
    kept = arrays(whole.optimizer.variables)
    assert_close(other.optimizer.variables, kept, rtol=0)


def test_half_precision_takes_the_steps_of_its_gradients(tmp_path):
    keras.config.set_dtype_policy("mixed_float16")
    model = compiled(with_encoder(), "sgd")
    made = optimizer(model, 0.1, steps=10, name="sgd", weight_decay=0.5)
    scaled = keras.optimizers.LossScaleOptimizer(made, initial_scale=8.0)
    variables = model.trainable_variables
    assert {v.dtype for v in variables} == {"float32"}
    before, gradients = arrays(variables), drawn_gradients(variables, 2)
    apply(scaled, [[8 * g for g in each] for each in gradients], variables)
    expected = trained(
        "sgd",
        before,
        gradients,
        [0.1 * rate(step, steps=10) for step in range(2)],
        factors_of(variables),
        decays_of(variables, 0.5),
    )
    assert_close(variables, expected, rtol=1e-5, atol=1e-6)
    found = float(keras.ops.convert_to_numpy(scaled.learning_rate))
    assert found == pytest.approx(0.1 * rate(2, steps=10))


def test_validation_sees_the_average_and_training_goes_on_without_it():
    model = with_encoder()
    made = optimizer(model, 0.1, steps=6, name="sgd", ema=0.9)
    compiled(model, made, run_eagerly=True)
    seen = []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(arrays(model.trainable_variables))

    swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
    fit(model, 3, epochs=2, callbacks=[Look(), swap, Look()])
    assert len(seen) == 4
    for weights, average in (seen[:2], seen[2:]):
        gaps = [np.abs(w - a).max() for w, a in zip(weights, average, strict=True)]
        assert max(gaps) > 1e-3
    assert_close(model.trainable_variables, seen[-1], rtol=1e-6, atol=1e-7)


# ------------------------------------------------------------------------ callbacks


def test_a_constant_rate_can_be_lowered_by_a_callback():
    model = without_encoder()
    made = optimizer(model, 0.5, steps=3, schedule="constant")
    compiled(model, made, run_eagerly=True)
    lower = keras.callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=100)
    history = fit(model, 1, epochs=3, callbacks=[lower]).history
    assert history["learning_rate"] == pytest.approx([0.5, 0.5, 0.05])


@pytest.mark.parametrize("warmup", [0, 1])
def test_a_callback_that_sets_a_scheduled_rate_is_refused(warmup):
    model = without_encoder()
    schedule = "constant" if warmup else "poly"
    made = optimizer(model, 0.5, steps=3, schedule=schedule, warmup=warmup)
    setter = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.1)
    with pytest.raises(TypeError, match="its learning rate is not settable"):
        fit(compiled(model, made, run_eagerly=True), 1, callbacks=[setter])


# ------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"learning_rate": 0}, "`learning_rate` to be a number above 0. Received: 0"),
        ({"learning_rate": -1e-3}, "above 0. Received: -0.001"),
        ({"learning_rate": math.nan}, "`learning_rate` .* Received: nan"),
        ({"learning_rate": math.inf}, "`learning_rate` .* Received: inf"),
        ({"learning_rate": "1e-3"}, "`learning_rate` .* Received: '1e-3'"),
        ({"learning_rate": True}, "`learning_rate` .* Received: True"),
        ({"steps": 0}, "`steps` to be a whole number, 1 or more. Received: 0"),
        ({"steps": 10.5}, "`steps` .* Received: 10.5"),
        ({"warmup": -1}, "`warmup` to be a whole number, 0 or more. Received: -1"),
        ({"warmup": 10}, "`warmup` to be fewer steps than `steps`, 10. Received: 10"),
        ({"name": "adamW"}, "'adamw', 'adam', 'sgd'. .*'adamW'. .*mean 'adamw'"),
        ({"name": "lion"}, "Received: 'lion'.$"),
        ({"name": None}, "Received: None"),
        ({"schedule": "polynomial"}, "Did you mean 'poly'"),
        ({"schedule": "cosin"}, "Did you mean 'cosine'"),
        ({"weight_decay": -0.1}, "`weight_decay` to be a number 0 or more"),
        ({"weight_decay": math.nan}, "`weight_decay` .* Received: nan"),
        ({"encoder_rate": -0.1}, "`encoder_rate` to be a number 0 or more"),
        ({"encoder_rate": math.inf}, "`encoder_rate` .* Received: inf"),
        ({"ema": 0}, "`ema` to be a number above 0 and below 1. Received: 0"),
        ({"ema": 1.0}, "`ema` .* Received: 1.0"),
        ({"ema": True}, "`ema` .* Received: True"),
        ({"accumulate": 0}, "`accumulate` to be a whole number, 1 or more"),
        ({"accumulate": 11}, "`accumulate` to be at most `steps`, 10. Received: 11"),
        ({"clip": 0}, "`clip` to be a number above 0. Received: 0"),
        ({"clip": math.nan}, "`clip` .* Received: nan"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(arguments, message):
    model = without_encoder()
    arguments = {"learning_rate": 1e-3, "steps": 10} | arguments
    with pytest.raises(ValueError, match=f"Expected .*{message}"):
        optimizer(model, arguments.pop("learning_rate"), **arguments)


def test_numbers_of_numpy_are_numbers():
    made = optimizer(
        without_encoder(), np.float32(0.5), steps=np.int64(10), warmup=np.int32(1)
    )
    assert float(keras.ops.convert_to_numpy(made.learning_rate)) == 0.25
    json.dumps(made.get_config())


def test_a_model_without_weights_to_train_is_refused():
    with pytest.raises(ValueError, match=r"Expected a Keras model\. Received: 0.001"):
        optimizer(1e-3, without_encoder(), steps=10)
    unbuilt = keras.Sequential([layers.Conv2D(1, 1)])
    with pytest.raises(ValueError, match="a model that is built"):
        optimizer(unbuilt, 1e-3, steps=10)
    frozen = without_encoder()
    frozen.trainable = False
    with pytest.raises(ValueError, match=r"weights to train.* 2, all of them frozen"):
        optimizer(frozen, 1e-3, steps=10)
    x = keras.Input((4,))
    empty = keras.Model(x, layers.ReLU()(x))
    with pytest.raises(ValueError, match=r"weights to train. .* 0, not one"):
        optimizer(empty, 1e-3, steps=10)


# -------------------------------------------------------------- beside other programs

TORCH = """
import sys
import numpy as np, torch
from torch import nn
from torch.optim import lr_scheduler

folder, name, peak, warmup = sys.argv[1], sys.argv[2], float(sys.argv[3]), 5
data = np.load(f"{folder}/begin.npz")
images = torch.tensor(data["images"]).permute(0, 3, 1, 2).float() / 255
images = nn.functional.avg_pool2d(images, 2)
masks = torch.tensor(data["masks"])
encoder = nn.Sequential(
    nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4, eps=1e-3), nn.ReLU()
)
score = nn.Conv2d(4, 6, 1)
with torch.no_grad():
    for k, conv in enumerate((encoder[0], score)):
        conv.weight.copy_(torch.tensor(data[f"kernel{k}"]).permute(3, 2, 0, 1))
    score.bias.zero_()
groups = [
    {"params": [encoder[0].weight], "lr": peak / 10, "weight_decay": 0.1},
    {"params": [*encoder[1].parameters()], "lr": peak / 10, "weight_decay": 0.0},
    {"params": [score.weight], "lr": peak, "weight_decay": 0.1},
    {"params": [score.bias], "lr": peak, "weight_decay": 0.0},
]
optimizer = {
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
    "sgd": lambda groups: torch.optim.SGD(groups, momentum=0.9),
}[name](groups)
rise = lr_scheduler.LinearLR(optimizer, 1 / (warmup + 1), total_iters=warmup)
fall = lr_scheduler.PolynomialLR(optimizer, total_iters=20 - warmup, power=0.9)
schedule = lr_scheduler.SequentialLR(optimizer, [rise, fall], milestones=[warmup])
for step in range(20):
    part = slice(4 * step, 4 * step + 4)
    logits = score(encoder(images[part]))
    loss = nn.functional.cross_entropy(logits, masks[part])
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_([p for g in groups for p in g["params"]], 0.5)
    optimizer.step()
    schedule.step()
weights = [*encoder.parameters(), *score.parameters()]
arrays = [w.detach() for w in weights]
arrays = [a.permute(2, 3, 1, 0) if a.ndim == 4 else a for a in arrays]
np.savez(f"{folder}/end.npz", *[a.numpy() for a in arrays])
"""


@pytest.mark.peers
@pytest.mark.parametrize("name", NAMES)
def test_weights_after_20_steps_are_those_of_torch(name, tmp_path, python_of_peers):
    keras.utils.set_random_seed(0)
    image = keras.Input((None, None, 3))
    x = layers.AveragePooling2D(2)(layers.Rescaling(1 / 255)(image))
    x = layers.Conv2D(4, 3, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization(epsilon=1e-3)(x)
    features = keras_seg.models.encoder(keras.Model(image, layers.ReLU()(x)))
    image = keras.Input((*SIZE, 3))
    model = keras.Model(image, layers.Conv2D(6, 1)(features(image)["P1"]))
    assert len(model.trainable_variables) == 5

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4 * STEPS, *SIZE, 3)).astype("uint8")
    masks = rng.integers(0, 6, (4 * STEPS, 8, 8))
    kernels = [v for v in model.trainable_variables if v.name == "kernel"]
    kernels = {f"kernel{k}": value for k, value in enumerate(arrays(kernels))}
    np.savez(tmp_path / "begin.npz", images=images, masks=masks, **kernels)
    arguments = [str(tmp_path), name, str(RATES[name])]
    subprocess.run([python_of_peers, "-c", TORCH, *arguments], check=True)

    made = optimizer(
        model,
        RATES[name],
        steps=STEPS,
        name=name,
        warmup=5,
        weight_decay=0.1,
        encoder_rate=0.1,
        clip=0.5,
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(made, loss)
    model.fit(images, masks, batch_size=4, shuffle=False, verbose=0)
    with np.load(tmp_path / "end.npz") as file:
        expected = [*file.values()]
    moved = np.abs(expected[0] - kernels["kernel0"]).max()
    assert moved > 1e-3
    assert_close(model.trainable_variables, expected, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_all_of_this_holds_on_jax():
    pytest.importorskip("jax", reason="JAX isn't installed")
    command = [sys.executable, "-m", "pytest", __file__, "-n", "0", "-q"]
    environment = os.environ | {"KERAS_BACKEND": "jax"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
