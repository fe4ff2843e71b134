"""Inference: predictions for images of any size, and their scores."""

from keras_seg.inference.evaluate import Scores as Scores
from keras_seg.inference.evaluate import evaluate as evaluate
from keras_seg.inference.predict import predict as predict
from keras_seg.inference.predict import predict_mask as predict_mask
