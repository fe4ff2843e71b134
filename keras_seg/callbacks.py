"""Callbacks for `fit`: keep the best model, validate on whole images, write history."""

from keras_seg.training.callbacks import BestModel as BestModel
from keras_seg.training.callbacks import CSVHistory as CSVHistory
from keras_seg.training.callbacks import StopOnInvalidLabels as StopOnInvalidLabels
from keras_seg.training.callbacks import Validate as Validate

__all__ = ["BestModel", "CSVHistory", "StopOnInvalidLabels", "Validate"]


def __dir__() -> list[str]:
    return __all__
