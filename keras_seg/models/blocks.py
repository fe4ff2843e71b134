"""What architectures share: convolutions, what comes back up, and the head."""

import math
from typing import Any

from keras import layers

from keras_seg.labels import Image, Logits
from keras_seg.models.batch_normalization import BatchNormalization
from keras_seg.models.dilated import DilatedConv2D
from keras_seg.models.layers import UpsampleBilinear, UpsampleNearest, crop_to

NORMALIZATIONS = ("none", "batch", "group")
UPSAMPLINGS = ("transpose", "bilinear", "nearest")


def conv_norm_relu(
    x: Any,
    filters: int,
    kernel_size: int,
    *,
    name: str,
    number: int | str = "",
    normalization: str = "batch",
    padding: str = "same",
    dilation: int = 1,
    use_bias: bool = False,
) -> Any:
    """A convolution, perhaps normalized, and a ReLU.

    Args:
        x: A map.
        filters: Number of filters.
        kernel_size: Height and width of the kernel.
        name: Of the place. The layers are called `{name}_conv{number}`, `_norm` and
            `_relu` likewise.
        number: Which of several convolutions at this place it is.
        normalization: "batch", "group" (groups of channels, for batches of few images)
            or "none". With "none" the convolution has a bias.
        padding: "same" or "valid".
        dilation: Distance of the pixels that the kernel sees.
        use_bias: Whether a convolution that is normalized has a bias too. It changes
            nothing, but some published nets have it.
    """
    plain = normalization == "none"
    convolution = layers.Conv2D if dilation == 1 else DilatedConv2D
    x = convolution(
        filters,
        kernel_size,
        padding=padding,
        dilation_rate=dilation,
        activation="relu" if plain else None,
        use_bias=plain or use_bias,
        kernel_initializer="he_normal",
        name=f"{name}_conv{number}",
    )(x)
    if plain:
        return x
    x = normalize(x, normalization, name=f"{name}_norm{number}")
    return layers.ReLU(name=f"{name}_relu{number}")(x)


def normalize(x: Any, normalization: str, *, name: str) -> Any:
    """Batch or group normalization, with the epsilon and momentum of PyTorch.

    Keras's own defaults are 1e-3 and 0.99: after a few hundred steps the statistics of
    a new layer are still far from the images'.
    """
    if normalization == "batch":
        return BatchNormalization(epsilon=1e-5, momentum=0.9, name=name)(x)
    groups = math.gcd(x.shape[-1], 32)
    return layers.GroupNormalization(groups, epsilon=1e-5, name=name)(x)


def double_conv(
    x: Any,
    filters: int,
    *,
    name: str,
    normalization: str = "batch",
    padding: str = "same",
    use_bias: bool = False,
) -> Any:
    """Two 3x3 convolutions, each followed by a ReLU, and perhaps normalized before."""
    for k in (1, 2):
        x = conv_norm_relu(
            x,
            filters,
            3,
            name=name,
            number=k,
            normalization=normalization,
            padding=padding,
            use_bias=use_bias,
        )
    return x


def upsample(x: Any, *, upsampling: str, name: str) -> Any:
    """Twice the height and width, without weights: "bilinear" or "nearest"."""
    if upsampling == "bilinear":
        return UpsampleBilinear(2, name=f"{name}_bilinear")(x)
    return UpsampleNearest(2, name=f"{name}_nearest")(x)


def up_convolution(x: Any, filters: int, *, upsampling: str, name: str) -> Any:
    """Twice the height and width, with `filters` channels.

    With "transpose" it is a 2x2 transposed convolution, else a 1x1 convolution before
    the resize. (The two commute; in this order there is a quarter of the work.)
    """
    if upsampling == "transpose":
        return layers.Conv2DTranspose(
            filters,
            2,
            strides=2,
            kernel_initializer="he_normal",
            name=f"{name}_transpose",
        )(x)
    x = layers.Conv2D(filters, 1, kernel_initializer="he_normal", name=f"{name}_conv0")(
        x
    )
    return upsample(x, upsampling=upsampling, name=name)


def score(
    x: Any, num_classes: int, *, kernel_size: int = 1, name: str = "score"
) -> Logits:
    """A score for each class: the last convolution, in float32 under every policy."""
    return layers.Conv2D(
        num_classes, kernel_size, padding="same", dtype="float32", name=name
    )(x)


def fcn_head(
    x: Any,
    num_classes: int,
    *,
    dropout: float,
    width: int | None = None,
    name: str = "head",
    score_name: str = "score",
) -> Logits:
    """A 3x3 convolution, normalized, with ReLU; dropout; a score for each class.

    Args:
        x: Features.
        num_classes: Number of classes.
        dropout: Dropout rate before the last convolution.
        width: Filters of the 3x3 convolution; None means a quarter of the channels.
        name: Of the place.
        score_name: Of the layer of the scores.
    """
    width = width or max(1, x.shape[-1] // 4)
    x = conv_norm_relu(x, width, 3, name=name)
    x = layers.Dropout(dropout, name=f"{name}_dropout")(x)
    return score(x, num_classes, name=score_name)


def outputs(
    scores: Logits, *, activation: Any, image: Image | None = None, prefix: str = ""
) -> Logits:
    """A model's outputs: float32 under every policy.

    Args:
        scores: A score for each class.
        activation: What is made of them. None gives logits.
        image: The image, to whose height and width scores are cropped.
        prefix: What the names of the layers begin with.
    """
    if image is not None:
        scores = crop_to(scores, image, name=f"{prefix}crop")
    return layers.Activation(
        activation or "linear",
        dtype="float32",
        name=f"{prefix}{'probabilities' if activation else 'logits'}",
    )(scores)


def enlarge_outputs(
    scores: Logits, factor: int, *, activation: Any, image: Image, prefix: str = ""
) -> Logits:
    """A model's outputs from scores at a stride: enlarged bilinearly, and cropped."""
    if factor > 1:
        name = f"{prefix}upsample"
        scores = UpsampleBilinear(factor, dtype="float32", name=name)(scores)
    return outputs(scores, activation=activation, image=image, prefix=prefix)
