"""Auxiliary heads: a loss of `fit`, and nothing else."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_seg
from keras_seg.losses import Dice, WeightedCrossEntropy
from keras_seg.metrics import SegmentationScores
from keras_seg.models import encoder
from tests.models.backbones import tiny

WEIGHT = 0.4


def data():
    """Images, and masks with ignored pixels."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, (2, 33, 47))
    y[:, :9] = 255
    return rng.integers(0, 256, (2, 33, 47, 3), np.uint8), y


def build(builder="fcn", *, dropout=0.0, auxiliary=WEIGHT, **arguments):
    keras.utils.set_random_seed(0)
    model = getattr(keras_seg, builder)(
        3,
        encoder=tiny(),
        head_width=4,
        dropout=dropout,
        auxiliary=auxiliary,
        **arguments,
    )
    if auxiliary:
        model.trained.get_layer("auxiliary_dropout").rate = 0.0
    return model


def loss_of_fit(model, loss, x, y, *, eagerly=True, **arguments):
    """The loss that `fit` shows of a step that changes nothing."""
    model.compile(keras.optimizers.SGD(0.0), loss, run_eagerly=eagerly)
    (found,) = model.fit(x, y, verbose=0, **arguments).history["loss"]
    return found


def both(model, x):
    """Logits of a training step, and of its auxiliary head."""
    found = model.trained(x, training=True)
    assert list(found) == ["logits", "auxiliary"]
    return [np.asarray(logits) for logits in found.values()]


@pytest.mark.parametrize(
    "builder", ["fcn", pytest.param("deeplab_v3", marks=pytest.mark.slow)]
)
def test_the_loss_of_fit_is_that_of_the_logits_plus_the_weighted_auxiliary_one(builder):
    model = build(builder)
    x, y = data()
    main, auxiliary = both(model, x)
    assert np.abs(main - auxiliary).max() > 0.01
    expected = float(WeightedCrossEntropy()(y, main))
    expected += WEIGHT * float(WeightedCrossEntropy()(y, auxiliary))
    for eagerly in (True, False) if builder == "deeplab_v3" else (True,):
        found = loss_of_fit(model, WeightedCrossEntropy(), x, y, eagerly=eagerly)
        np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_weights_of_pixels_and_sums_of_losses_hold_for_both():
    model = build()
    x, y = data()
    weights = np.random.default_rng(1).uniform(size=y.shape)
    loss = WeightedCrossEntropy() + 0.5 * Dice()
    main, auxiliary = both(model, x)
    expected = float(loss(y, main, weights)) + WEIGHT * float(
        loss(y, auxiliary, weights)
    )
    found = loss_of_fit(model, loss, x, y, sample_weight=weights)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_losses_of_keras_by_name_hold_for_both():
    model = build(activation="softmax")
    x, y = data()
    y[y == 255] = 0  # which Keras's losses don't know
    loss = keras.losses.SparseCategoricalCrossentropy()
    main, auxiliary = both(model, x)
    expected = float(loss(y, main)) + WEIGHT * float(loss(y, auxiliary))
    found = loss_of_fit(model, "sparse_categorical_crossentropy", x, y)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_losses_of_the_model_itself_count_once():
    model = build()
    model.get_layer("score").kernel.regularizer = keras.regularizers.L2(1.0)
    x, y = data()
    main, auxiliary = both(model, x)
    expected = float(np.sum(np.square(model.get_layer("score").get_weights()[0])))
    assert expected > 0.1
    expected += float(WeightedCrossEntropy()(y, main))
    expected += WEIGHT * float(WeightedCrossEntropy()(y, auxiliary))
    found = loss_of_fit(model, WeightedCrossEntropy(), x, y)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_scores_and_validation_are_of_the_logits_alone():
    model = build()
    x, y = data()
    model.compile(
        keras.optimizers.SGD(0.0),
        WeightedCrossEntropy(),
        metrics=[SegmentationScores(3)],
        run_eagerly=True,
    )
    main, _ = both(model, x)
    scores = SegmentationScores(3)
    scores.update_state(y, main)
    expected = scores.result()
    history = model.fit(x, y, verbose=0, validation_data=(x, y)).history
    np.testing.assert_allclose(history["mean_iou"], expected["mean_iou"], rtol=1e-5)
    alone = float(WeightedCrossEntropy()(y, model(x)))
    np.testing.assert_allclose(history["val_loss"], alone, rtol=1e-4)


def test_fit_trains_the_head_and_through_it_the_encoder():
    # Nothing but the auxiliary loss can move what it depends on: the logits have none.
    model = build(auxiliary=1.0)
    x, y = data()
    model.get_layer("score").kernel.assign(0 * model.get_layer("score").kernel)
    before = {v.path: v.numpy() for v in model.trainable_variables}
    sgd = keras.optimizers.SGD(0.1)
    model.compile(sgd, WeightedCrossEntropy(), run_eagerly=True)
    model.fit(x, y, verbose=0)
    moved = {v.path for v in model.trainable_variables if np.any(v != before[v.path])}
    assert {"auxiliary_conv/kernel", "auxiliary_score/bias"} <= moved
    assert "encoder/conv4/kernel" in moved
    assert not {"encoder/conv5/kernel", "head_conv/kernel"} & moved


