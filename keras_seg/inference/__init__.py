"""Inference: predictions for images of any size, and their scores."""

from keras_seg.inference.evaluation import evaluate
from keras_seg.inference.files import predict_files
from keras_seg.inference.image import predict, predict_mask
from keras_seg.inference.scene import predict_scene
from keras_seg.inference.scores import Scores

__all__ = [
    "Scores",
    "evaluate",
    "predict",
    "predict_files",
    "predict_mask",
    "predict_scene",
]


def __dir__() -> list[str]:
    return __all__
