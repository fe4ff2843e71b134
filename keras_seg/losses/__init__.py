"""Losses: `keras.losses.Loss` objects on logits, for masks with unlabelled pixels."""

from keras_seg.losses.cross_entropy import WeightedCrossEntropy as WeightedCrossEntropy
