"""Features by level: where a backbone has them, and which ones a decoder needs.

Level k is a map whose height and width are 1 / 2^k of the image's: "P1" to "P5".
"""

from collections.abc import Mapping
from typing import Any

import keras
from keras import layers

#: Levels that are looked for, and their strides.
STRIDES = {f"P{k}": 2**k for k in range(1, 6)}

#: Of an image, at which every level has a size of its own.
SIDE = 224


def find_levels(
    model: keras.Model, inputs_of: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Find the features of a backbone: its last output at each level.

    Inverted residual blocks (MobileNetV2, EfficientNet) widen a map before they halve
    it. The features of their level are the map before it was widened, as in
    segmentation_models_pytorch and timm.

    Args:
        model: A functional model that takes images of any size.
        inputs_of: Layers by level: there the features are the input of this layer.

    Returns:
        Symbolic tensors by level, for the levels that the backbone has.

    Raises:
        ValueError: if it has none.
    """
    maps, makers = maps_of(model)
    last = dict(zip(sides(model, maps), maps, strict=True))  # of each size

    levels = {}
    for level, stride in STRIDES.items():
        if SIDE // stride in last:
            levels[level] = last[SIDE // stride]
    if not levels:
        raise ValueError(
            "Expected an encoder with features at strides "
            f"{', '.join(map(str, STRIDES.values()))}. {model.name!r} has none: its "
            "convolutions aren't padded, or its layers are in a model inside of it, "
            "where they aren't seen."
        )
    for level in list(levels)[:-1]:  # the deepest one is widened for what follows
        levels[level] = _before_widening(levels[level], makers)
    for level, name in (inputs_of or {}).items():
        levels[level] = model.get_layer(name).input
    return levels


def maps_of(model: keras.Model) -> tuple[list[Any], dict[int, Any]]:
    """The maps in a functional model, in order, and what made each, by its tensor."""
    # Operations are layers, and sums written as x + y, too.
    operations = [op for op in model.operations if not isinstance(op, keras.Model)]
    makers = {id(out): op for op in operations if is_map(out := _output(op))}
    maps = [op.output for op in makers.values()]
    maps += [out for out in model.outputs if is_map(out) and id(out) not in makers]
    return maps, makers


def sides(model: keras.Model, maps: list[Any]) -> list[int]:
    """Height of each map for an image of 224 pixels; 0 where it isn't as wide as high.

    Raises:
        ValueError: if the model doesn't take images of any size.
    """
    probe = keras.Model(model.inputs, maps, name=model.name)
    try:
        shapes = probe.compute_output_shape((1, SIDE, SIDE, model.inputs[0].shape[-1]))
    except ValueError as error:
        raise ValueError(
            f"Expected an encoder that takes images of any size. {model.name!r} "
            f"doesn't. Keras says: {error}"
        ) from None
    return [shape[1] if shape[1] == shape[2] else 0 for shape in shapes]


def require_levels(
    encoder: keras.Model, strides: Mapping[str, int], *, decoder: str
) -> None:
    """Raise unless an encoder has all levels that a decoder needs, at these strides.

    Args:
        encoder: What `models.encoder` makes.
        strides: The levels, and the stride that the decoder needs each to have.
        decoder: The decoder's name, for errors.

    Raises:
        ValueError: naming the levels that are missing, or have another stride.
    """
    had = encoder.output
    missing = [level for level in strides if level not in had]
    if missing:
        raise ValueError(
            f"Expected an encoder with the levels {', '.join(strides)} for {decoder}. "
            f"Missing: {', '.join(missing)}. The encoder has: {', '.join(had)}."
        )
    # The model inside takes images of any size, also where the encoder doesn't.
    (inside,) = (layer for layer in encoder.layers if isinstance(layer, keras.Model))
    found = dict(zip(had, sides(inside, inside.outputs), strict=True))
    wrong = {
        level: SIDE // found[level]
        for level, stride in strides.items()
        if found[level] != SIDE // stride
    }
    if wrong:
        raise ValueError(
            f"Expected an encoder for {decoder} whose levels have the strides "
            f"{dict(strides)}. Received: {wrong}. Likely cause: `output_stride`."
        )


def _before_widening(tensor: Any, makers: Mapping[int, Any]) -> Any:
    """The map before a 1x1 convolution that begins an inverted residual block.

    Of such a block it is known that what goes into it has no activation.
    """
    layer = makers.get(id(tensor))
    while isinstance(
        layer, layers.Activation | layers.ReLU | layers.BatchNormalization
    ):
        layer = makers.get(id(layer.input))
    if not isinstance(layer, layers.Conv2D) or set(layer.kernel_size) != {1}:
        return tensor
    narrow = layer.input
    source = makers.get(id(narrow))
    is_linear = isinstance(source, layers.BatchNormalization | layers.Add)
    widens = layer.filters > narrow.shape[-1] and set(layer.strides) == {1}
    return narrow if is_linear and widens else tensor


def _output(operation: Any) -> Any:
    try:
        return operation.output
    except (AttributeError, ValueError):  # called more than once
        return None


def is_map(tensor: Any) -> bool:
    """Whether this is one map `[batch, height, width, channels]`."""
    return hasattr(tensor, "shape") and len(tensor.shape) == 4
