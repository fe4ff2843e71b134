"""Files that are whole or not there."""

import errno
import json
import os
from collections import namedtuple

import pytest

from keras_seg.files import write_json, written_aside
from keras_seg.training.callbacks import CSVHistory


def test_a_file_has_its_name_when_it_is_whole(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with written_aside(path) as aside:
        aside.write_text("half")
        assert (path.read_text(), aside.parent, aside.suffix) == (
            "old",
            tmp_path,
            ".json",
        )
        aside.write_text("new")
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.json"]


def write_half(path, error):
    with written_aside(path) as aside:
        aside.write_text("half")
        raise error


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_file_that_could_not_be_written_is_as_it_was(tmp_path, error):
    path = tmp_path / "a.json"
    for before in (None, "old"):
        if before is not None:
            path.write_text(before)
        there = os.listdir(tmp_path)
        with pytest.raises(error):
            write_half(path, error)
        assert os.listdir(tmp_path) == there
        assert before is None or path.read_text() == before


def history(path):
    CSVHistory(path).on_epoch_end(0, {"loss": 1.0})


@pytest.mark.parametrize(
    "write", [lambda path: write_json(path, {"a": 1}), history], ids=["json", "csv"]
)
def test_a_file_of_a_run_is_never_half_written(tmp_path, write, monkeypatch):
    path = tmp_path / "file"
    path.write_text("old")

    def full(*_):
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", full)  # the last thing that can fail
        with pytest.raises(OSError, match="No space left"):
            write(path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]
    write(path)
    assert path.read_text() != "old"


def test_json_is_what_was_given_and_ends_its_last_line(tmp_path):
    write_json(tmp_path / "a.json", {"a": [1, None], "b": tmp_path})
    text = (tmp_path / "a.json").read_text()
    assert json.loads(text) == {"a": [1, None], "b": str(tmp_path)}
    assert text.endswith("}\n")


def test_on_a_full_disk_the_error_says_what_is_needed_and_what_is_kept(
    tmp_path, monkeypatch
):
    usage = namedtuple("usage", "free")(3 * 2**20)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    path = tmp_path / "a.bin"

    def write(needed=None):
        with written_aside(path, needed=needed) as aside:
            aside.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match=r"disk\. 3\.0 MiB are free\. File: .*a\.bin"):
        write()
    path.write_bytes(b"old")
    with pytest.raises(OSError, match=r"needs 5\.0 MiB; 3\.0 .* name is kept") as full:
        write(5 * 2**20)
    assert full.value.errno == errno.ENOSPC
    assert os.listdir(tmp_path) == ["a.bin"]
    assert path.read_bytes() == b"old"
