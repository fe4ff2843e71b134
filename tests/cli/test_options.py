"""Options of the command: refusals and help."""

import os

import pytest

from keras_seg.cli import main


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["train", "--data", "voc"], "--root"),
        (["train", "--data", "voc", "--root", "/nowhere"], "/nowhere"),
        (["train", "--root", "."], "--root"),
        (["train", "--model", "fcn8s", "--widths", "4,8"], "--widths"),
        (["train", "--model", "fcn8s", "--encoder", "resnet50"], "--encoder"),
        (["train", "--model", "fcn8s", "--normalization", "batch"], "--normalization"),
        (["train", "--encoder", "nosuch"], "nosuch"),
        (["train", "--freeze-encoder", "--widths", "4,8"], "--encoder"),
        (["train", "--weights", "imagenet"], "encoder"),
        (["train", "--weights", "nowhere.keras"], "nowhere.keras"),
        (["train", "--widths", "4"], "widths"),
        (["train", "--model", "fcn8s", "--upsampling", "nearest"], "upsampling"),
        (["train", "--val-split", "test"], "test"),
        (["evaluate", "nowhere"], "nowhere"),
        (["export", "nowhere", "--out", "x"], "nowhere"),
        (["predict", "nowhere", "a.jpg", "--out", "x"], "nowhere"),
    ],
)
def test_bad_options_get_one_clear_line(arguments, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.count("keras-seg: error:") == 1
    assert says in error
    assert "Traceback" not in error
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--model", "unett"],
        ["train", "--data", "nosuch"],
        ["train", "--epochs", "0"],
        ["train", "--widths", "4,-8"],
        ["train", "--scale", "2,1"],
        ["train", "--scale", "1"],
        ["train", "--nosuch"],
        [],
    ],
)
def test_unknown_words_end_with_usage(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: keras-seg" in capsys.readouterr().err


def test_help_names_no_default_that_is_none(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    said = capsys.readouterr().out
    assert "None" not in said
    assert "(default: 8)" in said
