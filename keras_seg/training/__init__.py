"""Training: what `fit` lacks, and the folder of a run."""

from keras_seg.models.encoders.frozen import (
    freeze_batch_normalization as freeze_batch_normalization,
)
from keras_seg.training.checkpoint import Checkpoint as Checkpoint
from keras_seg.training.devices import mirrored as mirrored
from keras_seg.training.devices import (
    synchronize_batch_normalization as synchronize_batch_normalization,
)
from keras_seg.training.freezing import FreezeEncoder as FreezeEncoder
from keras_seg.training.nan import StopOnNaN as StopOnNaN
from keras_seg.training.optimizers import optimizer as optimizer
from keras_seg.training.progress import JSONLines as JSONLines
from keras_seg.training.progress import ProgressTable as ProgressTable
from keras_seg.training.tensorboard import TensorBoard as TensorBoard

__all__ = [
    "Checkpoint",
    "FreezeEncoder",
    "JSONLines",
    "ProgressTable",
    "StopOnNaN",
    "TensorBoard",
    "freeze_batch_normalization",
    "mirrored",
    "optimizer",
    "synchronize_batch_normalization",
]


def __dir__() -> list[str]:
    return __all__
