"""Pixels and losses of images, counted while they are predicted."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_seg.data import Source
from keras_seg.inference.blocks import Block, blocks
from keras_seg.inference.nets import Net
from keras_seg.inference.one_program import loss_of, one_program
from keras_seg.inference.passes import Passes
from keras_seg.inference.scores import Scores
from keras_seg.labels import IGNORE, Tensor
from keras_seg.losses import WeightedCrossEntropy
from keras_seg.metrics import BoundaryIoU, SegmentationScores
from keras_seg.metrics._counts import bincount


class Counted:
    """Counts and losses of the images of a Source.

    Args:
        net: What predicts them.
        source: The examples.
        model: The Keras model with the compiled loss; None if there is none.
        boundary: Width of the band of boundary IoU; None to leave it out.
    """

    def __init__(
        self,
        net: Net,
        source: Source,
        *,
        model: keras.Model | None = None,
        boundary: int | None = None,
    ):
        n = source.num_classes
        self.net, self.source, self.model = net, source, model
        self.has_probabilities: bool | None = None
        if model is None:
            with contextlib.suppress(ValueError):  # whose last layer doesn't show it
                self.has_probabilities = net.are_probabilities
        self.metric = SegmentationScores(n, class_names=source.class_names)
        self.boundary = None if boundary is None else BoundaryIoU(n, distance=boundary)
        self.matrix = np.zeros((n, n), np.int64)
        self.ignored = self.invalid = 0
        self.losses, self.labelled = np.zeros((2, len(source)))
        self.hits, self.unions = np.zeros((2, len(source), n), np.int64)

    def add(
        self, indices: Any, images: np.ndarray, masks: np.ndarray, passes: Passes
    ) -> None:
        """Predict images of one size, and count their pixels.

        Args:
            indices: Which examples they are.
            images: `[batch, height, width, channels]`.
            masks: Their true ids, `[batch, height, width]`.
            passes: How they go through the model.
        """
        n, batch = self.source.num_classes, len(images)
        counts = np.zeros((batch, n * n + 2), np.int64)
        losses, weights = [], []
        predicted = np.empty(masks.shape, np.int32)
        for block in blocks(self.net, images, passes):
            truth = block.of(masks)
            counts += np.asarray(_counts_of_images(n)(truth, block.scores))
            losses.append(self._losses(block, block.of(images), truth))
            weights.append((truth != IGNORE).sum((1, 2)))
            if self.boundary is not None:
                block.of(predicted)[...] = block.scores.argmax(-1)
        matrices = counts[:, : n * n].reshape(batch, n, n)
        hits = matrices.diagonal(axis1=1, axis2=2)
        self.matrix += matrices.sum(0)
        self.ignored += int(counts[:, -2].sum())
        self.invalid += int(counts[:, -1].sum())
        self.hits[indices] = hits
        self.unions[indices] = matrices.sum(1) + matrices.sum(2) - hits
        labelled = np.sum(weights, axis=0)
        self.labelled[indices] = labelled
        if len(losses) > 1:  # a mean over the blocks
            losses = [np.multiply(losses, weights).sum(0) / np.maximum(labelled, 1)]
        self.losses[indices] = losses[0]
        if self.boundary is not None:
            for k in range(batch):  # one by one: it makes a map for each class
                self.boundary.update_state(masks[k : k + 1], predicted[k : k + 1])

    def _losses(
        self, block: Block, images: np.ndarray, masks: np.ndarray
    ) -> list[float]:
        """The loss of each image: a mean over images doesn't depend on batches."""
        scores = block.scores
        if self.model is not None:
            if not block.is_raw and not self.net.are_probabilities:
                scores = _as_logits(scores)  # which the compiled loss expects
            compute = loss_of(self.model)
            return [float(compute(*one)) for one in _one_by_one(images, masks, scores)]
        if self.has_probabilities is None:
            wrong = (scores.argmax(-1) != masks) & (masks != IGNORE)
            labelled = (masks != IGNORE).sum((1, 2))
            return list(wrong.sum((1, 2)) / np.maximum(labelled, 1))
        if self.has_probabilities or not block.is_raw:
            scores = _as_logits(scores)
        compute = _cross_entropy()
        return [float(compute(*one)) for one in _one_by_one(masks, scores)]

    def scores(self) -> Scores:
        """What came of it."""
        return Scores(
            class_names=self.source.class_names,
            confusion_matrix=self.matrix,
            ignored_pixels=self.ignored,
            invalid_pixels=self.invalid,
            images=len(self.source),
            loss=None if self.model is None else float(self.losses.mean()),
            boundary_iou=None
            if self.boundary is None
            else float(self.boundary.result()),
            image_names=self.source.names,
            image_losses=np.where(self.labelled > 0, self.losses, np.nan),
            image_hits=self.hits,
            image_unions=self.unions,
        )


@functools.cache
def _counts_of_images(num_classes: int) -> Callable[..., Tensor]:
    """(masks, scores) -> the counts of each image."""
    metric = SegmentationScores(num_classes)
    size = num_classes**2 + 2

    def counts(masks: Tensor, scores: Tensor) -> Tensor:
        cells = metric.cells(masks, scores, None)
        return bincount(ops.reshape(cells, (len(masks), -1)), size)

    return one_program(counts)


@functools.cache
def _cross_entropy() -> Callable[..., Tensor]:
    """(masks, logits) -> the loss of a model that isn't compiled."""
    return one_program(WeightedCrossEntropy())


def _one_by_one(*arrays: np.ndarray) -> Iterator[list[np.ndarray]]:
    """Batches of one example."""
    for k in range(len(arrays[0])):
        yield [array[k : k + 1] for array in arrays]


def _as_logits(probabilities: np.ndarray) -> np.ndarray:
    """Logits whose softmax they are."""
    return np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))
