"""U-Net: a path down, a path up, and a skip across at every level.

Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for Biomedical Image
Segmentation", MICCAI 2015, https://arxiv.org/abs/1505.04597, figure 1. Unlike the
paper's, convolutions are padded, so that masks keep the size of images.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from keras_seg.labels import check_num_classes
from keras_seg.models.layers import (
    UpsampleBilinear,
    check_input_shape,
    check_word,
    crop_to,
)


def unet(
    num_classes: int,
    *,
    input_shape: tuple[int | None, int | None, int] = (None, None, 3),
    widths: Sequence[int] | None = None,
    upsampling: str = "transpose",
    dropout: float = 0.0,
    activation: Any = None,
    name: str = "unet",
) -> keras.Model:
    """Build a U-Net.

    Args:
        num_classes: Number of classes to tell apart, the background among them.
        input_shape: Height, width and channels of the images. None stands for any
            height or width; the output always has the size of the input.
        widths: Filters per level, from full resolution to the bottom. None means the
            paper's (64, 128, 256, 512, 1024).
        upsampling: How maps come back up: "transpose" (the paper's 2x2 transposed
            convolution), "bilinear" or "nearest" (a 1x1 convolution, then a resize
            without weights).
        dropout: Share of activations dropped after the two deepest levels; the paper
            uses 0.5.
        activation: Of the last layer. None gives logits, "softmax" probabilities.
        name: Name of the model.

    Returns:
        A model from images `[batch, height, width, channels]` in 0..255 to float32
        logits `[batch, height, width, num_classes]`.

    Raises:
        ValueError: for fewer than two classes, an input shape that isn't one, widths
            that aren't two or more positive integers, or an unknown upsampling.

    Example:
        >>> model = unet(num_classes=21, widths=(8, 16, 32))
        >>> model.compute_output_shape((1, 65, 97, 3))
        (1, 65, 97, 21)
    """
    num_classes = check_num_classes(num_classes)
    input_shape = check_input_shape(input_shape)
    check_word("upsampling", upsampling, ("transpose", "bilinear", "nearest"))
    *path, bottom = _check_widths(widths)

    image = keras.Input(input_shape, name="image")
    # To -1..1: around zero it learns sooner.
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="rescale")(image)

    skips = []
    for level, width in enumerate(path, start=1):
        deepest = level == len(path)
        x = double_conv(x, width, name=f"down{level}")
        if dropout and deepest:
            x = layers.Dropout(dropout, name=f"down{level}_dropout")(x)
        skips.append(x)
        x = layers.MaxPooling2D(padding="same", name=f"down{level}_pool")(x)

    x = double_conv(x, bottom, name="bottom")
    if dropout:
        x = layers.Dropout(dropout, name="bottom_dropout")(x)

    for level, skip in reversed(list(enumerate(skips, start=1))):
        width = skip.shape[-1]
        x = upsample(x, width, upsampling=upsampling, name=f"up{level}")
        x = crop_to(x, skip, name=f"up{level}_crop")
        x = layers.Concatenate(name=f"up{level}_join")([skip, x])
        x = double_conv(x, width, name=f"up{level}")

    logits = layers.Conv2D(
        num_classes,
        1,
        activation=activation,
        dtype="float32",
        name="probabilities" if activation else "logits",
    )(x)
    return keras.Model(image, logits, name=name)


def double_conv(x: Any, width: int, *, name: str) -> Any:
    """Two 3x3 convolutions, each with a ReLU."""
    for k in (1, 2):
        x = layers.Conv2D(
            width,
            3,
            padding="same",
            activation="relu",
            kernel_initializer="he_normal",
            name=f"{name}_conv{k}",
        )(x)
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


def _check_widths(widths: Sequence[int] | None) -> tuple[int, ...]:
    if widths is None:
        return (64, 128, 256, 512, 1024)
    checked = tuple(widths)
    if len(checked) < 2 or not all(isinstance(w, int) and w > 0 for w in checked):
        raise ValueError(
            "Expected `widths` to be two or more positive integers, from full "
            f"resolution to the bottom. Received: {widths}"
        )
    return checked
