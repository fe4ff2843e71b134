"""Models: builders of functional `keras.Model`s from images to logits."""

from keras_seg.models.architectures.attention_unet import attention_unet
from keras_seg.models.architectures.deeplab_v3 import deeplab_v3
from keras_seg.models.architectures.fcn import fcn8s, fcn16s, fcn32s
from keras_seg.models.architectures.fcn_dilated import fcn
from keras_seg.models.architectures.segformer import segformer
from keras_seg.models.architectures.unet import unet
from keras_seg.models.encoders.efficientnet_lite import efficientnet_lite
from keras_seg.models.encoders.encoder import encoder

__all__ = [
    "attention_unet",
    "deeplab_v3",
    "efficientnet_lite",
    "encoder",
    "fcn",
    "fcn8s",
    "fcn16s",
    "fcn32s",
    "segformer",
    "unet",
]


def __dir__() -> list[str]:
    return __all__
