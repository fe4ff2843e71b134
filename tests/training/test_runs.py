"""The folder of a run: who may write to it, and what is never replaced."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from keras_seg.cli.data_options import DataOptions
from keras_seg.cli.options import parser
from keras_seg.files import locked
from keras_seg.training.run_files import METRICS, file_of_split
from keras_seg.training.runs import (
    RunRecord,
    check_folder,
    claimed_folder,
    free_folder,
)

RUN = {"class_names": ["a", "b"], "palette": [[0, 0, 0], [9, 9, 9]]}
NAMES = ("metrics.json", "curves.png", "samples.png", "history.csv", "model.keras")


@pytest.fixture
def run(tmp_path):
    """A run that was cut off before it kept a model, and a file of the user."""
    out = tmp_path / "run"
    out.mkdir()
    (out / "run.json").write_text(json.dumps(RUN))
    (out / "history.csv").write_text("epoch\n")
    (out / "notes.txt").write_text("mine")
    return out


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", [*NAMES, "run.json"])
def test_a_file_that_is_no_runs_is_never_replaced(tmp_path, name, overwrite):
    (tmp_path / name).write_text("mine")
    with (
        pytest.raises(FileExistsError, match=rf"{name}, which training would replace"),
        claimed_folder(tmp_path, overwrite=overwrite),
    ):
        pass
    assert content(tmp_path) == {name: b"mine"}


@pytest.mark.parametrize("name", ["saved_model", "curves.png", "run.json"])
def test_a_folder_in_place_of_a_file_is_never_removed(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "mine.txt").write_text("mine")
    if name == "curves.png":
        (tmp_path / "run.json").write_text(json.dumps(RUN))
    with pytest.raises(FileExistsError, match=name):
        check_folder(tmp_path, overwrite=True)
    assert (tmp_path / name / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["model.keras", "saved_model"])
def test_a_runs_model_is_replaced_on_request_only(run, name):
    if name == "saved_model":
        (run / name).mkdir()
    else:
        (run / name).write_text("a model")
    with (
        pytest.raises(FileExistsError, match=rf"no model.*{name}.*--overwrite"),
        claimed_folder(run),
    ):
        pass
    with claimed_folder(run, overwrite=True):
        assert sorted(os.listdir(run)) == [".train.lock", "notes.txt"]


def test_a_run_without_a_model_may_be_begun_again(run):
    (run / ".model.writing.keras").write_text("half a file")
    (run / ".saved_model.writing.x").mkdir()
    with claimed_folder(run):
        assert sorted(os.listdir(run)) == [".train.lock", "notes.txt"]
    assert os.listdir(run) == ["notes.txt"]


def test_a_file_in_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "run").write_text("mine")
    for path in (tmp_path / "run", tmp_path / "run" / "below"):
        with pytest.raises(NotADirectoryError, match=r"run is a file\. Choose another"):
            check_folder(path)


def test_a_folder_has_one_training_at_a_time(tmp_path):
    with claimed_folder(tmp_path / "run") as out:
        (out / "history.csv").write_text("the first one's")
        for attempt in (check_folder, lambda out: claimed_folder(out).__enter__()):
            with pytest.raises(BlockingIOError, match=rf"process {os.getpid()} on "):
                attempt(out)
        assert (out / "history.csv").read_text() == "the first one's"
    (out / "history.csv").unlink()
    with claimed_folder(out):
        pass
    assert os.listdir(out) == []


HOLD = """
import fcntl, sys, time
file = open(sys.argv[1], "a+")
fcntl.flock(file, fcntl.LOCK_EX)
file.write("process 1 on another")
file.flush()
print("held", flush=True)
time.sleep(60)
"""


def test_the_lock_of_a_killed_process_is_no_obstacle(tmp_path):
    path = tmp_path / "lock"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE
    )
    try:
        process.stdout.readline()
        with pytest.raises(BlockingIOError, match="process 1 on another"):
            locked(path).__enter__()
    finally:
        process.kill()
        process.wait()
    assert path.exists()
    with locked(path):
        # Process 1 always lives, in each container another: its number says nothing.
        assert path.read_text().startswith(f"process {os.getpid()} on ")
    assert not path.exists()


def test_new_folders_get_the_next_number(tmp_path):
    assert free_folder(tmp_path, "a-b") == tmp_path / "a-b"
    (tmp_path / "a-b").mkdir()
    assert free_folder(tmp_path, "a-b") == tmp_path / "a-b-2"
    (tmp_path / "a-b").rmdir()
    (tmp_path / "a-b").mkdir()
    (tmp_path / "a-b-2").write_text("")
    assert free_folder(tmp_path, "a-b") == tmp_path / "a-b-3"


@pytest.mark.parametrize(
    ("split", "name"),
    [
        (None, "metrics.json"),
        ("train", "metrics_train.json"),
        ("/lists/my split.txt", "metrics_my_split.json"),
        ("..", "metrics_...json"),
    ],
)
def test_scores_of_each_split_have_a_file(tmp_path, split, name):
    path = file_of_split(tmp_path, METRICS, split)
    assert (path.name, path.parent) == (name, tmp_path)


def test_a_run_that_goes_on_adds_to_what_run_json_says(tmp_path):
    earlier = {"started": "then", "seconds": 1000.0, "epochs_done": 3}
    earlier |= {"best": {"epoch": 2, "val_mean_iou": 0.5}}
    now = {"started": "now", "state": "training", "epochs": 4}
    best = SimpleNamespace(epoch=2)
    record = RunRecord(tmp_path, now, best, None, None, earlier)
    record.on_epoch_end(3, {"val_mean_iou": 0.4})  # the fourth, no better
    record.end("finished")
    said = json.loads((tmp_path / "run.json").read_text())
    assert said["best"] == earlier["best"]
    assert (said["started"], said["epochs_done"]) == ("then", 4)
    assert 1000 <= said["seconds"] < 1100
    assert said["state"] == "finished"


def test_run_json_knows_every_option_of_a_data_set():
    inspect = parser().parse_args(["inspect"])
    others = {"json", "sheet", "command", "verbose"}
    assert {*vars(inspect)} - others == {*DataOptions.__struct_fields__}
