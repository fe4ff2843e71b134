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
        (["train", "--encoder-weights", "imagenet"], "encoder"),
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
        *(["train", "--scale", s] for s in ("0,1", "nan,nan", "1,inf", "a,b", "1,2,3")),
        *(["train", "--scale", s] for s in ("-1,1", "1e-9,1", "1,1e9", "")),
        *(["train", "--learning-rate", x] for x in ("-1", "0", "nan", "inf", "x", "")),
        *(["train", "--seed", n] for n in ("-1", "4294967296", "1.5", "x", "9" * 5000)),
        *(["train", "--epochs", n] for n in ("-1", "1e3", "1000001", "9" * 5000)),
        *(["train", "--batch-size", n] for n in ("0", "-8", "2.5", "9" * 30)),
        *(["train", "--size", n] for n in ("0", "-1", "100000", "x")),
        *(["train", "--widths", n] for n in ("", "0,4", "4,,8", "4,x", "4,99999999")),
        ["train", "--steps-per-epoch", "0"],
        ["train", "--validate-every", "0"],
        ["train", "--val-images", "0"],
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
