"""Data: readers that make a Source of images and masks, and its batches."""

from keras_seg.data.arrays import arrays as arrays
from keras_seg.data.augment import standard_augmentation as standard_augmentation
from keras_seg.data.balance import border_weights as border_weights
from keras_seg.data.balance import class_frequencies as class_frequencies
from keras_seg.data.balance import class_weights as class_weights
from keras_seg.data.coco import coco as coco
from keras_seg.data.coco import coco_panoptic as coco_panoptic
from keras_seg.data.coco_stuff import COCO_STUFF as COCO_STUFF
from keras_seg.data.doctor import inspect as inspect
from keras_seg.data.folder import folder as folder
from keras_seg.data.prepare import prepare as prepare
from keras_seg.data.shapes import shapes as shapes
from keras_seg.data.source import Source as Source
from keras_seg.data.tfds import tfds as tfds
from keras_seg.data.voc import voc as voc
from keras_seg.data.voc import write_voc as write_voc
