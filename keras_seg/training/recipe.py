"""The recipe of `keras-seg train`: network, batches, optimizer and loss.

Each step is a function of its own, so that a script may replace any of them:

    model, arguments = build_model("unet", 6, widths=(16, 32, 64, 128))
    compile_model(model, optimizer(model, 1e-3, steps=2000), build_loss("dice"))
    batches = training_batches(source, size=64, batch_size=8)
    model.fit(batches, steps_per_epoch=200, epochs=10, shuffle=False)
"""

import difflib
import functools
import inspect
import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_seg import models
from keras_seg.arguments import check_integer
from keras_seg.data import Source, standard_augmentation
from keras_seg.data.augment import StandardAugmentation
from keras_seg.labels import ValueRange
from keras_seg.losses import (
    BoundaryF1,
    Dice,
    Focal,
    Jaccard,
    Lovasz,
    TopKCrossEntropy,
    Tversky,
    WeightedCrossEntropy,
)
from keras_seg.metrics import SegmentationScores

# Filters per level of a U-Net that trains in minutes without a GPU.
_WIDTHS = (16, 32, 64, 128)
# Of the decoder's levels with an encoder.
_DECODER_WIDTHS = (16, 32, 64, 128, 256)
#: Arguments that not all models have, and that `keras-seg train` has options for.
ARGUMENTS = (
    "widths",
    "encoder",
    "normalization",
    "upsampling",
    "auxiliary",
    "fresh_head",
)
_LOSSES: dict[str, Any] = {
    "cross_entropy": WeightedCrossEntropy,
    "focal": Focal,
    "top_k": TopKCrossEntropy,
    "dice": Dice,
    "jaccard": Jaccard,
    "tversky": Tversky,
    "lovasz": Lovasz,
    "boundary_f1": BoundaryF1,
}


def models_with(argument: str) -> list[str]:
    """The models that are built with an argument, by name."""
    return [
        name
        for name in models.__all__
        if {"num_classes", argument} <= _parameters(name).keys()
    ]


def default_encoder(model: str) -> str | None:
    """The encoder of a model that isn't built without one; else None."""
    parameter = _parameters(model).get("encoder")
    return None if parameter is None else parameter.default


def _parameters(model: str) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(getattr(models, model)).parameters


def build_model(
    name: str,
    num_classes: int,
    *,
    channels: int = 3,
    value_range: ValueRange = (0, 255),
    widths: Sequence[int] | None = None,
    encoder: str | None = None,
    normalization: str | None = None,
    upsampling: str | None = None,
    auxiliary: float | None = None,
    fresh_head: bool | None = None,
    encoder_weights: str | None = None,
    weights: str | None = None,
) -> tuple[keras.Model, dict[str, Any]]:
    """Build a network with the defaults of `keras-seg train`.

    Args:
        name: The model, as "unet": a function of `keras_seg`.
        num_classes: Number of classes, the background among them.
        channels: Channels of the images.
        value_range: (low, high) of the images, numbers or one for each channel.
        widths: Filters per level, for models that have these. None means what the model
            has; for a U-Net and its kin (16, 32, 64, 128), or with an encoder (16, 32,
            64, 128, 256) in the decoder.
        encoder: Name of the backbone, for models that have one. None means what the
            model has: a path down of its own, or a backbone.
        normalization: "none", "batch" or "group", for models that let one choose. None
            means "batch".
        upsampling: "transpose", "bilinear" or "nearest", for models that let one
            choose. None means what the model has; for a U-Net "nearest" with an
            encoder, else "transpose".
        auxiliary: Weight of the loss of an auxiliary head, for models that have one.
            None means 0, no head.
        fresh_head: Whether to reinitialise the last convolution. None means not.
        encoder_weights: Weights of the encoder, of an FCN those of its VGG16: None,
            "imagenet", or a file.
        weights: Weights of the whole network: None, a file, or the folder of a run.

    Returns:
        The model, and the arguments that it was built with, defaults resolved.

    Raises:
        ValueError: for arguments that the model hasn't, or out of range.

    Example:
        >>> model, arguments = build_model("unet", 6)
        >>> arguments["widths"], arguments["normalization"]
        ((16, 32, 64, 128), 'batch')
    """
    given = {
        # The builder refuses what is no sequence.
        "widths": tuple(widths) if isinstance(widths, Sequence) else widths,
        "encoder": encoder,
        "normalization": normalization,
        "upsampling": upsampling,
        "auxiliary": auxiliary,
        "fresh_head": fresh_head,
    }
    # Where None would mean what the paper has.
    defaults = {
        "widths": _DECODER_WIDTHS if encoder else _WIDTHS,
        "encoder": None,
        "normalization": "batch",
        "upsampling": "nearest" if encoder else "transpose",
        "auxiliary": 0.0,
        "fresh_head": False,
    }
    parameters = _parameters(name)
    arguments: dict[str, Any] = {}
    for argument, value in given.items():
        if argument in parameters:
            default = parameters[argument].default
            default = defaults[argument] if default is None else default
            arguments[argument] = default if value is None else value
        elif value is not None:
            raise ValueError(
                f"Expected `{argument}` with a model that has it: "
                f"{', '.join(models_with(argument))}. Received: {value!r} for {name!r}"
            )
    arguments |= {"encoder_weights": encoder_weights, "weights": weights}
    build = getattr(models, name)
    images: dict[str, Any] = {"input_shape": (None, None, channels)}
    model = build(num_classes, **images, value_range=value_range, **arguments)
    return model, arguments


