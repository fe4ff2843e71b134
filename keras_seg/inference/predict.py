"""Predictions for whole images of any size."""

import os
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_seg.data import Source
from keras_seg.inference.one_device import predict_on_batch
from keras_seg.models.outputs import check_finite, count_classes, ends_in_softmax


def predict(model: keras.Model, image: Any) -> np.ndarray:
    """Predict the probability of each class at each pixel.

    Args:
        model: A model from images to logits, or to probabilities: which of them is read
            off its last layer.
        image: `[height, width, channels]`, uint8 or float32 in 0..255, of any size
            that the model takes.

    Returns:
        float32 `[height, width, num_classes]`; sums to 1 over the classes.

    Raises:
        ValueError: for an image of another rank, number of channels, size or range than
            the model takes, a model that gives NaN, one of a single output channel, or
            one whose last layer doesn't show whether its outputs are logits.

    Example:
        >>> from keras_seg import unet
        >>> model = unet(num_classes=3, widths=(4, 8))
        >>> predict(model, np.zeros((17, 31, 3), "uint8")).shape
        (17, 31, 3)
    """
    probabilities = ends_in_softmax(model)
    scores = _scores(model, image)
    return scores if probabilities else ops.convert_to_numpy(ops.softmax(scores))


def predict_mask(model: keras.Model, image: Any) -> np.ndarray:
    """Predict the class of each pixel.

    Args:
        model: A model from images to logits or probabilities, of 2 to 255 classes.
        image: `[height, width, channels]`, uint8 or float32 in 0..255, of any size
            that the model takes.

    Returns:
        Class ids, uint8 `[height, width]`.

    Raises:
        ValueError: for an image of another rank, number of channels, size or range than
            the model takes, a model that gives NaN, or one of a single output channel
            or of more than 255.

    Example:
        >>> from keras_seg import unet
        >>> model = unet(num_classes=3, widths=(4, 8))
        >>> mask = predict_mask(model, np.zeros((17, 31, 3), "uint8"))
        >>> mask.shape, mask.dtype
        ((17, 31), dtype('uint8'))
    """
    count_classes(model, at_most=255)
    return np.argmax(_scores(model, image), axis=-1).astype(np.uint8)


def _scores(model: keras.Model, image: Any) -> np.ndarray:
    """What the model gives for one image, NumPy float32 `[height, width, classes]`."""
    image = _check_image(image, tuple(model.input_shape[1:]))
    scores = np.asarray(predict_on_batch(model, image[None])[0], np.float32)
    check_finite(model, scores)
    return scores


def _check_image(image: Any, shape: tuple) -> np.ndarray:
    """Return an image as an array if a model of this input shape takes it."""
    if isinstance(image, str | os.PathLike):
        raise ValueError(
            f"Expected an image, an array [height, width, channels]. Received: the "
            f"path {os.fspath(image)!r}. Read the file first: image = "
            "keras.utils.img_to_array(keras.utils.load_img(path))."
        )
    if isinstance(image, Source):  # of which NumPy would read all examples
        raise ValueError(
            f"Expected an image, an array [height, width, channels]. Received: {image}."
            " Give one image of it: image, mask = source[0]."
        )
    image = np.asarray(image)
    if len(image.shape) != 3 or any(
        known not in (None, side)
        for known, side in zip(shape, image.shape, strict=True)
    ):
        raise ValueError(
            f"Expected an image [height, width, channels] of {shape}, where None is "
            f"any size. Received: {image.shape}.{_remedy(image.shape, shape)}"
        )
    if image.dtype.kind not in "biuf":
        raise ValueError(f"Expected an image of numbers. Received: {image.dtype}")
    if not image.size:
        raise ValueError(f"Expected an image with pixels. Received: {image.shape}")
    _check_range(image)
    return image


def _check_range(image: np.ndarray) -> None:
    """Raise for an image that isn't in 0..255, or seems to be in 0..1."""
    low, high = float(image.min()), float(image.max())
    if low < 0:
        remedy = "Leave out its normalization: the model has its own."
    elif image.dtype.kind in "bf" and 0 < high <= 1:
        remedy = "Multiply it by 255: the model scales images itself."
    elif high > 255:
        remedy = "Scale it to 0..255."
    elif np.isnan(high):
        remedy = "It has pixels that are no numbers."
    else:
        return
    raise ValueError(
        f"Expected an image in 0..255. Received: {image.dtype} in {low:g}..{high:g}. "
        f"{remedy}"
    )


def _remedy(received: tuple, expected: tuple) -> str:
    """What may make an image of the shape that is expected, if that is easily said."""
    channels = expected[-1]
    if len(received) == 4:
        return (
            " That is a batch. Give one image: images[0]. Of all of them at once, "
            "model.predict(images) gives what the model's last layer gives."
        )
    if len(received) == 2:
        grey = "image[..., None]" + (f".repeat({channels}, -1)" * (channels > 1))
        return f" A grey image needs a last axis: {grey}."
    if len(received) == 3 and received[-1] == 4 and channels == 3:
        return " Leave out the fourth channel, alpha: image[..., :3]."
    if len(received) == 3 and received[-1] == 1 and channels > 1:
        return f" Repeat the grey channel: image.repeat({channels}, -1)."
    return ""
