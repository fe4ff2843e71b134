"""Data: readers that make a Source of images and masks, and its batches."""

from keras_seg.data.arrays import arrays as arrays
from keras_seg.data.augment import standard_augmentation as standard_augmentation
from keras_seg.data.shapes import shapes as shapes
from keras_seg.data.source import Source as Source
from keras_seg.data.voc import voc as voc
from keras_seg.data.voc import write_voc as write_voc
