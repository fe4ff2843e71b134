"""Pyramids over one map: what is around a pixel at several scales, side by side."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from keras_seg.models.blocks import conv_norm_relu
from keras_seg.models.grids import AdaptiveAveragePool, ResizeTo
from keras_seg.models.layers import BroadcastTo


def separable_conv(
    x: Any, filters: int, *, name: str, number: int | str = "", dilation: int = 1
) -> Any:
    """A 3x3 convolution of each channel, then a 1x1 one, normalized, and a ReLU.

    Args:
        x: A map.
        filters: Number of filters.
        name: Of the place. The layers are called `{name}_depthwise{number}`, `_conv`,
            `_norm` and `_relu` likewise.
        number: Which of several convolutions at this place it is.
        dilation: Distance of the pixels that the kernel sees.
    """
    x = layers.DepthwiseConv2D(
        3,
        padding="same",
        dilation_rate=dilation,
        use_bias=False,
        # Keeps the variance of maps; "he_normal" would divide by all channels.
        depthwise_initializer=keras.initializers.RandomNormal(stddev=1 / 3),
        name=f"{name}_depthwise{number}",
    )(x)
    return conv_norm_relu(x, filters, 1, name=name, number=number)


def atrous_pyramid(
    x: Any,
    width: int,
    rates: Sequence[int],
    *,
    dropout: float,
    separable: bool = False,
) -> Any:
    """Atrous spatial pyramid pooling: one pixel, three dilations, and the whole image.

    Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017,
    https://arxiv.org/abs/1706.05587, section 3.3.

    Args:
        x: Features.
        width: Filters of each branch, and of what joins them.
        rates: Dilations of the 3x3 convolutions.
        dropout: Share of activations dropped at the end.
        separable: Whether the 3x3 convolutions are depthwise separable.
    """
    branches = [conv_norm_relu(x, width, 1, name="aspp", number=0)]
    for k, rate in enumerate(rates, start=1):
        place: dict[str, Any] = {"name": "aspp", "number": k, "dilation": rate}
        if separable:
            branches.append(separable_conv(x, width, **place))
        else:
            branches.append(conv_norm_relu(x, width, 3, **place))
    pool = layers.GlobalAveragePooling2D(keepdims=True, name="aspp_pool_mean")(x)
    pool = conv_norm_relu(pool, width, 1, name="aspp_pool")
    branches.append(BroadcastTo(name="aspp_pool_broadcast")(pool, x))
    x = layers.Concatenate(name="aspp_join")(branches)
    x = conv_norm_relu(x, width, 1, name="aspp_project")
    return layers.Dropout(dropout, name="aspp_dropout")(x)


def pooling_pyramid(
    x: Any, width: int, *, align_corners: bool, normalize_mean: bool
) -> list[Any]:
    """Pyramid pooling: means of 1, 2 x 2, 3 x 3 and 6 x 6 cells, as large as the map.

    Zhao, Shi, Qi, Wang and Jia, "Pyramid Scene Parsing Network", CVPR 2017,
    https://arxiv.org/abs/1612.01105, section 3.2.

    Args:
        x: Features.
        width: Filters of the 1x1 convolution of each grid.
        align_corners: As that of `ResizeTo`, which makes the grids as large as the map.
        normalize_mean: Whether there is batch normalization also for the mean of the
            whole map.

    Returns:
        The four maps, coarsest first.
    """
    maps = []
    for cells in (1, 2, 3, 6):
        name = f"pool{cells}"
        normalization = "batch" if cells > 1 or normalize_mean else "none"
        y = AdaptiveAveragePool(cells, name=f"{name}_mean")(x)
        y = conv_norm_relu(y, width, 1, name=name, normalization=normalization)
        maps.append(ResizeTo(align_corners, name=f"{name}_resize")(y, x))
    return maps
