"""U-Net: a path down, a path up, and a skip across at every level.

Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for Biomedical Image
Segmentation", MICCAI 2015, https://arxiv.org/abs/1505.04597, figure 1.

With `padding="valid"`, `dropout=0.5` it is the paper's net. With `padding="same"`
convolutions are padded, so that masks keep the size of images. With `encoder=` another
net takes the place of the path down.
"""

import math
import os
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_seg.labels import check_num_classes
from keras_seg.models.encoders import encoder as make_encoder
from keras_seg.models.layers import (
    CheckRange,
    RequireValidSize,
    UpsampleBilinear,
    check_input_shape,
    check_share,
    check_word,
    crop_to,
    is_positive,
    logits_of,
)
from keras_seg.models.weights import load_weights


def unet(
    num_classes: int,
    *,
    input_shape: tuple[int | None, int | None, int] = (None, None, 3),
    widths: Sequence[int] | None = None,
    upsampling: str = "transpose",
    padding: str = "same",
    normalization: str | None = None,
    dropout: float = 0.0,
    encoder: str | keras.Model | None = None,
    weights: str | os.PathLike | None = None,
    activation: Any = None,
    name: str = "unet",
) -> keras.Model:
    """Build a U-Net.

    Args:
        num_classes: Number of classes to tell apart, the background among them.
        input_shape: Height, width and channels of the images. None stands for any
            height or width.
        widths: Filters per level, from full resolution to the bottom. None means the
            paper's (64, 128, 256, 512, 1024). With an encoder, filters of the way up at
            strides 1, 2, 4, 8 and 16; None means (16, 32, 64, 128, 256).
        upsampling: How maps come back up: "transpose" (the paper's 2x2 transposed
            convolution), "bilinear" or "nearest" (a 1x1 convolution, then a resize
            without weights).
        padding: "same", or "valid" as in the paper: the output is smaller than the
            input (572 -> 388), and only some sizes fit (16k + 60 with five levels).
        normalization: After each 3x3 convolution: None as in the paper, "batch", or
            "group" (of up to 32 groups, for batches of few images).
        dropout: Share of activations dropped after the two deepest levels (with an
            encoder, after the deepest); the paper uses 0.5.
        encoder: None for the paper's path down, or what `models.encoder` takes: the
            name of a backbone or a `keras.Model`. It is the layer "encoder": with
            `model.get_layer("encoder").trainable = False` it doesn't learn, nor do its
            statistics move.
        weights: None, "imagenet" (the encoder's), or the path of a whole model's
            weights, `.weights.h5` or `.keras`.
        activation: Of the last layer. None gives logits, "softmax" probabilities.
        name: Name of the model.

    Returns:
        A model from images `[batch, height, width, channels]` in 0..255 to float32
        logits `[batch, height, width, num_classes]`; with `padding="same"` of the
        input's size, whatever that is.

    Raises:
        ValueError: for arguments out of range, unknown words, a backbone that can't be
            used, weights of another model, or with `padding="valid"` a size that
            doesn't fit, naming the nearest that do.
        FileNotFoundError: if there is no file of weights.

    Example:
        >>> model = unet(num_classes=21, widths=(8, 16, 32))
        >>> model.compute_output_shape((1, 65, 97, 3))
        (1, 65, 97, 21)
    """
    num_classes = check_num_classes(num_classes)
    input_shape = check_input_shape(input_shape)
    check_word("upsampling", upsampling, ("transpose", "bilinear", "nearest"))
    check_word("padding", padding, ("same", "valid"))
    check_word("normalization", normalization, (None, "batch", "group"))
    check_share("dropout", dropout)
    widths = _check_widths(widths, encoder)
    if weights == "imagenet" and encoder is None:
        raise ValueError(
            "Expected an `encoder` with weights='imagenet'. The paper's net has no "
            "such weights: add, for example, `encoder='resnet50'`."
        )
    conv: dict[str, Any] = {"padding": padding, "normalization": normalization}

    image = keras.Input(input_shape, name="image")
    if encoder is None:
        features = _path_down(image, widths, dropout=dropout, **conv)
        path_up = widths[:-1]
    else:
        if padding != "same":
            raise ValueError(
                f"Expected padding='same' with an encoder. Received: {padding!r}"
            )
        start = "imagenet" if weights == "imagenet" else None
        features = make_encoder(encoder, input_shape=input_shape, weights=start)(image)
        features = [None, *features]  # nothing comes across at full resolution
        path_up = widths

    *skips, x = features
    if encoder is not None and dropout:
        x = layers.Dropout(dropout, name="bottom_dropout")(x)
    offset = "centre" if padding == "valid" else 0
    for level, (skip, width) in reversed(
        list(enumerate(zip(skips, path_up, strict=True), start=1))
    ):
        x = upsample(x, width, upsampling=upsampling, name=f"up{level}")
        if skip is not None:
            if padding == "same":
                x = crop_to(x, skip, name=f"up{level}_crop")
            else:
                skip = crop_to(skip, x, offset=offset, name=f"up{level}_crop")
            x = layers.Concatenate(name=f"up{level}_join")([skip, x])
        x = double_conv(x, width, name=f"up{level}", **conv)

    x = layers.Conv2D(num_classes, 1, dtype="float32", name="score")(x)
    if encoder is not None:
        x = crop_to(x, image, name="crop")  # it pads to multiples of 32
    model = keras.Model(image, logits_of(x, activation), name=name)

    if weights not in (None, "imagenet"):
        load_weights(model, weights)
    return model


