"""What the outputs of a model are: logits or probabilities, and of how many classes.

Whether outputs are logits is read off the end of the model, never guessed from numbers.
"""

import math
from typing import Any

import keras
import numpy as np
from keras import activations, layers

from keras_seg.models.layers import CropTo, UpsampleBilinear

# After these, probabilities over the classes are still probabilities, and logits are
# logits.
_KEEPING = (
    *(layers.Identity, layers.Dropout, layers.SpatialDropout2D, layers.Average),
    *(layers.Cropping2D, layers.UpSampling2D, layers.Resizing, layers.Reshape),
    *(CropTo, UpsampleBilinear),
)


def ends_in_softmax(model: keras.Model) -> bool:
    """Whether a model's outputs are probabilities; else they are logits.

    The layer that made the output says it: `Softmax`, or a layer with
    `activation="softmax"`, makes probabilities; a layer with weights and without an
    activation makes logits. Layers that only resize, crop or average let the layers
    before them decide, and a model inside a model its own last layer.

    Args:
        model: A functional or sequential model with one output.

    Raises:
        ValueError: if the end can't be read, as that of a `Lambda`, or is a sigmoid.

    Example:
        >>> image = keras.Input((None, None, 3))
        >>> logits = layers.Conv2D(2, 1)(image)
        >>> ends_in_softmax(keras.Model(image, logits))
        False
        >>> ends_in_softmax(keras.Model(image, layers.Softmax()(logits)))
        True
    """
    count_classes(model)
    return _are_probabilities(model.outputs[0])


def count_classes(model: keras.Model, *, at_most: int | None = None) -> int:
    """The number of classes that a model tells apart.

    Args:
        model: What is to be a model from images to logits or probabilities.
        at_most: The largest number that fits: 255 for masks of uint8.

    Raises:
        ValueError: for another kind of model, one class, or too many.
    """
    if not isinstance(model, keras.Model) or not getattr(model, "outputs", None):
        raise ValueError(
            "Expected a functional or sequential keras.Model, whose layers are known "
            f"before it is called. Received: {model!r}"
        )
    shapes = [tuple(output.shape) for output in model.outputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][-1] is None:
        raise ValueError(
            "Expected a model with one output [batch, height, width, num_classes]. "
            f"Received outputs of shapes: {shapes}"
        )
    classes = shapes[0][-1]
    if classes == 1:
        raise ValueError(
            "Expected a model of two or more classes. Received: one output channel, "
            "whose largest class is always 0. Binary segmentation means two classes, "
            "background and object: build the model with num_classes=2, two logits, "
            "instead of one sigmoid."
        )
    if at_most is not None and classes > at_most:
        raise ValueError(
            f"Expected a model of at most {at_most} classes, for masks of uint8. "
            f"Received: {classes} classes"
        )
    return classes


def _are_probabilities(output: Any) -> bool:
    """Whether the layer that made a symbolic tensor makes probabilities."""
    # Which layer made a tensor is known to the tensor alone.
    layer, node, index = output._keras_history
    kind = type(layer).__name__
    if isinstance(layer, keras.Model) and getattr(layer, "outputs", None):
        return _are_probabilities(layer.outputs[index])
    if kind in ("Softmax", "LogSoftmax"):  # layers or functions of keras.ops
        if layer.axis not in (-1, len(output.shape) - 1):
            raise _unreadable(layer, "a softmax over another axis than the classes")
        return kind == "Softmax"

    before = layer._inbound_nodes[node].input_tensors
    if isinstance(layer, CropTo):
        before = before[:1]  # the second one gives its size only
    activation = getattr(layer, "activation", None)
    if activation in (activations.sigmoid, activations.hard_sigmoid) or kind in (
        "Sigmoid",
        "HardSigmoid",
    ):
        raise _unreadable(
            layer,
            "a sigmoid for each class. Classes exclude each other here: leave the "
            "activation out, and train with a loss on logits",
        )
    if activation is activations.softmax:
        return True
    passes = isinstance(layer, _KEEPING) or kind == "Cast"
    if passes or (isinstance(layer, layers.Activation) and _is_linear(activation)):
        found = {_are_probabilities(tensor) for tensor in before}
        if len(found) != 1:
            raise _unreadable(layer, "of both logits and probabilities")
        return found.pop()
    if kind == "Add":
        if any(map(_are_probabilities, before)):
            raise _unreadable(layer, "a sum of probabilities")
        return False
    if activation is not None:
        return False  # a convolution, with no activation or with one like tanh
    raise _unreadable(layer, "whose outputs may be logits or probabilities")


def _is_linear(activation: Any) -> bool:
    return activation in (None, activations.linear)


def _unreadable(layer: Any, why: str) -> ValueError:
    return ValueError(
        "Expected a model whose last layer shows whether outputs are logits or "
        "probabilities: a convolution without activation, or a softmax over the last "
        f"axis. Received: {type(layer).__name__} {layer.name!r}, {why}. If the outputs "
        "are logits, end the model in a softmax: keras.Model(model.input, "
        "keras.layers.Softmax()(model.output))."
    )


def check_finite(model: keras.Model, scores: np.ndarray) -> None:
    """Raise unless the largest score of each pixel and the model's weights are finite.

    A logit of minus infinity is fine: a class that can't be. Weights are looked at
    because TensorFlow's fused convolutions turn NaN into 0 in graphs: the outputs of a
    diverged model may be finite. Only arrays of up to 10,000 weights are: biases,
    normalizations and small kernels. It takes microseconds for each, and a training
    that diverges leaves no array as it was.

    Args:
        model: The model that gave the scores.
        scores: Logits or probabilities `[..., num_classes]`.

    Raises:
        ValueError: saying where there is NaN or infinity.
    """
    finite = np.isfinite(scores.max(axis=-1))
    where = f"at {100 * np.mean(~finite):.3g} % of the pixels"
    if finite.all():
        broken = broken_weights(model)
        if not broken:
            return
        where = f"in its weights {', '.join(broken[:3])}"
    raise ValueError(
        f"Expected finite outputs of the model. Received: NaN or infinity {where}. "
        "Likely causes: training diverged (load an earlier model, train with a smaller "
        "learning rate), or float16 overflowed."
    )


def broken_weights(model: keras.Model) -> list[str]:
    """Paths of the arrays of up to 10,000 weights that have NaN or infinity."""
    return [v.path for v in model.variables if _is_small(v) and _has_nan(v)]


def _is_small(variable: Any) -> bool:
    return "float" in variable.dtype and math.prod(variable.shape) <= 10_000


def _has_nan(variable: Any) -> bool:
    return not np.isfinite(variable.numpy()).all()
