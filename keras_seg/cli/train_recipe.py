"""What options of `keras-seg train` stand for: defaults, optimizer, augmentation."""

import argparse
from collections.abc import Mapping
from typing import Any

import keras

from keras_seg import data
from keras_seg.cli.train_options import ENCODER_RATE, FEWEST_STEPS
from keras_seg.data import Source
from keras_seg.data.augment import StandardAugmentation
from keras_seg.models.encoders.frozen import freeze_batch_normalization
from keras_seg.training.freezing import FreezeEncoder
from keras_seg.training.optimizers import optimizer
from keras_seg.training.recipe import (
    ARGUMENTS,
    build_loss,
    default_encoder,
    models_with,
    spread,
    steps_per_epoch,
)
from keras_seg.training.tensorboard import check_tensorboard

# Defaults for drawn shapes, which are small and fill the image, and for all other data.
_OF_SHAPES: dict[str, Any] = {
    "size": 64,
    "scale": (0.8, 1.25),
    "batch_size": 16,
    "learning_rate": 3e-3,
}
_OF_PHOTOS: dict[str, Any] = {
    "size": 256,
    "scale": (0.5, 2.0),
    "batch_size": 8,
    "learning_rate": 1e-3,
}


def check_options(options: argparse.Namespace) -> None:
    """Raise for options that don't go together."""
    for name in ARGUMENTS:
        models = models_with(name)
        given = getattr(options, name) not in (None, False)
        if given and options.model not in models:
            raise ValueError(
                f"Expected --{name.replace('_', '-')} with a --model that has it: "
                f"{', '.join(models)}. Received: --model {options.model}"
            )
    if options.fresh_head and options.weights is None:
        raise ValueError("Expected --weights with --fresh-head.")
    # Of any weights, which take long to count.
    build_loss(options.loss, None if options.class_weights == "none" else [1.0])
    if options.tensorboard:
        check_tensorboard()
    if options.devices > 1:
        _check_devices(options)
    if options.encoder is None and default_encoder(options.model) is None:
        for name in ("freeze_encoder", "freeze_batch_norm", "encoder_rate"):
            if getattr(options, name) not in (None, False):
                flag = f"--{name.replace('_', '-')}"
                raise ValueError(f"Expected --encoder with {flag}.")


def _check_devices(options: argparse.Namespace) -> None:
    """Raise for options that don't go with several devices."""
    for name, unset in (("ema", None), ("accumulate", 1)):
        if getattr(options, name) != unset:
            raise ValueError(
                f"Expected --{name} with one device. Received: --devices "
                f"{options.devices}. Keras does it on one device only."
            )
    batch_size = options.batch_size or _values_of(options.data)["batch_size"]
    if batch_size % options.devices:
        raise ValueError(
            f"Expected a batch size that {options.devices} devices can share equally. "
            f"Received: --batch-size {batch_size}. It counts the crops of all devices."
        )


def _values_of(data_set: str) -> dict[str, Any]:
    return _OF_SHAPES if data_set == "shapes" else _OF_PHOTOS


def with_defaults(options: Mapping[str, Any], training: Source) -> dict[str, Any]:
    """Options with their defaults, where these depend on other options."""
    values: dict[str, Any] = dict(_values_of(options["data"]))
    batch_size = options["batch_size"] or values["batch_size"]
    steps = max(FEWEST_STEPS, steps_per_epoch(training, batch_size))
    steps = options["steps_per_epoch"] or steps
    values |= {
        "steps_per_epoch": steps,
        "encoder": options["encoder"] or default_encoder(options["model"]),
        "warmup": min(100, options["epochs"] * steps // 10),
    }
    if options["data"] != "shapes":
        values["size"] = _size_of_crops(training, values["size"])
    values["schedule"] = "poly" if values["encoder"] else "cosine"
    if values["encoder"]:
        is_trained = options["encoder_weights"] is not None
        values["encoder_rate"] = ENCODER_RATE if is_trained else 1.0
        values["freeze_batch_norm"] = is_trained
    return {**options} | {k: v for k, v in values.items() if options[k] is None}


def _size_of_crops(training: Source, largest: int) -> int:
    """The side of crops, no larger than images: the rest would be padding."""
    some = spread(training, 16)
    masks = [some.size(k) or some[k][1].shape for k in range(len(some))]
    side = max(max(size) for size in masks)
    return min(largest, -(-side // 32) * 32)


def class_weights(training: Source, method: str) -> list[float] | None:
    """The weights of the classes that --class-weights names."""
    if method == "none":
        return None
    return data.class_weights(data.class_frequencies(training), method)


def build_optimizer(
    model: keras.Model, options: Mapping[str, Any]
) -> keras.optimizers.Optimizer:
    """Freeze what is never trained, and make the optimizer of the rest."""
    if options["encoder"] is not None:
        encoder = model.get_layer("encoder")
        freeze_batch_normalization(encoder, bool(options["freeze_batch_norm"]))
        if options["freeze_encoder"] is True:
            encoder.trainable = False
    rate = options["encoder_rate"]
    made = optimizer(
        model,
        options["learning_rate"],
        steps=options["epochs"] * options["steps_per_epoch"],
        name=options["optimizer"],
        schedule=options["schedule"],
        warmup=options["warmup"],
        weight_decay=options["weight_decay"],
        encoder_rate=1.0 if rate is None else rate,
        ema=options["ema"],
        accumulate=options["accumulate"],
        clip=options["clip"],
    )
    made.build(model.trainable_variables)
    return made


def callbacks(options: Mapping[str, Any]) -> dict[str, keras.callbacks.Callback]:
    """Callbacks that options ask for, by the options' names."""
    found: dict[str, keras.callbacks.Callback] = {}
    if options["ema"] is not None:
        found["ema"] = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
    if options["freeze_encoder"] not in (None, True):
        found["freeze_encoder"] = FreezeEncoder(
            options["freeze_encoder"],
            batch_normalization=not options["freeze_batch_norm"],
        )
    if options["early_stop"] is not None:
        found["early_stop"] = _EarlyStopping(
            "val_mean_iou", patience=options["early_stop"], mode="max"
        )
    return found


class _EarlyStopping(keras.callbacks.EarlyStopping):
    """Keras's, without a warning for each epoch that isn't validated."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.monitor in (logs or {}):
            super().on_epoch_end(epoch, logs)


def augmentation(options: Mapping[str, Any]) -> StandardAugmentation:
    """What --scale and --augment name."""
    scale, text = options["scale"], options["augment"]
    if text is None:
        return data.standard_augmentation(scale=scale)
    if text == "none":
        return data.standard_augmentation(scale=scale, color=0, flip=False)
    words = dict(word.split("=", 1) for word in text.split(","))
    values = {name: _number_or_word(value) for name, value in words.items()}
    try:
        return data.standard_augmentation(scale=scale, **values)
    except ValueError as error:
        raise ValueError(f"--augment {text}: {error}") from None


def _number_or_word(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return {"yes": True, "no": False}.get(text, text)
