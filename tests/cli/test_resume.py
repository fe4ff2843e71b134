"""`keras-seg train --resume`: a run that was killed ends as one that wasn't."""

import csv
import json
import shutil

import keras
import numpy as np
import pytest

from keras_seg.cli import main
from keras_seg.files import locked
from keras_seg.training import callbacks

EPOCHS = 3
pytestmark = pytest.mark.usefixtures("only_trained")


def train(*options):
    return main(["train", *map(str, options)])


@pytest.fixture(scope="module")
def options(voc_tree):
    small = ["--widths", "4,8", "--size", "32", "--batch-size", "2", "--seed", "3"]
    steps = ["--epochs", EPOCHS, "--steps-per-epoch", "4", "--learning-rate", "0.01"]
    more = ["--ema", "0.9", "--accumulate", "2", "--augment", "rotation=20"]
    more += ["--early-stop", "5", "--loss", "dice+cross_entropy"]
    return ["--data", "voc", "--root", voc_tree, *small, *steps, *more]


@pytest.fixture(scope="module")
def whole(options, tmp_path_factory):
    """A run, and beside it what was there in its second epoch, when its model was kept.

    That is what a run leaves that is killed then.
    """
    out = tmp_path_factory.mktemp("whole") / "run"
    original = callbacks.CSVHistory.on_epoch_end

    def end(self, epoch, logs=None):
        original(self, epoch, logs)
        if epoch == 1:
            no_lock = shutil.ignore_patterns("*.lock")
            shutil.copytree(out, out.with_name("killed"), ignore=no_lock)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(callbacks.CSVHistory, "on_epoch_end", end)
        assert train(*options, "--out", out) == 0
    return out


def weights(run):
    model = keras.saving.load_model(run / "model.keras")
    return [np.asarray(v) for v in model.variables]


def history(run):
    return list(csv.DictReader((run / "history.csv").read_text().splitlines()))


@pytest.fixture
def killed(whole, tmp_path):
    run = shutil.copytree(whole.with_name("killed"), tmp_path / "run")
    assert len(history(run)) == 2  # of which the second isn't in a checkpoint
    assert [x.name for x in (run / "checkpoints").iterdir()] == [
        "epoch-000001.checkpoint"
    ]
    return run


@pytest.mark.slow
def test_a_killed_run_ends_as_a_whole_one(killed, whole, capsys):
    assert train("--resume", killed, "--seed", 3) == 0  # said again
    assert "Continuing after 1 of 3 epochs." in capsys.readouterr().out
    assert history(killed) == history(whole)
    for a, b in zip(weights(killed), weights(whole), strict=True):
        np.testing.assert_array_equal(a, b)
    run, other = (json.loads((x / "run.json").read_text()) for x in (killed, whole))
    assert run["state"] == "finished"
    for key in ("best", "epochs_done", "given", "seed", "widths", "scale"):
        assert run[key] == other[key]
    (last,) = (killed / "checkpoints").iterdir()
    assert last.name == "epoch-000003.checkpoint"


@pytest.mark.slow
def test_initial_weights_are_not_read_again(killed, whole):
    description = json.loads((killed / "run.json").read_text())
    description["given"]["weights"] = description["weights"] = "gone.keras"
    (killed / "run.json").write_text(json.dumps(description))
    assert train("--resume", killed) == 0
    for a, b in zip(weights(killed), weights(whole), strict=True):
        np.testing.assert_array_equal(a, b)
    assert json.loads((killed / "run.json").read_text())["weights"] == "gone.keras"


@pytest.mark.slow
def test_a_run_is_extended_on_purpose_only(whole, tmp_path, capsys):
    run = shutil.copytree(whole, tmp_path / "run")
    assert train("--resume", run) == 1
    assert "which is finished: 3 epochs" in capsys.readouterr().err
    assert train("--resume", run, "--epochs", 4) == 1
    assert "--epochs 4, where the run has 3. --extend" in capsys.readouterr().err
    assert train("--resume", run, "--epochs", 2, "--extend") == 1
    assert "Expected --epochs above 3" in capsys.readouterr().err
    assert train("--resume", run, "--epochs", 4, "--extend") == 0
    said = capsys.readouterr().out
    assert "Continuing after 3 of 4 epochs." in said
    assert "The schedule is stretched from 3 to 4 epochs" in said
    rows = history(run)
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert rows[:3] == history(whole)
    rates = [float(row["learning_rate"]) for row in rows]
    assert [rates[2], rates[3]] == [0, 0]  # each the end of a schedule
    assert json.loads((run / "run.json").read_text())["given"]["epochs"] == 4


def refused(capsys, *options):
    assert train(*options) == 1
    return capsys.readouterr().err


@pytest.mark.slow
def test_options_of_the_run_can_not_be_changed(killed, tmp_path, capsys):
    changes = {
        "seed": 0,
        "batch_size": 3,
        "widths": "4,9",
        "precision": "mixed_float16",
    }
    for name, value in changes.items():
        flag = f"--{name.replace('_', '-')}"
        error = refused(capsys, "--resume", killed, flag, value)
        assert f"Received: {flag}" in error
        assert "where the run has" in error
    error = refused(capsys, "--resume", killed, "--out", tmp_path / "other")
    assert "--resume without --out" in error
    assert "--resume RUN with --extend" in refused(capsys, "--extend")


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # as users have it: a note, not an error
def test_what_can_not_be_continued_is_named(killed, tmp_path, capsys):
    error = refused(capsys, "--resume", tmp_path / "none")
    assert "Expected the folder of a run" in error
    with locked(killed / ".train.lock"):
        assert "which belongs to process" in refused(capsys, "--resume", killed)
    record = json.loads((killed / "run.json").read_text())
    record |= {"versions": {"keras_seg": "0.0.1"}, "epochs_done": 2}
    (killed / "run.json").write_text(json.dumps(record))
    shutil.rmtree(killed / "checkpoints")
    error = refused(capsys, "--resume", killed)
    assert "Note: This run began with keras_seg 0.0.1" in error
    assert "Received: none, though 2 epochs are done" in error
    del record["given"]
    (killed / "run.json").write_text(json.dumps(record))
    assert "run that says its options" in refused(capsys, "--resume", killed)


@pytest.mark.slow
def test_other_images_than_before_are_refused(killed, voc_tree, capsys):
    lists = voc_tree / "ImageSets/Segmentation/train.txt"
    before = lists.read_text()
    lists.write_text("\n".join(before.split()[1:]) + "\n")
    try:
        error = refused(capsys, "--resume", killed)
    finally:
        lists.write_text(before)
    assert "training images is '5 (" in error


@pytest.mark.slow
def test_like_takes_options_that_were_given(whole, given_to_fit, capsys):
    seen = given_to_fit("--like", str(whole), "--size", "48")
    image, _ = next(iter(seen.batches))
    assert image.shape == (2, 48, 48, 3)
    assert seen.arguments["epochs"] == EPOCHS
    given = json.loads((seen.out / "run.json").read_text())["given"]
    assert (given["seed"], given["size"], given["upsampling"]) == (3, 48, None)
