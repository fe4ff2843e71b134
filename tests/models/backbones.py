"""Tiny backbones for tests of encoders and decoders."""

import keras
from keras import layers

from keras_seg.models import encoder
from keras_seg.models.encoders.mit import mit
from keras_seg.models.encoders.resnet import resnet


def tiny(size=(None, None), *, channels=3, kind="functional", padding="same", levels=5):
    """Strided convolutions, each normalized: a backbone of one's own."""
    keras.utils.set_random_seed(0)
    stack = [keras.Input((*size, channels))]
    for k, width in enumerate((4, 6, 8, 10, 12)[:levels], start=1):
        stack += [
            layers.Conv2D(width, 3, strides=2, padding=padding, name=f"conv{k}"),
            layers.BatchNormalization(name=f"norm{k}"),
            layers.ReLU(name=f"relu{k}"),
        ]
    if kind == "sequential":
        return keras.Sequential(stack, name="tiny")
    x = stack[0]
    for layer in stack[1:]:
        x = layer(x)
    return keras.Model(stack[0], x, name="tiny")


def patches(channels=3):
    """A backbone whose first level is P2, as that of ConvNeXt and of transformers."""
    keras.utils.set_random_seed(0)
    x = image = keras.Input((None, None, channels))
    for k, (width, stride) in enumerate([(4, 4), (6, 2), (8, 2), (10, 2)], start=2):
        x = layers.Conv2D(width, stride, strides=stride, name=f"patch{k}")(x)
        x = x + layers.Conv2D(width, 3, padding="same", name=f"conv{k}")(x)
    return keras.Model(image, x, name="patches")


def narrow_resnet(channels=3):
    """A ResNet-18 with a sixteenth of its filters."""
    keras.utils.set_random_seed(0)
    return resnet(18, channels=channels, width=4).model


def tiny_mit(channels=3):
    """A Mix Transformer with narrow blocks in its first and last stage."""
    keras.utils.set_random_seed(0)
    return mit((4, 4, 5, 8), (1, 0, 0, 1), channels=channels, name="tiny_mit")


def tiny_encoder():
    return encoder(tiny())


def patch_encoder():
    return encoder(patches())
