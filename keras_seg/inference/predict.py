"""Predictions for whole images of any size."""

from typing import Any

import keras
import numpy as np
from keras import ops


def predict(model: keras.Model, image: Any) -> np.ndarray:
    """Predict the probability of each class at each pixel.

    Args:
        model: A model from images to logits, or to probabilities.
        image: `[height, width, channels]`, uint8 or float32 in 0..255, of any size
            that the model takes.

    Returns:
        float32 `[height, width, num_classes]`; sums to 1 over the classes.

    Raises:
        ValueError: for an image of another rank, number of channels or size than the
            model takes.

    Example:
        >>> from keras_seg import unet
        >>> model = unet(num_classes=3, widths=(4, 8))
        >>> predict(model, np.zeros((17, 31, 3), "uint8")).shape
        (17, 31, 3)
    """
    scores = _scores(model, image)
    if are_probabilities(scores):
        return scores
    return ops.convert_to_numpy(ops.softmax(scores))


def predict_mask(model: keras.Model, image: Any) -> np.ndarray:
    """Predict the class of each pixel.

    Args and errors are those of `predict`; a model of more than 255 classes is an
    error too.

    Returns:
        Class ids, uint8 `[height, width]`.

    Example:
        >>> from keras_seg import unet
        >>> model = unet(num_classes=3, widths=(4, 8))
        >>> mask = predict_mask(model, np.zeros((17, 31, 3), "uint8"))
        >>> mask.shape, mask.dtype
        ((17, 31), dtype('uint8'))
    """
    scores = _scores(model, image)
    if scores.shape[-1] > 255:
        raise ValueError(
            "Expected a model of at most 255 classes, for masks of uint8. Received: "
            f"{scores.shape[-1]} classes"
        )
    return np.argmax(scores, axis=-1).astype(np.uint8)


def are_probabilities(scores: np.ndarray) -> bool:
    """Tell whether a model's outputs are probabilities already, not logits.

    How a model came to them doesn't matter: logits aren't all 0 or more, with a sum of
    1 at every pixel. Half precision is allowed for.

    Args:
        scores: Float `[..., num_classes]`.

    Example:
        >>> are_probabilities(np.array([[0.1, 0.9]]))
        True
        >>> are_probabilities(np.array([[0.0, 0.0]]))
        False
    """
    sums = scores.sum(axis=-1)
    return bool(scores.min() >= 0 and np.abs(sums - 1).max() < 1e-2)


def _scores(model: keras.Model, image: Any) -> np.ndarray:
    """What the model gives for one image, NumPy float32 `[height, width, classes]`."""
    image = np.asarray(image)
    shape = tuple(model.input_shape[1:])
    if len(image.shape) != 3 or any(
        known not in (None, side)
        for known, side in zip(shape, image.shape, strict=True)
    ):
        raise ValueError(
            f"Expected an image [height, width, channels] of {shape}, where None is "
            f"any size. Received: {image.shape}"
        )
    # Not model(image): in graph mode activations are freed as soon as they are used.
    return np.asarray(model.predict_on_batch(image[None])[0], np.float32)
