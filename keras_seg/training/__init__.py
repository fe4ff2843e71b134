"""Training: what `fit` lacks, and the folder of a run."""

from keras_seg.training.checkpoint import Checkpoint as Checkpoint
from keras_seg.training.freezing import FreezeEncoder as FreezeEncoder
from keras_seg.training.optimizers import optimizer as optimizer

__all__ = ["Checkpoint", "FreezeEncoder", "optimizer"]


def __dir__() -> list[str]:
    return __all__
