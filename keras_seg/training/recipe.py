"""The recipe of `keras-seg train`: network, batches, optimizer and loss.

Each step is a function of its own, so that a script may replace any of them:

    model, arguments = build_model("unet", 6, widths=(16, 32, 64, 128))
    compile_model(model, learning_rate=1e-3, steps=2000)
    batches = training_batches(source, size=64, batch_size=8)
    model.fit(batches, steps_per_epoch=200, epochs=10, shuffle=False)
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_seg import models
from keras_seg.data import Source, standard_augmentation
from keras_seg.losses import WeightedCrossEntropy
from keras_seg.metrics import SegmentationScores

# Filters per level of a U-Net that trains in minutes without a GPU.
_WIDTHS = (16, 32, 64, 128)
# Of the decoder's levels with an encoder.
_DECODER_WIDTHS = (16, 32, 64, 128, 256)


def build_model(
    name: str,
    num_classes: int,
    *,
    channels: int = 3,
    widths: Sequence[int] | None = None,
    encoder: str | None = None,
    normalization: str | None = None,
    upsampling: str | None = None,
    encoder_weights: str | None = None,
    weights: str | None = None,
    freeze_encoder: bool = False,
) -> tuple[keras.Model, dict[str, Any]]:
    """Build a network with the defaults of `keras-seg train`.

    Args:
        name: "unet", "fcn32s", "fcn16s" or "fcn8s".
        num_classes: Number of classes, the background among them.
        channels: Channels of the images.
        widths: U-Net: filters per level. None means (16, 32, 64, 128), or with an
            encoder (16, 32, 64, 128, 256) in the decoder.
        encoder: U-Net: name of the backbone that replaces its own path down.
        normalization: U-Net: "none", "batch" or "group". None means "batch".
        upsampling: "transpose", "bilinear" or, U-Net only, "nearest". None means
            "nearest" with an encoder, else "transpose".
        encoder_weights: Weights of the encoder, of an FCN those of its VGG16: None,
            "imagenet", or a file.
        weights: Weights of the whole network: None, a file, or the folder of a run.
        freeze_encoder: Whether to train the decoder only.

    Returns:
        The model, and the arguments that it was built with, defaults resolved.

    Raises:
        ValueError: for arguments of another network, or out of range.

    Example:
        >>> model, arguments = build_model("unet", 6)
        >>> arguments["widths"], arguments["normalization"]
        ((16, 32, 64, 128), 'batch')
    """
    arguments: dict[str, Any] = {
        "upsampling": upsampling or ("nearest" if encoder else "transpose"),
        "encoder_weights": encoder_weights,
        "weights": weights,
    }
    of_unet = {"widths": widths, "encoder": encoder, "normalization": normalization}
    if name == "unet":
        arguments |= {
            "encoder": encoder,
            "widths": tuple(widths or (_DECODER_WIDTHS if encoder else _WIDTHS)),
            "normalization": normalization or "batch",
        }
    else:
        for option, value in of_unet.items():
            if value is not None:
                raise ValueError(
                    f"Expected `{option}` for a U-Net only. Received: {value!r} for "
                    f"{name!r}"
                )
    if freeze_encoder and encoder is None:
        raise ValueError("Expected an `encoder` with freeze_encoder=True.")
    build = getattr(models, name)
    model = build(num_classes, input_shape=(None, None, channels), **arguments)
    if freeze_encoder:
        model.get_layer("encoder").trainable = False
    return model, arguments


def compile_model(model: keras.Model, *, learning_rate: float, steps: int) -> None:
    """Compile a model with Adam, cross-entropy and all scores of one confusion matrix.

    Args:
        model: A model from images to logits.
        learning_rate: The highest learning rate. It rises to it in a straight line
            (over a tenth of the steps, 100 at most), and falls to 0 along half a
            cosine.
        steps: Steps of the whole training.
    """
    warmup = min(100, steps // 10)
    schedule = keras.optimizers.schedules.CosineDecay(
        learning_rate / max(1, warmup),
        steps - warmup,
        warmup_target=learning_rate,
        warmup_steps=warmup,
    )
    model.compile(
        optimizer=keras.optimizers.Adam(schedule),
        loss=WeightedCrossEntropy(),
        metrics=[SegmentationScores(model.output_shape[-1])],
        # Whole images come in many sizes, and XLA would compile anew for each.
        jit_compile=False,
    )


def training_batches(
    source: Source,
    *,
    size: int,
    batch_size: int,
    scale: tuple[float, float] = (0.5, 2.0),
    seed: int = 0,
    first_step: int = 0,
) -> tf.data.Dataset:
    """Make endless batches of augmented square crops, shuffled anew in each epoch.

    Args:
        source: Examples to train on.
        size: Height and width of the crops.
        batch_size: Crops per step.
        scale: Range of the random factor that images are resized by before cropping.
        seed: The same seed gives the same batches.
        first_step: Steps that were done before, when training continues.
    """
    return source.batches(
        batch_size,
        size=(size, size),
        augment=standard_augmentation(scale=scale),
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
