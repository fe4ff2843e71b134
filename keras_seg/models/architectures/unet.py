"""U-Net: a path down, a path up, and a skip across at every level.

Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for Biomedical Image
Segmentation", MICCAI 2015, https://arxiv.org/abs/1505.04597, figure 1. With
`padding="valid"`, `dropout=0.5` it is the paper's net. With `padding="same"`
convolutions are padded, so that masks keep the size of images.

With `encoder=` it is the U-Net that the field has made of it since: the path down is a
backbone, and the path up that of segmentation_models and segmentation_models_pytorch,
https://github.com/qubvel-org/segmentation_models.pytorch.
"""

import functools
import os
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_seg.labels import Features, Image, check_num_classes
from keras_seg.models.arguments import (
    check_input_shape,
    check_share,
    check_word,
    is_positive,
)
from keras_seg.models.blocks import (
    NORMALIZATIONS,
    UPSAMPLINGS,
    double_conv,
    outputs,
    score,
    up_convolution,
    upsample,
)
from keras_seg.models.encoders.encoder import check_encoder, encoder_endings
from keras_seg.models.encoders.encoder import encoder as make_encoder
from keras_seg.models.encoders.levels import require_levels
from keras_seg.models.layers import CheckRange, crop_to
from keras_seg.models.valid_sizes import RequireValidSize
from keras_seg.models.weights.files import check_weights
from keras_seg.models.weights.nets import ENDINGS, load_net


