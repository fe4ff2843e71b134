"""The command `keras-seg`: train, evaluate, predict, export.

It is thin: everything that it does is a few lines of the Python interface, and a run
is a folder whose files say all that the next command needs to know.
"""

import argparse
import json
import os
import platform
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import keras_seg
from keras_seg.callbacks import BestModel, StopOnInvalidLabels, save_model
from keras_seg.data import Source
from keras_seg.data.checks import reason
from keras_seg.data.image import read_image
from keras_seg.data.png import write_label_png
from keras_seg.visualize import IGNORE_COLOR, curves, overlay, samples

MODELS = ("unet", "fcn32s", "fcn16s", "fcn8s")

# Everything that train writes into a run's folder.
_RUN, _MODEL, _HISTORY = "run.json", "model.keras", "history.csv"
_CURVES, _SAMPLES, _SAVED_MODEL = "curves.png", "samples.png", "saved_model"
_METRICS = "metrics.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130
    except (ValueError, OSError, ImportError, RuntimeError, tf.errors.OpError) as error:
        print(f"\nkeras-seg: error: {_plain(error)}", file=sys.stderr)
        return 1
    return 0


def train(options: argparse.Namespace) -> None:
    """Train a model; see `keras-seg train --help`."""
    size = options.size or (64 if options.data == "shapes" else 256)
    training = _source(options.data, options.root, options.train_split)
    validation = _source(options.data, options.root, options.val_split)
    image, _ = training[0]  # a bad first file is an error now
    validation[0]

    keras.utils.set_random_seed(options.seed)
    keras.config.set_dtype_policy(options.precision)
    model = _build(options, training.num_classes, image.shape[-1])
    batches = training.batches(
        options.batch_size,
        size=(size, size),
        augment=keras_seg.data.standard_augmentation(),
        shuffle=True,
        seed=options.seed,
        repeat=True,
    )
    steps = options.steps_per_epoch or max(1, len(training) // options.batch_size)
    model.compile(
        optimizer=keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(
                options.learning_rate, options.epochs * steps
            )
        ),
        loss=keras_seg.losses.WeightedCrossEntropy(),
        metrics=[
            keras_seg.metrics.MeanIoU(training.num_classes),
            keras_seg.metrics.PixelAccuracy(training.num_classes),
        ],
        # Whole images come in many sizes, and XLA would compile anew for each.
        jit_compile=False,
    )
    out = _claim_folder(options)
    _write_json(out / _RUN, _describe(options, size, steps, training))
    print(
        f"{options.model}, {model.count_params():,} parameters: {len(training)} images "
        f"to train on, {len(validation)} to validate. Writing to {out}"
    )

    best = BestModel(out / _MODEL)
    try:
        model.fit(
            batches,
            epochs=options.epochs,
            steps_per_epoch=steps,
            validation_data=_whole_images(validation),
            callbacks=[
                StopOnInvalidLabels(),
                best,
                keras.callbacks.CSVLogger(str(out / _HISTORY)),
            ],
            shuffle=False,  # the batches are
        )
    except KeyboardInterrupt:
        if best.best is None:
            save_model(model, out / _MODEL)
        elif (out / _HISTORY).exists():
            curves(out / _HISTORY, out / _CURVES)
        print(f"\nInterrupted. The model so far is in {out / _MODEL}")
        raise
    curves(out / _HISTORY, out / _CURVES)

    print("Scores of the best model:")
    model = _load(out)
    _score(model, validation, out, options.val_split)
    keras.utils.save_img(out / _SAMPLES, _sample_rows(model, validation), scale=False)
    keras_seg.export(
        model, out / _SAVED_MODEL, class_names=training.class_names, overwrite=True
    )
    print(f"\nWrote {out}: " + ", ".join(sorted(os.listdir(out))))


def evaluate(options: argparse.Namespace) -> None:
    """Score a run on a split; see `keras-seg evaluate --help`."""
    run = _describe_run(options.run)
    split = options.split or run["val_split"]
    source = _source(run["data"], options.root or run["root"], split)
    _score(_load(options.run), source, options.run, split)


def predict(options: argparse.Namespace) -> None:
    """Predict masks of image files; see `keras-seg predict --help`."""
    run = _describe_run(options.run)
    stems = [image.stem for image in options.image]
    for image, stem in zip(options.image, stems, strict=True):
        if not image.is_file():
            raise FileNotFoundError(f"Expected an image at {image}. It isn't there.")
        if stems.count(stem) > 1:
            raise ValueError(
                f"Expected images with stems that differ. Received: {stem!r} twice."
            )
    model = _load(options.run)
    palette = np.array(run["palette"], np.uint8)
    colors = np.full((256, 3), IGNORE_COLOR, np.uint8)
    colors[: len(palette)] = palette

    options.out.mkdir(parents=True, exist_ok=True)
    progress = keras.utils.Progbar(len(stems))
    for path, stem in zip(options.image, stems, strict=True):
        image = read_image(str(path), channels=model.input_shape[-1]).numpy()
        mask = keras_seg.predict_mask(model, image)
        write_label_png(str(options.out / f"{stem}.png"), mask, colors)
        keras.utils.save_img(
            options.out / f"{stem}_overlay.png",
            overlay(image, mask, palette),
            scale=False,
        )
        progress.add(1)
    print(f"Wrote masks and overlays of {len(stems)} images to {options.out}")


