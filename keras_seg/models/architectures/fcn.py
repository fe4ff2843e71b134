"""Fully convolutional networks: VGG16 that scores every pixel.

Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic Segmentation",
CVPR 2015, https://arxiv.org/abs/1411.4038, figure 3 and table 2; geometry and names of
layers are those of the authors' Caffe nets, https://github.com/shelhamer/fcn.

With `padding="caffe"` a net is the authors' to the pixel: the image padded by 100, fc6
unpadded, transposed convolutions fixed, everything cropped where they crop it. With
`padding="same"` convolutions are padded as in VGG16, fc6 too: the same weights, and at
224 x 224 less than a third of the work.
"""

import os
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_seg.labels import ValueRange, check_num_classes
from keras_seg.models.arguments import (
    check_word,
    is_positive,
)
from keras_seg.models.blocks import outputs
from keras_seg.models.encoders.vgg16 import VGG16_WIDTHS, vgg16
from keras_seg.models.initializers import Bilinear
from keras_seg.models.layers import UpsampleBilinear, crop_to
from keras_seg.models.weights.by_order import ENDING
from keras_seg.models.weights.files import check_weights
from keras_seg.models.weights.vgg16 import load_fcn, load_vgg16

_ENDINGS = {
    "endings": (".keras", ENDING, ".caffemodel"),
    "encoder_endings": (".keras", ".caffemodel"),
}


def fcn32s(
    num_classes: int,
    *,
    input_shape: tuple[int | None, int | None, int] = (None, None, 3),
    encoder_weights: str | os.PathLike | None = None,
    weights: str | os.PathLike | None = None,
    value_range: ValueRange = (0, 255),
    upsampling: str = "transpose",
    padding: str = "same",
    widths: Sequence[int] = VGG16_WIDTHS,
    head_width: int = 4096,
    dropout: float = 0.5,
    activation: Any = None,
    name: str = "fcn32s",
) -> keras.Model:
    """Build an FCN-32s: scores at stride 32, enlarged 32 times.

    Args:
        num_classes: Number of classes to tell apart, the background among them.
        input_shape: Height, width and channels of the images. None stands for any
            height or width; the output always has the size of the input.
        encoder_weights: Weights of VGG16, with its classifier cast to convolutions
            (section 3.1), to start from: None for a random start, "imagenet" for
            Keras's, or a file: a `.caffemodel` of VGG16, or a `.keras` file of Keras's
            VGG16 or of an FCN.
        weights: Weights of the whole net to start from: None, the `.keras` file of an
            equal net, the authors' `.caffemodel`, or the folder of a run of
            `keras-seg train`.
        value_range: (low, high) of the images: numbers, or one for each channel.
        upsampling: How scores come back up: "transpose" (transposed convolutions that
            start as bilinear interpolation and learn) or "bilinear" (no weights).
        padding: "same", or "caffe" for the authors' geometry, whose transposed
            convolutions don't learn.
        widths: Filters of VGG16's five blocks. With fewer the net is faster, and takes
            no weights of others.
        head_width: Filters of fc6 and fc7.
        dropout: Share of activations dropped after fc6 and fc7.
        activation: Of the last layer. None gives logits, "softmax" probabilities.
        name: Name of the model.

    Returns:
        A model from images `[batch, height, width, channels]` to float32 logits
        `[batch, height, width, num_classes]`. Score layers start at zero, as
        the authors' do, so that an untrained model finds all classes equally likely.

    Raises:
        ValueError: for fewer than two classes, an input shape that isn't one, unknown
            words, or weights of another model.
        FileNotFoundError: if there is no file of weights.
        OSError: where Keras can't download VGG16, saying where to put the file.

    Example:
        >>> model = fcn32s(num_classes=21, head_width=8)
        >>> model.compute_output_shape((1, 65, 97, 3))
        (1, 65, 97, 21)
    """
    _check(num_classes, upsampling, padding, widths, head_width)
    starts = check_weights(encoder_weights, weights, **_ENDINGS)
    image, _, _, fc7 = vgg16(
        input_shape, value_range, padding, widths, head_width, dropout
    )

    x = _score(fc7, num_classes, name="score_fr")
    x = _enlarge(x, 32, upsampling, padding, name="upscore")
    x = crop_to(x, image, offset=19 if padding == "caffe" else 0, name="crop")
    model = keras.Model(image, outputs(x, activation=activation), name=name)
    return _started(model, *starts)


