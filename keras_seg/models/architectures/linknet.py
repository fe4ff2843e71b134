"""LinkNet: a light decoder whose steps up are added to the encoder's features.

Chaurasia and Culurciello, "LinkNet: Exploiting Encoder Representations for Efficient
Semantic Segmentation", 2017, https://arxiv.org/abs/1707.03718, figures 1 and 2. As
segmentation_models_pytorch has it,
https://github.com/qubvel-org/segmentation_models.pytorch: transposed convolutions are
4x4, not 3x3; and the fifth step up is like the others, to 32 channels, where the paper
has a convolution between two transposed ones. There is no dropout in either.
"""

import os
from typing import Any

import keras
from keras import layers

from keras_seg.labels import Features, Logits, ValueRange
from keras_seg.models.blocks import conv_norm_relu, normalize, score
from keras_seg.models.encoded import check_width, encoder_decoder


def linknet(
    num_classes: int,
    *,
    input_shape: tuple[int | None, int | None, int] = (None, None, 3),
    encoder: str | keras.Model = "resnet34",
    encoder_weights: str | os.PathLike | None = None,
    weights: str | os.PathLike | None = None,
    fresh_head: bool = False,
    value_range: ValueRange = (0, 255),
    head_width: int = 32,
    dropout: float = 0.0,
    auxiliary: float = 0.0,
    activation: Any = None,
    name: str = "linknet",
) -> keras.Model:
    """Build a LinkNet (arXiv:1707.03718).

    Args:
        num_classes: Number of classes to tell apart, the background among them.
        input_shape: Height, width and channels of the images. None stands for any
            height or width; the output always has the size of the input.
        encoder: What `models.encoder` takes or makes: the name of a backbone or a
            `keras.Model`, with the levels "P2" to "P5" and perhaps "P1".
        encoder_weights: Weights of the encoder to start from: None, "imagenet" or a
            file, as `weights` of `models.encoder`: batch normalization is frozen then.
        weights: Weights of the whole net to start from: None; a `.pth` or
            `.safetensors` file of segmentation_models_pytorch's Linknet; the `.keras`
            file of an equal net; or the folder of a run of `keras-seg train`.
        fresh_head: Whether to reinitialise the last convolution in place of reading it
            from the file of `weights`, which may then be of another number of classes.
        value_range: (low, high) of the images: numbers, or one for each channel.
        head_width: Channels before the last convolution.
        dropout: Share of channels of that map dropped before.
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
        >>> model = linknet(num_classes=21, encoder="resnet18")
        >>> model.compute_output_shape((1, 65, 97, 3))
        (1, 65, 97, 21)
    """
    check_width("head_width", head_width)

    def decode(features: Features) -> Logits:
        x = features["P5"]
        for level in (4, 3, 2, 1, 0):
            skip = features.get(f"P{level}")
            width = x.shape[-1] if skip is None else skip.shape[-1]
            width = head_width if level == 0 else width
            x = _step_up(x, width, name=f"up{level + 1}")
            if skip is not None:
                x = layers.Add(name=f"up{level + 1}_sum")([x, skip])
        x = layers.SpatialDropout2D(dropout, name="dropout")(x)
        return score(x, num_classes)

    return encoder_decoder(
        "linknet",
        num_classes,
        decode,
        decoder="a LinkNet",
        levels=("P2", "P3", "P4", "P5"),
        stride=1,
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


def _step_up(x: Any, filters: int, *, name: str) -> Any:
    """1x1 to a quarter of the channels, a transposed convolution, 1x1 to `filters`."""
    quarter = max(1, x.shape[-1] // 4)
    x = conv_norm_relu(x, quarter, 1, name=name, number=1)
    x = layers.Conv2DTranspose(
        quarter,
        4,
        strides=2,
        padding="same",
        kernel_initializer="he_normal",
        name=f"{name}_transpose2",
    )(x)
    x = normalize(x, "batch", name=f"{name}_norm2")
    x = layers.ReLU(name=f"{name}_relu2")(x)
    return conv_norm_relu(x, filters, 1, name=name, number=3)
