"""UNet++: a U-Net whose skips are convolutions of their own, each joined to the next.

Zhou, Siddiquee, Tajbakhsh and Liang, "UNet++: A Nested U-Net Architecture for Medical
Image Segmentation", 2018, https://arxiv.org/abs/1807.10165, figure 1:

    X(i, j) = H([X(i, 0), ..., X(i, j - 1), U(X(i + 1, j - 1))])

where X(i, 0) are the features of level i, U goes up a level, and H are convolutions.
Without an encoder it is the authors' net, https://github.com/MrGiovanni/UNetPlusPlus;
`dropout=0.5` is theirs. With one it is that of smp (segmentation_models_pytorch),
https://github.com/qubvel-org/segmentation_models.pytorch: U is a nearest resize,
convolutions are normalized, and levels above the encoder's have the last X(i, j) only.
"""

import os
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from keras_seg.labels import Features, Image, ValueRange
from keras_seg.models.arguments import check_word
from keras_seg.models.auxiliary import with_heads
from keras_seg.models.blocks import (
    NORMALIZATIONS,
    conv_norm_relu,
    enlarge_outputs,
    score,
    up_convolution,
    upsample,
)
from keras_seg.models.encoded import start, started
from keras_seg.models.layers import crop_to
from keras_seg.models.nested import nested
from keras_seg.models.paths import check_widths


def unet_plus_plus(
    num_classes: int,
    *,
    input_shape: tuple[int | None, int | None, int] = (None, None, 3),
    encoder: str | keras.Model | None = None,
    encoder_weights: str | os.PathLike | None = None,
    weights: str | os.PathLike | None = None,
    fresh_head: bool = False,
    value_range: ValueRange = (0, 255),
    widths: Sequence[int] | None = None,
    normalization: str | None = None,
    dropout: float = 0.0,
    auxiliary: float = 0.0,
    activation: Any = None,
    name: str = "unet_plus_plus",
) -> keras.Model:
    """Build a UNet++ (arXiv:1807.10165).

    Args:
        num_classes: Number of classes to tell apart, the background among them.
        input_shape: Height, width and channels of the images. None stands for any
            height or width; the output always has the size of the input.
        encoder: None for the paper's path down, or what `models.encoder` takes or
            makes, with the levels "P2" to "P5" and perhaps "P1".
        encoder_weights: As `weights` of `models.encoder`; batch norm is frozen then.
        weights: Weights of the whole net to start from: None; with an encoder a `.pth`
            or `.safetensors` file of smp's UnetPlusPlus; the `.keras` file of an equal
            net; or the folder of a run of `keras-seg train`.
        fresh_head: Whether to reinitialise the last convolution in place of reading it
            from the file of `weights`, which may then be of another number of classes.
        value_range: (low, high) of the images: numbers, or one for each channel.
        widths: Filters of each level, from full resolution down. With an encoder those
            of the last X(i, j) at strides 1 to 16: None means (16, 32, 64, 128, 256).
            Without one of all levels: None means (32, 64, 128, 256, 512).
        normalization: After each 3x3 convolution: "none", "batch" or "group". None
            means "none" without an encoder, "batch" with one.
        dropout: Share of activations dropped after each 3x3 convolution.
        auxiliary: Deep supervision: weight of the loss of each score of the X(i, j)
            before the last at the finest level, which only `fit` has. 1 is the paper's.
        activation: Output activation. None gives logits, "softmax" probabilities.
        name: Name of the model.

    Returns:
        A model from images to logits, float32 `[batch, height, width, num_classes]`.

    Raises:
        ValueError: for arguments out of range, or weights of another model.
        FileNotFoundError: if there is no file of weights.
        OSError: where weights can't be downloaded, saying where to put the file.

    Example:
        >>> model = unet_plus_plus(num_classes=21, widths=(4, 8, 16))
        >>> model.compute_output_shape((1, 65, 97, 3))
        (1, 65, 97, 21)
    """
    widths = check_widths(widths, encoder, default=(32, 64, 128, 256, 512))
    check_word("normalization", normalization, (None, *NORMALIZATIONS))
    image, features, weights = start(
        "unet_plus_plus",
        num_classes,
        input_shape=input_shape,
        encoder=encoder,
        encoder_weights=encoder_weights,
        weights=weights,
        fresh_head=fresh_head,
        value_range=value_range,
        dropout=dropout,
        auxiliary=auxiliary,
        levels=("P2", "P3", "P4", "P5"),
        decoder="a UNet++",
    )
    kind = normalization or ("none" if encoder is None else "batch")

    def convolve(x: Any, width: int, *, name: str) -> Any:
        for k in (1, 2):
            x = conv_norm_relu(x, width, 3, name=name, number=k, normalization=kind)
            x = layers.Dropout(dropout, name=f"{name}_dropout{k}")(x)
        return x

    def join(below: Any, left: list[Any], width: int, *, name: str) -> Any:
        if encoder is None:
            x = up_convolution(below, width, upsampling="transpose", name=name)
            x = crop_to(x, left[0], name=f"{name}_crop")  # pools round sizes up
        else:
            x = upsample(below, upsampling="nearest", name=name)
        if left:
            x = layers.Concatenate(name=f"{name}_join")([x, *left])
        return convolve(x, width, name=name)

    if encoder is None:
        features = _path_down(features["P0"], widths, convolve)
    row, last, finest = nested(features, widths, join)
    end: dict[str, Any] = {"activation": activation, "image": image}
    x = score(last, num_classes, kernel_size=1 if encoder is None else 3)
    logits = enlarge_outputs(x, 1, **end)
    heads = {}
    for j, x in enumerate(row[:-1] if auxiliary else [], start=1):
        head = f"auxiliary_{j}"
        x = score(x, num_classes, name=f"{head}_score")
        heads[head] = enlarge_outputs(x, 2**finest, prefix=f"{head}_", **end)
    model = with_heads(image, logits, heads, auxiliary, name=name)
    return started(model, weights, "unet_plus_plus", fresh_head=fresh_head)


def _path_down(image: Image, widths: Sequence[int], convolve: Any) -> Features:
    """The authors' X(i, 0): from "P0" at full resolution to the bottom."""
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="rescale")(image)
    features = {}
    for i, width in enumerate(widths):
        if i > 0:
            x = layers.MaxPooling2D(padding="same", name=f"x{i}_0_pool")(x)
        x = features[f"P{i}"] = convolve(x, width, name=f"x{i}_0")
    return features
