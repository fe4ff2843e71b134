"""Semantic segmentation in Keras 3, from a folder of images to a served model."""

from keras_seg import data as data
from keras_seg import labels as labels
from keras_seg import losses as losses
from keras_seg import metrics as metrics
from keras_seg import models as models
from keras_seg import visualize as visualize
from keras_seg.exports import export as export
from keras_seg.inference import predict as predict
from keras_seg.inference import predict_mask as predict_mask
from keras_seg.models import fcn8s as fcn8s
from keras_seg.models import fcn16s as fcn16s
from keras_seg.models import fcn32s as fcn32s
from keras_seg.models import unet as unet
from keras_seg.training import callbacks as callbacks

__version__ = "0.1.0"