def export(options: argparse.Namespace) -> None:
    """Export a run's model; see `keras-seg export --help`."""
    run = _describe_run(options.run)
    keras_seg.export(
        _load(options.run),
        options.out,
        format=options.format,
        class_names=run["class_names"],
        overwrite=options.overwrite,
    )
    print(f"Wrote {options.out}")


def _build(options: argparse.Namespace, num_classes: int, channels: int) -> Any:
    """The model that the options ask for."""
    arguments = {"upsampling": options.upsampling, "weights": options.weights}
    if options.model == "unet":
        arguments["widths"], arguments["encoder"] = options.widths, options.encoder
        if options.widths is None and options.encoder is None:
            arguments["widths"] = (16, 32, 64, 128)
    for name in ("widths", "encoder"):
        if options.model != "unet" and getattr(options, name) is not None:
            raise ValueError(
                f"Expected --{name} with --model unet only. Received: {options.model}"
            )
    make = getattr(keras_seg, options.model)
    return make(num_classes, input_shape=(None, None, channels), **arguments)


def _source(data: str, root: str | None, split: str) -> Source:
    """The data set that the options name."""
    if data == "voc":
        if root is None:
            raise ValueError("Expected --root PATH with --data voc: .../VOC2012")
        return keras_seg.data.voc(root, split)
    if root is not None:
        raise ValueError("Expected --root with a data set on disk only, not shapes.")
    if split == "train":
        return keras_seg.data.shapes(1600, seed=0)
    if split == "val":
        return keras_seg.data.shapes(100, seed=1)
    raise ValueError(f"Expected split train or val of shapes. Received: {split!r}")


def _whole_images(source: Source) -> tf.data.Dataset:
    """Batches of one image each, at its own size."""
    return source.dataset().batch(1).prefetch(tf.data.AUTOTUNE)


def _claim_folder(options: argparse.Namespace) -> Path:
    """An empty folder for the run, or one that may be written over."""
    out = options.out
    if out is None:
        first = out = Path("runs") / f"{options.data}-{options.model}"
        number = 2
        while out.exists():
            out = first.with_name(f"{first.name}-{number}")
            number += 1
    elif (out / _MODEL).exists() and not options.overwrite:
        raise FileExistsError(
            f"Expected no model in {out}. Choose another --out, or add --overwrite."
        )
    out.mkdir(parents=True, exist_ok=True)
    for name in (_MODEL, _RUN, _HISTORY, _CURVES, _SAMPLES, _METRICS):
        (out / name).unlink(missing_ok=True)
    shutil.rmtree(out / _SAVED_MODEL, ignore_errors=True)
    return out


