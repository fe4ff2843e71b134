"""Numbers out of range, and what is no number: one clear error at the door.

A table of arguments; every one meets every value.
"""

import contextlib
import math

import numpy as np
import pytest

from keras_seg import data, losses, metrics, models, training, visualize
from keras_seg.cli.options import parser
from keras_seg.data.tools.border_weights import border_weights
from keras_seg.inference.files import predict_files
from keras_seg.palette import color_map
from keras_seg.training import callbacks, recipe

VALUES = [0, -1, 1.5, math.nan, math.inf, 1e30, 10**20, "1", "x", True, None, [1]]
SOURCE = data.shapes(3, size=(8, 8))
IMAGE, MASK = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), int)
COLORS, NAMES = color_map(2), ["a", "b"]


def batches(**arguments):
    return SOURCE.batches(**({"batch_size": 2, "size": (8, 8)} | arguments))


def net(**arguments):
    return models.unet(**({"num_classes": 2, "widths": (2, 4)} | arguments))


@pytest.fixture(scope="module")
def model():
    return net()


def optimizer(model, **arguments):
    return training.optimizer(model, **({"learning_rate": 0.1, "steps": 9} | arguments))


def folder(channels):
    with contextlib.suppress(FileNotFoundError):
        data.folder("/nowhere", "/nowhere", channels=channels)


def sheet(**arguments):
    return visualize.contact_sheet([("t", IMAGE, MASK)], COLORS, NAMES, **arguments)


# What each argument is given to, and the values that it may have.
ARGUMENTS = {
    "unet: num_classes": (lambda v, m: net(num_classes=v), []),
    "unet: channels": (lambda v, m: net(input_shape=(None, None, v)), []),
    "unet: height": (lambda v, m: net(input_shape=(v, None, 3)), [None]),
    "unet: a width": (lambda v, m: net(widths=(v, 4)), []),
    "unet: dropout": (lambda v, m: net(dropout=v), [0]),
    "build_model: widths": (
        lambda v, m: recipe.build_model("unet", 3, widths=v),
        [None],
    ),
    "encoder: stride": (lambda v, m: models.encoder("VGG16", output_stride=v), []),
    "Focal: gamma": (lambda v, m: losses.Focal(gamma=v), [0, 1.5, 1e30, 10**20]),
    "TopK: fraction": (lambda v, m: losses.TopKCrossEntropy(fraction=v), []),
    "label_smoothing": (
        lambda v, m: losses.WeightedCrossEntropy(label_smoothing=v),
        [0],
    ),
    "a class weight": (
        lambda v, m: losses.WeightedCrossEntropy(class_weights=[1.0, v]),
        [0, 1.5, 1e30, True],
    ),
    "class_weights": (
        lambda v, m: losses.WeightedCrossEntropy(class_weights=v),
        [None, [1]],
    ),
    "loss: ignore": (lambda v, m: losses.Dice(ignore=v), [0, -1]),
    "Tversky: alpha": (lambda v, m: losses.Tversky(alpha=v), [0, 1.5, 1e30, 10**20]),
    "Tversky: beta": (lambda v, m: losses.Tversky(beta=v), [0, 1.5, 1e30, 10**20]),
    "Tversky: gamma": (lambda v, m: losses.Tversky(gamma=v), [1.5, 1e30, 10**20]),
    "BoundaryF1: width": (lambda v, m: losses.BoundaryF1(width=v), []),
    "BoundaryF1: reach": (lambda v, m: losses.BoundaryF1(reach=v), []),
    "factor": (lambda v, m: v * losses.Dice(), [0, -1, 1.5, 1e30, 10**20]),
    "MeanIoU: num_classes": (lambda v, m: metrics.MeanIoU(v), []),
    "MeanIoU: ignore": (lambda v, m: metrics.MeanIoU(3, ignore=v), [-1, None]),
    "BoundaryIoU": (lambda v, m: metrics.BoundaryIoU(3, distance=v), []),
    "batches: batch_size": (lambda v, m: batches(batch_size=v), []),
    "batches: height": (lambda v, m: batches(size=(v, 8)), []),
    "batches: size": (lambda v, m: batches(size=v), [None]),
    "batches: seed": (lambda v, m: batches(seed=v), [0, -1]),
    "batches: first_epoch": (lambda v, m: batches(first_epoch=v), [0]),
    "batches: first_step": (lambda v, m: batches(first_step=v, repeat=True), [0]),
    "batches: shards": (lambda v, m: batches(shard=(0, v)), []),
    "split: fraction": (lambda v, m: SOURCE.split(v), []),
    "split: seed": (lambda v, m: SOURCE.split(0.5, seed=v), [0]),
    "shapes: length": (lambda v, m: data.shapes(v), []),
    "shapes: height": (lambda v, m: data.shapes(1, size=(v, 8)), []),
    "shapes: size": (lambda v, m: data.shapes(1, size=v), []),
    "shapes: seed": (lambda v, m: data.shapes(1, seed=v), [0]),
    "color": (lambda v, m: data.standard_augmentation(color=v), [0]),
    "rotation": (lambda v, m: data.standard_augmentation(rotation=v), [0, 1.5]),
    "elastic": (
        lambda v, m: data.standard_augmentation(elastic=v),
        [0, 1.5, 1e30, 10**20],
    ),
    "inspect": (lambda v, m: data.inspect(SOURCE, examples=v, verbose=False), [None]),
    "folder: channels": (lambda v, m: folder(v), [None]),
    "border: w0": (lambda v, m: border_weights(MASK, w0=v), [0, 1.5, 1e30, 10**20]),
    "border: sigma": (lambda v, m: border_weights(MASK, sigma=v), [1.5, 1e30, 10**20]),
    "border: class_weights": (
        lambda v, m: border_weights(MASK, class_weights=v),
        [None, [1]],
    ),
    "learning_rate": (
        lambda v, m: optimizer(m, learning_rate=v),
        [1.5, 1e30, 10**20],
    ),
    "steps": (lambda v, m: optimizer(m, steps=v), []),
    "warmup": (lambda v, m: optimizer(m, warmup=v), [0]),
    "ema": (lambda v, m: optimizer(m, ema=v), [None]),
    "accumulate": (lambda v, m: optimizer(m, accumulate=v), []),
    "clip": (lambda v, m: optimizer(m, clip=v), [None, 1.5, 1e30, 10**20]),
    "Validate: every": (lambda v, m: callbacks.Validate(SOURCE, every=v), []),
    "FreezeEncoder": (lambda v, m: training.FreezeEncoder(v), []),
    "ProgressTable": (lambda v, m: training.ProgressTable(validate_every=v), []),
    "StopOnNaN": (lambda v, m: training.StopOnNaN(SOURCE, batch_size=v), []),
    "keep_epochs": (lambda v, m: callbacks.CSVHistory("h.csv", keep_epochs=v), [0]),
    "overlay: alpha": (
        lambda v, m: visualize.overlay(IMAGE, MASK, COLORS, alpha=v),
        [0],
    ),
    "overlay: background": (
        lambda v, m: visualize.overlay(IMAGE, MASK, COLORS, background=v),
        [0, -1, None],
    ),
    "samples: side": (
        lambda v, m: visualize.samples([(IMAGE, MASK, MASK)], COLORS, NAMES, side=v),
        [],
    ),
    "contact_sheet: columns": (lambda v, m: sheet(columns=v), []),
    "contact_sheet: side": (lambda v, m: sheet(side=v), []),
    "color_map": (lambda v, m: color_map(v), [0]),
    "steps_per_epoch": (lambda v, m: recipe.steps_per_epoch(SOURCE, v), []),
    "spread": (lambda v, m: recipe.spread(SOURCE, v), [None]),
    "predict_files": (lambda v, m: [*predict_files(m, [], print, batch_size=v)], []),
}


