"""Scores of a confusion matrix; rows are the truth, columns the prediction.

    tp_c  pixels that are class c in truth and prediction
    fp_c  pixels that are class c in the prediction only
    fn_c  pixels that are class c in the truth only

Matrices may have further axes in front.
"""

from keras import ops

from keras_seg.labels import Tensor

# What an absent class counts in a mean; "skip" leaves it out.
ABSENT = {"skip": None, "zero": 0.0, "one": 1.0, "nan": float("nan")}


def check_absent(absent: str) -> str:
    """Return `absent` if it is one of the words for it."""
    if absent not in ABSENT:
        raise ValueError(
            f"Expected `absent` to be one of {list(ABSENT)}. Received: {absent!r}"
        )
    return absent


def iou(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Intersection and union of each class: tp_c, tp_c + fp_c + fn_c."""
    tp, fp, fn = _parts(matrix)
    return tp, tp + fp + fn


def dice(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Numerator and denominator of each class: 2 tp_c, 2 tp_c + fp_c + fn_c."""
    tp, fp, fn = _parts(matrix)
    return 2 * tp, 2 * tp + fp + fn


def accuracy(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels found and true pixels of each class: tp_c, tp_c + fn_c."""
    tp, _, fn = _parts(matrix)
    return tp, tp + fn


def of_classes(hits: Tensor, pixels: Tensor, absent_value: float) -> Tensor:
    """Hits / pixels of each class, `absent_value` where a class has no pixels."""
    return ops.where(pixels > 0, ops.divide_no_nan(hits, pixels), absent_value)


def mean_of_classes(hits: Tensor, pixels: Tensor, absent: str) -> Tensor:
    """Mean of hits / pixels over the last axis, absent where a class has no pixels."""
    value = ABSENT[absent]
    if value is not None:
        return ops.mean(of_classes(hits, pixels, value), -1)
    number = ops.sum(ops.cast(pixels > 0, pixels.dtype), -1)
    return ops.divide_no_nan(ops.sum(of_classes(hits, pixels, 0.0), -1), number)


def pixel_accuracy(matrix: Tensor) -> Tensor:
    """Share of the pixels whose class is predicted right."""
    tp, true = accuracy(matrix)
    return ops.divide_no_nan(ops.sum(tp), ops.sum(true))


def frequency_weighted_iou(matrix: Tensor) -> Tensor:
    """IoU of the classes, averaged over the pixels."""
    _, true = accuracy(matrix)
    # Both sums in one order: else a perfect score may be 1.0000001.
    weighted = ops.sum(true * of_classes(*iou(matrix), 0.0))
    return ops.divide_no_nan(weighted, ops.sum(true))


def _parts(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """tp, fp and fn of each class."""
    tp = ops.diagonal(matrix, axis1=-2, axis2=-1)
    return tp, ops.sum(matrix, -2) - tp, ops.sum(matrix, -1) - tp
