"""DeepLabV3: dilated features, seen at several dilations at once.

Chen, Papandreou, Schroff and Adam, "Rethinking Atrous Convolution for Semantic Image
Segmentation", 2017, https://arxiv.org/abs/1706.05587, figure 5 and section 3.3, as
torchvision has it, https://github.com/pytorch/vision,
torchvision/models/segmentation/deeplabv3.py. Where the paper scores what the pyramid
gives, torchvision has one 3x3 convolution more in between, and dropout.
"""

import os
from typing import Any

import keras

from keras_seg.labels import Features, Logits, ValueRange
from keras_seg.models.arguments import check_word
from keras_seg.models.blocks import conv_norm_relu, score
from keras_seg.models.encoded import check_width, encoder_decoder
from keras_seg.models.pyramids import atrous_pyramid

#: Dilations of the pyramid by output stride (section 3.3).
_RATES = {8: (12, 24, 36), 16: (6, 12, 18)}


def deeplab_v3(
    num_classes: int,
    *,
    input_shape: tuple[int | None, int | None, int] = (None, None, 3),
    encoder: str | keras.Model = "resnet50",
    encoder_weights: str | os.PathLike | None = None,
    weights: str | os.PathLike | None = None,
    fresh_head: bool = False,
    value_range: ValueRange = (0, 255),
    output_stride: int = 8,
    head_width: int = 256,
    dropout: float = 0.5,
    auxiliary: float = 0.0,
    activation: Any = None,
    name: str = "deeplab_v3",
) -> keras.Model:
    """Build a DeepLabV3 (arXiv:1706.05587), equal to torchvision's.

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
        output_stride: How many times smaller than the image the features of the pyramid
            are: 8, with dilations of 12, 24 and 36, or 16, with half of these.
        head_width: Filters of each convolution of the pyramid and of what follows.
        dropout: Share of activations dropped after the pyramid.
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
        >>> model = deeplab_v3(num_classes=21, encoder="resnet18", output_stride=16)
        >>> model.compute_output_shape((1, 65, 97, 3))
        (1, 65, 97, 21)
    """
    check_word("output_stride", output_stride, (8, 16))
    check_width("head_width", head_width)

    def decode(features: Features) -> Logits:
        rates = _RATES[output_stride]
        x = atrous_pyramid(features["P5"], head_width, rates, dropout=dropout)
        x = conv_norm_relu(x, head_width, 3, name="head")
        return score(x, num_classes)

    return encoder_decoder(
        "deeplab_v3",
        num_classes,
        decode,
        decoder="a DeepLabV3",
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
