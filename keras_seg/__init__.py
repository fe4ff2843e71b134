"""Semantic segmentation in Keras 3, from a folder of images to a served model."""

from keras_seg import labels as labels
from keras_seg import models as models
from keras_seg.models import fcn8s as fcn8s
from keras_seg.models import fcn16s as fcn16s
from keras_seg.models import fcn32s as fcn32s
from keras_seg.models import unet as unet

__version__ = "0.1.0"
