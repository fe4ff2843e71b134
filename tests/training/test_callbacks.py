import keras
import numpy as np
import pytest

from keras_seg.data import shapes
from keras_seg.files import save_model
from keras_seg.inference import evaluate
from keras_seg.losses import WeightedCrossEntropy
from keras_seg.metrics import BoundaryIoU, MeanIoU
from keras_seg.training.callbacks import (
    BestModel,
    CSVHistory,
    StopOnInvalidLabels,
    Validate,
)


def tiny_model(kernel=0.0):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.layers[0].kernel.assign([[kernel]])
    return model


def kernel_in(path):
    return float(keras.saving.load_model(path).layers[0].kernel[0, 0])


def after_epochs(path, values, monitor="val_mean_iou", **arguments):
    """A callback that saw epochs of these values; the kernel is the epoch."""
    callback = BestModel(path, monitor=monitor, **arguments)
    for epoch, value in enumerate(values):
        callback.set_model(tiny_model(kernel=epoch))
        callback.on_epoch_end(epoch, {"loss": -epoch, monitor: value})
    return callback


@pytest.mark.parametrize(
    ("values", "best"),
    [
        ([0.1], 0),
        ([0.1, 0.3, 0.2], 1),
        ([0.3, 0.3, 0.2], 0),
        ([0.0, 0.1, 0.2], 2),
        ([-1.0, -2.0], 0),
    ],
)
def test_the_model_of_the_best_epoch_is_kept(tmp_path, values, best):
    callback = after_epochs(tmp_path / "best.keras", values)
    assert kernel_in(tmp_path / "best.keras") == best
    assert (callback.best, callback.epoch) == (values[best], best + 1)


@pytest.mark.parametrize(
    "monitor", ["loss", "val_loss", "val_mae", "mean_squared_error", "val_rmse"]
)
def test_of_losses_and_errors_the_smallest_is_kept(tmp_path, monitor):
    callback = after_epochs(tmp_path / "best.keras", [1.0, 0.5, 0.9], monitor)
    assert callback.best == 0.5
    assert kernel_in(tmp_path / "best.keras") == 1


@pytest.mark.parametrize(("mode", "best"), [("min", 1), ("max", 0)])
def test_the_mode_says_which_is_better(tmp_path, mode, best):
    after_epochs(tmp_path / "best.keras", [1.0, 0.5, 0.9], "val_mean_iou", mode=mode)
    assert kernel_in(tmp_path / "best.keras") == best


def test_a_compiled_metric_says_which_is_better(tmp_path):
    class Distance(keras.metrics.MeanSquaredError):
        """Whose name tells nothing; Keras's has the direction "down"."""

    model = tiny_model()
    model.compile("sgd", loss="mse", metrics=[Distance(name="score")])
    x = np.ones((4, 1))
    callback = BestModel(tmp_path / "best.keras", monitor="val_score")
    values = model.fit(
        x, x, validation_data=(x, x), epochs=3, callbacks=[callback], verbose=0
    ).history["val_score"]
    assert callback.best == min(values) < max(values)


def test_a_direction_that_nothing_tells_is_asked_for(tmp_path):
    with pytest.raises(ValueError, match=r"`mode` to be 'min' or 'max' for 'val_x'"):
        after_epochs(tmp_path / "best.keras", [1.0, 0.5], "val_x")
    with pytest.raises(ValueError, match=r"Expected `mode`.*'largest'"):
        BestModel(tmp_path / "best.keras", mode="largest")


@pytest.mark.parametrize(
    ("monitor", "first", "worse", "better"),
    [("val_mean_iou", 0.5, 0.4, 0.6), ("val_loss", 0.5, 0.6, 0.4)],
)
def test_a_later_run_replaces_a_model_by_a_better_one_only(
    tmp_path, monitor, first, worse, better
):
    path = tmp_path / "best.keras"
    after_epochs(path, [worse, first], monitor)
    again = after_epochs(path, [worse, worse, worse], monitor)
    assert (again.best, again.epoch, kernel_in(path)) == (first, 2, 1)
    again = after_epochs(path, [worse, worse, worse, better], monitor)
    assert (again.best, again.epoch, kernel_in(path)) == (better, 4, 3)


def test_a_model_may_be_replaced_by_a_worse_one_on_request(tmp_path):
    path = tmp_path / "best.keras"
    after_epochs(path, [0.1, 0.5])
    after_epochs(path, [0.3], overwrite=True)
    assert BestModel(path).best == 0.3


def test_scores_of_two_kinds_are_not_compared(tmp_path):
    after_epochs(tmp_path / "best.keras", [0.5])
    with pytest.raises(ValueError, match=r"best.keras.*kept for 'val_mean_iou'"):
        BestModel(tmp_path / "best.keras", monitor="val_loss")


