"""A training step of every net: compiled by XLA, and in mixed precision.

Keras turns XLA off by itself on a CPU, so what a test doesn't ask for isn't compiled.
"""

import os
import re
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_seg.losses import WeightedCrossEntropy
from tests.models.test_models import BUILDERS, CLASSES, MODELS, build, images

pytestmark = pytest.mark.slow
every_builder = pytest.mark.parametrize("name", BUILDERS.values())

SIZE = (32, 48)


class Traced(WeightedCrossEntropy):
    """It, and the types of logits for which Python came here: once for each trace."""

    def __init__(self):
        super().__init__()
        self.logits = []

    def __call__(self, y_true, y_pred, sample_weight=None):
        self.logits.append(keras.backend.standardize_dtype(y_pred.dtype))
        return super().__call__(y_true, y_pred, sample_weight)


def batch(seed):
    """A bright image and a dark one: of equal ones the deviation is rounding alone."""
    masks = np.random.default_rng(seed).integers(0, CLASSES, (2, *SIZE))
    return images(*SIZE) // np.reshape([1, 8], (2, 1, 1, 1)).astype("uint8"), masks


def compiled(name, *, rate=None, dropout=0.0, **how):
    """A net of the same weights each time, with one share of dropout everywhere."""
    net = build(name, input_shape=(*SIZE, 3))
    for layer in net._flatten_layers():
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = dropout
    # Steps of a fixed length: FCN's features are as large as its images' values.
    usual = 1e-3 if "widths" in MODELS[name][1] and "fcn" in name else 0.1
    optimizer = keras.optimizers.SGD(usual if rate is None else rate, global_clipnorm=1)
    net.compile(optimizer, Traced(), **how)
    return net


def step(net, seed=0):
    return net.train_on_batch(*batch(seed), return_dict=True)["loss"]


def arrays(variables):
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def unchanged(net, before):
    """Paths of trainable variables that are what they were."""
    variables = net.trainable_variables
    pairs = zip(variables, arrays(variables), before, strict=True)
    return [v.path for v, new, old in pairs if np.array_equal(new, old)]


# Under XLA TensorFlow draws other random numbers, so there is no dropout here.
@every_builder
def test_a_step_compiled_by_xla_is_the_step_without_it(name):
    plain, xla = compiled(name, jit_compile=False), compiled(name, jit_compile=True)
    assert xla.jit_compile  # which a net that can't be compiled turns off
    before = arrays(xla.trainable_variables)
    start = arrays(xla.variables)
    np.testing.assert_allclose(step(xla), step(plain), rtol=1e-4)
    found, expected = arrays(xla.variables), arrays(plain.variables)
    for variable, old, new, wanted in zip(
        plain.variables, start, found, expected, strict=True
    ):
        change = np.abs(wanted - old).max()
        np.testing.assert_allclose(
            new, wanted, rtol=0, atol=0.01 * change + 1e-6, err_msg=variable.path
        )
    assert len(unchanged(xla, before)) < len(before) / 2
    # What was compiled serves the next batch of this shape.
    traces = len(xla.loss.logits)
    assert np.isfinite(step(xla, seed=1))
    assert len(xla.loss.logits) == traces


def test_under_xla_dropout_is_drawn_anew_in_each_step():
    net = compiled("unet-batch-dropout", rate=0.0, dropout=0.5, jit_compile=True)
    assert abs(step(net) - step(net)) > 1e-4
    net = compiled("unet-batch-dropout", rate=0.0, dropout=0.0, jit_compile=True)
    assert step(net) == pytest.approx(step(net), abs=1e-6)


#: The slope of so few keys is a thousand millionth, less than a weight is rounded by; a
#: shift before batch normalization has no slope.
HARDLY_CHANGED = "attention_query|attention_key|context_mean_norm/beta"


@every_builder
def test_a_step_in_mixed_float16_changes_weights_that_stay_float32(name):
    keras.config.set_dtype_policy("mixed_float16")  # and conftest.py resets it
    net = compiled(name, jit_compile=False)
    before = arrays(net.trainable_variables)
    # Where a gradient overflows Keras skips the step, and halves the scale of the loss.
    for _ in range(8):
        assert np.isfinite(step(net))
        same = unchanged(net, before)
        if len(same) < len(before):
            break
    assert [path for path in same if not re.search(HARDLY_CHANGED, path)] == []
    assert all(np.isfinite(x).all() for x in arrays(net.variables))
    assert {v.dtype for v in net.trainable_variables} == {"float32"}
    assert set(net.loss.logits) == {"float32"}


def test_all_of_this_holds_on_jax():
    pytest.importorskip("jax")
    if keras.backend.backend() == "jax":
        pytest.skip("this is it")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", __file__, "-n", "0", "-q", "-m", ""],
        env=os.environ | {"KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