def fcn16s(
    num_classes: int,
    *,
    input_shape: tuple[int | None, int | None, int] = (None, None, 3),
    encoder_weights: str | os.PathLike | None = None,
    weights: str | os.PathLike | None = None,
    value_range: ValueRange = (0, 255),
    upsampling: str = "transpose",
    padding: str = "same",
    widths: Sequence[int] = VGG16_WIDTHS,
    head_width: int = 4096,
    dropout: float = 0.5,
    at_once: bool = False,
    activation: Any = None,
    name: str = "fcn16s",
) -> keras.Model:
    """Build an FCN-16s: scores of fc7 and of pool4, added, enlarged 16 times.

    Args:
        num_classes: Number of classes to tell apart, the background among them.
        input_shape: Height, width and channels of the images. None stands for any
            height or width; the output always has the size of the input.
        encoder_weights: Weights of VGG16, with its classifier cast to convolutions
            (section 3.1), to start from: None for a random start, "imagenet" for
            Keras's, or a file: a `.caffemodel` of VGG16, or a `.keras` file of Keras's
            VGG16 or of an FCN.
        weights: Weights of the whole net to start from: None, the `.keras` file of an
            equal net or of an FCN-32s, the authors' `.caffemodel`, or the folder of a
            run of `keras-seg train`. An FCN-32s is the start that section 4.2
            describes: scores of pool4 begin at zero, so the net begins as that FCN-32s.
            Layers that the file lacks stay as they start (a warning lists them).
        value_range: (low, high) of the images: numbers, or one for each channel.
        upsampling: How scores come back up: "transpose" (transposed convolutions that
            start as bilinear interpolation and learn) or "bilinear" (no weights).
        padding: "same", or "caffe" for the authors' geometry, whose transposed
            convolutions don't learn.
        widths: Filters of VGG16's five blocks. With fewer the net is faster, and takes
            no weights of others.
        head_width: Filters of fc6 and fc7.
        dropout: Share of activations dropped after fc6 and fc7.
        at_once: Whether pool4 is scaled by 0.01 before it is scored, as the authors do
            to train all of it in one stage.
        activation: Of the last layer. None gives logits, "softmax" probabilities.
        name: Name of the model.

    Returns:
        A model from images `[batch, height, width, channels]` to float32 logits
        `[batch, height, width, num_classes]`. Score layers start at zero, as
        the authors' do, so that an untrained model finds all classes equally likely.

    Raises:
        ValueError: for fewer than two classes, an input shape that isn't one, unknown
            words, or weights of another model.
        FileNotFoundError: if there is no file of weights.
        OSError: where Keras can't download VGG16, saying where to put the file.

    Example:
        >>> model = fcn16s(num_classes=21, head_width=8)
        >>> model.compute_output_shape((1, 65, 97, 3))
        (1, 65, 97, 21)
    """
    _check(num_classes, upsampling, padding, widths, head_width)
    starts = check_weights(encoder_weights, weights, **_ENDINGS)
    image, _, pool4, fc7 = vgg16(
        input_shape, value_range, padding, widths, head_width, dropout
    )
    if at_once:
        pool4 = layers.Rescaling(0.01, name="scale_pool4")(pool4)

    x = _score(fc7, num_classes, name="score_fr")
    x = _enlarge(x, 2, upsampling, padding, name="upscore2")
    x = _fuse(x, pool4, padding, name="pool4", offset=5)
    x = _enlarge(x, 16, upsampling, padding, name="upscore16")
    x = crop_to(x, image, offset=27 if padding == "caffe" else 0, name="crop")
    model = keras.Model(image, outputs(x, activation=activation), name=name)
    return _started(model, *starts)


