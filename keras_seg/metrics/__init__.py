"""Metrics: exact counts of pixels, and the scores that come from them."""

from keras_seg.metrics._confusion import confusion_matrix as confusion_matrix
from keras_seg.metrics.boundary import BoundaryIoU as BoundaryIoU
from keras_seg.metrics.dice import MeanDice as MeanDice
from keras_seg.metrics.named_scores import ClassIoU as ClassIoU
from keras_seg.metrics.named_scores import SegmentationScores as SegmentationScores
from keras_seg.metrics.scores import FrequencyWeightedIoU as FrequencyWeightedIoU
from keras_seg.metrics.scores import MeanAccuracy as MeanAccuracy
from keras_seg.metrics.scores import MeanIoU as MeanIoU
from keras_seg.metrics.scores import PixelAccuracy as PixelAccuracy

__all__ = [
    "BoundaryIoU",
    "ClassIoU",
    "FrequencyWeightedIoU",
    "MeanAccuracy",
    "MeanDice",
    "MeanIoU",
    "PixelAccuracy",
    "SegmentationScores",
    "confusion_matrix",
]


def __dir__() -> list[str]:
    return __all__
