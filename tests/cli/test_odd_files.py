"""Files of a run that aren't files, or say something else: one sentence, no waiting."""

import json
import os
import shutil
import signal

import pytest

from keras_seg.cli import main
from keras_seg.cli.earlier import OF_THE_START, TrainOptions
from keras_seg.cli.options import parser
from keras_seg.training import Checkpoint
from keras_seg.training.runs import claimed_folder

FILES = "run.json model.keras history.csv metrics.json metrics_train.json samples.png"
FOLDERS = "checkpoints saved_model tensorboard"


def make(path, kind):
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to("nowhere/at/all")
    else:
        path.write_text("a file")


@pytest.fixture
def own_run(run, tmp_path):
    shutil.copytree(run, tmp_path / "run", symlinks=True)
    return tmp_path / "run"


@pytest.fixture
def at_once():
    """Fail where something waits, for a pipe."""

    def late(*_):
        raise TimeoutError("It waits.")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        *((name, "folder", "is a folder") for name in FILES.split()),
        *((name, "pipe", "is no file") for name in FILES.split()),
        *((name, "link", "is a link to nowhere") for name in FILES.split()),
        *(
            (name, kind, "is no folder")
            for name in FOLDERS.split()
            for kind in ("file", "pipe", "link")
        ),
    ],
)
def test_what_isnt_a_runs_file_is_named_by_every_command(
    own_run, tiny, at_once, name, kind, said, capsys
):
    make(own_run / name, kind)
    other = str(own_run.parent / "other")
    for words in (
        ["train", *tiny, "--out", str(own_run)],
        ["train", *tiny, "--out", str(own_run), "--overwrite"],
        ["train", "--resume", str(own_run)],
        ["train", "--like", str(own_run), "--out", other],
        ["evaluate", str(own_run)],
        ["predict", str(own_run), str(own_run), "--out", other],
        ["export", str(own_run), "--out", other],
    ):
        assert main(words) == 1
        error = capsys.readouterr().err.strip()
        assert f"{own_run / name} {said}" in error, words
        assert error.count("\n") == 0
    assert not os.path.lexists(other)


@pytest.mark.parametrize("kind", ["folder", "pipe", "link"])
def test_a_checkpoint_that_is_no_file_is_passed_over(tmp_path, at_once, kind):
    make(tmp_path / "epoch-000003.checkpoint", kind)
    checkpoint = Checkpoint(tmp_path)
    with (
        pytest.warns(UserWarning, match=r"epoch-000003\.checkpoint is damaged"),
        pytest.raises(ValueError, match=r"Expected a checkpoint in .* can be read"),
    ):
        checkpoint.restore(None)


def test_a_folder_of_checkpoints_without_a_run_is_kept(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/mine.ckpt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"checkpoints.*run\.json isn't there"):
        claimed_folder(tmp_path, overwrite=True).__enter__()
    assert (tmp_path / "checkpoints/mine.ckpt").read_text() == "mine"


def test_links_to_files_of_a_run_are_files(own_run, capsys):
    shutil.move(own_run / "model.keras", own_run.parent / "kept.keras")
    (own_run / "model.keras").symlink_to(own_run.parent / "kept.keras")
    assert main(["export", str(own_run), "--out", str(own_run)]) == 1
    assert "Expected nothing at" in capsys.readouterr().err  # nothing else is wrong


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("data", "vok"),
        ("root", 3),
        ("epochs", None),
        ("epochs", 0),
        ("size", "large"),
        ("widths", 8),
        ("widths", ["4", "8"]),
        ("scale", [1]),
        ("loss", None),
        ("weights", ["a"]),
        ("augment", 0.3),
        ("cache", "yes"),
        ("seconds", "many"),
        ("epochs_done", "two"),
        ("versions", "3.1"),
        ("given", ["epochs"]),
    ],
)
def test_a_value_of_another_type_in_run_json_is_named(own_run, name, value, capsys):
    path = own_run / "run.json"
    content = json.loads(path.read_text())
    content[name] = value
    if isinstance(content["given"], dict) and name in content["given"]:
        content["given"][name] = value
    path.write_text(json.dumps(content))
    for option in ("--resume", "--like"):
        assert main(["train", option, str(own_run)]) == 1
        error = capsys.readouterr().err
        assert f"{path}: Expected what `keras-seg train` wrote." in error
        assert f"$.{name}" in error
        assert "Error" not in error


def test_every_option_of_a_training_has_a_type_in_run_json():
    options = vars(parser().parse_args(["train"])).keys()
    options -= {"command", "verbose", *OF_THE_START}
    assert options == {*TrainOptions.__struct_fields__}
