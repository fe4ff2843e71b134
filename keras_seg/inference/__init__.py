"""Inference: predictions for images of any size."""

from keras_seg.inference.files import predict_files
from keras_seg.inference.predict import predict, predict_mask

__all__ = ["predict", "predict_files", "predict_mask"]
