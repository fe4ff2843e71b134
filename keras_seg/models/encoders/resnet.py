"""ResNet: residual blocks, with torchvision's geometry and ImageNet weights.

He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", CVPR 2016,
https://arxiv.org/abs/1512.03385, table 1 and figure 5. As in torchvision a bottleneck
halves its map in the 3x3 convolution, not in the first 1x1 (known as V1.5), and what
halves a map is padded by the same number of pixels on both sides. Layers have
torchvision's names: its `layer1.0.conv1` is the layer "layer1_0_conv1".
"""

import os
from typing import Any

import keras
from keras import layers

from keras_seg.models.blocks import normalize
from keras_seg.models.encoders.backbone import Backbone, Normalization
from keras_seg.models.weights.download import download
from keras_seg.models.weights.resnet import load_resnet

#: Blocks of each of the four stages, by depth; from 50 on they are bottlenecks.
_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
#: torchvision's files (IMAGENET1K_V1).
_ADDRESSES = {
    18: "https://download.pytorch.org/models/resnet18-f37072fd.pth",
    34: "https://download.pytorch.org/models/resnet34-b627a593.pth",
    50: "https://download.pytorch.org/models/resnet50-0676ba61.pth",
    101: "https://download.pytorch.org/models/resnet101-63fe2227.pth",
}
#: Mean and standard deviation of ImageNet's red, green and blue, of images in 0..1.
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_NORMALIZATION = Normalization(
    [1 / (255 * deviation) for deviation in _DEVIATION],
    [-m / deviation for m, deviation in zip(_MEAN, _DEVIATION, strict=True)],
)
#: Names of the encoders.
RESNETS = tuple(f"resnet{depth}" for depth in _BLOCKS)


def resnet(
    depth: int,
    *,
    channels: int = 3,
    width: int = 64,
    weights: str | os.PathLike | None = None,
) -> Backbone:
    """Build a ResNet without its classifier.

    Args:
        depth: 18, 34, 50 or 101.
        channels: Number of channels of the images.
        width: Filters of the first stage; each later one has twice as many. Weights of
            others are for 64.
        weights: None, "imagenet" for torchvision's, which are downloaded, or a `.pth`
            or `.safetensors` file.

    Returns:
        The model, its features "P1" to "P5", and the mean and deviation of ImageNet.
        Weights for RGB become those for other channels (`weights.channels`).

    Raises:
        ValueError: naming the file, if it holds another net.
        OSError: where the weights can't be downloaded, saying where to put the file.
    """
    if weights == "imagenet":
        weights = download(_ADDRESSES[depth])
    image = keras.Input((None, None, channels), name="image")
    x = _convolve(image, width, 7, strides=2, name="conv1")
    x = normalize(x, "batch", name="bn1")
    levels = {"P1": layers.ReLU(name="relu")(x)}
    # Padded with 0: what comes out of a ReLU isn't below.
    x = layers.ZeroPadding2D(1, name="maxpool_pad")(levels["P1"])
    x = layers.MaxPooling2D(3, strides=2, name="maxpool")(x)

    block = _bottleneck if depth >= 50 else _basic
    for stage, repeats in enumerate(_BLOCKS[depth], start=1):
        for k in range(repeats):
            strides = 2 if k == 0 and stage > 1 else 1
            filters = width * 2 ** (stage - 1)
            x = block(x, filters, strides=strides, name=f"layer{stage}_{k}")
        levels[f"P{stage + 1}"] = x

    model = keras.Model(image, levels, name=f"resnet{depth}")
    if weights is not None:
        load_resnet(model, os.fspath(weights))
    return Backbone(model, levels, _NORMALIZATION.for_channels(channels))


def _basic(x: Any, filters: int, *, strides: int, name: str) -> Any:
    """Two 3x3 convolutions, and what came in added to what they give."""
    y = _convolve(x, filters, 3, strides=strides, name=f"{name}_conv1")
    y = normalize(y, "batch", name=f"{name}_bn1")
    y = layers.ReLU(name=f"{name}_relu1")(y)
    y = _convolve(y, filters, 3, name=f"{name}_conv2")
    y = normalize(y, "batch", name=f"{name}_bn2")
    return _add(x, y, strides=strides, name=name)


def _bottleneck(x: Any, filters: int, *, strides: int, name: str) -> Any:
    """1x1 to fewer channels, 3x3, 1x1 to four times as many; what came in added."""
    y = _convolve(x, filters, 1, name=f"{name}_conv1")
    y = normalize(y, "batch", name=f"{name}_bn1")
    y = layers.ReLU(name=f"{name}_relu1")(y)
    y = _convolve(y, filters, 3, strides=strides, name=f"{name}_conv2")
    y = normalize(y, "batch", name=f"{name}_bn2")
    y = layers.ReLU(name=f"{name}_relu2")(y)
    y = _convolve(y, 4 * filters, 1, name=f"{name}_conv3")
    y = normalize(y, "batch", name=f"{name}_bn3")
    return _add(x, y, strides=strides, name=name)


def _add(x: Any, y: Any, *, strides: int, name: str) -> Any:
    """The sum; a 1x1 convolution gives `x` the shape of `y` where they differ."""
    if strides > 1 or x.shape[-1] != y.shape[-1]:
        name_0, name_1 = f"{name}_downsample_0", f"{name}_downsample_1"
        x = _convolve(x, y.shape[-1], 1, strides=strides, name=name_0)
        x = normalize(x, "batch", name=name_1)
    x = layers.Add(name=f"{name}_add")([y, x])
    return layers.ReLU(name=f"{name}_relu")(x)


def _convolve(x: Any, filters: int, size: int, *, name: str, strides: int = 1) -> Any:
    """A convolution without bias, padded by size // 2 on all sides."""
    if strides > 1 and size > 1:
        # Keras's "same" pads maps of even size at the bottom and right only.
        x = layers.ZeroPadding2D(size // 2, name=f"{name}_pad")(x)
    return layers.Conv2D(
        filters,
        size,
        strides=strides,
        padding="valid" if strides > 1 else "same",
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(
            2.0, mode="fan_out", distribution="untruncated_normal"
        ),
        name=name,
    )(x)
