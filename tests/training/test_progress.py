"""What a training says: a line per epoch, each number under its title."""

import re
from types import SimpleNamespace

import pytest

from keras_seg.training import progress
from keras_seg.training.progress import EpochLines

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
    "accuracy": "0.222",
    "val loss": "2.5000",
    "val mIoU": "0.333",
    "val accuracy": "0.444",
}


@pytest.fixture
def clock(monkeypatch):
    """A clock that only the test moves."""
    clock = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock.seconds)
    return clock


def lines_of(epochs, clock, capsys, best=None):
    """What is printed of epochs, of (seconds, logs) each: the titles, a line each."""
    callback = EpochLines(best)
    callback.set_params({"epochs": len(epochs)})
    callback.on_train_begin()
    for epoch, (seconds, logs) in enumerate(epochs):
        callback.on_epoch_begin(epoch)
        clock.seconds += seconds
        callback.on_epoch_end(epoch, logs)
        clock.seconds += 1
    return capsys.readouterr().out.splitlines()


def test_each_number_stands_under_its_title(clock, capsys):
    titles, line = lines_of([(5, LOGS)], clock, capsys)
    ends = {m[0].strip(): m.end() for m in re.finditer(r" +(val )?\w+", titles)}
    assert [*ends] == ["epoch", "time", *SHOWN]
    for title, text in SHOWN.items():
        assert line[: ends[title]].endswith(f" {text}")


def test_numbers_that_an_epoch_lacks_leave_the_others_in_their_place(clock, capsys):
    logs = {"loss": 1.25, "val_loss": 2.5}
    _, whole, part = lines_of([(5, LOGS), (5, logs)], clock, capsys)
    assert part.split() == ["2/2", "5", "s", "1.2500", "2.5000"]
    assert part.index("2.5000") == whole.index("2.5000")


def test_the_time_of_each_epoch_is_its_own(clock, capsys):
    _, *lines = lines_of([(5, {}), (125, {}), (12_000, {})], clock, capsys)
    times = [line.partition("/3")[2].strip() for line in lines]
    assert times == ["5 s", "2 min 05 s", "3 h 20 min"]


def test_the_epoch_of_the_kept_model_is_marked(clock, capsys):
    best = SimpleNamespace(epoch=2)
    _, *lines = lines_of([(5, LOGS)] * 3, clock, capsys, best)
    assert [line.endswith("  best") for line in lines] == [False, True, False]


def test_outside_of_a_terminal_progress_is_said_every_half_minute(clock, capsys):
    callback = EpochLines()
    callback.set_params({"epochs": 2, "steps": 7})
    callback.on_epoch_begin(0)
    for batch, seconds in enumerate((1, 28, 2, 1, 28, 2)):
        clock.seconds += seconds
        callback.on_train_batch_end(batch, {"loss": batch})
    clock.seconds += 31
    callback.validated(3, 9)
    said = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert said == [
        "1/2  training, 3/7 steps, loss 2.0000",
        "1/2  training, 6/7 steps, loss 5.0000",
        "1/2  validating, 3/9 images",
    ]
