"""Weights of pixels: `sample_weight` and weights of classes."""

from typing import Any

import numpy as np
from keras import ops

from keras_seg.arguments import is_number
from keras_seg.assertions import require
from keras_seg.labels import DType, Mask, PixelWeights, Tensor


def pixel_weights(
    sample_weight: PixelWeights, labelled: Tensor, dtype: DType
) -> Tensor:
    """Weight of each pixel, `[batch, height, width]`, 0 where it isn't labelled.

    A weight of a labelled pixel that is no finite number of 0 or more is an error where
    `require` can raise, unless it is NaN itself; elsewhere it becomes NaN.
    """
    if sample_weight is None:
        return ops.cast(labelled, dtype)
    given = ops.cast(sample_weight, dtype)
    weight = ops.where(labelled, _fit_to(labelled, given), 0)
    require(
        ops.all(ops.logical_not((weight < 0) | (weight == float("inf")))),
        "Expected `sample_weight` to be finite and 0 or more. Received weights from {} "
        "to {}. Likely cause: a division by 0 where weights are made, or a map of "
        "signed distances.",
        ops.min(weight),
        ops.max(weight),
    )
    fine = (weight >= 0) & (weight < float("inf"))
    return ops.where(fine, weight, float("nan"))


def nan_if_any_is(weight: Tensor, loss: Tensor) -> Tensor:
    """The loss, or NaN with a gradient of NaN if a weight is NaN."""
    spoilt = ops.any(ops.isnan(weight))
    return loss * ops.where(spoilt, ops.cast(float("nan"), loss.dtype), 1)


def check_class_weights(class_weights: Any) -> list[float] | None:
    """Return class weights as floats if they are finite and 0 or more."""
    if class_weights is None:
        return None
    try:
        weights = np.asarray(class_weights)
    except ValueError:  # of several lengths
        weights = np.asarray("lists")
    is_list = weights.ndim == 1 and weights.dtype.kind in "iuf"
    if not is_list or not all(is_number(weight, 0) for weight in weights):
        raise ValueError(
            "Expected `class_weights` to be a list of numbers, finite and 0 or more. "
            f"Received: {class_weights!r}"
        )
    return [float(weight) for weight in weights]


def weigh_classes(
    weight: Tensor, class_weights: list[float] | None, label: Mask, num_classes: int
) -> Tensor:
    """Multiply the weight of each pixel by that of its class."""
    if class_weights is None:
        return weight
    if len(class_weights) != num_classes:
        raise ValueError(
            "Expected `class_weights` to have one weight per class. Received: "
            f"{len(class_weights)} weights for {num_classes} classes."
        )
    return weight * ops.take(ops.convert_to_tensor(class_weights, weight.dtype), label)


def _fit_to(labelled: Tensor, sample_weight: PixelWeights) -> Tensor:
    """Weights that broadcast to `[batch, height, width]`."""
    given, masks = tuple(sample_weight.shape), tuple(labelled.shape)
    if len(given) == 1:
        sample_weight = sample_weight[:, None, None]
    elif len(given) == 4 and given[-1] == 1:
        sample_weight = ops.squeeze(sample_weight, -1)
    if len(sample_weight.shape) in (0, 3) and all(
        n in (1, m, None) or m is None
        for n, m in zip(sample_weight.shape, masks, strict=False)
    ):
        return sample_weight
    cause = ""
    if given == masks[:2]:
        # Keras takes masks for one-hot rows and looks for the largest in each.
        cause = (
            " Likely cause: `fit(class_weight=...)`, which Keras doesn't support for "
            "masks. Give the loss weights of classes: "
            "`WeightedCrossEntropy(class_weights=[...])`."
        )
    raise ValueError(
        "Expected `sample_weight` to be `[batch, height, width]`, or that with a "
        f"last axis of 1, or `[batch]`. Received: {given} for masks {masks}.{cause}"
    )