def _describe(
    options: argparse.Namespace, size: int, steps: int, source: Source
) -> dict[str, Any]:
    """What run.json says."""
    given = {k: v for k, v in vars(options).items() if k not in ("command", "out")}
    if given["root"] is not None:
        given["root"] = os.path.abspath(given["root"])
    return given | {
        "size": size,
        "steps_per_epoch": steps,
        "class_names": list(source.class_names),
        "palette": source.palette.tolist(),
        "versions": {
            "keras_seg": keras_seg.__version__,
            "keras": keras.__version__,
            "tensorflow": tf.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def _describe_run(run: Path) -> dict[str, Any]:
    """What run.json of a folder says."""
    try:
        return json.loads((run / _RUN).read_text())
    except FileNotFoundError:
        raise FileNotFoundError(
            f"Expected the folder of a run, with {_RUN}. Received: {run}"
        ) from None


def _load(run: Path) -> keras.Model:
    path = run / _MODEL
    if not path.is_file():
        raise FileNotFoundError(
            f"Expected a trained model at {path}. Has the run been cut off?"
        )
    return keras.models.load_model(path, compile=False)


def _score(model: keras.Model, source: Source, run: Path, split: str) -> None:
    """Print a table of scores at the images' own sizes, and write metrics.json."""
    metric = keras_seg.metrics.MeanIoU(source.num_classes)
    accuracy = keras_seg.metrics.PixelAccuracy(source.num_classes)
    progress = keras.utils.Progbar(len(source), unit_name="image")
    for image, mask in source.dataset().prefetch(tf.data.AUTOTUNE):
        prediction = keras_seg.predict_mask(model, image.numpy())
        metric.update_state(mask[None], prediction[None])
        progress.add(1)
    accuracy.add_matrix(metric.confusion_matrix)

    iou = {
        name: None if np.isnan(value) else float(value)
        for name, value in zip(source.class_names, metric.class_iou(), strict=True)
    }
    scores = {
        "mean_iou": float(metric.result()),
        "pixel_accuracy": float(accuracy.result()),
        "iou": iou,
        "ignored_pixels": metric.ignored_pixels,
        "images": len(source),
        "split": split,
    }
    width = max(map(len, (*iou, "pixel accuracy")))
    print(f"\n{'class':{width}}  {'IoU':>6}")
    for name, value in iou.items():
        print(f"{name:{width}}  {'absent' if value is None else f'{value:6.3f}'}")
    print(f"\n{'mean IoU':{width}}  {scores['mean_iou']:6.3f}")
    print(f"{'pixel accuracy':{width}}  {scores['pixel_accuracy']:6.3f}")
    print(f"{'ignored pixels':{width}}  {scores['ignored_pixels']:,}")
    _write_json(run / _METRICS, scores)


def _sample_rows(model: keras.Model, source: Source, count: int = 4) -> np.ndarray:
    """A picture of a few examples, spread over the data set."""
    rows = []
    for index in np.linspace(0, len(source) - 1, min(count, len(source)), dtype=int):
        image, truth = source[int(index)]
        rows.append((image, truth, keras_seg.predict_mask(model, image)))
    return samples(rows, source.palette, source.class_names)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    aside = path.with_name(f".{path.name}.writing")
    aside.write_text(json.dumps(content, indent=2, default=str) + "\n")
    os.replace(aside, path)


def _plain(error: Exception) -> str:
    """The sentence of an error, out of what TensorFlow and Python put around it."""
    text = reason(error)
    if "ValueError: " in text:  # raised while reading, inside tf.data
        text = text.split("ValueError: ", 1)[1].split("\nTraceback", 1)[0]
    return text.split("\n\n")[0].strip()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="keras-seg", description="Semantic segmentation in Keras."
    )
    parser.add_argument("--version", action="version", version=keras_seg.__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser(
        "train",
        help="train a model",
        description="Train a model, keep the best, score it, picture it, export it.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    command.set_defaults(command=train)
    add = command.add_argument
    add("--data", choices=("shapes", "voc"), default="shapes", help="data set")
    add("--root", help="its folder: .../VOCdevkit/VOC2012")
    add("--train-split", default="train", metavar="NAME", help="to learn from")
    add("--val-split", default="val", metavar="NAME", help="to validate on")
    add("--model", choices=MODELS, default="unet", help="network")
    add("--widths", type=_widths, help="of unet's levels (16,32,64,128)")
    add("--encoder", metavar="NAME", help="backbone of unet: resnet50, ...")
    add("--weights", metavar="W", help="to start from: imagenet, or a file")
    add(
        "--upsampling",
        choices=("transpose", "bilinear", "nearest"),
        default="transpose",
        help="how maps come back up",
    )
    add(
        "--size",
        type=_positive,
        metavar="PIXELS",
        help="side of the training crops (64 for shapes, 256 otherwise)",
    )
    add("--batch-size", type=_positive, default=8, metavar="N", help="crops per step")
    add("--epochs", type=_positive, default=10, metavar="N", help="epochs")
    add(
        "--steps-per-epoch",
        type=_positive,
        metavar="N",
        help="steps of an epoch (images / batch size)",
    )
    add("--learning-rate", type=float, default=1e-3, metavar="X", help="of Adam")
    add("--seed", type=int, default=0, metavar="N", help="of all that is random")
    add(
        "--precision",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
        default="float32",
        help="dtype policy",
    )
    add("--out", type=Path, help="folder of the run (runs/DATA-MODEL)")
    add("--overwrite", action="store_true", help="write over a run in --out")

    command = commands.add_parser("evaluate", help="score a trained model")
    command.set_defaults(command=evaluate)
    command.add_argument("run", type=Path, metavar="RUN", help="folder of a run")
    command.add_argument("--root", help="folder of the data set, if it has moved")
    command.add_argument("--split", help="split to score (that of validation)")

    command = commands.add_parser("predict", help="predict masks of image files")
    command.set_defaults(command=predict)
    command.add_argument("run", type=Path, metavar="RUN", help="folder of a run")
    command.add_argument("image", type=Path, metavar="IMAGE", nargs="+")
    command.add_argument("--out", type=Path, required=True, metavar="DIR")

    command = commands.add_parser("export", help="export a trained model")
    command.set_defaults(command=export)
    command.add_argument("run", type=Path, metavar="RUN", help="folder of a run")
    command.add_argument("--format", choices=("saved_model",), default="saved_model")
    command.add_argument("--out", type=Path, required=True, metavar="DIR")
    command.add_argument("--overwrite", action="store_true", help="replace DIR")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, received {text}")
    return value


def _widths(text: str) -> tuple[int, ...]:
    return tuple(_positive(word) for word in text.split(","))
