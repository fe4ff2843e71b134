"""Scores by name: one metric that puts several numbers into the logs."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_seg.labels import IGNORE, DType, Tensor
from keras_seg.metrics import _formulas as formulas
from keras_seg.metrics._confusion import ConfusionMatrixMetric

# What `SegmentationScores` puts into the logs, in this order.
SCORES = (
    "mean_iou",
    "pixel_accuracy",
    "mean_accuracy",
    "frequency_weighted_iou",
    "mean_dice",
)


class _Name(str):
    """A metric's name that equals the names of its scores too.

    With `mode="auto"` Keras's callbacks look for a metric whose name equals what they
    monitor, to ask it whether more is better.
    """

    scores: frozenset[str]

    def __new__(cls, name: str, scores: Sequence[str]) -> "_Name":
        own = super().__new__(cls, name)
        own.scores = frozenset(scores)
        return own

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other) is True or other in self.scores

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


class _NamedScores(ConfusionMatrixMetric):
    """A metric with several scores, which knows what its classes are called."""

    def __init__(
        self,
        num_classes: int,
        *,
        class_names: Sequence[str] | None,
        ignore: int,
        absent: str,
        name: str | None,
        dtype: DType,
    ):
        super().__init__(num_classes, ignore=ignore, name=name, dtype=dtype)
        self.absent = formulas.check_absent(absent)
        names = class_names
        if names is None:
            names = [str(c) for c in range(self.num_classes)]
        if len(names) != self.num_classes or len(set(names)) != len(names):
            raise ValueError(
                f"Expected `class_names` to be {num_classes} names that differ. "
                f"Received: {class_names}"
            )
        self.class_names = [str(name) for name in names]

    def _set_score_names(self, names: Sequence[str]) -> None:
        self.name: str = _Name(self.name, names)

    def _class_iou(self, matrix: Tensor) -> dict[str, Any]:
        value = formulas.ABSENT[self.absent]
        value = float("nan") if value is None else value
        iou = formulas.of_classes(*formulas.iou(matrix), value)
        return {f"iou/{name}": iou[c] for c, name in enumerate(self.class_names)}

    def get_config(self) -> dict:
        own = {"absent": self.absent, "class_names": self.class_names}
        return super().get_config() | {"name": str(self.name)} | own


@keras.saving.register_keras_serializable(package="keras_seg")
class ClassIoU(_NamedScores):
    """Intersection over union of each class, in the logs as "iou/NAME".

        tp_c / (tp_c + fp_c + fn_c)

        tp_c  pixels that are class c in truth and prediction
        fp_c  pixels that are class c in the prediction only
        fn_c  pixels that are class c in the truth only

    Pixels are those of the whole data set; a class is absent where all three are 0.
    Pixels whose label or prediction means nothing (NaN, say) aren't counted here but as
    `invalid_pixels`.

    Args:
        num_classes: Number of classes, the background among them.
        class_names: A name per class; None means their ids.
        ignore: Label of the ignored pixels.
        absent: What the logs have for an absent class: "skip" and "nan" mean NaN,
            "zero" 0, "one" 1.
        name: Name of the metric; the logs have "iou/NAME".
        dtype: Type of the result; None means float32.

    Shapes:
        y_true: int `[batch, height, width]`, or with a last axis of 1
        y_pred: float `[batch, height, width, num_classes]`, logits or probabilities, or
            int ids `[batch, height, width]`

    Raises:
        ValueError: for fewer than two classes, an `ignore` that is one of them, an
            unknown `absent`, names that aren't one per class, predictions of
            another size or number of classes, or a `sample_weight`.

    Example:
        >>> metric = ClassIoU(num_classes=2, class_names=["ground", "cat"])
        >>> metric.update_state([[[0, 0, 1, 255]]], [[[0, 1, 1, 1]]])
        >>> {name: float(iou) for name, iou in metric.result().items()}
        {'iou/ground': 0.5, 'iou/cat': 0.5}
    """

    def __init__(
        self,
        num_classes: int,
        *,
        class_names: Sequence[str] | None = None,
        ignore: int = IGNORE,
        absent: str = "skip",
        name: str = "class_iou",
        dtype: DType = None,
    ):
        super().__init__(
            num_classes,
            class_names=class_names,
            ignore=ignore,
            absent=absent,
            name=name,
            dtype=dtype,
        )
        self._set_score_names([f"iou/{name}" for name in self.class_names])

    def of_matrix(self, matrix: Tensor) -> dict[str, Any]:
        return self._class_iou(matrix)


@keras.saving.register_keras_serializable(package="keras_seg")
class SegmentationScores(_NamedScores):
    """All scores from one confusion matrix, for the cost of one of them.

    The logs of `fit` have mean_iou, pixel_accuracy, mean_accuracy,
    frequency_weighted_iou and mean_dice:

        mean_iou                mean over c of tp_c / (tp_c + fp_c + fn_c)
        pixel_accuracy          sum_c tp_c / sum_c (tp_c + fn_c)
        mean_accuracy           mean over c of tp_c / (tp_c + fn_c)
        frequency_weighted_iou  mean of the IoU, weighted by tp_c + fn_c
        mean_dice               mean over c of 2 tp_c / (2 tp_c + fp_c + fn_c)

        tp_c  pixels that are class c in truth and prediction
        fp_c  pixels that are class c in the prediction only
        fn_c  pixels that are class c in the truth only

    Pixels are those of the whole data set. A class is absent from a mean where what it
    is divided by is 0.
    Pixels whose label or prediction means nothing (NaN, say) aren't counted here but as
    `invalid_pixels`.

    Args:
        num_classes: Number of classes, the background among them.
        class_names: A name per class; None means their ids.
        per_class: Whether the logs also have the IoU of each class, as "iou/NAME".
        ignore: Label of the ignored pixels.
        absent: What an absent class counts in the mean: "skip" (it is left out, as in
            Keras and the FCN authors' code), "zero", "one" or "nan".
        name: Name of the metric; the logs have those of its scores.
        dtype: Type of the result; None means float32.

    Shapes:
        y_true: int `[batch, height, width]`, or with a last axis of 1
        y_pred: float `[batch, height, width, num_classes]`, logits or probabilities, or
            int ids `[batch, height, width]`

    Raises:
        ValueError: for fewer than two classes, an `ignore` that is one of them, an
            unknown `absent`, names that aren't one per class, predictions of
            another size or number of classes, or a `sample_weight`.

    Example:
        >>> metric = SegmentationScores(num_classes=2)
        >>> metric.update_state([[[0, 0, 1, 255]]], [[[0, 1, 1, 1]]])
        >>> {name: round(float(score), 2) for name, score in metric.result().items()}
        {'mean_iou': 0.5, 'pixel_accuracy': 0.67, 'mean_accuracy': 0.75,
         'frequency_weighted_iou': 0.5, 'mean_dice': 0.67}
    """

    def __init__(
        self,
        num_classes: int,
        *,
        class_names: Sequence[str] | None = None,
        per_class: bool = False,
        ignore: int = IGNORE,
        absent: str = "skip",
        name: str = "segmentation_scores",
        dtype: DType = None,
    ):
        super().__init__(
            num_classes,
            class_names=class_names,
            ignore=ignore,
            absent=absent,
            name=name,
            dtype=dtype,
        )
        self.per_class = per_class
        names = [f"iou/{name}" for name in self.class_names] if per_class else []
        self._set_score_names([*SCORES, *names])

    def of_matrix(self, matrix: Tensor) -> dict[str, Any]:
        def mean(quotients: tuple[Tensor, Tensor]) -> Tensor:
            return formulas.mean_of_classes(*quotients, self.absent)

        values = (
            mean(formulas.iou(matrix)),
            formulas.pixel_accuracy(matrix),
            mean(formulas.accuracy(matrix)),
            formulas.frequency_weighted_iou(matrix),
            mean(formulas.dice(matrix)),
        )
        scores = dict(zip(SCORES, values, strict=True))
        return scores | self._class_iou(matrix) if self.per_class else scores

    def get_config(self) -> dict:
        return super().get_config() | {"per_class": self.per_class}
