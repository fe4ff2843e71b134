"""UPerNet: a pooling pyramid on the deepest features, a feature pyramid above it.

Xiao, Liu, Zhou, Jiang and Sun, "Unified Perceptual Parsing for Scene Understanding",
ECCV 2018, https://arxiv.org/abs/1807.10221, figure 4 and section 3.1. As
segmentation_models_pytorch has it,
https://github.com/qubvel-org/segmentation_models.pytorch: each level is normalized over
its channels first, which makes features of transformers and of ConvNeXt fit, and there
are 256 channels instead of 512. Of the paper's heads there is the one for objects.
"""

import os
from typing import Any

import keras
from keras import layers

from keras_seg.labels import Features, Logits, ValueRange
from keras_seg.models.blocks import conv_norm_relu, score
from keras_seg.models.encoded import check_width, encoder_decoder
from keras_seg.models.layers import UpsampleBilinear
from keras_seg.models.pyramids import pooling_pyramid

_LEVELS = ("P2", "P3", "P4", "P5")


def upernet(
    num_classes: int,
    *,
    input_shape: tuple[int | None, int | None, int] = (None, None, 3),
    encoder: str | keras.Model = "resnet34",
    encoder_weights: str | os.PathLike | None = None,
    weights: str | os.PathLike | None = None,
    fresh_head: bool = False,
    value_range: ValueRange = (0, 255),
    head_width: int = 256,
    dropout: float = 0.0,
    auxiliary: float = 0.0,
    activation: Any = None,
    name: str = "upernet",
) -> keras.Model:
    """Build a UPerNet (arXiv:1807.10221).

    Args:
        num_classes: Number of classes to tell apart, the background among them.
        input_shape: Height, width and channels of the images. None stands for any
            height or width; the output always has the size of the input.
        encoder: What `models.encoder` takes or makes: the name of a backbone or a
            `keras.Model`, with the levels "P2" to "P5".
        encoder_weights: Weights of the encoder to start from: None, "imagenet" or a
            file, as `weights` of `models.encoder`: batch normalization is frozen then.
        weights: Weights of the whole net to start from: None; a `.pth` or
            `.safetensors` file of segmentation_models_pytorch's UPerNet; the `.keras`
            file of an equal net; or the folder of a run of `keras-seg train`.
        fresh_head: Whether to reinitialise the last convolution in place of reading it
            from the file of `weights`, which may then be of another number of classes.
        value_range: (low, high) of the images: numbers, or one for each channel.
        head_width: Filters of each convolution.
        dropout: Rate of spatial dropout before the last convolution; mmsegmentation has
            0.1.
        auxiliary: Weight of the loss of an auxiliary head on level "P4", which only
            `fit` has; mmsegmentation trains with 0.4. With 0 there is none.
        activation: Output activation. None gives logits, "softmax" probabilities.
        name: Name of the model.

    Returns:
        A model from images `[batch, height, width, channels]` to float32 logits
        `[batch, height, width, num_classes]`.

    Raises:
        ValueError: for arguments out of range, a backbone that can't be used, or
            weights of another model, saying what differs.
        FileNotFoundError: if there is no file of weights.
        OSError: where weights can't be downloaded, saying where to put the file.

    Example:
        >>> model = upernet(num_classes=21, encoder="resnet18")
        >>> model.compute_output_shape((1, 65, 97, 3))
        (1, 65, 97, 21)
    """
    check_width("head_width", head_width)

    def decode(features: Features) -> Logits:
        features = {level: _norm(features[level], level) for level in _LEVELS}
        pyramid = _pyramid(features, head_width)
        x = layers.Concatenate(name="join")(pyramid)
        x = conv_norm_relu(x, head_width, 3, name="head")
        x = layers.SpatialDropout2D(dropout, name="dropout")(x)
        return score(x, num_classes)

    return encoder_decoder(
        "upernet",
        num_classes,
        decode,
        decoder="a UPerNet",
        levels=_LEVELS,
        stride=4,
        input_shape=input_shape,
        encoder=encoder,
        encoder_weights=encoder_weights,
        weights=weights,
        fresh_head=fresh_head,
        value_range=value_range,
        dropout=dropout,
        auxiliary=auxiliary,
        activation=activation,
        name=name,
    )


def _norm(x: Any, level: str) -> Any:
    return layers.LayerNormalization(epsilon=1e-6, name=f"{level.lower()}_layernorm")(x)


def _pyramid(features: Features, width: int) -> list[Any]:
    """The levels of the pyramid, all as large as the finest, which comes first."""
    deepest = features["P5"]
    pools = pooling_pyramid(deepest, width, align_corners=False, normalize_mean=True)
    x = layers.Concatenate(name="pool_join")([deepest, *pools])
    x = conv_norm_relu(x, width, 3, name="pool")
    pyramid = [UpsampleBilinear(8, name="p5_up_to_p2")(x)]
    for k in (4, 3, 2):
        lateral = conv_norm_relu(features[f"P{k}"], width, 1, name=f"p{k}_lateral")
        x = UpsampleBilinear(2, name=f"p{k + 1}_up")(x)
        x = layers.Add(name=f"p{k}_sum")([x, lateral])
        y = conv_norm_relu(x, width, 3, name=f"p{k}")
        if k > 2:
            y = UpsampleBilinear(2 ** (k - 2), name=f"p{k}_up_to_p2")(y)
        pyramid.append(y)
    return pyramid[::-1]
