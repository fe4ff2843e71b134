"""Data: readers that make a Source of images and masks, and its batches."""

from keras_seg.data.augment import standard_augmentation as standard_augmentation
from keras_seg.data.readers.arrays import arrays as arrays
from keras_seg.data.readers.coco.coco_stuff import COCO_STUFF as COCO_STUFF
from keras_seg.data.readers.coco.instances import coco as coco
from keras_seg.data.readers.coco.panoptic import coco_panoptic as coco_panoptic
from keras_seg.data.readers.folder import folder as folder
from keras_seg.data.readers.shapes import shapes as shapes
from keras_seg.data.readers.tfds import tfds as tfds
from keras_seg.data.readers.voc import voc as voc
from keras_seg.data.readers.voc import write_voc as write_voc
from keras_seg.data.source import Source as Source
from keras_seg.data.tools.border_weights import border_weights as border_weights
from keras_seg.data.tools.cache import cached as cached
from keras_seg.data.tools.class_weights import class_frequencies as class_frequencies
from keras_seg.data.tools.class_weights import class_weights as class_weights
from keras_seg.data.tools.inspect import inspect as inspect
from keras_seg.data.tools.prepare import prepare as prepare
from keras_seg.data.tools.statistics import Statistics as Statistics
from keras_seg.data.tools.statistics import statistics as statistics
from keras_seg.data.tools.tiles import tiles as tiles

__all__ = [
    "COCO_STUFF",
    "Source",
    "Statistics",
    "arrays",
    "border_weights",
    "cached",
    "class_frequencies",
    "class_weights",
    "coco",
    "coco_panoptic",
    "folder",
    "inspect",
    "prepare",
    "shapes",
    "standard_augmentation",
    "statistics",
    "tfds",
    "tiles",
    "voc",
    "write_voc",
]


def __dir__() -> list[str]:
    return __all__
