"""Attention U-Net: what comes from below decides which pixels of a skip count.

Oktay et al., "Attention U-Net: Learning Where to Look for the Pancreas", MIDL 2018,
https://arxiv.org/abs/1804.03999, figures 1 and 2. The paper's net is for volumes. This
is the form for images that most use, after the net of that name in
https://github.com/LeeJunHyun/Image_Segmentation: gates at the resolution of the skip,
every convolution batch-normalized, nearest upsampling before a 3x3 convolution.
"""

import functools
import os
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from keras_seg.labels import Tensor, ValueRange
from keras_seg.models.arguments import check_word
from keras_seg.models.blocks import (
    NORMALIZATIONS,
    conv_norm_relu,
    double_conv,
    normalize,
    outputs,
    score,
    upsample,
)
from keras_seg.models.encoded import start, started
from keras_seg.models.layers import crop_to
from keras_seg.models.paths import check_widths, drop_deepest, path_down, path_up


def attention_unet(
    num_classes: int,
    *,
    input_shape: tuple[int | None, int | None, int] = (None, None, 3),
    encoder: str | keras.Model | None = None,
    encoder_weights: str | os.PathLike | None = None,
    weights: str | os.PathLike | None = None,
    fresh_head: bool = False,
    value_range: ValueRange = (0, 255),
    widths: Sequence[int] | None = None,
    upsampling: str = "nearest",
    normalization: str = "batch",
    dropout: float = 0.0,
    activation: Any = None,
    name: str = "attention_unet",
) -> keras.Model:
    """Build an Attention U-Net (arXiv:1804.03999).

    Args:
        num_classes: Number of classes to tell apart, the background among them.
        input_shape: Height, width and channels of the images. None stands for any
            height or width; the output always has the size of the input.
        encoder: None for the paper's path down, or what `models.encoder` takes or
            makes, with the levels "P2" to "P5" and perhaps "P1".
        encoder_weights: Weights of the encoder to start from: None, "imagenet" or a
            file, as `weights` of `models.encoder`: batch normalization is frozen then.
        weights: Weights of the whole net to start from: None, the `.keras` file of an
            equal net, or the folder of a run of `keras-seg train`.
        fresh_head: Whether to reinitialise the last convolution in place of reading it
            from the file of `weights`, which may then be of another number of classes.
        value_range: (low, high) of the images: numbers, or one for each channel.
        widths: Filters of each level, from full resolution down; None means (64, 128,
            256, 512, 1024), or with an encoder, whose levels of the path up they are,
            (16, 32, 64, 128, 256).
        upsampling: Upsampling method, before a 3x3 convolution: "nearest" or
            "bilinear".
        normalization: After each convolution: "batch", "group" or "none".
        dropout: Share of activations dropped from the features of the two deepest
            levels of the path down.
        activation: Output activation. None gives logits, "softmax" probabilities.
        name: Name of the model.

    Returns:
        A model from images to logits, float32 `[batch, height, width, num_classes]`.

    Raises:
        ValueError: for arguments out of range, or weights of another model.
        FileNotFoundError: if there is no file of weights.

    Example:
        >>> model = attention_unet(num_classes=21, widths=(8, 16, 32))
        >>> model.compute_output_shape((1, 65, 97, 3))
        (1, 65, 97, 21)
    """
    check_word("upsampling", upsampling, ("nearest", "bilinear"))
    check_word("normalization", normalization, NORMALIZATIONS)
    widths = check_widths(widths, encoder, default=(64, 128, 256, 512, 1024))
    image, features, weights = start(
        "attention_unet",
        num_classes,
        input_shape=input_shape,
        encoder=encoder,
        encoder_weights=encoder_weights,
        weights=weights,
        fresh_head=fresh_head,
        value_range=value_range,
        dropout=dropout,
        levels=("P2", "P3", "P4", "P5"),
        decoder="an Attention U-Net",
    )
    conv: dict[str, Any] = {"normalization": normalization, "use_bias": True}
    join = functools.partial(_join, upsampling=upsampling, **conv)
    if encoder is None:
        features = path_down(features["P0"], widths, dropout=dropout, **conv)
        x = path_up(features, widths[:-1], join)
    else:
        x = path_up(drop_deepest(features, dropout), widths, join)
    x = score(x, num_classes)
    logits = outputs(x, activation=activation, image=image)
    model = keras.Model(image, logits, name=name)
    return started(model, weights, "attention_unet", fresh_head=fresh_head)


def _join(
    x: Any, skip: Any, width: int, *, name: str, upsampling: str, **conv: Any
) -> Tensor:
    """Up-convolution, what the gate lets through of the skip, two convolutions."""
    x = upsample(x, upsampling=upsampling, name=name)
    x = conv_norm_relu(x, width, 3, name=name, number=0, **conv)
    if skip is not None:
        x = crop_to(x, skip, name=f"{name}_crop")  # pools round sizes up
        gated = _gate(skip, x, conv["normalization"], name=f"{name}_gate")
        x = layers.Concatenate(name=f"{name}_join")([gated, x])
    return double_conv(x, width, name=name, **conv)


def _gate(skip: Tensor, signal: Tensor, normalization: str, *, name: str) -> Tensor:
    """Additive attention (equation 1): a weight in 0..1 for each pixel of the skip.

        skip * sigmoid(psi(relu(theta(skip) + phi(signal))))

    theta and phi are 1x1 convolutions to half of the skip's channels, psi to one.
    """
    inner = max(1, skip.shape[-1] // 2)
    theta = _project(skip, inner, normalization, name=f"{name}_theta")
    phi = _project(signal, inner, normalization, name=f"{name}_phi")
    x = layers.Add(name=f"{name}_add")([theta, phi])
    x = layers.ReLU(name=f"{name}_relu")(x)
    x = _project(x, 1, normalization, name=f"{name}_psi")
    x = layers.Activation("sigmoid", name=f"{name}_weight")(x)
    return layers.Multiply(name=f"{name}_apply")([skip, x])


def _project(x: Tensor, filters: int, normalization: str, *, name: str) -> Tensor:
    he = "he_normal"
    x = layers.Conv2D(filters, 1, kernel_initializer=he, name=f"{name}_conv")(x)
    name = f"{name}_norm"
    return x if normalization == "none" else normalize(x, normalization, name=name)
