"""Inference: predictions for images of any size."""

from keras_seg.inference.predict import predict as predict
from keras_seg.inference.predict import predict_mask as predict_mask
