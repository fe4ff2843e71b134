"""What `keras-seg train` does."""

import argparse
import os
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import keras_seg
from keras_seg.cli.data_options import data_source
from keras_seg.cli.evaluate import score
from keras_seg.cli.messages import translated
from keras_seg.data import Source
from keras_seg.data.suggestions import SuggestionError
from keras_seg.files import save_model, write_json
from keras_seg.terminal import verbosity
from keras_seg.training.callbacks import BestModel, StopOnInvalidLabels
from keras_seg.training.runs import (
    CURVES,
    HISTORY,
    MODEL,
    RUN,
    SAMPLES,
    SAVED_MODEL,
    claim_folder,
    describe,
    load_model,
)
from keras_seg.visualize import curves, samples, visible


def train(options: argparse.Namespace) -> None:
    """Train a model; see `keras-seg train --help`."""
    size = options.size or (64 if options.data == "shapes" else 256)
    training = data_source(vars(options), "train")
    validation = data_source(vars(options), "val")
    _look_at_some({"train": training, "val": validation}, options)
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
    out = claim_folder(options)
    write_json(out / RUN, describe(options, size, steps, training))
    print(
        f"{options.model}, {model.count_params():,} parameters: {len(training)} images "
        f"to train on, {len(validation)} to validate. Writing to {out}"
    )

    best = BestModel(out / MODEL)
    try:
        model.fit(
            batches,
            epochs=options.epochs,
            verbose=verbosity(),
            steps_per_epoch=steps,
            validation_data=_whole_images(validation),
            callbacks=[
                StopOnInvalidLabels(),
                best,
                keras.callbacks.CSVLogger(str(out / HISTORY)),
            ],
            shuffle=False,  # the batches are
        )
    except KeyboardInterrupt:
        if best.best is None:
            save_model(model, out / MODEL)
        elif (out / HISTORY).exists():
            curves(out / HISTORY, out / CURVES)
        print(f"\nInterrupted. The model so far is in {out / MODEL}")
        raise
    curves(out / HISTORY, out / CURVES)

    print("Scores of the best model:")
    model = load_model(out)
    score(model, validation, out, options.val_split or "val")
    keras.utils.save_img(out / SAMPLES, _sample_rows(model, validation), scale=False)
    keras_seg.export(
        model, out / SAVED_MODEL, class_names=training.class_names, overwrite=True
    )
    print(f"\nWrote {out}: " + ", ".join(sorted(os.listdir(out))))


def _look_at_some(sources: dict[str, Source], options: argparse.Namespace) -> None:
    """Raise, before training begins, for what a few examples show to be wrong."""
    report = keras_seg.data.inspect(sources, examples=16, verbose=False)
    for problem in report.problems:
        where = ": ".join(filter(None, (problem.split, problem.example)))
        message = (
            f"{where}: {problem.message} `keras-seg inspect` with the same options "
            "looks at all examples."
        )
        if problem.serious:
            raise SuggestionError(message, problem.arguments)
        if not problem.example:
            print(f"Note: {translated(message, vars(options))}")


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


def _sample_rows(model: keras.Model, source: Source, count: int = 4) -> np.ndarray:
    """A picture of a few examples, spread over the data set."""
    rows = []
    for index in np.linspace(0, len(source) - 1, min(count, len(source)), dtype=int):
        image, truth = source[int(index)]
        prediction = keras_seg.predict_mask(model, image)
        rows.append((visible(image), truth, prediction))
    return samples(rows, source.palette, source.class_names)