def unet(
    num_classes: int,
    *,
    input_shape: tuple[int | None, int | None, int] = (None, None, 3),
    encoder: str | keras.Model | None = None,
    encoder_weights: str | os.PathLike | None = None,
    weights: str | os.PathLike | None = None,
    fresh_head: bool = False,
    widths: Sequence[int] | None = None,
    upsampling: str | None = None,
    padding: str = "same",
    normalization: str | None = None,
    dropout: float = 0.0,
    activation: Any = None,
    name: str = "unet",
) -> keras.Model:
    """Build a U-Net.

    Args:
        num_classes: Number of classes to tell apart, the background among them.
        input_shape: Height, width and channels of the images. None stands for any
            height or width.
        encoder: None for the paper's path down, or what `models.encoder` takes or
            makes: the name of a backbone or a `keras.Model`, with the levels "P2" to
            "P5" and perhaps "P1". It is the layer "encoder": set
            `model.get_layer("encoder").trainable = False` to freeze its weights and
            its batch-norm statistics.
        encoder_weights: Weights of the encoder to start from: None, "imagenet" or a
            file, as `weights` of `models.encoder`.
        weights: Weights of the whole net to start from: None; with an encoder a `.pth`
            or `.safetensors` file of segmentation_models_pytorch's Unet; the `.keras`
            file of an equal net; or the folder of a run of `keras-seg train`.
        fresh_head: Whether to leave out the scores in the file of `weights`: they start
            anew, for another number of classes.
        widths: Filters of each level, from full resolution down. With an encoder the
            levels of the path up, at strides 1, 2, 4, 8 and 16: None means (16, 32, 64,
            128, 256). Without one those of both paths and of the bottom: None means the
            paper's (64, 128, 256, 512, 1024).
        upsampling: How maps come back up: "transpose" (2x2 transposed convolutions),
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
    check_word("upsampling", upsampling, (None, *UPSAMPLINGS))
    check_word("padding", padding, ("same", "valid"))
    check_word("normalization", normalization, (None, *NORMALIZATIONS))
    check_share("dropout", dropout)
    widths = check_widths(widths, encoder, default=(64, 128, 256, 512, 1024))
    if fresh_head and weights is None:
        raise ValueError("Expected `weights` with fresh_head=True. Received: None")
    encoder_weights, weights = check_weights(
        encoder_weights,
        weights,
        endings=(".keras",) if encoder is None else ENDINGS,
        encoder_endings=encoder_endings(encoder),
    )
    if encoder is None and encoder_weights is not None:
        raise ValueError(
            "Expected an `encoder` with `encoder_weights`. The paper's net has no such "
            "weights: add, for example, `encoder='resnet50'`."
        )
    if encoder is not None:
        check_encoder(encoder, encoder_weights)
        if padding != "same":
            raise ValueError(
                f"Expected padding='same' with an encoder. Received: {padding!r}"
            )

    image = keras.Input(input_shape, name="image")
    if encoder is None:
        conv: dict[str, Any] = {"normalization": normalization or "none"}
        conv |= {"padding": padding}
        features = path_down(image, widths, dropout=dropout, **conv)
        join = functools.partial(
            _join_as_paper, upsampling=upsampling or "transpose", **conv
        )
        x = path_up(features, widths[:-1], join)
        x = score(x, num_classes)
        logits = outputs(x, activation=activation)
    else:
        made = make_encoder(encoder, input_shape=input_shape, weights=encoder_weights)
        features = encoder_features(image, made, dropout=dropout)
        join = functools.partial(
            _join_as_field,
            upsampling=upsampling or "nearest",
            normalization=normalization or "batch",
        )
        x = path_up(features, widths, join)
        x = score(x, num_classes, kernel_size=3)
        logits = outputs(x, activation=activation, image=image)
    model = keras.Model(image, logits, name=name)
    if weights is not None:
        load_net(model, weights, "unet", fresh_head=fresh_head)
    return model


def path_down(
    image: Image, widths: Sequence[int], *, dropout: float, padding: str, **conv: Any
) -> Features:
    """The paper's features: from "P0" at full resolution to the bottom.

    Args:
        image: The symbolic image.
        widths: Filters of each level.
        dropout: Share of activations dropped from the two deepest levels.
        padding: "same" or "valid".
        **conv: Of `double_conv`.
    """
    *path, bottom = widths
    x = CheckRange(name="range")(image)
    if padding == "valid":
        x = RequireValidSize(len(path), name="valid_size")(x)
    # To -1..1: around zero it learns sooner.
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="rescale")(x)
    features = {}
    for level, width in enumerate(path):
        name = f"down{level + 1}"
        x = double_conv(x, width, name=name, padding=padding, **conv)
        if level == len(path) - 1:
            x = _dropped(x, dropout, name=name)
        features[f"P{level}"] = x
        x = layers.MaxPooling2D(padding="same", name=f"{name}_pool")(x)
    x = double_conv(x, bottom, name="bottom", padding=padding, **conv)
    return features | {f"P{len(path)}": _dropped(x, dropout, name="bottom")}


def encoder_features(image: Image, encoder: keras.Model, *, dropout: float) -> Features:
    """An encoder's features: from "P1", or "P2" where it has no such, to "P5".

    Args:
        image: The symbolic image.
        encoder: An encoder made by `models.encoder`.
        dropout: Share of activations dropped from the two deepest levels.
    """
    needed = {"P2": 4, "P3": 8, "P4": 16, "P5": 32}
    has_p1 = {"P1": 2} if "P1" in encoder.output else {}
    require_levels(encoder, has_p1 | needed, decoder="a U-Net")
    features = encoder(image)
    features["P4"] = _dropped(features["P4"], dropout, name="skip")
    features["P5"] = _dropped(features["P5"], dropout, name="bottom")
    return features


def _dropped(x: Any, dropout: float, *, name: str) -> Any:
    return layers.Dropout(dropout, name=f"{name}_dropout")(x) if dropout else x


def path_up(features: Features, widths: Sequence[int], join: Callable[..., Any]) -> Any:
    """From the deepest features to a map at full resolution.

    Args:
        features: Features by level, down to the level that `widths` leads up from.
        widths: Filters of each level, from full resolution down.
        join: A step up: a function of the map from below, the features of this level
            (None if there are none), and the number of filters.
    """
    x = features[f"P{len(widths)}"]
    for level in reversed(range(len(widths))):
        skip = features.get(f"P{level}")
        x = join(x, skip, widths[level], name=f"up{level + 1}")
    return x


def _join_as_paper(
    x: Any, skip: Any, width: int, *, name: str, upsampling: str, **conv: Any
) -> Any:
    """Up-convolution, the skip beside as many channels from below, convolutions."""
    x = up_convolution(x, width, upsampling=upsampling, name=name)
    if conv["padding"] == "valid":
        skip = crop_to(skip, x, offset="centre", name=f"{name}_crop")
    else:
        x = crop_to(x, skip, name=f"{name}_crop")  # pools round sizes up
    x = layers.Concatenate(name=f"{name}_join")([skip, x])
    return double_conv(x, width, name=name, **conv)


def _join_as_field(
    x: Any, skip: Any, width: int, *, name: str, upsampling: str, normalization: str
) -> Any:
    """Resize, the skip (if there is one) beside it, convolutions."""
    if upsampling == "transpose":
        x = up_convolution(x, width, upsampling=upsampling, name=name)
    else:
        x = upsample(x, upsampling=upsampling, name=name)
    if skip is not None:
        x = layers.Concatenate(name=f"{name}_join")([x, skip])
    return double_conv(x, width, name=name, normalization=normalization)


def check_widths(
    widths: Sequence[int] | None, encoder: Any, *, default: Sequence[int]
) -> tuple[int, ...]:
    """Return the filters of each level; of the path up alone, if there is an encoder.

    Args:
        widths: None, or a number for each level.
        encoder: What the net has as an encoder, or None.
        default: What None means without an encoder.

    Raises:
        ValueError: unless these are two or more numbers, with an encoder five.
    """
    if widths is None:
        widths = default if encoder is None else (16, 32, 64, 128, 256)
    checked = tuple(widths) if isinstance(widths, Sequence | np.ndarray) else ()
    enough = len(checked) >= 2 if encoder is None else len(checked) == 5
    if not enough or not all(map(is_positive, checked)):
        count = "two or more positive integers, from full resolution to the bottom"
        if encoder is not None:
            count = "five positive integers, for strides 1, 2, 4, 8 and 16"
        raise ValueError(f"Expected `widths` to be {count}. Received: {widths}")
    return checked
