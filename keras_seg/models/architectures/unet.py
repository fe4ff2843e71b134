"""U-Net: a path down, a path up, and a skip across at every level.

Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for Biomedical Image
Segmentation", MICCAI 2015, https://arxiv.org/abs/1505.04597, figure 1. With
`padding="valid"`, `dropout=0.5` it is the paper's net. With `padding="same"`
convolutions are padded, so that masks keep the size of images.

With `encoder=` it is the U-Net that the field has made of it since: the path down is a
backbone, and the path up that of segmentation_models and segmentation_models_pytorch,
https://github.com/qubvel-org/segmentation_models.pytorch.
"""

import os
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from keras_seg.labels import Features, Image, Logits, Tensor, ValueRange
from keras_seg.models.arguments import check_word
from keras_seg.models.blocks import (
    NORMALIZATIONS,
    UPSAMPLINGS,
    double_conv,
    outputs,
    score,
    up_convolution,
    upsample,
)
from keras_seg.models.encoded import start, started
from keras_seg.models.layers import crop_to
from keras_seg.models.paths import check_widths, drop_deepest, path_down, path_up


def unet(
    num_classes: int,
    *,
    input_shape: tuple[int | None, int | None, int] = (None, None, 3),
    encoder: str | keras.Model | None = None,
    encoder_weights: str | os.PathLike | None = None,
    weights: str | os.PathLike | None = None,
    fresh_head: bool = False,
    value_range: ValueRange = (0, 255),
    widths: Sequence[int] | None = None,
    upsampling: str | None = None,
    padding: str = "same",
    normalization: str | None = None,
    dropout: float = 0.0,
    activation: Any = None,
    name: str = "unet",
) -> keras.Model:
    """Build a U-Net (arXiv:1505.04597).

    Args:
        num_classes: Number of classes to tell apart, the background among them.
        input_shape: Height, width and channels of the images. None stands for any
            height or width; with `padding="same"` the output has the same.
        encoder: None for the paper's path down, or what `models.encoder` takes or
            makes: the name of a backbone or a `keras.Model`, with the levels "P2" to
            "P5" and perhaps "P1". To freeze it with its batch-norm statistics, set
            `model.get_layer("encoder").trainable = False`.
        encoder_weights: Weights of the encoder to start from: None, "imagenet" or a
            file, as `weights` of `models.encoder`: batch normalization is frozen then.
        weights: Weights of the whole net to start from: None; with an encoder a `.pth`
            or `.safetensors` file of segmentation_models_pytorch's Unet; the `.keras`
            file of an equal net; or the folder of a run of `keras-seg train`.
        fresh_head: Whether to reinitialise the last convolution in place of reading it
            from the file of `weights`, which may then be of another number of classes.
        value_range: (low, high) of the images: numbers, or one for each channel.
        widths: Filters of each level, from full resolution down. With an encoder the
            levels of the path up, at strides 1, 2, 4, 8 and 16: None means (16, 32, 64,
            128, 256). Without one those of both paths and of the bottom: None means the
            paper's (64, 128, 256, 512, 1024).
        upsampling: Upsampling method: "transpose" (2x2 transposed convolutions),
            "bilinear" or "nearest". None means as in the source: "transpose" in the
            paper, "nearest" with an encoder.
        padding: "same", or "valid" as in the paper: the output is smaller than the
            input (572 -> 388), and only some sizes fit (16k + 60 with five levels).
            Not with an encoder.
        normalization: After each 3x3 convolution: "none", "batch", or "group" (of up to
            32 groups, for batches of few images). None means as in the source: "none"
            in the paper, "batch" with an encoder.
        dropout: Share of activations dropped from the features of the two deepest
            levels of the path down; the paper uses 0.5.
        activation: Output activation. None gives logits, "softmax" probabilities.
        name: Name of the model.

    Returns:
        A model from images to logits, float32 `[batch, height, width, num_classes]`.

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
    check_word("upsampling", upsampling, (None, *UPSAMPLINGS))
    check_word("padding", padding, ("same", "valid"))
    check_word("normalization", normalization, (None, *NORMALIZATIONS))
    widths = check_widths(widths, encoder, default=(64, 128, 256, 512, 1024))
    if encoder is not None and padding != "same":
        raise ValueError(
            f"Expected padding='same' with an encoder. Received: {padding!r}"
        )
    image, features, weights = start(
        "unet",
        num_classes,
        input_shape=input_shape,
        encoder=encoder,
        encoder_weights=encoder_weights,
        weights=weights,
        fresh_head=fresh_head,
        value_range=value_range,
        dropout=dropout,
        levels=("P2", "P3", "P4", "P5"),
        decoder="a U-Net",
    )
    if encoder is None:
        scores = _paper(
            features["P0"],
            num_classes,
            widths,
            upsampling=upsampling or "transpose",
            dropout=dropout,
            padding=padding,
            normalization=normalization or "none",
        )
    else:
        scores = _with_encoder(
            image,
            features,
            num_classes,
            widths,
            upsampling=upsampling or "nearest",
            dropout=dropout,
            normalization=normalization or "batch",
        )
    logits = outputs(scores, activation=activation)
    model = keras.Model(image, logits, name=name)
    return started(model, weights, "unet", fresh_head=fresh_head)


def _paper(
    pixels: Tensor,
    num_classes: int,
    widths: Sequence[int],
    *,
    upsampling: str,
    dropout: float,
    padding: str,
    normalization: str,
) -> Logits:
    """The paper's net, figure 1: up-convolutions, and [skip, x] at each level."""
    conv: dict[str, Any] = {"normalization": normalization, "padding": padding}

    def join(x: Tensor, skip: Tensor, width: int, *, name: str) -> Tensor:
        x = up_convolution(x, width, upsampling=upsampling, name=name)
        if padding == "valid":
            skip = crop_to(skip, x, offset="centre", name=f"{name}_crop")
        else:
            x = crop_to(x, skip, name=f"{name}_crop")  # pools round sizes up
        x = layers.Concatenate(name=f"{name}_join")([skip, x])
        return double_conv(x, width, name=name, **conv)

    features = path_down(pixels, widths, dropout=dropout, **conv)
    return score(path_up(features, widths[:-1], join), num_classes)


def _with_encoder(
    image: Image,
    features: Features,
    num_classes: int,
    widths: Sequence[int],
    *,
    upsampling: str,
    dropout: float,
    normalization: str,
) -> Logits:
    """The field's net: upsampling, and [x, skip] where the encoder has a level."""

    def join(x: Tensor, skip: Tensor | None, width: int, *, name: str) -> Tensor:
        if upsampling == "transpose":
            x = up_convolution(x, width, upsampling=upsampling, name=name)
        else:
            x = upsample(x, upsampling=upsampling, name=name)
        if skip is not None:
            x = layers.Concatenate(name=f"{name}_join")([x, skip])
        return double_conv(x, width, name=name, normalization=normalization)

    x = path_up(drop_deepest(features, dropout), widths, join)
    scores = score(x, num_classes, kernel_size=3)
    return crop_to(scores, image, name="crop")  # features are of a padded image
