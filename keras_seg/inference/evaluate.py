"""Scores of a model on whole images."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_seg.data import Source
from keras_seg.data.suggestions import refuse
from keras_seg.inference.one_device import predict_on_batch, without_distribution
from keras_seg.metrics import SegmentationScores
from keras_seg.models.outputs import check_finite, count_classes

# Images of one size are predicted together while a batch has at most so many pixels,
# those of 8 training crops of 256 x 256; larger images go one at a time.
_BATCH_PIXELS = 8 * 256 * 256
# Pixels of images that wait for others of their size.
_WAITING_PIXELS = 16 * _BATCH_PIXELS


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
    """What `evaluate` found.

    Attributes:
        class_names: A name per class.
        confusion_matrix: Pixels by true class (rows) and predicted class (columns),
            int64 `[num_classes, num_classes]`.
        ignored_pixels: Pixels labelled 255, which count nowhere.
        invalid_pixels: Pixels whose label or prediction is no class.
        images: Number of images.
        loss: Mean over the images of the loss that the model was compiled with; None
            for a model that wasn't compiled.

    Example:
        >>> scores = Scores(("ground", "cat"), np.array([[1, 1], [0, 1]]))
        >>> round(scores.mean_iou, 3), round(scores.pixel_accuracy, 3)
        (0.5, 0.667)
        >>> scores.iou
        {'ground': 0.5, 'cat': 0.5}
    """

    class_names: tuple[str, ...]
    confusion_matrix: np.ndarray
    ignored_pixels: int = 0
    invalid_pixels: int = 0
    images: int = 0
    loss: float | None = None

    @property
    def mean_iou(self) -> float:
        """Intersection over union, averaged over the classes that occur."""
        return self.as_dict()["mean_iou"]

    @property
    def pixel_accuracy(self) -> float:
        """Share of the labelled pixels whose class is predicted right."""
        return self.as_dict()["pixel_accuracy"]

    @property
    def iou(self) -> dict[str, float]:
        """Intersection over union of each class by name, NaN where it is absent."""
        values = self._values(per_class=True)
        return {name: values[f"iou/{name}"] for name in self.class_names}

    def as_dict(self) -> dict[str, float]:
        """All scores of `metrics.SegmentationScores` by name, and the loss if any."""
        values = self._values(per_class=False)
        return values if self.loss is None else {"loss": self.loss, **values}

    @without_distribution()
    def _values(self, *, per_class: bool) -> dict[str, float]:
        metric = SegmentationScores(
            len(self.class_names), class_names=self.class_names, per_class=per_class
        )
        metric.add_matrix(self.confusion_matrix)
        return {name: float(value) for name, value in metric.result().items()}

    def __str__(self) -> str:
        rows = [
            (name, "absent" if np.isnan(value) else f"{value:.3f}")
            for name, value in self.iou.items()
        ]
        totals = [
            ("mean IoU", f"{self.mean_iou:.3f}"),
            ("pixel accuracy", f"{self.pixel_accuracy:.3f}"),
            ("ignored pixels", f"{self.ignored_pixels:,}"),
            ("images", f"{self.images:,}"),
        ]
        width = max(len(name) for name, _ in rows + totals)
        end = max(len(value) for _, value in rows + totals)
        lines = [f"{name:{width}}  {value:>{end}}" for name, value in rows + totals]
        lines.insert(len(rows), "")
        return "\n".join([f"{'class':{width}}  {'IoU':>{end}}", *lines])


@without_distribution()
def evaluate(
    model: keras.Model,
    source: Source,
    *,
    progress: Callable[[int], Any] | None = None,
) -> Scores:
    """Score a model on all examples of a Source, whole and at their own size.

    Images are neither resized nor padded, so the scores are those of the masks that
    `predict_mask` gives. Images that have one size are predicted together, on one
    device: a model that several devices train is scored as on one of them.

    Args:
        model: A model from images to logits, or to probabilities.
        source: Examples to score it on.
        progress: Function that is called with the number of images scored so far.

    Returns:
        The scores, from one confusion matrix of all pixels.

    Raises:
        TypeError: for examples that are no Source.
        ValueError: for a Source without examples or with a `problem`, a model of
            another number of classes or channels than the examples have, outputs that
            aren't finite, and an example that can't be read, naming its file.

    Example:
        >>> import keras_seg
        >>> model = keras_seg.unet(num_classes=6, widths=(4, 8))
        >>> scores = evaluate(model, keras_seg.data.shapes(3, size=(16, 24)))
        >>> scores.images, int(scores.confusion_matrix.sum()) + scores.ignored_pixels
        (3, 1152)
    """
    if not isinstance(source, Source):
        raise TypeError(
            f"Expected a Source, as `data.voc` gives one. Received: "
            f"{type(source).__name__}. Of batches, model.evaluate(batches) gives the "
            "compiled metrics."
        )
    if not len(source):
        raise ValueError("Expected examples to score. Received: a Source without any.")
    refuse(source.problem)
    classes = count_classes(model)
    if classes != source.num_classes:
        raise ValueError(
            f"Expected a model of {source.num_classes} classes, as the examples have. "
            f"Received: one of {classes}"
        )
    metric = SegmentationScores(source.num_classes, class_names=source.class_names)
    loss, images = 0.0, 0
    for pixels, masks in batches_of_one_size(source):
        channels = model.input_shape[-1]
        if channels not in (None, pixels.shape[-1]):
            raise ValueError(
                f"Expected images of {channels} channels, which the model takes. "
                f"Received: {pixels.shape[-1]} channels"
            )
        predictions = np.asarray(predict_on_batch(model, pixels), np.float32)
        check_finite(model, predictions)
        metric.update_state(masks, predictions)
        if model.compiled:
            # Image by image, so that the mean doesn't depend on the batches.
            for k in range(len(masks)):
                one = slice(k, k + 1)
                loss += float(
                    model.compute_loss(
                        pixels[one], masks[one], predictions[one], training=False
                    )
                )
        images += len(masks)
        if progress is not None:
            progress(images)
    return Scores(
        class_names=source.class_names,
        confusion_matrix=metric.confusion_matrix,
        ignored_pixels=metric.ignored_pixels,
        invalid_pixels=metric.invalid_pixels,
        images=images,
        loss=loss / images if model.compiled else None,
    )


def batches_of_one_size(
    source: Source,
    *,
    batch_pixels: int = _BATCH_PIXELS,
    waiting_pixels: int = _WAITING_PIXELS,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Whole images and their masks, those of one size together.

    Args:
        source: The examples.
        batch_pixels: Pixels that a batch of several images may have at most.
        waiting_pixels: Pixels that may wait at most for others of their size.

    Yields:
        uint8 `[batch, height, width, channels]` and int32 `[batch, height, width]`.
    """
    waiting: dict[tuple[int, int], list[tuple[np.ndarray, np.ndarray]]] = {}
    pixels = 0

    def take(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        nonlocal pixels
        images, masks = zip(*waiting.pop(size), strict=True)
        pixels -= len(masks) * size[0] * size[1]
        return np.stack(images), np.stack(masks)

    for image, mask in source.dataset().prefetch(tf.data.AUTOTUNE).as_numpy_iterator():
        size = mask.shape
        waiting.setdefault(size, []).append((image, mask))
        pixels += mask.size
        if (len(waiting[size]) + 1) * mask.size > batch_pixels:
            yield take(size)
        elif pixels > waiting_pixels:
            yield take(next(iter(waiting)))
    while waiting:
        yield take(next(iter(waiting)))