@pytest.mark.parametrize("kind", ["missing", "no model", "no score", "folder"])
def test_a_file_without_a_score_is_replaced(tmp_path, kind):
    path = tmp_path / "best.keras"
    if kind == "no model":
        path.write_bytes(b"PK no zip")
    elif kind == "no score":
        tiny_model(kernel=7).save(path)
    elif kind == "folder":
        path.mkdir()
    assert BestModel(path).best is None
    if kind != "folder":
        after_epochs(path, [0.1])
        assert kernel_in(path) == 0


@pytest.mark.parametrize("values", [[float("nan"), 0.2, 0.1], [0.2, float("nan"), 0.1]])
def test_nan_is_better_than_nothing_at_most(tmp_path, values):
    callback = after_epochs(tmp_path / "best.keras", values)
    assert callback.best == 0.2
    assert kernel_in(tmp_path / "best.keras") == values.index(0.2)


def test_nothing_but_the_model_is_left(tmp_path):
    after_epochs(tmp_path / "best.keras", [0.1, 0.2])
    assert [path.name for path in tmp_path.iterdir()] == ["best.keras"]


def test_another_number_of_the_logs_can_be_monitored(tmp_path):
    path = str(tmp_path / "best.keras")
    assert after_epochs(path, [0.2, 0.1], monitor="pixel_accuracy").best == 0.2
    assert kernel_in(path) == 0


def test_it_runs_inside_fit(tmp_path):
    model = tiny_model()
    model.compile("sgd", loss="mse", metrics=["mae"])
    callback = BestModel(tmp_path / "best.keras", monitor="val_mae")
    x = np.ones((4, 1))
    values = model.fit(
        x, x, validation_data=(x, x), epochs=2, callbacks=[callback], verbose=0
    ).history["val_mae"]
    assert callback.best == min(values)
    loaded = keras.saving.load_model(tmp_path / "best.keras")
    np.testing.assert_allclose(loaded.evaluate(x, x, verbose=0)[1], min(values))


@pytest.mark.parametrize("fails", ["save", "rename"])
def test_the_old_file_survives_a_failed_save(tmp_path, monkeypatch, fails):
    path = tmp_path / "best.keras"
    save_model(tiny_model(kernel=7), path)
    model = tiny_model(kernel=8)

    def half_a_file(aside):
        aside.write_bytes(b"half")
        raise OSError("No space left on device")

    def refuse(source, target):
        raise OSError("No space left on device")

    if fails == "save":
        monkeypatch.setattr(model, "save", half_a_file)
    else:
        monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(OSError, match="No space"):
        save_model(model, path)
    assert kernel_in(path) == 7
    assert [path.name for path in tmp_path.iterdir()] == ["best.keras"]


class Epochs(keras.callbacks.Callback):
    """How many epochs ended."""

    ended = 0

    def on_epoch_end(self, epoch, logs=None):
        self.ended += 1


#: A loss that no label disturbs: others raise where nothing is compiled by XLA.
BLIND = {"loss": lambda y, z: keras.ops.mean(z), "run_eagerly": True}


def fit_where_nothing_raises(labels, validation, metrics, epochs, **compiled):
    """Fit two epochs with `BLIND`, or with what else is given to `compile`."""
    model = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Conv2D(3, 1)])
    metrics = [metric(num_classes=3) for metric in metrics]
    model.compile("sgd", metrics=metrics, **(compiled or BLIND))
    images = np.ones((2, 2, 2, 1), "float32")
    held_out = (images, validation)
    callbacks = [epochs, StopOnInvalidLabels()]
    options = {"epochs": 2, "verbose": 0, "callbacks": callbacks}
    model.fit(images, labels, validation_data=held_out, **options)


CLEAN = np.array([[[0, 1], [2, 255]]] * 2)
STRAY = np.array([[[0, 1], [2, 77]], [[0, 1], [-1, 255]]])


def test_labels_that_are_classes_or_ignored_stop_nothing():
    epochs = Epochs()
    fit_where_nothing_raises(CLEAN, CLEAN, [MeanIoU, BoundaryIoU], epochs)
    assert epochs.ended == 2


@pytest.mark.parametrize(
    ("where", "metric"),
    [("training", MeanIoU), ("training", BoundaryIoU), ("validation", MeanIoU)],
)
def test_a_label_that_is_no_class_stops_the_run_in_its_first_epoch(where, metric):
    pair = (STRAY, CLEAN) if where == "training" else (CLEAN, STRAY)
    epochs = Epochs()
    with pytest.raises(ValueError, match=f"2 pixels of {where}"):
        fit_where_nothing_raises(*pair, [metric], epochs)
    assert epochs.ended == 0


def test_a_label_that_xla_can_not_raise_at_stops_the_run():
    epochs = Epochs()
    compiled = {"loss": WeightedCrossEntropy(), "jit_compile": True}
    with pytest.raises(ValueError, match="2 pixels of training"):
        fit_where_nothing_raises(STRAY, CLEAN, [MeanIoU], epochs, **compiled)
    assert epochs.ended == 0


