"""A fully convolutional network on a dilated backbone: torchvision's FCN.

Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic Segmentation",
CVPR 2015, https://arxiv.org/abs/1411.4038, is where the idea is from. This net is the
one that the field has made of it, https://github.com/pytorch/vision,
torchvision/models/segmentation/fcn.py: a ResNet whose last two stages are dilated
instead of strided, and a head of one 3x3 convolution. There are no skips: the features
are at stride 8, and scores are enlarged bilinearly.
"""

import os
from typing import Any

import keras

from keras_seg.labels import Features, Logits, ValueRange
from keras_seg.models.arguments import check_word
from keras_seg.models.blocks import fcn_head
from keras_seg.models.encoded import check_width, encoder_decoder


def fcn(
    num_classes: int,
    *,
    input_shape: tuple[int | None, int | None, int] = (None, None, 3),
    encoder: str | keras.Model = "resnet50",
    encoder_weights: str | os.PathLike | None = None,
    weights: str | os.PathLike | None = None,
    fresh_head: bool = False,
    value_range: ValueRange = (0, 255),
    output_stride: int = 8,
    head_width: int | None = None,
    dropout: float = 0.1,
    auxiliary: float = 0.0,
    activation: Any = None,
    name: str = "fcn",
) -> keras.Model:
    """Build an FCN on a dilated backbone, equal to torchvision's.

    Args:
        num_classes: Number of classes to tell apart, the background among them.
        input_shape: Height, width and channels of the images. None stands for any
            height or width; the output always has the size of the input.
        encoder: What `models.encoder` takes or makes: the name of a backbone or a
            `keras.Model`, with the level "P5", and "P4" for an auxiliary head.
        encoder_weights: Weights of the encoder to start from: None, "imagenet" or a
            file, as `weights` of `models.encoder`: batch normalization is frozen then.
        weights: Weights of the whole net to start from: None; "coco_voc" for
            torchvision's, trained on COCO with the 21 classes of VOC, for "resnet50"
            and "resnet101"; a `.pth` or `.safetensors` file of torchvision's net; the
            `.keras` file of an equal net; or the folder of a run of `keras-seg train`.
        fresh_head: Whether to reinitialise the last convolution in place of reading it
            from the file of `weights`, which may then be of another number of classes.
        value_range: (low, high) of the images: numbers, or one for each channel.
        output_stride: How many times smaller than the image the features are that are
            scored: 8, 16 or 32.
        head_width: Filters of the 3x3 convolution before the last one. None means a
            quarter of the channels of the features.
        dropout: Dropout rate before the last convolution.
        auxiliary: Weight of the loss of an auxiliary head on level "P4", which only
            `fit` has; torchvision trains with 0.5. With 0 there is none.
        activation: Output activation. None gives logits, "softmax" probabilities.
        name: Name of the model.

    Returns:
        A model from images `[batch, height, width, channels]` to float32 logits
        `[batch, height, width, num_classes]`.

    Raises:
        ValueError: for arguments out of range, a backbone that can't be used or
            dilated, or weights of another model, saying what differs.
        FileNotFoundError: if there is no file of weights.
        OSError: where weights can't be downloaded, saying where to put the file.

    Example:
        >>> model = fcn(num_classes=21, encoder="resnet18")
        >>> model.compute_output_shape((1, 65, 97, 3))
        (1, 65, 97, 21)
    """
    check_word("output_stride", output_stride, (8, 16, 32))
    if head_width is not None:
        check_width("head_width", head_width)

    def decode(features: Features) -> Logits:
        return fcn_head(features["P5"], num_classes, dropout=dropout, width=head_width)

    return encoder_decoder(
        "fcn",
        num_classes,
        decode,
        decoder="an FCN",
        levels=("P5",),
        stride=output_stride,
        output_stride=output_stride,
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
