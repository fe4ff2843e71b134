"""What the three FCNs share: how they score, enlarge and add, and what starts them.

With `padding="caffe"` a net is the authors' to the pixel: the image padded by 100, fc6
unpadded, transposed convolutions fixed, everything cropped where they crop it. With
`padding="same"` convolutions are padded as in VGG16, fc6 too: the same weights, and at
224 x 224 less than a third of the work.
"""

from typing import Any

import keras
import numpy as np
from keras import layers

from keras_seg.labels import check_num_classes
from keras_seg.models.arguments import check_word, is_positive
from keras_seg.models.initializers import Bilinear
from keras_seg.models.layers import UpsampleBilinear, crop_to
from keras_seg.models.weights.by_order import ENDING
from keras_seg.models.weights.vgg16 import load_fcn, load_vgg16

#: Of the files that the FCNs take, for `check_weights`.
ENDINGS = {
    "endings": (".keras", ENDING, ".caffemodel"),
    "encoder_endings": (".keras", ".caffemodel"),
}


def score(x: Any, num_classes: int, *, name: str) -> Any:
    """A score per class, 0 at the start."""
    return layers.Conv2D(num_classes, 1, kernel_initializer="zeros", name=name)(x)


def enlarge(x: Any, factor: int, upsampling: str, padding: str, *, name: str) -> Any:
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


def fuse(coarse: Any, pool: Any, padding: str, *, name: str, offset: int) -> Any:
    """Coarse scores plus those of a pool, the larger map cropped to the other."""
    fine = score(pool, coarse.shape[-1], name=f"score_{name}")
    if padding == "caffe":
        fine = crop_to(fine, coarse, offset=offset, name=f"crop_{name}")
    else:
        coarse = crop_to(coarse, fine, name=f"crop_{name}")
    return layers.Add(name=f"fuse_{name}")([coarse, fine])


def started(
    model: keras.Model, encoder_weights: str | None, weights: str | None
) -> keras.Model:
    """The model, with the weights that it starts from."""
    if encoder_weights is not None:
        load_vgg16(model, encoder_weights)
    if weights is not None:
        load_fcn(model, weights)
    return model


def check_arguments(
    num_classes: int, upsampling: str, padding: str, widths: Any, head_width: int
) -> None:
    """Raise a ValueError for arguments that no FCN can be built of."""
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
