"""SegFormer: a hierarchical transformer, and a decoder of linear layers alone.

Xie et al., "SegFormer: Simple and Efficient Design for Semantic Segmentation with
Transformers", NeurIPS 2021, https://arxiv.org/abs/2105.15203, section 3.2, equation 4.
Widths, dropout and initial weights are those of Hugging Face's `transformers`, whose
files of weights load.
"""

import os
from typing import Any

import keras
from keras import layers

from keras_seg.labels import Features, Logits, ValueRange
from keras_seg.models.blocks import normalize, score
from keras_seg.models.encoded import check_width, encoder_decoder
from keras_seg.models.encoders.keras_applications import plain
from keras_seg.models.layers import UpsampleBilinear

_STRIDES = {"P2": 4, "P3": 8, "P4": 16, "P5": 32}


def segformer(
    num_classes: int,
    *,
    input_shape: tuple[int | None, int | None, int] = (None, None, 3),
    encoder: str | keras.Model = "mit_b0",
    encoder_weights: str | os.PathLike | None = None,
    weights: str | os.PathLike | None = None,
    fresh_head: bool = False,
    value_range: ValueRange = (0, 255),
    head_width: int | None = None,
    dropout: float = 0.1,
    activation: Any = None,
    name: str = "segformer",
) -> keras.Model:
    """Build a SegFormer (arXiv:2105.15203).

    Args:
        num_classes: Number of classes to tell apart, the background among them.
        input_shape: Height, width and channels of the images. None stands for any
            height or width.
        encoder: "mit_b0" to "mit_b5" for the paper's nets, or anything else that
            `models.encoder` takes or makes, with the levels "P2" to "P5". It is the
            layer "encoder": set `model.get_layer("encoder").trainable = False` to
            freeze it.
        encoder_weights: Weights of the encoder to start from: None, "imagenet" for
            encoders that have such weights to download, or a file. Of MiT: a `.bin` or
            `.safetensors` file of Hugging Face, as of "nvidia/mit-b0".
        weights: Weights of the whole net to start from: None, the `.keras` file of an
            equal net, the folder of a run of `keras-seg train`, or a `.bin` or
            `.safetensors` file of Hugging Face, as of
            "nvidia/segformer-b0-finetuned-ade-512-512".
        fresh_head: Whether to reinitialise the last convolution in place of reading it
            from the file of `weights`, which may then be of another number of classes.
        value_range: (low, high) of the images: numbers, or one for each channel.
        head_width: Channels of the decoder. None means as in the source: 768 with
            MiT-B2 to B5, else 256.
        dropout: Share of activations dropped before the last convolution.
        activation: Output activation. None gives logits, "softmax" probabilities.
        name: Name of the model.

    Returns:
        A model from images `[batch, height, width, channels]` to float32 logits
        `[batch, height, width, num_classes]`. The layer "score" has the logits
        at a quarter of the height and width, which are resized bilinearly.

    Raises:
        ValueError: for arguments out of range, an encoder that can't be used, or
            weights of another model, naming what doesn't fit.
        FileNotFoundError: if there is no file of weights.

    Example:
        >>> model = segformer(num_classes=19)
        >>> model.count_params(), model.compute_output_shape((1, 65, 97, 3))
        (3719539, (1, 65, 97, 19))
    """
    if head_width is None:
        head_width = _width_in_source(encoder)
    check_width("head_width", head_width)

    def decode(features: Features) -> Logits:
        x = _fuse(features, head_width)
        if dropout:
            x = layers.Dropout(dropout, name="dropout")(x)
        return score(x, num_classes)

    return encoder_decoder(
        "segformer",
        num_classes,
        decode,
        decoder="a SegFormer",
        levels=tuple(_STRIDES),
        stride=4,
        input_shape=input_shape,
        encoder=encoder,
        encoder_weights=encoder_weights,
        weights=weights,
        fresh_head=fresh_head,
        value_range=value_range,
        dropout=dropout,
        auxiliary=0.0,
        activation=activation,
        name=name,
    )


def _fuse(features: Features, width: int) -> Any:
    """The features of all levels as one map at a quarter of the image's size.

    In the paper they are resized, concatenated, and fused by a 1x1 convolution. That
    is the sum of a 1x1 convolution of each, which commutes with the bilinear resize. In
    this order there is a third of the work, and nothing is concatenated.
    """
    start = keras.initializers.RandomNormal(stddev=0.02)
    parts = []
    for level, stride in reversed(_STRIDES.items()):
        place = level.lower()
        x = layers.Dense(width, kernel_initializer=start, name=f"{place}_linear")(
            features[level]
        )
        x = layers.Dense(
            width, use_bias=False, kernel_initializer=start, name=f"{place}_fuse"
        )(x)
        if stride > 4:
            x = UpsampleBilinear(stride // 4, name=f"{place}_bilinear")(x)
        parts.append(x)
    x = layers.Add(name="fuse")(parts)
    x = normalize(x, "batch", name="fuse_norm")
    return layers.ReLU(name="fuse_relu")(x)


def _width_in_source(encoder: Any) -> int:
    inside = [encoder, *getattr(encoder, "layers", [])]
    names = [plain(getattr(model, "name", str(model))) for model in inside]
    return 768 if {"mitb2", "mitb3", "mitb4", "mitb5"} & {*names} else 256
