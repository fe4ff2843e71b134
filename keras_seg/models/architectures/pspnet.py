"""PSPNet: means of a map over grids of 1, 2, 3 and 6 cells, beside the map.

Zhao, Shi, Qi, Wang and Jia, "Pyramid Scene Parsing Network", CVPR 2017,
https://arxiv.org/abs/1612.01105, figure 3 and section 3.2. As
segmentation_models_pytorch has it,
https://github.com/qubvel-org/segmentation_models.pytorch: the encoder ends at level
"P3", after half of its stages (with `level="P5"` it is whole, and dilated to stride 8,
as in the paper); what joins the pyramid is a 1x1 convolution, and scores are a 3x3 one
(in the paper the other way round); the mean of the whole map isn't normalized; and the
grids are enlarged with aligned corners.
"""

import os
from typing import Any

import keras
from keras import layers

from keras_seg.labels import Features, Logits, ValueRange
from keras_seg.models.arguments import check_factor, check_word
from keras_seg.models.blocks import conv_norm_relu, score
from keras_seg.models.encoded import check_width, encoder_decoder
from keras_seg.models.pyramids import pooling_pyramid


def pspnet(
    num_classes: int,
    *,
    input_shape: tuple[int | None, int | None, int] = (None, None, 3),
    encoder: str | keras.Model = "resnet34",
    encoder_weights: str | os.PathLike | None = None,
    weights: str | os.PathLike | None = None,
    fresh_head: bool = False,
    value_range: ValueRange = (0, 255),
    level: str = "P3",
    head_width: int = 512,
    dropout: float = 0.2,
    auxiliary: float = 0.0,
    activation: Any = None,
    name: str = "pspnet",
) -> keras.Model:
    """Build a PSPNet (arXiv:1612.01105).

    Args:
        num_classes: Number of classes to tell apart, the background among them.
        input_shape: Height, width and channels of the images. None stands for any
            height or width; the output always has the size of the input.
        encoder: What `models.encoder` takes or makes: the name of a backbone or a
            `keras.Model`, with the level that is pooled.
        encoder_weights: Weights of the encoder to start from: None, "imagenet" or a
            file, as `weights` of `models.encoder`: batch normalization is frozen then.
        weights: Weights of the whole net to start from: None; a `.pth` or
            `.safetensors` file of segmentation_models_pytorch's PSPNet; the `.keras`
            file of an equal net; or the folder of a run of `keras-seg train`.
        fresh_head: Whether to reinitialise the last convolution in place of reading it
            from the file of `weights`, which may then be of another number of classes.
        value_range: (low, high) of the images: numbers, or one for each channel.
        level: The level that is pooled, at stride 8: "P3", where the encoder ends then,
            as in segmentation_models_pytorch; or "P5" of a dilated encoder, as in the
            paper.
        head_width: Filters of the convolution that joins the pyramid.
        dropout: Rate of spatial dropout before the last convolution.
        auxiliary: Weight of the loss of an auxiliary head on level "P4", which only
            `fit` has; the paper trains with 0.4. With 0 there is none. It needs
            `level="P5"`.
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
        >>> model = pspnet(num_classes=21, encoder="resnet18")
        >>> model.compute_output_shape((1, 65, 97, 3))
        (1, 65, 97, 21)
    """
    check_word("level", level, ("P3", "P5"))
    check_width("head_width", head_width)
    check_factor("auxiliary", auxiliary)
    if auxiliary and level == "P3":
        raise ValueError(
            "Expected level='P5' with `auxiliary`, whose head is on level 'P4'. "
            f"Received: {level!r}, auxiliary={auxiliary!r}"
        )

    def decode(features: Features) -> Logits:
        x = features[level]
        pyramid = pooling_pyramid(
            x, max(1, x.shape[-1] // 4), align_corners=True, normalize_mean=False
        )
        x = layers.Concatenate(name="join")([*pyramid, x])
        x = conv_norm_relu(x, head_width, 1, name="head")
        x = layers.SpatialDropout2D(dropout, name="dropout")(x)
        return score(x, num_classes, kernel_size=3)

    return encoder_decoder(
        "pspnet",
        num_classes,
        decode,
        decoder="a PSPNet",
        levels=(level,),
        stride=8,
        output_stride=8,
        deepest=level,
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
