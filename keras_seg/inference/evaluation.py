"""Scores of a model on whole images."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from keras_seg.data import Source
from keras_seg.data.parallel import READY
from keras_seg.data.suggestions import refuse
from keras_seg.inference.blocks import batch_that_fits
from keras_seg.inference.counting import Counted
from keras_seg.inference.one_device import without_distribution
from keras_seg.inference.opened import Model, as_net
from keras_seg.inference.passes import check_boundary, check_passes
from keras_seg.inference.ranges import check_range
from keras_seg.inference.scores import Scores

# Images of one size are predicted together while a batch has at most so many pixels,
# those of 8 training crops of 256 x 256; larger images go one at a time.
_BATCH_PIXELS = 8 * 256 * 256
# Pixels of images that wait for others of their size.
_WAITING_PIXELS = 16 * _BATCH_PIXELS


@without_distribution()
def evaluate(
    model: Model,
    source: Source,
    *,
    tile: int | tuple[int, int] | None = None,
    overlap: float = 0.25,
    flips: bool = False,
    scales: Sequence[float] = (1.0,),
    boundary: int | None = None,
    progress: Callable[[int], Any] | None = None,
) -> Scores:
    """Score a model on all examples of a Source, whole and at their own size.

    Images are neither resized nor padded, so the scores are those of the masks that
    `predict_mask` gives with the same options. Images of one size are predicted
    together, on one device, even if several devices train the model.

    Args:
        model: A model from images to logits, or to probabilities. Or the path of what
            `export` wrote, a SavedModel, an ONNX or a LiteRT file: the scores then are
            those of what it serves, in its own runtime.
        source: Examples to score it on.
        tile: Height and width of the tiles in which images are predicted: one number
            for both, or two. None takes whole images where they fit into memory, else
            tiles that fit.
        overlap: Fraction by which neighbouring tiles overlap.
        flips: Whether to average with the predictions for mirror images.
        scales: Factors that images are resized by; predictions are averaged.
        boundary: Width of the band along boundaries in which `metrics.BoundaryIoU`
            counts, in pixels. None leaves it out.
        progress: Function that is called with the number of images scored so far.

    Returns:
        The scores, from one confusion matrix of all pixels. For an image that is
        predicted in tiles, the loss is a mean over the rectangles that tiles finish,
        weighted by their labelled pixels.

    Raises:
        TypeError: for examples that are no Source.
        ValueError: for a Source without examples or with a `problem`, a model of
            another number of classes or channels than the examples have, outputs that
            aren't finite, an option out of range, and an example that can't be read,
            naming its file.
        MemoryError: if a tile doesn't fit into memory.

    Example:
        >>> import keras_seg
        >>> model = keras_seg.unet(num_classes=6, widths=(4, 8))
        >>> scores = evaluate(model, keras_seg.data.shapes(3, size=(16, 24)))
        >>> scores.images, int(scores.confusion_matrix.sum()) + scores.ignored_pixels
        (3, 1152)
    """
    passes = check_passes(tile, overlap, flips, scales)
    boundary = check_boundary(boundary)
    if not isinstance(source, Source):
        raise TypeError(
            f"Expected a Source, as `data.voc` gives one. Received: "
            f"{type(source).__name__}. Of batches, model.evaluate(batches) gives the "
            "compiled metrics."
        )
    if not len(source):
        raise ValueError("Expected examples to score. Received: a Source without any.")
    refuse(source.problem)
    net = as_net(model)
    if net.num_classes != source.num_classes:
        raise ValueError(
            f"Expected a model of {source.num_classes} classes, as the examples have. "
            f"Received: one of {net.num_classes}"
        )
    is_compiled = isinstance(model, keras.Model) and model.compiled
    counted = Counted(
        net, source, model=model if is_compiled else None, boundary=boundary
    )
    done = 0
    for indices, images, masks in batches_of_one_size(source):
        channels = net.input_shape[-1]
        if channels not in (None, images.shape[-1]):
            raise ValueError(
                f"Expected images of {channels} channels, which the model takes. "
                f"Received: {images.shape[-1]} channels"
            )
        check_range(images, net.value_range)
        step = batch_that_fits(net, len(images), images.shape[1:3], passes)
        for k in range(0, len(images), step):
            part = slice(k, k + step)
            counted.add(indices[part], images[part], masks[part], passes)
        done += len(masks)
        if progress is not None:
            progress(done)
    return counted.scores()


def batches_of_one_size(
    source: Source,
    *,
    batch_pixels: int = _BATCH_PIXELS,
    waiting_pixels: int = _WAITING_PIXELS,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Whole images and their masks, those of one size together.

    Args:
        source: The examples.
        batch_pixels: Pixels that a batch of several images may have at most.
        waiting_pixels: Pixels that may wait at most for others of their size.

    Yields:
        Which examples they are, int `[batch]`; `[batch, height, width, channels]`, in
        the dtype of the source; and int32 `[batch, height, width]`.
    """
    waiting: dict[tuple[int, int], list[tuple[int, np.ndarray, np.ndarray]]] = {}
    pixels = 0

    def take(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        nonlocal pixels
        indices, images, masks = zip(*waiting.pop(size), strict=True)
        pixels -= len(masks) * size[0] * size[1]
        return np.array(indices), np.stack(images), np.stack(masks)

    examples = source.dataset().prefetch(READY).as_numpy_iterator()
    for index, (image, mask) in enumerate(examples):
        size = mask.shape
        waiting.setdefault(size, []).append((index, image, mask))
        pixels += mask.size
        if (len(waiting[size]) + 1) * mask.size > batch_pixels:
            yield take(size)
        elif pixels > waiting_pixels:
            yield take(next(iter(waiting)))
    while waiting:
        yield take(next(iter(waiting)))
