"""Options of the command: refusals and help."""

import inspect
import os
import re

import pytest

from keras_seg import models
from keras_seg.cli import main
from keras_seg.cli.train_options import MODELS


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("train --data voc", "Expected --root with --data voc."),
        (
            "train --data voc --root /nowhere",
            "Expected the folder /nowhere/ImageSets/Segmentation",
        ),
        ("train --root .", "Expected --root with --data voc or coco only"),
        (
            "train --model segformer --widths 4,8",
            "Expected --widths with a --model that",
        ),
        (
            "train --model fcn8s --encoder vgg16",
            "Expected --encoder with a --model that has it: attention_unet, deeplab_v",
        ),
        (
            "train --model segformer --upsampling nearest",
            "Expected --upsampling with a --model that has it: attention_unet, fcn8s, ",
        ),
        (
            "train --model segformer --encoder-weights imagenet",
            "Expected a file of weights for 'mit_b0'. Received: 'imagenet'",
        ),
        (
            "train --model fcn8s --normalization batch",
            "has it: attention_unet, unet, unet_plus_plus. Received: --model fcn8s",
        ),
        (
            "train --model fcn8s --auxiliary 0.5",
            "Expected --auxiliary with a --model that has it: bisenet_v2, deeplab_v",
        ),
        ("train --model fcn8s --fresh-head", "Expected --fresh-head with a --model th"),
        ("train --model fcn --fresh-head", "Expected --weights with --fresh-head."),
        (
            "train --model fcn --weights coco",
            "Expected --weights to be None, 'coco_voc'",
        ),
        (
            "train --encoder nosuch",
            "Expected --encoder to be the name of a backbone: 'resnet18'",
        ),
        ("train --encoder resnet5", "Received: 'resnet5'. Nearest: resnet50"),
        (
            "train --encoder MobilNet-V2",
            "Received: 'MobilNet-V2'. Nearest: mobilenetv2",
        ),
        ("train --loss dise", "Expected --loss to be one of cross_entropy"),
        ("train --freeze-encoder", "Expected --encoder with --freeze-encoder"),
        (
            "train --weights imagenet",
            "an encoder's: use encoder_weights='imagenet'",
        ),
        (
            "train --encoder-weights imagenet",
            "Expected an --encoder with --encoder-w",
        ),
        (
            "train --encoder vgg16 --encoder-weights imagenet --weights a.keras",
            "Expected --encoder-weights or --weights, not both",
        ),
        ("train --weights none.keras", "Expected a file of weights at none.keras. The"),
        ("train --widths 4", "Expected --widths to be two or more"),
        (
            "train --model fcn8s --upsampling nearest",
            "Expected --upsampling to be 'transpose', 'bilinear'. Received: 'nearest'",
        ),
        ("train --val-split test", "split train or val of shapes. Received: 'test'"),
        ("train --data folder --images a", "Expected --masks with --data folder."),
        ("train --data voc --root . --images a", "Expected --images with --data coco"),
        ("train --classes cat", "Expected --classes with --data coco only"),
        (
            "train --data folder --images a --masks b --names x,y --ids one",
            "Expected ids in a row, 0,255; several ids of one class are 1-255 or 1+7. "
            "Received: one",
        ),
        (
            "evaluate none",
            "Expected the folder of a run, with run.json. Received: none",
        ),
        ("export none --out x", "Expected the folder of a run, with run.json"),
        ("predict none a.jpg --out x", "Expected the folder of a run, with run.json"),
    ],
)
@pytest.mark.usefixtures("only_trained")  # several are refused after a look at examples
def test_bad_options_get_one_clear_line(arguments, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments.split()) == 1
    line, *others = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("keras-seg: error: ")
    assert all(other.startswith("Try: keras-seg ") for other in others)
    assert len(others) <= 1
    assert says in line
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
def test_unknown_words_end_with_one_line_and_the_way_to_help(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    first, second = capsys.readouterr().err.splitlines()
    assert re.match("keras-seg.*: error: ", first)
    assert second.endswith("--help` says more.")


def test_help_names_no_default_that_is_none(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    said = capsys.readouterr().out
    assert "None" not in said
    assert "(default: 10)" in said


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("train --model fcn8", "fcn8s"),
        ("train --data vok", "voc"),
        ("train --optimizer adm", "adam"),
        ("train --schedule=cosin", "cosine"),
        ("train --precision mixed_float", "mixed_float16"),
        ("inspect --crowd objects", "object"),
        ("trian", "train"),
        ("train --lerning-rate 1", "--learning-rate"),
        ("evaluate run --spilt=val", "--split"),
    ],
)
def test_a_mistyped_word_is_told_with_the_nearest_that_is_known(words, meant, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words.split())
    assert ended.value.code == 2
    assert f". Did you mean {meant}?\n" in capsys.readouterr().err


@pytest.mark.parametrize("words", ["train --model zzz", "train --zzz 3", "zzz"])
def test_nothing_is_suggested_for_a_word_like_no_other(words, capsys):
    with pytest.raises(SystemExit):
        main(words.split())
    error = capsys.readouterr().err
    assert "zzz" in error
    assert "Did you mean" not in error


def test_every_model_that_there_is_can_be_trained():
    made = {
        name
        for name in models.__all__
        if "num_classes" in inspect.signature(getattr(models, name)).parameters
    }
    assert set(MODELS) == made
    assert MODELS[0] == "unet"
