"""Models: builders of functional `keras.Model`s from images to logits."""

from keras_seg.models.architectures.attention_unet import attention_unet
from keras_seg.models.architectures.bisenet_v2 import bisenet_v2
from keras_seg.models.architectures.deeplab_v3 import deeplab_v3
from keras_seg.models.architectures.deeplab_v3_plus import deeplab_v3_plus
from keras_seg.models.architectures.fcn8s import fcn8s
from keras_seg.models.architectures.fcn16s import fcn16s
from keras_seg.models.architectures.fcn32s import fcn32s
from keras_seg.models.architectures.fcn_dilated import fcn
from keras_seg.models.architectures.fpn import fpn
from keras_seg.models.architectures.linknet import linknet
from keras_seg.models.architectures.pspnet import pspnet
from keras_seg.models.architectures.segformer import segformer
from keras_seg.models.architectures.unet import unet
from keras_seg.models.architectures.unet_plus_plus import unet_plus_plus
from keras_seg.models.architectures.upernet import upernet
from keras_seg.models.encoders.efficientnet_lite import efficientnet_lite
from keras_seg.models.encoders.encoder import encoder

__all__ = [
    "attention_unet",
    "bisenet_v2",
    "deeplab_v3",
    "deeplab_v3_plus",
    "efficientnet_lite",
    "encoder",
    "fcn",
    "fcn8s",
    "fcn16s",
    "fcn32s",
    "fpn",
    "linknet",
    "pspnet",
    "segformer",
    "unet",
    "unet_plus_plus",
    "upernet",
]


def __dir__() -> list[str]:
    return __all__