def _path_down(
    image: Any, widths: Sequence[int], *, dropout: float, padding: str, **conv: Any
) -> list[Any]:
    """The paper's encoder: features at strides 1, 2, 4, ..., the bottom last."""
    *path, bottom = widths
    x = CheckRange(name="range")(image)
    if padding == "valid":
        x = RequireValidSize(len(path), name="valid_size")(x)
    # To -1..1: around zero it learns sooner.
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="rescale")(x)
    features = []
    for level, width in enumerate(path, start=1):
        x = double_conv(x, width, name=f"down{level}", padding=padding, **conv)
        if dropout and level == len(path):
            x = layers.Dropout(dropout, name=f"down{level}_dropout")(x)
        features.append(x)
        x = layers.MaxPooling2D(padding="same", name=f"down{level}_pool")(x)
    x = double_conv(x, bottom, name="bottom", padding=padding, **conv)
    if dropout:
        x = layers.Dropout(dropout, name="bottom_dropout")(x)
    return [*features, x]


def double_conv(
    x: Any, width: int, *, name: str, padding: str, normalization: str | None
) -> Any:
    """Two 3x3 convolutions, each with a ReLU, and perhaps normalised before it."""
    for k in (1, 2):
        x = layers.Conv2D(
            width,
            3,
            padding=padding,
            activation=None if normalization else "relu",
            use_bias=normalization is None,
            kernel_initializer="he_normal",
            name=f"{name}_conv{k}",
        )(x)
        if normalization == "batch":
            x = layers.BatchNormalization(name=f"{name}_norm{k}")(x)
        elif normalization == "group":
            groups = math.gcd(width, 32)
            x = layers.GroupNormalization(groups, name=f"{name}_norm{k}")(x)
        if normalization:
            x = layers.ReLU(name=f"{name}_relu{k}")(x)
    return x


def upsample(x: Any, width: int, *, upsampling: str, name: str) -> Any:
    """Twice the height and width, `width` channels."""
    if upsampling == "transpose":
        return layers.Conv2DTranspose(
            width,
            2,
            strides=2,
            kernel_initializer="he_normal",
            name=f"{name}_transpose",
        )(x)
    # A 1x1 convolution and a resize commute; in this order it works on a quarter of
    # the pixels.
    x = layers.Conv2D(width, 1, kernel_initializer="he_normal", name=f"{name}_conv0")(x)
    if upsampling == "bilinear":
        return UpsampleBilinear(2, name=f"{name}_bilinear")(x)
    return layers.UpSampling2D(2, interpolation="nearest", name=f"{name}_nearest")(x)


def _check_widths(widths: Sequence[int] | None, encoder: Any) -> tuple[int, ...]:
    if widths is None:
        default = (64, 128, 256, 512, 1024)
        return default if encoder is None else (16, 32, 64, 128, 256)
    checked = tuple(widths) if np.ndim(widths) == 1 else ()
    enough = len(checked) >= 2 if encoder is None else len(checked) == 5
    if not enough or not all(map(is_positive, checked)):
        count = "two or more positive integers, from full resolution to the bottom"
        if encoder is not None:
            count = "five positive integers, for strides 1, 2, 4, 8 and 16"
        raise ValueError(f"Expected `widths` to be {count}. Received: {widths}")
    return checked
