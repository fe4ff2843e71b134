"""Training: what `fit` lacks, and the folder of a run."""

from keras_seg.training.checkpoint import Checkpoint as Checkpoint

__all__ = ["Checkpoint"]


def __dir__() -> list[str]:
    return __all__
