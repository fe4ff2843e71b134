"""`keras-seg train --resume`: a run that was killed ends as one that wasn't."""

import csv
import json
import shutil

import keras
import numpy as np
import pytest

from keras_seg.cli import main
from keras_seg.training import callbacks

EPOCHS = 3


class Killed(BaseException):
    """Ends a process like a signal that nothing can catch."""


def train(*options):
    return main(["train", *map(str, options)])


@pytest.fixture(scope="module")
def options(voc_tree):
    small = ["--widths", "4,8", "--size", "32", "--batch-size", "2", "--seed", "3"]
    steps = ["--epochs", EPOCHS, "--steps-per-epoch", "4", "--learning-rate", "0.01"]
    return ["--data", "voc", "--root", voc_tree, *small, *steps]


@pytest.fixture(scope="module")
def whole(options, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "run"
    assert train(*options, "--out", out) == 0
    return out


def weights(run):
    model = keras.saving.load_model(run / "model.keras")
    return [np.asarray(v) for v in model.variables]


def history(run):
    return list(csv.DictReader((run / "history.csv").read_text().splitlines()))


@pytest.fixture(scope="module")
def killed_once(options, tmp_path_factory):
    """A run that ended in its second epoch, after its model was kept."""
    original = callbacks.CSVHistory.on_epoch_end

    def end(self, epoch, logs=None):
        original(self, epoch, logs)
        if epoch == 1:
            raise Killed

    out = tmp_path_factory.mktemp("killed") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(callbacks.CSVHistory, "on_epoch_end", end)
        with pytest.raises(Killed):
            train(*options, "--out", out)
    assert len(history(out)) == 2  # of which the second isn't in a checkpoint
    return out


@pytest.fixture
def killed(killed_once, tmp_path):
    return shutil.copytree(killed_once, tmp_path / "run")


def test_a_killed_run_ends_as_a_whole_one(killed, whole, capsys):
    assert train("--resume", killed) == 0
    assert "Continuing after 1 of 3 epochs." in capsys.readouterr().out
    assert history(killed) == history(whole)
    for a, b in zip(weights(killed), weights(whole), strict=True):
        np.testing.assert_array_equal(a, b)
    run, other = (json.loads((x / "run.json").read_text()) for x in (killed, whole))
    assert run["state"] == "finished"
    for key in ("best", "epochs_done", "options", "seed", "widths", "scale"):
        assert run[key] == other[key]
    assert not (killed / "checkpoints").exists()


def test_options_of_the_run_may_be_repeated_and_not_changed(killed, capsys):
    assert train("--resume", killed, "--seed", "0") == 1
    error = capsys.readouterr().err
    assert "--seed 0, where the run has 3" in error
    assert train("--resume", killed, "--epochs", EPOCHS + 1) == 1
    assert (
        f"--epochs {EPOCHS + 1}, where the run has {EPOCHS}" in capsys.readouterr().err
    )
    assert train("--resume", killed, "--seed", "3") == 0


def test_what_can_not_be_continued_is_named(whole, tmp_path, capsys):
    assert train("--resume", whole) == 1
    assert f"{whole}, which is finished" in capsys.readouterr().err
    assert train("--resume", tmp_path / "none") == 1
    assert "Expected the folder of a run" in capsys.readouterr().err


def test_other_images_than_before_are_refused(killed, voc_tree, capsys):
    lists = voc_tree / "ImageSets/Segmentation/train.txt"
    before = lists.read_text()
    lists.write_text("\n".join(before.split()[1:]) + "\n")
    try:
        assert train("--resume", killed) == 1
    finally:
        lists.write_text(before)
    assert "training images is '5 (" in capsys.readouterr().err


@pytest.mark.filterwarnings("default")
def test_a_damaged_newest_checkpoint_falls_back(killed, whole, capsys):
    newest = killed / "checkpoints/epoch-000001.checkpoint"
    (killed / "checkpoints/epoch-000002.checkpoint").write_bytes(
        newest.read_bytes()[:-100]
    )
    assert train("--resume", killed) == 0
    assert "Note:" in capsys.readouterr().err
    assert history(killed) == history(whole)