def test_an_evaluation_after_one_that_found_such_labels_begins_anew():
    model = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Conv2D(3, 1)])
    model.compile("sgd", metrics=[MeanIoU(3)], **BLIND)
    images = np.ones((2, 2, 2, 1), "float32")
    options = {"callbacks": [StopOnInvalidLabels()], "verbose": 0}
    with pytest.raises(ValueError, match="2 pixels"):
        model.evaluate(images, STRAY, **options)
    model.evaluate(images, CLEAN, **options)


def test_epochs_without_validation_are_passed_over(tmp_path):
    callback = BestModel(tmp_path / "best.keras")
    for epoch, logs in enumerate([{"loss": 1}, {"loss": 1, "val_mean_iou": 0.5}]):
        callback.set_model(tiny_model(kernel=epoch))
        callback.on_epoch_end(epoch, logs)
    callback.on_train_end()
    assert kernel_in(tmp_path / "best.keras") == 1


def test_a_model_that_was_never_kept_is_warned_of(tmp_path):
    callback = BestModel(tmp_path / "best.keras")
    callback.on_epoch_end(0, {"loss": 1})
    with pytest.warns(UserWarning, match="no epoch had 'val_mean_iou'"):
        callback.on_train_end()


def test_a_name_that_the_logs_lack_raises_and_says_what_they_have(tmp_path):
    callback = BestModel(tmp_path / "best.keras")
    with pytest.raises(ValueError, match=r"'val_mean_iou'.*Received: loss, val_loss"):
        callback.on_epoch_end(0, {"loss": 1, "val_loss": 1})


def test_another_suffix_raises(tmp_path):
    with pytest.raises(ValueError, match=r"ends in .keras.*best.h5"):
        BestModel(tmp_path / "best.h5")


def fit_shapes(callbacks, epochs=3):
    """Fit the least model, each pixel by itself; returns it and the history."""
    keras.utils.set_random_seed(0)
    image = keras.Input((None, None, 3))
    scaled = keras.layers.Rescaling(1 / 255)(image)
    model = keras.Model(image, keras.layers.Conv2D(6, 1)(scaled))
    metrics = [MeanIoU(6)]
    model.compile("adam", WeightedCrossEntropy(), metrics=metrics, run_eagerly=True)
    batches = shapes(4, size=(16, 24)).batches(2, repeat=True)
    history = model.fit(
        batches,
        steps_per_epoch=1,
        epochs=epochs,
        callbacks=callbacks,
        shuffle=False,
        verbose=0,
    )
    return model, history.history


def test_validation_gives_the_scores_of_evaluate_to_logs_and_callbacks(tmp_path):
    source = shapes(5, size=(17, 23), seed=1)
    best = BestModel(tmp_path / "best.keras", monitor="val_loss")
    validate = Validate(source)
    model, history = fit_shapes([validate, best])
    scores = evaluate(model, source)
    for name, value in scores.as_dict().items():
        assert history[f"val_{name}"][-1] == pytest.approx(value, abs=1e-6)
    assert best.best == min(history["val_loss"])
    assert validate.scores.images == 5


def test_validation_is_every_few_epochs_and_the_last(tmp_path):
    seen = []
    validate = Validate(shapes(1, size=(8, 8)), every=2, progress=seen.append)
    _, history = fit_shapes([validate, CSVHistory(tmp_path / "h.csv")], epochs=5)
    assert len(history["val_loss"]) == len(seen) == 3
    lines = (tmp_path / "h.csv").read_text().splitlines()
    names = lines[0].split(",")
    rows = [dict(zip(names, line.split(","), strict=True)) for line in lines[1:]]
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert [row["val_loss"] != "" for row in rows] == [False, True, False, True, True]
    assert [float(row["loss"]) for row in rows] == history["loss"]
    assert [float(r["val_loss"]) for r in rows if r["val_loss"]] == history["val_loss"]
    with pytest.raises(ValueError, match=r"`every`.*0"):
        Validate(shapes(1), every=0)


def test_a_history_begins_anew_with_each_fit(tmp_path):
    callback = CSVHistory(tmp_path / "history.csv")
    fit_shapes([callback], epochs=2)
    fit_shapes([callback], epochs=1)
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 2


def test_a_history_goes_on_after_the_epochs_that_are_kept(tmp_path):
    path = tmp_path / "history.csv"
    # The third epoch was stopped before its checkpoint was written.
    path.write_text("epoch,loss\n1,0.5\n2,0.25\n3,9.0\n")
    history = CSVHistory(path, keep_epochs=2)
    history.on_train_begin()
    history.on_epoch_end(2, {"loss": 0.125})
    assert path.read_text().split() == ["epoch,loss", "1,0.5", "2,0.25", "3,0.125"]


def test_tensorboard_takes_our_metrics(tmp_path):
    pytest.importorskip("tensorboard", reason="pip install 'keras-seg[tensorboard]'")
    fit_shapes([keras.callbacks.TensorBoard(tmp_path)], epochs=1)
    assert list(tmp_path.rglob("events*"))
