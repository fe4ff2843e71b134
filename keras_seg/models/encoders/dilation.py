"""Strides into dilation: the same weights on finer maps (the "algorithme a trous").

Holschneider et al. 1989; Chen et al., "DeepLab", section 3.1,
https://arxiv.org/abs/1606.00915. Where a layer would halve a map further than wanted,
the map keeps its size, and the convolutions after it leave out every other pixel. Every
other pixel of the finer map is then what the coarse map was. The convolution that would
have halved the map isn't dilated itself, as in torchvision; with `dilate_first` it is,
as in segmentation_models_pytorch, and the finer map is another one.
"""

from typing import Any

import keras
from keras import layers

from keras_seg.models.encoders.levels import SIDE, is_map, sides
from keras_seg.models.encoders.mit import MapAttention
from keras_seg.models.weights.by_name import copy_weights

_CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)
_POOLS = (layers.MaxPooling2D, layers.AveragePooling2D)
# What sees more than one pixel, and isn't of these kinds.
_OTHERS = (layers.Conv2DTranspose, layers.UpSampling2D, layers.Cropping2D, keras.Model)


def dilate(
    model: keras.Model, output_stride: int, *, dilate_first: bool = False
) -> keras.Model:
    """Copy a backbone, with its weights, whose maps get no smaller than 1 / stride.

    Args:
        model: A functional model from images of any size to maps.
        output_stride: How many times smaller than images maps may get.
        dilate_first: Whether a convolution that would have halved the map is dilated
            like those after it.

    Raises:
        ValueError: naming the layer that can't be dilated.
    """
    changes = _changes(model, output_stride, dilate_first)

    def copy(operation: Any) -> Any:
        config = operation.get_config() | changes.get(operation.name, {})
        return operation.__class__.from_config(config)

    dilated = keras.models.clone_model(model, clone_function=copy)
    copy_weights(model, dilated)
    return dilated


def _changes(
    model: keras.Model, output_stride: int, dilate_first: bool
) -> dict[str, dict[str, Any]]:
    """What changes in the configurations of layers, by their names."""
    for layer in model.layers:
        if isinstance(layer, MapAttention):  # to more pixels is another function
            raise _undilatable(model, layer)
    strides = _strides(model)
    makers = {id(layer.output): layer for layer in _with_one_map(model)}
    changes: dict[str, dict[str, Any]] = {}
    for layer in _with_one_map(model):
        before = strides.get(id(layer.input), 1)
        after = strides.get(id(layer.output), before)
        rate = max(1, before // output_stride)  # its input is so much finer than before
        halves = after > max(before, output_stride)
        if rate == 1 and not halves:
            continue
        if halves and dilate_first and isinstance(layer, _CONVOLUTIONS):
            rate = after // output_stride
        maker = makers.get(id(layer.input))
        padding = maker if isinstance(maker, layers.ZeroPadding2D) else None
        if isinstance(layer, _CONVOLUTIONS):
            changes[layer.name] = _convolution(layer, rate, halves, padding)
            if padding is not None:
                total = [(size - 1) * rate for size in layer.kernel_size]
                changes[padding.name] = {
                    "padding": [[n // 2, n - n // 2] for n in total]
                }
        elif isinstance(layer, _POOLS) and max(layer.pool_size) == 1:
            changes[layer.name] = {"strides": [1, 1]}
        elif isinstance(layer, _POOLS) and rate == 1 and padding is None:
            changes[layer.name] = {"strides": [1, 1], "padding": "same"}
        elif isinstance(layer, (*_POOLS, *_OTHERS)) or halves:
            raise _undilatable(model, layer)
    return changes


def _convolution(layer: Any, rate: int, halves: bool, padding: Any) -> dict[str, Any]:
    """What changes in a convolution."""
    change: dict[str, Any] = {}
    if max(layer.kernel_size) > 1:
        change["dilation_rate"] = [rate * already for already in layer.dilation_rate]
        if padding is None:  # as that of patches, which don't overlap
            change["padding"] = "same"
    if halves:
        change["strides"] = [1, 1]
    return change


def _strides(model: keras.Model) -> dict[int, int]:
    """How many times smaller than the image each map of a model is, by its tensor."""
    maps = {
        id(x): x for layer in _with_one_map(model) for x in (layer.input, layer.output)
    }
    return {
        # To a power of two: a padded map has a pixel or two more.
        key: min((2**k for k in range(8)), key=lambda s: abs(SIDE / s - side))
        for key, side in zip(maps, sides(model, list(maps.values())), strict=True)
        if side > 1  # the mean over a map is no coarser map
    }


def _with_one_map(model: keras.Model) -> list[Any]:
    """The layers from one map to one map, called once."""
    found = []
    for layer in model.layers:
        try:
            ends = (layer.input, layer.output)
        except (AttributeError, ValueError):
            continue
        if all(is_map(x) for x in ends) and not isinstance(layer, layers.InputLayer):
            found.append(layer)
    return found


def _undilatable(model: keras.Model, layer: Any) -> ValueError:
    return ValueError(
        f"Expected an encoder that can be dilated. Received: {model.name!r}, whose "
        f"layer {layer.name!r} ({type(layer).__name__}) can't be. Use a larger "
        "`output_stride` or another encoder."
    )
