"""The recipe of `keras-seg train`: network, batches, optimizer and loss.

Each step is a function of its own, so that a script may replace any of them:

    model, arguments = build_model("unet", 6, widths=(16, 32, 64, 128))
    compile_model(model, optimizer(model, 1e-3, steps=2000), build_loss("dice"))
    batches = training_batches(source, size=64, batch_size=8)
    model.fit(batches, steps_per_epoch=200, epochs=10, shuffle=False)
"""

import difflib
import functools
import math
import operator
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_seg import models
from keras_seg.data import Source, standard_augmentation
from keras_seg.data.augment import StandardAugmentation
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

_USUAL = ("encoder", "auxiliary", "fresh_head")
#: What each network takes beside the weights that it starts from.
TAKES: dict[str, tuple[str, ...]] = {
    "unet": ("widths", "encoder", "normalization", "upsampling", "fresh_head"),
    "unet_plus_plus": ("widths", "normalization", *_USUAL),
    "fcn": _USUAL,
    "deeplab_v3": _USUAL,
    "deeplab_v3_plus": _USUAL,
    "fpn": _USUAL,
    "linknet": _USUAL,
    "pspnet": ("encoder", "fresh_head"),
    "upernet": _USUAL,
    "fcn32s": ("upsampling",),
    "fcn16s": ("upsampling",),
    "fcn8s": ("upsampling",),
}
#: Backbones of networks that have none of their own.
DEFAULT_ENCODERS = {"fcn": "resnet50", "deeplab_v3": "resnet50"} | dict.fromkeys(
    ("deeplab_v3_plus", "fpn", "linknet", "pspnet", "upernet"), "resnet34"
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


def build_model(
    name: str,
    num_classes: int,
    *,
    channels: int = 3,
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
        name: The name of a builder in `keras_seg`, one of `TAKES`.
        num_classes: Number of classes, the background among them.
        channels: Channels of the images.
        widths: U-Net and UNet++: filters per level. None means (16, 32, 64, 128), or
            with an encoder (16, 32, 64, 128, 256) in the decoder.
        encoder: Name of the backbone; of a U-Net or UNet++ that which replaces its own
            path down. None means what `DEFAULT_ENCODERS` has for the others.
        normalization: U-Net and UNet++: "none", "batch" or "group". None means "batch".
        upsampling: U-Net and the FCNs of VGG16: "transpose", "bilinear" or, U-Net only,
            "nearest". None means "nearest" with an encoder, else "transpose".
        auxiliary: Weight of the loss of an auxiliary head. None means 0, no head.
        fresh_head: Whether the scores in the file of `weights` are left out.
        encoder_weights: Weights of the encoder, of an FCN those of its VGG16: None,
            "imagenet", or a file.
        weights: Weights of the whole network: None, a file, or the folder of a run.

    Returns:
        The model, and the arguments that it was built with, defaults resolved.

    Raises:
        ValueError: for arguments of another network, or out of range.

    Example:
        >>> model, arguments = build_model("unet", 6)
        >>> arguments["widths"], arguments["normalization"]
        ((16, 32, 64, 128), 'batch')
    """
    given = {
        "widths": widths,
        "encoder": encoder or DEFAULT_ENCODERS.get(name),
        "normalization": normalization,
        "upsampling": upsampling,
        "auxiliary": auxiliary,
        "fresh_head": fresh_head,
    }
    takes = TAKES[name]
    for option, value in given.items():
        if value is not None and option not in takes:
            raise ValueError(
                f"Expected `{option}` for "
                f"{', '.join(n for n in TAKES if option in TAKES[n])} only. Received: "
                f"{value!r} for {name!r}"
            )
    arguments = {option: given[option] for option in takes}
    arguments |= {"encoder_weights": encoder_weights, "weights": weights}
    if "upsampling" in takes:
        usual = "nearest" if given["encoder"] else "transpose"
        arguments["upsampling"] = upsampling or usual
    if "widths" in takes:
        usual_widths = _DECODER_WIDTHS if encoder else _WIDTHS
        arguments["widths"] = tuple(widths or usual_widths)
        arguments["normalization"] = normalization or "batch"
    if "auxiliary" in takes:
        arguments["auxiliary"] = auxiliary or 0.0
    if "fresh_head" in takes:
        arguments["fresh_head"] = bool(fresh_head)
    build = getattr(models, name)
    model = build(num_classes, input_shape=(None, None, channels), **arguments)
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
            near = difflib.get_close_matches(name, _LOSSES, n=3, cutoff=0.4)
            raise ValueError(
                f"Expected `loss` to be of {', '.join(near or _LOSSES)}, or a sum such "
                f"as dice+cross_entropy. Received: {name or text!r}"
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
    return max(1, len(source) // batch_size)


def spread(source: Source, count: int | None) -> Source:
    """Take some examples, spread evenly over a Source; the same ones each time.

    Args:
        source: The examples to choose from.
        count: How many to take. None, or a number above their own, means all.
    """
    n = len(source)
    if count is None or count >= n:
        return source
    return source[np.arange(count) * n // count]
