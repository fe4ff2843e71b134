"""Predictions for images of any size."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_seg.data import Source
from keras_seg.inference.blocks import blocks
from keras_seg.inference.nets import Net
from keras_seg.inference.opened import Model, as_net
from keras_seg.inference.passes import Passes, check_passes
from keras_seg.inference.ranges import check_range


def predict(
    model: Model,
    image: Any,
    *,
    tile: int | tuple[int, int] | None = None,
    overlap: float = 0.25,
    flips: bool = False,
    scales: Sequence[float] = (1.0,),
) -> np.ndarray:
    """Predict the probability of each class at each pixel.

    Args:
        model: A model from images to logits or probabilities; its last layer shows
            which. Or the path of what `export` wrote: a SavedModel, or an ONNX or
            LiteRT file, which goes through its own runtime.
        image: `[height, width, channels]`, of any size, in the range that the model was
            built for: uint8, uint16 or float32 in 0..255, say.
        tile: Height and width of the tiles in which the image is predicted: one number
            for both, or two. None takes the whole image if it fits into memory, else
            tiles that fit, and a warning says so. A smaller image isn't tiled. For a
            model without padding, such as U-Net with `padding="valid"`, it is the size
            of the model's input.
        overlap: Fraction by which neighbouring tiles overlap, 0 or more, below 1. They
            are blended there. Tiles of a net without padding needn't overlap, and
            don't.
        flips: Whether to average with the prediction for the mirror image.
        scales: Factors of height and width. The image, or each tile, is resized by
            each of them (bilinear), and the predictions for all of them are averaged.

    Returns:
        float32 `[height, width, num_classes]`; sums to 1 over the classes.

    Raises:
        ValueError: for an image of another rank, number of channels, size or range than
            the model takes, a model that gives NaN, one of a single output channel, one
            whose last layer doesn't show whether its outputs are logits, a tile that is
            too small for the model, or another option out of range.
        MemoryError: if a tile doesn't fit into memory.

    Example:
        >>> from keras_seg import unet
        >>> model = unet(num_classes=3, widths=(4, 8))
        >>> predict(model, np.zeros((17, 31, 3), "uint8")).shape
        (17, 31, 3)
    """
    passes = check_passes(tile, overlap, flips, scales)
    net = as_net(model)
    _ = net.are_probabilities  # or an error before the work
    images = _check_image(image, net, passes)[None]
    found: Any = None
    for block in blocks(net, images, passes):
        scores = block.probabilities(net)
        if scores.shape[1:3] == images.shape[1:3]:
            return scores[0]
        if found is None:
            found = np.empty((*images.shape[:3], net.num_classes), np.float32)
        block.of(found)[...] = scores
    return found[0]


def predict_mask(
    model: Model,
    image: Any,
    *,
    tile: int | tuple[int, int] | None = None,
    overlap: float = 0.25,
    flips: bool = False,
    scales: Sequence[float] = (1.0,),
) -> np.ndarray:
    """Predict the class of each pixel.

    An image that is predicted in tiles needs the memory of a tile, and of the rows of
    it that the next ones overlap with. The
    probabilities of all its pixels are never held.

    Args:
        model: A model from images to logits or probabilities, of 2 to 255 classes. Or
            the path of what `export` wrote: a SavedModel, an ONNX or a LiteRT file.
        image: `[height, width, channels]`, of any size, in the range that the model was
            built for: uint8, uint16 or float32 in 0..255, say.
        tile: Height and width of the tiles in which the image is predicted: one number
            for both, or two. None takes the whole image if it fits into memory, else
            tiles that fit, and a warning says so. A smaller image isn't tiled. For a
            model without padding, such as U-Net with `padding="valid"`, it is the size
            of the model's input.
        overlap: Fraction by which neighbouring tiles overlap, 0 or more, below 1. They
            are blended there. Tiles of a net without padding needn't overlap, and
            don't.
        flips: Whether to average with the prediction for the mirror image.
        scales: Factors of height and width. The image, or each tile, is resized by
            each of them (bilinear), and the predictions for all of them are averaged.

    Returns:
        Class ids, uint8 `[height, width]`.

    Raises:
        ValueError: for an image of another rank, number of channels, size or range than
            the model takes, a model that gives NaN, one of a single output channel or
            of more than 255, a tile that is too small for the model, or another option
            out of range. By tiles, with `flips` and with `scales` also for a model
            whose last layer doesn't show whether its outputs are logits.
        MemoryError: if a tile doesn't fit into memory.

    Example:
        >>> from keras_seg import unet
        >>> model = unet(num_classes=3, widths=(4, 8))
        >>> mask = predict_mask(model, np.zeros((170, 310, 3), "uint8"), tile=128)
        >>> mask.shape, mask.dtype
        ((170, 310), dtype('uint8'))
    """
    passes = check_passes(tile, overlap, flips, scales)
    net = as_net(model)
    if net.num_classes > 255:
        raise ValueError(
            "Expected a model of at most 255 classes, for masks of uint8. Received: "
            f"{net.num_classes} classes"
        )
    images = _check_image(image, net, passes)[None]
    mask = np.empty(images.shape[:3], np.uint8)
    for block in blocks(net, images, passes):
        block.of(mask)[...] = block.scores.argmax(-1)
    return mask[0]


def _check_image(image: Any, net: Net, passes: Passes) -> np.ndarray:
    """Return an image as an array if a model takes it."""
    shape = net.input_shape
    if passes.tile is not None:
        shape = (None, None, shape[-1])
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
    check_range(image, net.value_range)
    return image


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
    if len(received) == 3 and received[-1] == channels and all(received):
        sides = [
            side or other for side, other in zip(expected, received[:2], strict=False)
        ]
        return f" The model has one size. Other images go by tiles: tile={(*sides,)}."
    return ""
