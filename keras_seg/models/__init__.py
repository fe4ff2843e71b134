"""Models: builders of functional `keras.Model`s from images to logits."""

from keras_seg.models.efficientnet_lite import efficientnet_lite as efficientnet_lite
from keras_seg.models.encoders import encoder as encoder
from keras_seg.models.fcn import fcn8s as fcn8s
from keras_seg.models.fcn import fcn16s as fcn16s
from keras_seg.models.fcn import fcn32s as fcn32s
from keras_seg.models.unet import unet as unet