@pytest.mark.parametrize("builder", ["fcn", "deeplab_v3"])
def test_outputs_and_predictions_are_the_logits_alone(builder):
    with_head, without = build(builder), build(builder, auxiliary=0.0)
    assert type(without).__name__ == "Functional"
    names = [layer.name for layer in without.layers]
    assert [layer.name for layer in with_head.layers] == names
    assert not [name for name in names if "auxiliary" in name]
    for layer in without.layers:
        layer.set_weights(with_head.get_layer(layer.name).get_weights())
    x, _ = data()
    np.testing.assert_allclose(with_head(x), without(x), rtol=1e-5, atol=1e-5)
    found, expected = (model(x, training=True) for model in (with_head, without))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert with_head.predict(x, verbose=0).shape == (2, 33, 47, 3)
    assert with_head.output_shape == without.output_shape
    own = {v.path for v in without.trainable_variables}
    heads = {v.path for v in with_head.trainable_variables} - own
    assert len(heads) == 5
    assert all(path.startswith("auxiliary_") for path in heads)


def test_a_step_that_fails_leaves_the_model_as_it_was():
    model = build()
    x, y = data()
    model.compile("sgd", WeightedCrossEntropy(), run_eagerly=True)
    with pytest.raises(ValueError, match="Expected"):
        model.train_on_batch(x, y[:, :5])
    assert model(x, training=True).shape == (2, 33, 47, 3)


def test_a_loop_of_ones_own_has_the_loss_of_both():
    model = build()
    x, y = data()
    model.compile(loss=WeightedCrossEntropy())
    main, auxiliary = both(model, x)
    expected = float(WeightedCrossEntropy()(y, main))
    expected += WEIGHT * float(WeightedCrossEntropy()(y, auxiliary))
    found = model.compute_loss(x, y, {"logits": main, "auxiliary": auxiliary})
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_saved_file_is_the_model_without_the_head(tmp_path):
    model = build()
    x, y = data()
    model.compile("adam", WeightedCrossEntropy(), run_eagerly=True)
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded).__name__ == "Functional"
    assert not loaded.compiled  # its optimizer would be one of other variables
    np.testing.assert_allclose(loaded(x), model(x), rtol=1e-5, atol=1e-5)
    assert not [v.path for v in loaded.variables if "auxiliary" in v.path]


def test_weights_of_a_saved_file_leave_the_head_as_it_starts(tmp_path):
    model = build()
    model.save(tmp_path / "model.keras")
    keras.utils.set_random_seed(1)
    with pytest.warns(UserWarning, match="left as they start: auxiliary_conv, auxil"):
        loaded = keras_seg.fcn(
            3, encoder=tiny(), head_width=4, auxiliary=1.0, weights=tmp_path
        )
    x, _ = data()
    np.testing.assert_allclose(loaded(x), model(x), rtol=1e-5, atol=1e-5)


def test_weights_alone_keep_those_of_the_head(tmp_path):
    model, other = build(), build()
    for variable in model.variables:
        if "float" in variable.dtype:
            variable.assign(variable + 0.5)
    model.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    built = build(weights=tmp_path / "model.weights.h5")
    for found in (other, built):
        for a, b in zip(found.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.slow
@pytest.mark.usefixtures("tensorflow_only")
def test_an_export_is_the_model_without_the_head(tmp_path):
    model = build()
    keras_seg.export(model, tmp_path / "export")
    reader = tf.train.load_checkpoint(str(tmp_path / "export" / "variables/variables"))
    shapes = [*reader.get_variable_to_shape_map().values()]
    assert [1, 1, 4, 3] in shapes  # the scores
    assert [3, 3, 10, 2] not in shapes  # the head, on ten channels of P4
    assert model.trained.get_layer("auxiliary_conv").kernel.shape == (3, 3, 10, 2)


def test_a_frozen_model_has_a_frozen_head():
    model = build()
    model.trainable = False
    assert model.trainable_variables == []


def test_a_head_needs_level_p4():
    only_p5 = encoder(tiny())
    inside = next(layer for layer in only_p5.layers if isinstance(layer, keras.Model))
    cut = keras.Model(inside.inputs, {"P5": inside.outputs[-1]}, name="cut")
    image = only_p5.input
    made = type(only_p5)(image, cut(image), name="encoder")
    keras_seg.fcn(3, encoder=made, output_stride=32)
    with pytest.raises(ValueError, match=r"levels P4, P5 for an FCN\. Missing: P4"):
        keras_seg.fcn(3, encoder=made, output_stride=32, auxiliary=0.5)


REPLICAS = """
import keras, numpy as np, tensorflow as tf
import keras_seg
from keras_seg.losses import WeightedCrossEntropy
from tests.models.test_auxiliary import build, data

(cpu,) = tf.config.list_physical_devices("CPU")
half = tf.config.LogicalDeviceConfiguration()
tf.config.set_logical_device_configuration(cpu, [half, half])

def losses(strategy):
    with strategy.scope():
        model = build()
        for layer in model.trained._flatten_layers():
            if "norm" in layer.name:  # whose statistics are those of each replica
                layer.trainable = False
        model.compile(keras.optimizers.SGD(0.1), WeightedCrossEntropy())
    x, y = (np.concatenate([a, a[::-1]]) for a in data())
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(4)
    return model.fit(batches, epochs=3, verbose=0).history["loss"]

one = losses(tf.distribute.get_strategy())
several = losses(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))
np.testing.assert_allclose(several, one, rtol=1e-3)
assert one[-1] != one[0]
"""


@pytest.mark.slow
def test_several_replicas_train_as_one_does():
    done = subprocess.run(
        [sys.executable, "-c", REPLICAS],
        env=os.environ | {"KERAS_BACKEND": "tensorflow"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_all_of_this_holds_on_jax():
    pytest.importorskip("jax")
    command = [sys.executable, "-m", "pytest", __file__, "-n", "0", "-q"]
    done = subprocess.run(
        command,
        env=os.environ | {"KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
