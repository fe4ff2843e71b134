"""The two branches of BiSeNetV2: a wide one for detail, a deep one for meaning.

Yu et al., "BiSeNet V2", https://arxiv.org/abs/2004.02147, table 1 and figures 4 and 5.
Where these leave a choice it is made as in mmsegmentation,
https://github.com/open-mmlab/mmsegmentation: depthwise convolutions of the gather-and-
expansion layers end in a ReLU, and the last convolution of the context embedding is
normalized.
"""

from keras import layers

from keras_seg.labels import Features, Image, Tensor
from keras_seg.models.blocks import normalize
from keras_seg.models.layers import PadToMultiple

#: Filters of the detail branch, and of the semantic branch, by stage (table 1).
_DETAIL, _SEMANTIC = (64, 64, 128), (16, 32, 64, 128)
_EXPANSION = 6
#: ImageNet's mean and deviation of red, green and blue, of images in 0..255.
_MEAN, _DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def normalized(image: Image) -> Tensor:
    """The image, of a size that halves five times, normalized as ImageNet's."""
    x = PadToMultiple(32, name="pad")(image)
    if image.shape[-1] != 3:
        return layers.Rescaling(1 / 127.5, offset=-1.0, name="rescale")(x)
    offset = [-m / d for m, d in zip(_MEAN, _DEVIATION, strict=True)]
    return layers.Rescaling([1 / d for d in _DEVIATION], offset, name="rescale")(x)


def detail_branch(x: Tensor) -> Tensor:
    """Stride 8: two convolutions, then three, then three (table 1)."""
    for stage, width in enumerate(_DETAIL, start=1):
        for k in range(1, 3 if stage == 1 else 4):
            x = conv(x, width, 3, 2 if k == 1 else 1, name=f"detail{stage}_{k}")
    return x


def semantic_branch(x: Tensor) -> Features:
    """Stages at strides 4, 8, 16 and 32: a stem, and gather-and-expansion layers."""
    x = _stem(x, _SEMANTIC[0])
    stages = {"P2": x}
    for stage, width in enumerate(_SEMANTIC[1:], start=2):
        for k in range(1, 5 if stage == 4 else 3):
            x = _gather_expand(x, width, 2 if k == 1 else 1, name=f"ge{stage}_{k}")
        stages[f"P{stage + 1}"] = x
    return stages


def _stem(x: Tensor, width: int) -> Tensor:
    """A strided convolution; then convolutions and a pool side by side (figure 4)."""
    x = conv(x, width, 3, 2, name="stem_1")
    left = conv(x, width // 2, 1, name="stem_2")
    left = conv(left, width, 3, 2, name="stem_3")
    right = layers.ZeroPadding2D(1, name="stem_pool_pad")(x)  # of what a ReLU gave
    right = layers.MaxPooling2D(3, strides=2, name="stem_pool")(right)
    x = layers.Concatenate(name="stem_join")([left, right])
    return conv(x, width, 3, name="stem_4")


def _gather_expand(x: Tensor, width: int, strides: int, *, name: str) -> Tensor:
    """A 3x3 convolution; depthwise ones that expand; 1x1; and a shortcut (figure 5)."""
    y = conv(x, x.shape[-1], 3, name=f"{name}_gather")
    if strides == 1:
        y = depthwise(y, 1, _EXPANSION, name=f"{name}_expand1")
    else:
        y = depthwise(y, strides, _EXPANSION, name=f"{name}_expand1", relu=False)
        y = depthwise(y, 1, 1, name=f"{name}_expand2")
        x = depthwise(x, strides, 1, name=f"{name}_shortcut1", relu=False)
        x = conv(x, width, 1, name=f"{name}_shortcut2", relu=False)
    y = conv(y, width, 1, name=f"{name}_project", relu=False)
    y = layers.Add(name=f"{name}_add")([x, y])
    return layers.ReLU(name=f"{name}_relu")(y)


def context_embedding(x: Tensor) -> Tensor:
    """The mean over the image, added to every pixel (figure 4)."""
    y = layers.GlobalAveragePooling2D(keepdims=True, name="context_mean")(x)
    y = normalize(y, "batch", name="context_mean_norm")
    y = conv(y, x.shape[-1], 1, name="context_1")
    y = layers.Add(name="context_add")([x, y])
    return conv(y, x.shape[-1], 3, name="context_2")


def conv(
    x: Tensor,
    filters: int,
    size: int,
    strides: int = 1,
    *,
    name: str,
    relu: bool = True,
) -> Tensor:
    """A convolution, normalized, perhaps with a ReLU."""
    x = _padded(x, strides, name=name)
    x = layers.Conv2D(
        filters,
        size,
        strides=strides,
        padding="valid" if strides > 1 else "same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    x = normalize(x, "batch", name=f"{name}_norm")
    return layers.ReLU(name=f"{name}_relu")(x) if relu else x


def depthwise(
    x: Tensor, strides: int, multiplier: int, *, name: str, relu: bool = True
) -> Tensor:
    """A 3x3 convolution of each channel, normalized, perhaps with a ReLU."""
    x = _padded(x, strides, name=name)
    x = layers.DepthwiseConv2D(
        3,
        strides=strides,
        depth_multiplier=multiplier,
        padding="valid" if strides > 1 else "same",
        use_bias=False,
        depthwise_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    x = normalize(x, "batch", name=f"{name}_norm")
    return layers.ReLU(name=f"{name}_relu")(x) if relu else x


def _padded(x: Tensor, strides: int, *, name: str) -> Tensor:
    """Padded on all sides, where Keras's "same" would pad at the bottom and right."""
    return layers.ZeroPadding2D(1, name=f"{name}_pad")(x) if strides > 1 else x
