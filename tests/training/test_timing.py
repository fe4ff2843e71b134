"""How long steps wait for their data."""

import time

import numpy as np
import pytest
import tensorflow as tf

from keras_seg.training.timing import DataWait


def slow(seconds, batches):
    """Batches of three images that take a while to make, one after the other."""

    def wait(batch):
        time.sleep(seconds)
        return batch

    data = tf.data.Dataset.range(batches).map(lambda k: tf.fill((3, 2, 2, 1), k))
    return data.map(
        lambda x: tf.ensure_shape(tf.numpy_function(wait, [x], x.dtype), x.shape)
    )


def test_waiting_is_what_the_reader_waits():
    wait = DataWait()
    began = time.monotonic()
    assert len(list(wait.measured(slow(0.02, 10)))) == 10
    assert 10 * 0.02 <= wait.seconds <= time.monotonic() - began
    assert wait.images == 30


def test_data_that_are_ready_are_not_waited_for():
    wait = DataWait()
    for _ in wait.measured(slow(0.001, 10).prefetch(2)):
        time.sleep(0.05)  # the step
    assert wait.seconds < 0.1 * 10 * 0.05 + 0.05  # the first one is waited for


@pytest.fixture
def deterministic():
    from tensorflow.python.framework import config  # which alone can switch it off

    tf.config.experimental.enable_op_determinism()
    yield
    config.disable_op_determinism()


@pytest.mark.usefixtures("deterministic")
def test_waiting_is_measured_where_operations_must_be_deterministic():
    wait = DataWait()
    assert len(list(wait.measured(slow(0.02, 3)))) == 3
    assert wait.seconds >= 3 * 0.02


def test_measured_batches_are_the_same_batches():
    x = np.arange(12.0).reshape(6, 2)
    structures = (
        (x, x + 1),
        (x, x + 1, x + 2),
        ({"a": x, "b": x + 1}, (x + 2, x + 3)),
        x,
        {"a": x},
    )
    for structure in structures:
        data = tf.data.Dataset.from_tensor_slices(structure).batch(4)
        measured = DataWait().measured(data)
        assert measured.element_spec == data.element_spec
        assert int(measured.cardinality()) == int(data.cardinality()) == 2
        for a, b in zip(data, measured, strict=True):
            tf.nest.map_structure(np.testing.assert_array_equal, a, b)
    endless = DataWait().measured(data.repeat())
    assert int(endless.cardinality()) == tf.data.INFINITE_CARDINALITY
