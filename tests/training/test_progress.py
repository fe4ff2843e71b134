"""What a training shows: a row per epoch, and how long the rest will take."""

import json
import math
import re
import warnings
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_seg.training import JSONLines, ProgressTable, progress
from keras_seg.training.timing import DataWait

LOGS = {
    "loss": 1.25,
    "mean_iou": 0.111,
    "pixel_accuracy": 0.222,
    "val_loss": 2.5,
    "val_mean_iou": 0.333,
    "val_pixel_accuracy": 0.444,
}
SHOWN = {
    "loss": "1.2500",
    "mIoU": "0.111",
    "val loss": "2.5000",
    "val mIoU": "0.333",
    "val pixel acc": "0.444",
}


@pytest.fixture
def clock(monkeypatch):
    """A clock that only the test moves."""
    clock = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock.seconds)
    return clock


def measured(callback, waited):
    """Let a callback believe that steps of 20 images wait for so many seconds."""
    callback._times.wait = SimpleNamespace(seconds=7.0, images=70, waited=waited)
    return callback


def shown_of(callback, epochs, clock, capsys, steps=3, first=2.0):
    """Lines that are printed of epochs, of (seconds after the steps, logs) each.

    A step takes two seconds, and what follows the callback in an epoch three.
    """
    callback.set_params({"epochs": len(epochs), "steps": steps})
    callback.on_train_begin()
    for epoch, (seconds, logs) in enumerate(epochs):
        callback.on_epoch_begin(epoch)
        for batch in range(steps):
            clock.seconds += first if epoch == batch == 0 else 2
            wait = callback._times.wait
            if not isinstance(wait, DataWait):
                wait.seconds, wait.images = wait.seconds + wait.waited, wait.images + 20
            callback.on_train_batch_end(batch, {"loss": 1.0})
        clock.seconds += seconds
        callback.on_epoch_end(epoch, logs)
        clock.seconds += 3
    callback.on_train_end()
    lines = capsys.readouterr().out.splitlines()
    return [line for line in lines if "training, " not in line]


def ends_of(titles):
    found = re.finditer(r"  +((val )?[\w/]+( acc)?)", titles)
    return {match[1]: match.end() for match in found}


def column(title, titles, row):
    """What a row has under a title."""
    ends = ends_of(titles)
    before = max((end for end in ends.values() if end < ends[title]), default=0)
    return row[before : ends[title]].strip(" *")


def test_each_number_stands_under_its_title(clock, capsys):
    titles, row = shown_of(ProgressTable(), [(5, LOGS)], clock, capsys)
    assert [*ends_of(titles)] == [
        "epoch",
        *SHOWN,
        "time",
        "left",
        "images/s",
        "waiting",
    ]
    for title, text in SHOWN.items():
        assert row[: ends_of(titles)[title]].endswith(f" {text}")
        assert column(title, titles, row) == text


def test_numbers_that_an_epoch_lacks_leave_the_others_in_their_place(clock, capsys):
    logs = {"loss": 1.25, "val_loss": 2.5}
    epochs = [(5, LOGS), (5, logs)]
    _, whole, part = shown_of(ProgressTable(), epochs, clock, capsys)
    assert part.split() == ["2/2", "1.2500", "2.5000", "11", "s", "0", "s"]
    assert part.index("2.5000") == whole.index("2.5000")


def test_the_time_of_each_epoch_is_its_own(clock, capsys):
    epochs = [(5, {}), (119, {}), (12_000, {})]
    titles, *rows = shown_of(ProgressTable(), epochs, clock, capsys)
    times = [column("time", titles, row) for row in rows]
    assert times == ["11 s", "2 min 05 s", "3 h 20 min"]


def test_the_best_epoch_so_far_has_a_star(clock, capsys):
    best = SimpleNamespace(epoch=2)
    titles, *rows, legend = shown_of(
        ProgressTable(best), [(5, LOGS)] * 3, clock, capsys
    )
    after = ends_of(titles)["val mIoU"]
    assert [row[after] for row in rows] == [" ", "*", " "]
    assert legend.split() == ["*", "the", "best", "so", "far"]


# Steps take 2 s, what follows an epoch 3 s, validation 20 s in every second epoch and
# the last one, other epochs 1 s after their steps. The first step takes 60 s.
LONG = [(1, {"loss": 1}), (20, LOGS), (1, {"loss": 1}), (20, LOGS), (20, LOGS)]


def test_the_time_left_is_that_of_all_steps_and_validations(clock, capsys):
    table = ProgressTable(validate_every=2)
    titles, *rows = shown_of(table, LONG, clock, capsys, steps=10, first=60.0)
    left = [column("left", titles, row) for row in rows]
    # After the first epoch nobody knows how long validation takes.
    assert left == ["", "1 min 50 s", "1 min 26 s", "43 s", "0 s"]


