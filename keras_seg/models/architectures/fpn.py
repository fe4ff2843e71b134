"""Panoptic FPN's semantic branch: a feature pyramid, and the sum of its levels.

Kirillov, Girshick, He and Dollar, "Panoptic Feature Pyramid Networks", CVPR 2019,
https://arxiv.org/abs/1901.02446, section 3 and figure 3; the pyramid is that of Lin et
al., "Feature Pyramid Networks for Object Detection", https://arxiv.org/abs/1612.03144.
As segmentation_models_pytorch has it,
https://github.com/qubvel-org/segmentation_models.pytorch: the levels of the pyramid
aren't smoothed by a 3x3 convolution, its maps are enlarged with aligned corners, and
there is dropout before the scores.
"""

import os
from typing import Any

import keras
from keras import layers

from keras_seg.labels import Features, Logits, ValueRange
from keras_seg.models.blocks import conv_norm_relu, score
from keras_seg.models.encoded import check_width, encoder_decoder
from keras_seg.models.layers import UpsampleBilinear, UpsampleNearest


def fpn(
    num_classes: int,
    *,
    input_shape: tuple[int | None, int | None, int] = (None, None, 3),
    encoder: str | keras.Model = "resnet34",
    encoder_weights: str | os.PathLike | None = None,
    weights: str | os.PathLike | None = None,
    fresh_head: bool = False,
    value_range: ValueRange = (0, 255),
    pyramid_width: int = 256,
    head_width: int = 128,
    dropout: float = 0.2,
    auxiliary: float = 0.0,
    activation: Any = None,
    name: str = "fpn",
) -> keras.Model:
    """Build the semantic branch of a Panoptic FPN (arXiv:1901.02446).

    Args:
        num_classes: Number of classes to tell apart, the background among them.
        input_shape: Height, width and channels of the images. None stands for any
            height or width; the output always has the size of the input.
        encoder: What `models.encoder` takes or makes: the name of a backbone or a
            `keras.Model`, with the levels "P2" to "P5".
        encoder_weights: Weights of the encoder to start from: None, "imagenet" or a
            file, as `weights` of `models.encoder`: batch normalization is frozen then.
        weights: Weights of the whole net to start from: None; a `.pth` or
            `.safetensors` file of segmentation_models_pytorch's FPN; the `.keras` file
            of an equal net; or the folder of a run of `keras-seg train`.
        fresh_head: Whether to reinitialise the last convolution in place of reading it
            from the file of `weights`, which may then be of another number of classes.
        value_range: (low, high) of the images: numbers, or one for each channel.
        pyramid_width: Channels of each level of the pyramid.
        head_width: Filters of each convolution after the pyramid.
        dropout: Rate of spatial dropout before the last convolution.
        auxiliary: Weight of the loss of an auxiliary head on level "P4", which only
            `fit` has. With 0 there is none.
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
        >>> model = fpn(num_classes=21, encoder="resnet18")
        >>> model.compute_output_shape((1, 65, 97, 3))
        (1, 65, 97, 21)
    """
    check_width("pyramid_width", pyramid_width)
    check_width("head_width", head_width)

    def decode(features: Features) -> Logits:
        pyramid = _pyramid(features, pyramid_width)
        same = [_to_stride_4(x, head_width, name=p) for p, x in pyramid.items()]
        x = layers.Add(name="sum")(same)
        x = layers.SpatialDropout2D(dropout, name="dropout")(x)
        return score(x, num_classes)

    return encoder_decoder(
        "fpn",
        num_classes,
        decode,
        decoder="an FPN",
        levels=("P2", "P3", "P4", "P5"),
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


def _pyramid(features: Features, width: int) -> Features:
    """Each level plus the ones above it, deepest first: "p5" to "p2"."""
    pyramid: Features = {}
    x = None
    for k in (5, 4, 3, 2):
        lateral = layers.Conv2D(width, 1, name=f"p{k}_lateral")(features[f"P{k}"])
        if x is None:
            x = lateral
        else:
            x = UpsampleNearest(2, name=f"p{k}_up")(x)
            x = layers.Add(name=f"p{k}_sum")([x, lateral])
        pyramid[f"p{k}"] = x
    return pyramid


def _to_stride_4(x: Any, width: int, *, name: str) -> Any:
    """A convolution for each doubling of the size, one for the level that has it."""
    doublings = int(name[1:]) - 2
    for k in range(1, max(1, doublings) + 1):
        x = conv_norm_relu(x, width, 3, name=name, number=k, normalization="group")
        if doublings:
            x = UpsampleBilinear(2, align_corners=True, name=f"{name}_double{k}")(x)
    return x