def fcn8s(
    num_classes: int,
    *,
    input_shape: tuple[int | None, int | None, int] = (None, None, 3),
    encoder_weights: str | os.PathLike | None = None,
    weights: str | os.PathLike | None = None,
    value_range: ValueRange = (0, 255),
    upsampling: str = "transpose",
    padding: str = "same",
    widths: Sequence[int] = VGG16_WIDTHS,
    head_width: int = 4096,
    dropout: float = 0.5,
    at_once: bool = False,
    activation: Any = None,
    name: str = "fcn8s",
) -> keras.Model:
    """Build an FCN-8s: scores of fc7, pool4 and pool3, added, enlarged 8 times.

    Args:
        num_classes: Number of classes to tell apart, the background among them.
        input_shape: Height, width and channels of the images. None stands for any
            height or width; the output always has the size of the input.
        encoder_weights: Weights of VGG16, with its classifier cast to convolutions
            (section 3.1), to start from: None for a random start, "imagenet" for
            Keras's, or a file: a `.caffemodel` of VGG16, or a `.keras` file of Keras's
            VGG16 or of an FCN.
        weights: Weights of the whole net to start from: None, the `.keras` file of an
            equal net or of an FCN-16s, the authors' `.caffemodel`, or the folder of a
            run of `keras-seg train`. An FCN-16s is the start that section 4.2
            describes: scores of pool3 begin at zero, so the net begins as that FCN-16s.
            Layers that the file lacks stay as they start (a warning lists them).
        value_range: (low, high) of the images: numbers, or one for each channel.
        upsampling: How scores come back up: "transpose" (transposed convolutions that
            start as bilinear interpolation and learn) or "bilinear" (no weights).
        padding: "same", or "caffe" for the authors' geometry, whose transposed
            convolutions don't learn.
        widths: Filters of VGG16's five blocks. With fewer the net is faster, and takes
            no weights of others.
        head_width: Filters of fc6 and fc7.
        dropout: Share of activations dropped after fc6 and fc7.
        at_once: Whether pool4 is scaled by 0.01 and pool3 by 0.0001 before they are
            scored, as the authors do to train all of it in one stage.
        activation: Of the last layer. None gives logits, "softmax" probabilities.
        name: Name of the model.

    Returns:
        A model from images `[batch, height, width, channels]` to float32 logits
        `[batch, height, width, num_classes]`. Score layers start at zero, as
        the authors' do, so that an untrained model finds all classes equally likely.

    Raises:
        ValueError: for fewer than two classes, an input shape that isn't one, unknown
            words, or weights of another model.
        FileNotFoundError: if there is no file of weights.
        OSError: where Keras can't download VGG16, saying where to put the file.

    Example:
        >>> model = fcn8s(num_classes=21, head_width=8)
        >>> model.compute_output_shape((1, 65, 97, 3))
        (1, 65, 97, 21)
    """
    _check(num_classes, upsampling, padding, widths, head_width)
    starts = check_weights(encoder_weights, weights, **_ENDINGS)
    image, pool3, pool4, fc7 = vgg16(
        input_shape, value_range, padding, widths, head_width, dropout
    )
    if at_once:
        pool4 = layers.Rescaling(0.01, name="scale_pool4")(pool4)
        pool3 = layers.Rescaling(0.0001, name="scale_pool3")(pool3)

    x = _score(fc7, num_classes, name="score_fr")
    x = _enlarge(x, 2, upsampling, padding, name="upscore2")
    x = _fuse(x, pool4, padding, name="pool4", offset=5)
    x = _enlarge(x, 2, upsampling, padding, name="upscore_pool4")
    x = _fuse(x, pool3, padding, name="pool3", offset=9)
    x = _enlarge(x, 8, upsampling, padding, name="upscore8")
    x = crop_to(x, image, offset=31 if padding == "caffe" else 0, name="crop")
    model = keras.Model(image, outputs(x, activation=activation), name=name)
    return _started(model, *starts)


def _score(x: Any, num_classes: int, *, name: str) -> Any:
    """A score per class, 0 at the start."""
    return layers.Conv2D(num_classes, 1, kernel_initializer="zeros", name=name)(x)


def _enlarge(x: Any, factor: int, upsampling: str, padding: str, *, name: str) -> Any:
    """Scores on a grid `factor` times finer."""
    if upsampling == "bilinear":
        return UpsampleBilinear(factor, name=name)(x)
    return layers.Conv2DTranspose(
        x.shape[-1],
        2 * factor,
        strides=factor,
        padding="valid" if padding == "caffe" else "same",
        use_bias=False,
        kernel_initializer=Bilinear(),
        trainable=padding != "caffe",
        name=name,
    )(x)


def _fuse(coarse: Any, pool: Any, padding: str, *, name: str, offset: int) -> Any:
    """Coarse scores plus those of a pool, the larger map cropped to the other."""
    fine = _score(pool, coarse.shape[-1], name=f"score_{name}")
    if padding == "caffe":
        fine = crop_to(fine, coarse, offset=offset, name=f"crop_{name}")
    else:
        coarse = crop_to(coarse, fine, name=f"crop_{name}")
    return layers.Add(name=f"fuse_{name}")([coarse, fine])


def _started(
    model: keras.Model, encoder_weights: str | None, weights: str | None
) -> keras.Model:
    """The model, with the weights that it starts from."""
    if encoder_weights is not None:
        load_vgg16(model, encoder_weights)
    if weights is not None:
        load_fcn(model, weights)
    return model


def _check(
    num_classes: int, upsampling: str, padding: str, widths: Any, head_width: int
) -> None:
    check_num_classes(num_classes)
    check_word("upsampling", upsampling, ("transpose", "bilinear"))
    check_word("padding", padding, ("same", "caffe"))
    if padding == "caffe" and upsampling != "transpose":
        raise ValueError(
            "Expected upsampling='transpose' with padding='caffe', as the authors have "
            f"it. Received: {upsampling!r}"
        )
    if np.ndim(widths) != 1 or len(widths) != 5 or not all(map(is_positive, widths)):
        raise ValueError(
            "Expected `widths` to be five positive integers, for VGG16's blocks. "
            f"Received: {widths!r}"
        )
    if not is_positive(head_width):
        raise ValueError(
            f"Expected `head_width` to be a positive integer. Received: {head_width!r}"
        )
