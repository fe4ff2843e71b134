"""Losses: `keras.losses.Loss` objects on logits, for masks with ignored pixels."""

from keras_seg.losses._base import SegmentationLoss as SegmentationLoss
from keras_seg.losses._sum import Sum as Sum
from keras_seg.losses.boundary import BoundaryF1 as BoundaryF1
from keras_seg.losses.cross_entropy import Focal as Focal
from keras_seg.losses.cross_entropy import TopKCrossEntropy as TopKCrossEntropy
from keras_seg.losses.cross_entropy import WeightedCrossEntropy as WeightedCrossEntropy
from keras_seg.losses.lovasz import Lovasz as Lovasz
from keras_seg.losses.region import Dice as Dice
from keras_seg.losses.region import Jaccard as Jaccard
from keras_seg.losses.region import Tversky as Tversky

__all__ = [
    "BoundaryF1",
    "Dice",
    "Focal",
    "Jaccard",
    "Lovasz",
    "SegmentationLoss",
    "Sum",
    "TopKCrossEntropy",
    "Tversky",
    "WeightedCrossEntropy",
]


def __dir__() -> list[str]:
    return __all__
