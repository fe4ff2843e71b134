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

from keras_seg.labels import check_num_classes
from keras_seg.models.caffe import kernel, read_caffemodel
from keras_seg.models.layers import (
    Bilinear,
    CheckRange,
    UpsampleBilinear,
    check_input_shape,
    check_share,
    check_word,
    crop_to,
    is_positive,
    logits_of,
)
from keras_seg.models.weights import (
    Named,
    assign,
    check_file,
    imagenet,
    load_model,
    load_weights,
    named_weights,
    tell,
)

#: Mean of red, green and blue over ILSVRC, as the authors subtract it.
MEAN = (122.67892, 116.66877, 104.00699)
#: Filters of VGG16's five blocks.
VGG16_WIDTHS = (64, 128, 256, 512, 512)


def fcn32s(
    num_classes: int,
    *,
    input_shape: tuple[int | None, int | None, int] = (None, None, 3),
    upsampling: str = "transpose",
    padding: str = "same",
    widths: Sequence[int] = VGG16_WIDTHS,
    head_width: int = 4096,
    dropout: float = 0.5,
    weights: str | os.PathLike | None = None,
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
        padding: "same", or "caffe" for the authors' geometry, whose transposed
            convolutions don't learn.
        widths: Filters of VGG16's five blocks. With fewer the net is faster, and takes
            no weights of others.
        head_width: Filters of fc6 and fc7.
        dropout: Share of activations dropped after fc6 and fc7.
        weights: None for a random start. "imagenet" starts from Keras's VGG16, its
            classifier cast to convolutions (section 3.1). Or a path: a `.caffemodel` of
            the authors or of VGG16, or a `.keras` file; a coarser net's is the start
            that section 4.2 describes, and layers it doesn't have stay as they start
            (a warning lists them). Or `.weights.h5` of an equal model.
        activation: Of the last layer. None gives logits, "softmax" probabilities.
        name: Name of the model.

    Returns:
        A model from images `[batch, height, width, channels]` in 0..255 to float32
        logits `[batch, height, width, num_classes]`. Score layers start at zero, as
        the authors' do, so that an untrained model finds all classes equally likely.

    Raises:
        ValueError: for fewer than two classes, an input shape that isn't one, unknown
            words, or weights of another model.
        FileNotFoundError: if there is no file of weights.

    Example:
        >>> model = fcn32s(num_classes=21, head_width=8)
        >>> model.compute_output_shape((1, 65, 97, 3))
        (1, 65, 97, 21)
    """
    _check(num_classes, upsampling, padding, widths, head_width)
    image, _, _, fc7 = _vgg16(input_shape, padding, widths, head_width, dropout)

    x = _score(fc7, num_classes, name="score_fr")
    x = _enlarge(x, 32, upsampling, padding, name="upscore")
    x = crop_to(x, image, offset=19 if padding == "caffe" else 0, name="crop")
    return _model(image, logits_of(x, activation), name, weights)


def fcn16s(
    num_classes: int,
    *,
    input_shape: tuple[int | None, int | None, int] = (None, None, 3),
    upsampling: str = "transpose",
    padding: str = "same",
    widths: Sequence[int] = VGG16_WIDTHS,
    head_width: int = 4096,
    dropout: float = 0.5,
    at_once: bool = False,
    weights: str | os.PathLike | None = None,
    activation: Any = None,
    name: str = "fcn16s",
) -> keras.Model:
    """Build an FCN-16s: scores of fc7 and of pool4, added, enlarged 16 times.

    Args:
        num_classes: As for `fcn32s`, and so are the arguments not named here.
        input_shape: As for `fcn32s`.
        upsampling: As for `fcn32s`.
        padding: As for `fcn32s`.
        widths: As for `fcn32s`.
        head_width: As for `fcn32s`.
        dropout: As for `fcn32s`.
        at_once: Whether pool4 is scaled by 0.01 before it is scored, as the authors do
            to train all of it in one stage.
        weights: As for `fcn32s`. The `.keras` file of a trained FCN-32s is the paper's
            start: scores of pool4 begin at zero, so it begins as that FCN-32s.
        activation: As for `fcn32s`.
        name: Name of the model.

    Example:
        >>> model = fcn16s(num_classes=21, head_width=8)
        >>> model.compute_output_shape((1, 65, 97, 3))
        (1, 65, 97, 21)
    """
    _check(num_classes, upsampling, padding, widths, head_width)
    image, _, pool4, fc7 = _vgg16(input_shape, padding, widths, head_width, dropout)
    if at_once:
        pool4 = layers.Rescaling(0.01, name="scale_pool4")(pool4)

    x = _score(fc7, num_classes, name="score_fr")
    x = _enlarge(x, 2, upsampling, padding, name="upscore2")
    x = _fuse(x, pool4, padding, name="pool4", offset=5)
    x = _enlarge(x, 16, upsampling, padding, name="upscore16")
    x = crop_to(x, image, offset=27 if padding == "caffe" else 0, name="crop")
    return _model(image, logits_of(x, activation), name, weights)


def fcn8s(
    num_classes: int,
    *,
    input_shape: tuple[int | None, int | None, int] = (None, None, 3),
    upsampling: str = "transpose",
    padding: str = "same",
    widths: Sequence[int] = VGG16_WIDTHS,
    head_width: int = 4096,
    dropout: float = 0.5,
    at_once: bool = False,
    weights: str | os.PathLike | None = None,
    activation: Any = None,
    name: str = "fcn8s",
) -> keras.Model:
    """Build an FCN-8s: scores of fc7, pool4 and pool3, added, enlarged 8 times.

    Args:
        num_classes: As for `fcn32s`, and so are the arguments not named here.
        input_shape: As for `fcn32s`.
        upsampling: As for `fcn32s`.
        padding: As for `fcn32s`.
        widths: As for `fcn32s`.
        head_width: As for `fcn32s`.
        dropout: As for `fcn32s`.
        at_once: Whether pool4 is scaled by 0.01 and pool3 by 0.0001 before they are
            scored, as the authors do to train all of it in one stage.
        weights: As for `fcn32s`. The `.keras` file of a trained FCN-16s is the paper's
            start.
        activation: As for `fcn32s`.
        name: Name of the model.

    Example:
        >>> model = fcn8s(num_classes=21, head_width=8)
        >>> model.compute_output_shape((1, 65, 97, 3))
        (1, 65, 97, 21)
    """
    _check(num_classes, upsampling, padding, widths, head_width)
    image, pool3, pool4, fc7 = _vgg16(input_shape, padding, widths, head_width, dropout)
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
    return _model(image, logits_of(x, activation), name, weights)


def _vgg16(
    input_shape: tuple[int | None, int | None, int],
    padding: str,
    widths: Sequence[int],
    head_width: int,
    dropout: float,
) -> tuple[Any, Any, Any, Any]:
    """VGG16 with its classifier cast to convolutions: image, pool3, pool4 and fc7."""
    input_shape = check_input_shape(input_shape)
    check_share("dropout", dropout)
    image = keras.Input(input_shape, name="image")
    x = CheckRange(name="range")(image)
    # Bands other than RGB have no such mean: the middle of the range is taken away.
    mean = MEAN if input_shape[2] == 3 else (127.5,) * input_shape[2]
    x = layers.Rescaling(1.0, offset=[-m for m in mean], name="subtract_mean")(x)
    if padding == "caffe":
        x = layers.ZeroPadding2D(99, name="pad")(x)  # and 1 that conv1_1 adds

    pools = []
    for block, (repeats, width) in enumerate(
        zip((2, 2, 3, 3, 3), widths, strict=True), start=1
    ):
        for k in range(1, repeats + 1):
            x = _conv(x, width, 3, "same", name=f"conv{block}_{k}")
        x = layers.MaxPooling2D(padding="same", name=f"pool{block}")(x)  # rounds up
        pools.append(x)

    fc6_padding = "valid" if padding == "caffe" else "same"
    x = _conv(x, head_width, 7, fc6_padding, name="fc6")
    if dropout:
        x = layers.Dropout(dropout, name="fc6_dropout")(x)
    x = _conv(x, head_width, 1, "same", name="fc7")
    if dropout:
        x = layers.Dropout(dropout, name="fc7_dropout")(x)
    return image, pools[2], pools[3], x


def _conv(x: Any, width: int, size: int, padding: str, *, name: str) -> Any:
    """A convolution with a ReLU."""
    return layers.Conv2D(
        width,
        size,
        padding=padding,
        activation="relu",
        kernel_initializer="he_normal",
        name=name,
    )(x)


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


def _model(image: Any, logits: Any, name: str, weights: Any) -> keras.Model:
    """The model that gives these logits, with its weights."""
    model = keras.Model(image, logits, name=name)
    if weights is None:
        return model

    path = os.fspath(weights)
    if path == "imagenet":
        vgg16 = imagenet(lambda: keras.applications.VGG16(weights="imagenet"))
        assign(model, cast(vgg16), where="VGG16 of Keras", may_differ=_is_score)
    elif path.endswith(".caffemodel"):
        check_file(path)
        named = _from_caffe(model, path)
        tell(path, *assign(model, named, where=path, may_differ=_is_score))
    elif path.endswith(".keras"):
        named = named_weights(load_model(path))
        tell(path, *assign(model, named, where=path, may_differ=_is_score))
    else:
        load_weights(model, path)
    return model


def cast(vgg16: keras.Model) -> Named:
    """Weights of a Keras VGG16 by the names of an FCN's layers (section 3.1).

    The fully connected fc1 is a 7x7 convolution of pool5, fc2 a 1x1 convolution. The
    net sees BGR; reversed once in its first kernel, it sees RGB.
    """
    named = {}
    for layer in vgg16.layers:
        if not layer.weights or layer.name == "predictions":
            continue
        weights, bias = layer.get_weights()
        if layer.name.startswith("block"):
            block, conv = layer.name.removeprefix("block").split("_conv")
            named[f"conv{block}_{conv}"] = [weights, bias]
        else:
            size, name = {"fc1": (7, "fc6"), "fc2": (1, "fc7")}[layer.name]
            named[name] = [weights.reshape(size, size, -1, weights.shape[-1]), bias]
    weights, bias = named["conv1_1"]
    return named | {"conv1_1": [weights[:, :, ::-1], bias]}


def _from_caffe(model: keras.Model, path: str) -> Named:
    """Weights of a .caffemodel in Keras's layout, for the layers that are known."""
    named = read_caffemodel(path)
    for layer in model.layers:
        if layer.name not in named or not layer.weights:
            continue
        blob, *bias = named[layer.name]
        try:
            weights = kernel(blob, tuple(layer.kernel.shape))
        except ValueError as error:
            raise ValueError(f"{path}: layer {layer.name}: {error}") from None
        if layer.name == "conv1_1":
            weights = weights[:, :, ::-1]  # Caffe's nets see BGR
        named[layer.name] = [weights, *(b.ravel() for b in bias)]
    return named


def _is_score(name: str) -> bool:
    """Whether a layer belongs to what nets of other strides or tasks don't share."""
    return name.startswith(("score", "upscore")) or name == "fc8"


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
