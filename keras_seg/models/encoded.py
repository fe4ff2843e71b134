"""What nets of an encoder and a decoder share: how they begin, and how they end."""

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras

from keras_seg.labels import Features, Image, Logits, ValueRange, check_num_classes
from keras_seg.models.arguments import (
    check_factor,
    check_input_shape,
    check_share,
    is_positive,
)
from keras_seg.models.auxiliary import trained_part, with_auxiliary
from keras_seg.models.blocks import enlarge_outputs
from keras_seg.models.encoders.encoder import (
    check_encoder,
    dilated_encoder,
    encoder_endings,
)
from keras_seg.models.inputs import image_input
from keras_seg.models.weights import torchvision
from keras_seg.models.weights.by_order import ENDING, load_by_order
from keras_seg.models.weights.files import check_weights
from keras_seg.models.weights.nets import endings_of, load_net


class Start(NamedTuple):
    """How a net begins.

    Attributes:
        image: The symbolic image.
        features: Its features by level; without an encoder the image in 0..255, "P0".
        weights: The file of weights of the whole net, or None.
    """

    image: Image
    features: Features
    weights: str | None


def encoder_decoder(
    net: str,
    num_classes: int,
    decode: Callable[[Features], Logits],
    *,
    levels: Sequence[str],
    stride: int,
    fresh_head: bool,
    auxiliary: float,
    activation: Any,
    name: str,
    output_stride: int = 32,
    **arguments: Any,
) -> keras.Model:
    """Build a net of an encoder, a decoder, and a bilinear resize to the image's size.

    Args:
        net: The name of the builder, by which files of weights are known.
        num_classes: Number of classes.
        decode: From features by level to logits.
        levels: The levels that it needs.
        stride: How many times smaller than the image the logits are.
        fresh_head: Whether to reinitialise the last convolution.
        auxiliary: Weight of the loss of an auxiliary head on level "P4".
        activation: Output activation.
        name: Name of the model.
        output_stride: How many times smaller than the image features may get.
        **arguments: Of `start`.
    """
    image, features, weights = start(
        net,
        num_classes,
        levels=sorted({*levels, "P4"} if auxiliary else levels),
        fresh_head=fresh_head,
        auxiliary=auxiliary,
        output_stride=output_stride,
        **arguments,
    )
    logits = enlarge_outputs(
        decode(features), stride, activation=activation, image=image
    )
    model = with_auxiliary(
        image,
        logits,
        features,
        auxiliary,
        output_stride=output_stride,
        activation=activation,
        name=name,
    )
    return started(model, weights, net, fresh_head=fresh_head)


def started(
    model: keras.Model, weights: str | None, net: str, *, fresh_head: bool
) -> keras.Model:
    """Return a model with the weights that the whole net starts from, if any.

    Args:
        model: The model, perhaps with auxiliary heads.
        weights: None, or a file.
        net: The name of the builder, by which files are known.
        fresh_head: Whether to reinitialise the last convolution.
    """
    if weights is not None and weights.endswith(ENDING):
        if fresh_head:
            raise ValueError(
                f"{weights}: Expected a `.keras` file with fresh_head=True: this one "
                "doesn't say which weights are those of the scores."
            )
        load_by_order(model, weights)
    elif weights is not None:
        load_net(trained_part(model), weights, net, fresh_head=fresh_head)
    return model


def start(
    net: str,
    num_classes: int,
    *,
    input_shape: tuple[int | None, int | None, int],
    encoder: str | keras.Model | None,
    encoder_weights: str | os.PathLike | None,
    weights: str | os.PathLike | None,
    fresh_head: bool,
    value_range: ValueRange,
    dropout: float,
    levels: Sequence[str],
    decoder: str,
    auxiliary: float = 0.0,
    **dilation: Any,
) -> Start:
    """Check the arguments that builders share, and make the encoder.

    Args:
        net: The name of the builder, by which published weights are known.
        num_classes: Of the builder, as the next seven.
        input_shape: Height, width and channels.
        encoder: A name or a model; None for a net that has a path down of its own.
        encoder_weights: None, "imagenet" or a file.
        weights: None, a published name, a file or the folder of a run.
        fresh_head: Whether to reinitialise the last convolution.
        value_range: (low, high) of the images.
        dropout: Share of activations that the decoder drops.
        levels: The levels that the decoder needs.
        decoder: Its name, for errors.
        auxiliary: Weight of the loss of auxiliary heads.
        **dilation: What `models.encoder` knows as `output_stride`, `dilate_first` and
            `deepest`.

    Raises:
        ValueError: for arguments out of range, or a backbone that can't be used.
        FileNotFoundError: if there is no file of weights.
        OSError: where weights can't be downloaded.
    """
    check_num_classes(num_classes)
    input_shape = check_input_shape(input_shape)
    check_share("dropout", dropout)
    check_factor("auxiliary", auxiliary)
    if fresh_head and weights is None:
        raise ValueError("Expected `weights` with fresh_head=True. Received: None")
    encoder_weights, weights = check_weights(
        encoder_weights,
        weights,
        endings=(".keras", ENDING) if encoder is None else endings_of(net),
        encoder_endings=encoder_endings(encoder),
        names=torchvision.names(net),
    )
    if weights in torchvision.names(net):
        weights = torchvision.file(net, encoder, num_classes, fresh_head=fresh_head)
    if encoder is None and encoder_weights is not None:
        raise ValueError(
            "Expected an `encoder` with `encoder_weights`. The paper's net has no such "
            "weights: add, for example, `encoder='resnet34'`."
        )
    if encoder is not None:
        check_encoder(encoder, encoder_weights)
    image, pixels = image_input(input_shape, value_range)
    if encoder is None:
        return Start(image, {"P0": pixels}, weights)
    made = dilated_encoder(
        encoder,
        levels,
        decoder=decoder,
        input_shape=input_shape,
        weights=encoder_weights,
        **{"output_stride": 32, **dilation},
    )
    return Start(image, made(pixels), weights)


def check_width(argument: str, width: Any) -> None:
    """Raise unless this is a number of filters."""
    if not is_positive(width):
        raise ValueError(
            f"Expected `{argument}` to be a positive integer. Received: {width!r}"
        )
