"""FCN-8s: class logits of an FCN-16s and of pool3.

Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic Segmentation",
CVPR 2015, https://arxiv.org/abs/1411.4038, figure 3 and table 2. Geometry and names of
layers are those of the authors' voc-fcn8s, https://github.com/shelhamer/fcn.
"""

import os
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from keras_seg.labels import ValueRange
from keras_seg.models.architectures.fcn_parts import (
    ENDINGS,
    check_arguments,
    enlarge,
    fuse,
    score,
    started,
)
from keras_seg.models.blocks import outputs
from keras_seg.models.encoders.vgg16 import VGG16_WIDTHS, vgg16
from keras_seg.models.layers import crop_to
from keras_seg.models.weights.files import check_weights


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
    """Build an FCN-8s: sums logits of fc7, pool4 and pool3, then upsamples 8 times.

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
            equal net or of an FCN-16s, the authors' `.caffemodel`, or the folder of a
            run of `keras-seg train`. An FCN-16s is the start that section 4.2
            describes: logits of pool3 begin at zero, so the net begins as that FCN-16s.
            Layers that the file lacks stay as they start (a warning lists them).
        value_range: (low, high) of the images: numbers, or one for each channel.
        upsampling: Upsampling method: "transpose" (trainable transposed convolutions,
            initialised as bilinear interpolation) or "bilinear" (no weights).
        padding: "same", or "caffe" for the authors' geometry, whose transposed
            convolutions don't learn.
        widths: Filters of VGG16's five blocks. With fewer the net is faster, and takes
            no weights of others.
        head_width: Filters of fc6 and fc7.
        dropout: Share of activations dropped after fc6 and fc7.
        at_once: Whether pool4 is scaled by 0.01 and pool3 by 0.0001 before their 1x1
            convolutions, as the authors do to train in one stage.
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
        >>> model = fcn8s(num_classes=21, head_width=8)
        >>> model.compute_output_shape((1, 65, 97, 3))
        (1, 65, 97, 21)
    """
    check_arguments(num_classes, upsampling, padding, widths, head_width)
    starts = check_weights(encoder_weights, weights, **ENDINGS)
    image, pool3, pool4, fc7 = vgg16(
        input_shape, value_range, padding, widths, head_width, dropout
    )
    if at_once:
        pool4 = layers.Rescaling(0.01, name="scale_pool4")(pool4)
        pool3 = layers.Rescaling(0.0001, name="scale_pool3")(pool3)

    x = score(fc7, num_classes, name="score_fr")
    x = enlarge(x, 2, upsampling, padding, name="upscore2")
    x = fuse(x, pool4, padding, name="pool4", offset=5)
    x = enlarge(x, 2, upsampling, padding, name="upscore_pool4")
    x = fuse(x, pool3, padding, name="pool3", offset=9)
    x = enlarge(x, 8, upsampling, padding, name="upscore8")
    x = crop_to(x, image, offset=31 if padding == "caffe" else 0, name="crop")
    model = keras.Model(image, outputs(x, activation=activation), name=name)
    return started(model, *starts)