def test_the_time_left_counts_down_within_epochs_and_validations(clock, capsys):
    table = ProgressTable(validate_every=2)
    shown_of(table, LONG, clock, capsys, steps=10, first=60.0)
    table.set_params({"epochs": 8, "steps": 10})
    table.on_train_begin()
    table.on_epoch_begin(5)
    for batch in range(5):
        clock.seconds += 2
        table.on_train_batch_end(batch, {"loss": 1.0})
    clock.seconds += 31
    table.on_train_batch_end(5, {"loss": 1.0})
    # Of this epoch the mean step: all but the first one took 2 + 2 + 2 + 2 + 31.
    step = 39 / 5
    left = 4 * step + 20 + (10 * step + 3 + 1) + (10 * step + 3 + 20)
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.endswith(f"6/10 steps, loss 1.0000, {progress.duration(left)} left")

    clock.seconds += 40
    table.validated(4, 10)
    left = 60 + (10 * step + 3 + 1) + (10 * step + 3 + 100)
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.endswith(f"validating, 4/10 images, {progress.duration(left)} left")


def test_images_per_second_and_the_share_of_waiting_are_those_of_the_steps(
    clock, capsys
):
    table = measured(ProgressTable(), waited=0.1)
    epochs = [(50, LOGS), (50, LOGS)]  # validation doesn't count
    titles, *rows, last = shown_of(table, epochs, clock, capsys, first=90.0)
    for row in rows:
        assert column("images/s", titles, row) == "10"
        assert column("waiting", titles, row) == "5%"
    assert "10 images a second" in last
    assert "5% of the time" in last


def test_much_waiting_is_a_warning_with_remedies_once(clock, capsys):
    table = measured(ProgressTable(), waited=1.0)
    with pytest.warns(UserWarning, match="50% of the time .*`prepare`") as noted:
        shown_of(table, [(5, LOGS)] * 3, clock, capsys, steps=10)
    assert len(noted) == 1
    table._times.wait.waited = 0.3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shown_of(table, [(5, LOGS)], clock, capsys, steps=10)


def test_a_narrow_terminal_has_fewer_columns(clock, capsys, monkeypatch):
    monkeypatch.setattr(progress, "is_terminal", lambda: True)
    best = SimpleNamespace(epoch=1)
    widths = ((102, "waiting"), (101, "images/s"), (83, "left"), (71, "time"))
    for width, last in widths:
        monkeypatch.setenv("COLUMNS", str(width))
        table = measured(ProgressTable(best), waited=0.1)
        shown = shown_of(table, [(5, LOGS)], clock, capsys)
        lines = [line.rpartition("\r")[2] for line in shown]
        titles, row = (line for line in lines if "1.2500" in line or "epoch" in line)
        assert [*ends_of(titles)][-1] == last
        assert len(row) == len(titles) < width
        assert not re.search("\x1b", "".join(shown))


def test_outside_of_a_terminal_progress_is_said_every_half_minute(clock, capsys):
    callback = ProgressTable()
    callback.set_params({"epochs": 2, "steps": 7})
    callback.on_train_begin()
    callback.on_epoch_begin(0)
    for batch, seconds in enumerate((1, 28, 2, 1, 28, 2)):
        clock.seconds += seconds
        callback.on_train_batch_end(batch, {"loss": batch})
    clock.seconds += 31
    callback.validated(3)
    _, *said = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert said == [
        "1/2  training, 3/7 steps, loss 2.0000",
        "1/2  training, 6/7 steps, loss 5.0000",
        "1/2  validating, 3 images",
    ]


def test_json_lines_have_all_numbers_of_an_epoch(clock, capsys):
    callback = measured(JSONLines(SimpleNamespace(epoch=2)), waited=0.1)
    epochs = [(5, {"loss": math.nan}), (5, LOGS)]
    first, second = (
        json.loads(line, parse_constant=lambda name: pytest.fail(name))
        for line in shown_of(callback, epochs, clock, capsys)
    )
    assert first["loss"] is None
    assert first["best"] is False
    assert first["seconds_left"] is None  # an epoch without validation
    assert second == {
        "epoch": 2,
        "epochs": 2,
        **LOGS,
        "best": True,
        "seconds": 11,
        "seconds_left": 0,
        "images_per_second": pytest.approx(10),
        "waiting": pytest.approx(0.05),
    }


@pytest.fixture
def tiny():
    image = keras.Input((4, 4, 3))
    model = keras.Model(image, keras.layers.Conv2D(2, 1)(image))
    model.compile("sgd", "mse", jit_compile=False)
    return model


def batches_of_two(count):
    images = np.zeros((2 * count, 4, 4, 3), "float32")
    return tf.data.Dataset.from_tensor_slices((images, images[..., :2])).batch(2)


def test_plain_fit_shows_a_row_per_epoch_of_a_data_set_that_ends(tiny, capsys):
    table = ProgressTable()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a busy machine may wait
        tiny.fit(
            table.measured(batches_of_two(5)),
            validation_data=batches_of_two(1),
            epochs=2,
            callbacks=[table],
            verbose=0,
        )
    titles, *rows, last = capsys.readouterr().out.splitlines()
    assert [column("epoch", titles, row) for row in rows] == ["1/2", "2/2"]
    for row in rows:
        assert float(column("val loss", titles, row)) >= 0
        assert int(column("images/s", titles, row)) > 0
    assert "images a second" in last
    # The first step, that of tracing, isn't counted.
    assert table._times._total[2] == 2 * (5 - 1) + 2 * 5