def build_loss(
    text: str, class_weights: Sequence[float] | None = None
) -> keras.losses.Loss:
    """Make a loss, or a weighted sum of losses, from names.

    Args:
        text: Names joined by "+", each with a factor if it isn't 1:
            "dice+cross_entropy", "0.5*lovasz+cross_entropy". The names are
            "cross_entropy", "focal", "top_k", "dice", "jaccard", "tversky", "lovasz"
            and "boundary_f1".
        class_weights: A weight per class, for cross-entropy, focal and top-k.

    Raises:
        ValueError: for an unknown name, naming the nearest; for a factor that is no
            number above 0; for class weights where no loss takes them.

    Example:
        >>> build_loss("0.5*dice+cross_entropy")
        0.5 * Dice() + WeightedCrossEntropy()
    """
    parts, takes_weights = [], False
    for term in text.split("+"):
        factor, star, name = term.rpartition("*")
        name = name.strip()
        if name not in _LOSSES:
            near = difflib.get_close_matches(name, _LOSSES, n=1, cutoff=0.4)
            raise ValueError(
                f"Expected `loss` to be one of {', '.join(_LOSSES)}, or a sum such as "
                f"dice+cross_entropy. Received: {name or text!r}"
                + (f". Nearest: {near[0]}." if near else "")
            )
        loss = _LOSSES[name]
        if loss in (Focal, TopKCrossEntropy, WeightedCrossEntropy):
            parts.append(loss(class_weights=class_weights))
            takes_weights = True
        else:
            parts.append(loss())
        if star:
            parts[-1] = _factor(factor, text) * parts[-1]
    if class_weights is not None and not takes_weights:
        raise ValueError(
            "Expected `class_weights` for cross_entropy, focal or top_k. Received: the "
            f"loss {text}"
        )
    return functools.reduce(operator.add, parts)


def _factor(word: str, text: str) -> float:
    try:
        factor = float(word)
    except ValueError:
        factor = math.nan
    if not 0 < factor < math.inf:
        raise ValueError(
            f"Expected factors above 0 in `loss`, as 0.5*dice. Received: {text!r}"
        )
    return factor


def compile_model(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    loss: keras.losses.Loss | None = None,
) -> None:
    """Compile a model with all scores of one confusion matrix.

    Args:
        model: A model from images to logits.
        optimizer: From `training.optimizer`, or any other.
        loss: None means cross-entropy.
    """
    model.compile(
        optimizer=optimizer,
        loss=loss or WeightedCrossEntropy(),
        metrics=[SegmentationScores(model.output_shape[-1])],
        # Whole images come in many sizes, and XLA would compile anew for each.
        jit_compile=False,
    )


def training_batches(
    source: Source,
    *,
    size: int,
    batch_size: int,
    augment: StandardAugmentation | None = None,
    seed: int = 0,
    first_step: int = 0,
) -> tf.data.Dataset:
    """Make endless batches of augmented square crops, shuffled anew in each epoch.

    Args:
        source: Examples to train on.
        size: Height and width of the crops.
        batch_size: Crops per step.
        augment: How to augment; None means `standard_augmentation()`.
        seed: The same seed gives the same batches.
        first_step: Steps that were done before, when training continues.
    """
    return source.batches(
        batch_size,
        size=(size, size),
        augment=augment or standard_augmentation(),
        shuffle=True,
        seed=seed,
        repeat=True,
        first_step=first_step,
    )


def steps_per_epoch(source: Source, batch_size: int) -> int:
    """Steps in which as many crops are seen as there are examples."""
    return max(1, len(source) // check_integer("batch_size", batch_size, 1))


def spread(source: Source, count: int | None) -> Source:
    """Take some examples, spread evenly over a Source; the same ones each time.

    Args:
        source: The examples to choose from.
        count: How many to take. None, or a number above their own, means all.
    """
    n = len(source)
    if count is not None:
        count = check_integer("count", count, 1)
    if count is None or count >= n:
        return source
    return source[np.arange(count) * n // count]
