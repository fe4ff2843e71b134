"""FCN-32s: class logits of VGG16 at stride 32.

Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic Segmentation",
CVPR 2015, https://arxiv.org/abs/1411.4038, figure 3 and table 2. Geometry and names of
layers are those of the authors' voc-fcn32s, https://github.com/shelhamer/fcn.
"""

import os
from collections.abc import Sequence
from typing import Any

import keras

from keras_seg.labels import ValueRange
from keras_seg.models.architectures.fcn_parts import (
    ENDINGS,
    check_arguments,
    enlarge,
    score,
    started,
)
from keras_seg.models.blocks import outputs
from keras_seg.models.encoders.vgg16 import VGG16_WIDTHS, vgg16
from keras_seg.models.layers import crop_to
from keras_seg.models.weights.files import check_weights


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
    """Build an FCN-32s: class logits of fc7 at stride 32, upsampled 32 times.

    From Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic
    Segmentation", CVPR 2015, arXiv:1411.4038.

    Args:
        num_classes: Number of classes to tell apart, the background among them.
        input_shape: Height, width and channels of the images. None stands for any
            height or width; the output always has the size of the input.
        encoder_weights: Weights of VGG16, with its classifier cast to convolutions
            (section 3.1 of the paper): None for random ones, "imagenet" for Keras's, or
            a file: a `.caffemodel` of VGG16, or a `.keras` file of Keras's VGG16 or of
            an FCN.
        weights: Weights of the whole net to start from: None, the `.keras` file of an
            equal net, the authors' `.caffemodel`, or the folder of a run of
            `keras-seg train`.
        value_range: (low, high) of the images: numbers, or one for each channel.
        upsampling: Upsampling method: "transpose" (trainable transposed convolutions,
            initialised as bilinear interpolation) or "bilinear" (no weights).
        padding: "same", or "caffe" for the authors' geometry, whose transposed
            convolutions don't learn.
        widths: Filters of VGG16's five blocks. With fewer the net is faster, and takes
            no weights of others.
        head_width: Filters of fc6 and fc7.
        dropout: Share of activations dropped after fc6 and fc7.
        activation: Output activation. None gives logits, "softmax" probabilities.
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
    check_arguments(num_classes, upsampling, padding, widths, head_width)
    starts = check_weights(encoder_weights, weights, **ENDINGS)
    image, _, _, fc7 = vgg16(
        input_shape, value_range, padding, widths, head_width, dropout
    )

    x = score(fc7, num_classes, name="score_fr")
    x = enlarge(x, 32, upsampling, padding, name="upscore")
    x = crop_to(x, image, offset=19 if padding == "caffe" else 0, name="crop")
    model = keras.Model(image, outputs(x, activation=activation), name=name)
    return started(model, *starts)
