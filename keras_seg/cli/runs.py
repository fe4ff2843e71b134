"""What `keras-seg train`, `evaluate`, `predict` and `export` do.

A run is a folder whose files say all that the next command needs to know.
"""

import argparse
import json
import os
import platform
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import keras_seg
from keras_seg.callbacks import BestModel, StopOnInvalidLabels, save_model
from keras_seg.cli.sources import PATHS, SPLIT, data_source
from keras_seg.data import Source
from keras_seg.data.image import read_image
from keras_seg.data.png import write_label_png
from keras_seg.visualize import IGNORE_COLOR, curves, overlay, samples

# Everything that train writes into a run's folder.
_RUN, _MODEL, _HISTORY = "run.json", "model.keras", "history.csv"
_CURVES, _SAMPLES, _SAVED_MODEL = "curves.png", "samples.png", "saved_model"
_METRICS = "metrics.json"
# How the picture of a prediction ends.
_OVERLAY = "_overlay.png"


def train(options: argparse.Namespace) -> None:
    """Train a model; see `keras-seg train --help`."""
    size = options.size or (64 if options.data == "shapes" else 256)
    training = data_source(vars(options), "train")
    validation = data_source(vars(options), "val")
    _look_at_some({"train": training, "val": validation})
    image, _ = training[0]

    keras.utils.set_random_seed(options.seed)
    keras.config.set_dtype_policy(options.precision)
    model = _build(options, training.num_classes, image.shape[-1])
    batches = training.batches(
        options.batch_size,
        size=(size, size),
        augment=keras_seg.data.standard_augmentation(scale=options.scale),
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
    _score(model, validation, out, options.val_split or "val")
    keras.utils.save_img(out / _SAMPLES, _sample_rows(model, validation), scale=False)
    keras_seg.export(
        model, out / _SAVED_MODEL, class_names=training.class_names, overwrite=True
    )
    print(f"\nWrote {out}: " + ", ".join(sorted(os.listdir(out))))


def evaluate(options: argparse.Namespace) -> None:
    """Score a run on a split; see `keras-seg evaluate --help`."""
    run = _describe_run(options.run)
    run |= {k: v for k, v in vars(options).items() if k in PATHS and v is not None}
    split = options.split or run["val_split"] or "val"
    if options.split and run["data"] in ("voc", "coco"):
        run |= {"train_split": None, "val_split": None}  # "train" is that of the set
    source = data_source(run, options.split or "val")
    _score(_load(options.run), source, options.run, split)


def predict(options: argparse.Namespace) -> None:
    """Predict masks of image files; see `keras-seg predict --help`."""
    run = _describe_run(options.run)
    stems = [image.stem for image in options.image]
    written = Counter(
        options.out / f"{s}{e}" for s in stems for e in (".png", _OVERLAY)
    )
    places = {path.resolve() for path in written}
    for image in options.image:
        if not image.is_file():
            raise FileNotFoundError(f"Expected an image at {image}. It isn't there.")
        if image.resolve() in places:
            raise ValueError(
                f"Expected another folder. {image} would be written over: --out "
                f"{options.out}"
            )
    for path, times in written.items():
        if times > 1:
            raise ValueError(
                "Expected images whose masks have names that differ. Received: two "
                f"for {path}"
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
            options.out / f"{stem}{_OVERLAY}",
            overlay(visible(image), mask, palette),
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


def _look_at_some(sources: dict[str, Source]) -> None:
    """Raise, before training begins, for what a few examples show to be wrong."""
    report = keras_seg.data.inspect(sources, examples=16, verbose=False)
    for problem in report.problems:
        where = ": ".join(filter(None, (problem.split, problem.example)))
        message = (
            f"{where}: {problem.message} `keras-seg inspect` with the same options "
            "looks at all examples."
        )
        if problem.serious:
            raise ValueError(message)
        if not problem.example:
            print(f"Note: {message}")


def _build(options: argparse.Namespace, num_classes: int, channels: int) -> Any:
    """The model that the options ask for."""
    arguments = {"upsampling": options.upsampling, "weights": options.weights}
    if options.model == "unet":
        encoder, widths = options.encoder, options.widths
        if widths is None and encoder is None:
            widths = (16, 32, 64, 128)
        # Encoders come with batch normalisation, and what joins their features wants
        # it too.
        normalization = options.normalization or ("batch" if encoder else "none")
        arguments |= {
            "encoder": encoder,
            "widths": widths,
            "normalization": None if normalization == "none" else normalization,
        }
    else:
        for name in ("widths", "encoder", "normalization"):
            if getattr(options, name) is not None:
                raise ValueError(
                    f"Expected --{name} with --model unet only. Received: "
                    f"{options.model}"
                )
    make = getattr(keras_seg, options.model)
    model = make(num_classes, input_shape=(None, None, channels), **arguments)
    if options.freeze_encoder:
        if arguments.get("encoder") is None:
            raise ValueError("Expected --encoder with --freeze-encoder.")
        model.get_layer("encoder").trainable = False
    return model


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
    elif not options.overwrite:
        for name in (_MODEL, _SAVED_MODEL):
            if (out / name).exists():
                raise FileExistsError(
                    f"Expected no model in {out}. Received: {out / name}. Choose "
                    "another --out, or add --overwrite."
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
    files = list(PATHS)  # the next command may be given elsewhere
    if options.data == "folder":
        if SPLIT not in f"{options.images}{options.masks}":
            files += ["train_split", "val_split"]
        if given["names"] is not None and os.path.isfile(given["names"]):
            files.append("names")
    for name in files:
        if given[name] is not None and "://" not in given[name]:
            given[name] = os.path.abspath(given[name])
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
        prediction = keras_seg.predict_mask(model, image)
        rows.append((visible(image), truth, prediction))
    return samples(rows, source.palette, source.class_names)


def visible(image: np.ndarray) -> np.ndarray:
    """The first three bands of an image, or the first one."""
    return image[..., : 3 if image.shape[-1] >= 3 else 1]


def _write_json(path: Path, content: dict[str, Any]) -> None:
    aside = path.with_name(f".{path.name}.writing")
    aside.write_text(json.dumps(content, indent=2, default=str) + "\n")
    os.replace(aside, path)
