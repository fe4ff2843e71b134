"""Training: what `fit` lacks, and the folder of a run."""

from keras_seg.training.checkpoint import Checkpoint as Checkpoint
from keras_seg.training.optimizers import optimizer as optimizer

__all__ = ["Checkpoint", "optimizer"]


def __dir__() -> list[str]:
    return __all__