@pytest.mark.parametrize("argument", ARGUMENTS)
def test_a_number_out_of_range_is_one_clear_error(argument, model):
    use, allowed = ARGUMENTS[argument]
    allowed = [*map(repr, allowed)]  # since True equals 1
    for value in VALUES:
        if repr(value) in allowed:
            use(value, model)
            continue
        with pytest.raises(ValueError, match=r"^Expected .* Received: "):
            use(value, model)


WORDS = ["0", "-1", "1.5", "nan", "inf", "1e30", "1" + "0" * 20, "x", "True", "", "٣"]
COUNTS = (
    "size batch-size epochs steps-per-epoch validate-every val-images accumulate "
    "early-stop widths freeze-encoder channels"
)
# Options, and the words above that they may have.
OPTIONS: dict[str, list[str]] = {
    **{option: [] for option in COUNTS.split()},
    "warmup": ["0"],
    "seed": ["0"],
    "learning-rate": ["1.5"],
    "clip": ["1.5"],
    "weight-decay": ["0", "1.5"],
    "encoder-rate": ["0", "1.5"],
    "ema": [],
    "scale": [],
    "min-area": ["0", "1.5"],
}


@pytest.mark.parametrize("option", OPTIONS)
def test_a_number_out_of_range_is_a_usage_error(option, capsys):
    for word in WORDS:
        words = ["train", f"--{option}={word}"]
        if word in OPTIONS[option]:
            parser().parse_args(words)
            continue
        with pytest.raises(SystemExit) as ended:
            parser().parse_args(words)
        assert ended.value.code == 2
        said = capsys.readouterr().err
        assert f"argument --{option}: expected " in said
        assert f"received {word}\n" in said
