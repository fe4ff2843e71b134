"""Fully convolutional networks: VGG16 that scores every pixel.

Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic Segmentation",
CVPR 2015, https://arxiv.org/abs/1411.4038, figure 3 and table 2. Layers have the
names of the authors' Caffe nets. Convolutions are padded as in VGG16, fc6 too, where
the authors pad the image by 100 pixels and crop: same weights, less work.
"""

from typing import Any

import keras
from keras import layers

from keras_seg.labels import check_num_classes
from keras_seg.models.layers import (
    Bilinear,
    UpsampleBilinear,
    check_input_shape,
    check_word,
    crop_to,
)

#: Mean of red, green and blue over ILSVRC, as the authors subtract it.
MEAN = (122.67892, 116.66877, 104.00699)


def fcn32s(
    num_classes: int,
    *,
    input_shape: tuple[int | None, int | None, int] = (None, None, 3),
    upsampling: str = "transpose",
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
        upsampling: How scores come back up: "transpose" (transposed convolutions that
            start as bilinear interpolation and learn) or "bilinear" (no weights).
        head_width: Filters of fc6 and fc7.
        dropout: Share of activations dropped after fc6 and fc7.
        activation: Of the last layer. None gives logits, "softmax" probabilities.
        name: Name of the model.

    Returns:
        A model from images `[batch, height, width, channels]` in 0..255 to float32
        logits `[batch, height, width, num_classes]`. Score layers start at zero, as
        the authors' do, so that an untrained model finds all classes equally likely.

    Raises:
        ValueError: for fewer than two classes, an input shape that isn't one, or an
            unknown upsampling.

    Example:
        >>> model = fcn32s(num_classes=21, head_width=8)
        >>> model.compute_output_shape((1, 65, 97, 3))
        (1, 65, 97, 21)
    """
    image, _, _, x = _vgg16(num_classes, input_shape, upsampling, head_width, dropout)

    x = _score(x, num_classes, name="score_fr")
    x = _enlarge(x, 32, upsampling, name="upscore")
    return _model(image, x, activation, name)


def fcn16s(
    num_classes: int,
    *,
    input_shape: tuple[int | None, int | None, int] = (None, None, 3),
    upsampling: str = "transpose",
    head_width: int = 4096,
    dropout: float = 0.5,
    activation: Any = None,
    name: str = "fcn16s",
) -> keras.Model:
    """Build an FCN-16s: scores of fc7 and of pool4, added, enlarged 16 times.

    Arguments, result and errors are those of `fcn32s`.

    Example:
        >>> model = fcn16s(num_classes=21, head_width=8)
        >>> model.compute_output_shape((1, 65, 97, 3))
        (1, 65, 97, 21)
    """
    image, _, pool4, x = _vgg16(
        num_classes, input_shape, upsampling, head_width, dropout
    )

    x = _score(x, num_classes, name="score_fr")
    x = _enlarge(x, 2, upsampling, name="upscore2")
    x = _fuse(x, _score(pool4, num_classes, name="score_pool4"), name="fuse_pool4")
    x = _enlarge(x, 16, upsampling, name="upscore16")
    return _model(image, x, activation, name)


def fcn8s(
    num_classes: int,
    *,
    input_shape: tuple[int | None, int | None, int] = (None, None, 3),
    upsampling: str = "transpose",
    head_width: int = 4096,
    dropout: float = 0.5,
    activation: Any = None,
    name: str = "fcn8s",
) -> keras.Model:
    """Build an FCN-8s: scores of fc7, pool4 and pool3, added, enlarged 8 times.

    Arguments, result and errors are those of `fcn32s`.

    Example:
        >>> model = fcn8s(num_classes=21, head_width=8)
        >>> model.compute_output_shape((1, 65, 97, 3))
        (1, 65, 97, 21)
    """
    image, pool3, pool4, x = _vgg16(
        num_classes, input_shape, upsampling, head_width, dropout
    )

    x = _score(x, num_classes, name="score_fr")
    x = _enlarge(x, 2, upsampling, name="upscore2")
    x = _fuse(x, _score(pool4, num_classes, name="score_pool4"), name="fuse_pool4")
    x = _enlarge(x, 2, upsampling, name="upscore_pool4")
    x = _fuse(x, _score(pool3, num_classes, name="score_pool3"), name="fuse_pool3")
    x = _enlarge(x, 8, upsampling, name="upscore8")
    return _model(image, x, activation, name)


def _vgg16(
    num_classes: int,
    input_shape: tuple[int | None, int | None, int],
    upsampling: str,
    head_width: int,
    dropout: float,
) -> tuple[Any, Any, Any, Any]:
    """VGG16 with its classifier cast to convolutions: image, pool3, pool4 and fc7."""
    check_num_classes(num_classes)
    check_word("upsampling", upsampling, ("transpose", "bilinear"))
    input_shape = check_input_shape(input_shape)

    image = keras.Input(input_shape, name="image")
    # Bands other than RGB have no such mean: the middle of the range is taken away.
    mean = MEAN if input_shape[2] == 3 else (127.5,) * input_shape[2]
    x = layers.Rescaling(1.0, offset=[-m for m in mean], name="subtract_mean")(image)

    pools = []
    for block, (repeats, width) in enumerate(
        [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)], start=1
    ):
        for k in range(1, repeats + 1):
            x = _conv(x, width, 3, name=f"conv{block}_{k}")
        x = layers.MaxPooling2D(padding="same", name=f"pool{block}")(x)
        pools.append(x)

    for fc, size in (("fc6", 7), ("fc7", 1)):
        x = _conv(x, head_width, size, name=fc)
        if dropout:
            x = layers.Dropout(dropout, name=f"{fc}_dropout")(x)
    return image, pools[2], pools[3], x


def _conv(x: Any, width: int, size: int, *, name: str) -> Any:
    """A convolution with a ReLU."""
    return layers.Conv2D(
        width,
        size,
        padding="same",
        activation="relu",
        kernel_initializer="he_normal",
        name=name,
    )(x)


def _score(x: Any, num_classes: int, *, name: str) -> Any:
    """A score per class, 0 at the start."""
    return layers.Conv2D(num_classes, 1, kernel_initializer="zeros", name=name)(x)


def _enlarge(x: Any, factor: int, upsampling: str, *, name: str) -> Any:
    """Scores on a grid `factor` times finer."""
    if upsampling == "bilinear":
        return UpsampleBilinear(factor, name=name)(x)
    return layers.Conv2DTranspose(
        x.shape[-1],
        2 * factor,
        strides=factor,
        padding="same",
        use_bias=False,
        kernel_initializer=Bilinear(),
        name=name,
    )(x)


def _fuse(coarse: Any, fine: Any, *, name: str) -> Any:
    """The sum of two score maps; the coarse one is cropped to the fine one."""
    coarse = crop_to(coarse, fine, name=f"{name}_crop")
    return layers.Add(name=name)([fine, coarse])


def _model(image: Any, scores: Any, activation: Any, name: str) -> keras.Model:
    """Scores cropped to the size of the image, in float32 under every policy."""
    scores = crop_to(scores, image, name="crop")
    logits = layers.Activation(
        activation or "linear",
        dtype="float32",
        name="probabilities" if activation else "logits",
    )(scores)
    return keras.Model(image, logits, name=name)
