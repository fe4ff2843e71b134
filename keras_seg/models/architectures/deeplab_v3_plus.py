"""DeepLabV3+: an atrous pyramid of deep features beside fine features of stride 4.

Chen, Zhu, Papandreou, Schroff and Adam, "Encoder-Decoder with Atrous Separable
Convolution for Semantic Image Segmentation", ECCV 2018,
https://arxiv.org/abs/1802.02611, figure 2 and section 4. As
segmentation_models_pytorch has it,
https://github.com/qubvel-org/segmentation_models.pytorch: dilations are 12, 24 and 36
also at output stride 16 (in the paper 6, 12 and 18); the pyramid is followed by one
separable 3x3 convolution, and what joins both features is one (in the paper none, and
two convolutions); the pyramid's map is enlarged with aligned corners; and in the
encoder's last stage the convolution that would have halved the map is dilated, too.
"""

import os
from typing import Any

import keras
from keras import layers

from keras_seg.labels import Features, Logits, ValueRange
from keras_seg.models.arguments import check_word
from keras_seg.models.blocks import conv_norm_relu, score
from keras_seg.models.encoded import check_width, encoder_decoder
from keras_seg.models.layers import UpsampleBilinear
from keras_seg.models.pyramids import atrous_pyramid, separable_conv

#: Dilations of the pyramid.
_RATES = (12, 24, 36)


def deeplab_v3_plus(
    num_classes: int,
    *,
    input_shape: tuple[int | None, int | None, int] = (None, None, 3),
    encoder: str | keras.Model = "resnet34",
    encoder_weights: str | os.PathLike | None = None,
    weights: str | os.PathLike | None = None,
    fresh_head: bool = False,
    value_range: ValueRange = (0, 255),
    output_stride: int = 16,
    head_width: int = 256,
    skip_width: int = 48,
    dropout: float = 0.5,
    auxiliary: float = 0.0,
    activation: Any = None,
    name: str = "deeplab_v3_plus",
) -> keras.Model:
    """Build a DeepLabV3+ (arXiv:1802.02611), equal to segmentation_models_pytorch's.

    Args:
        num_classes: Number of classes to tell apart, the background among them.
        input_shape: Height, width and channels of the images. None stands for any
            height or width; the output always has the size of the input.
        encoder: What `models.encoder` takes or makes: the name of a backbone or a
            `keras.Model`, with the levels "P2" and "P5", and "P4" for an auxiliary
            head.
        encoder_weights: Weights of the encoder to start from: None, "imagenet" or a
            file, as `weights` of `models.encoder`: batch normalization is frozen then.
        weights: Weights of the whole net to start from: None; a `.pth` or
            `.safetensors` file of segmentation_models_pytorch's DeepLabV3Plus; the
            `.keras` file of an equal net; or the folder of a run of `keras-seg train`.
        fresh_head: Whether to reinitialise the last convolution in place of reading it
            from the file of `weights`, which may then be of another number of classes.
        value_range: (low, high) of the images: numbers, or one for each channel.
        output_stride: How many times smaller than the image the features of the pyramid
            are: 8 or 16.
        head_width: Filters of each convolution of the pyramid and of what follows.
        skip_width: Filters of the 1x1 convolution of the fine features.
        dropout: Share of activations dropped after the pyramid.
        auxiliary: Weight of the loss of an auxiliary head on level "P4", which only
            `fit` has. With 0 there is none.
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
        >>> model = deeplab_v3_plus(num_classes=21, encoder="resnet18")
        >>> model.compute_output_shape((1, 65, 97, 3))
        (1, 65, 97, 21)
    """
    check_word("output_stride", output_stride, (8, 16))
    check_width("head_width", head_width)
    check_width("skip_width", skip_width)

    def decode(features: Features) -> Logits:
        x = features["P5"]
        x = atrous_pyramid(x, head_width, _RATES, dropout=dropout, separable=True)
        x = separable_conv(x, head_width, name="deep")
        x = UpsampleBilinear(output_stride // 4, align_corners=True, name="deep_up")(x)
        fine = conv_norm_relu(features["P2"], skip_width, 1, name="skip")
        x = layers.Concatenate(name="join")([x, fine])
        x = separable_conv(x, head_width, name="head")
        return score(x, num_classes)

    return encoder_decoder(
        "deeplab_v3_plus",
        num_classes,
        decode,
        decoder="a DeepLabV3+",
        levels=("P2", "P5"),
        stride=4,
        output_stride=output_stride,
        dilate_first=True,
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
