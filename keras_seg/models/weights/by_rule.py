"""Weights of PyTorch's nets, by rules from the names of their modules to our layers.

A tensor "layer1.0.conv1.weight" is the part "weight" of the module "layer1.0.conv1". A
rule says which layer a module is; which variable a part is, and how its axes are
turned, follows from the kind of the layer.
"""

import re
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_seg.models.weights.by_name import Named, layers_with_weights
from keras_seg.models.weights.torch_file import kernel

#: Patterns of whole names of modules, and our names of their layers.
Rule = Sequence[tuple[str, str]]
#: Tensors by the names that they have in a file.
Tensors = dict[str, np.ndarray]

_KERNELS = (
    *(layers.Conv2D, layers.Conv2DTranspose, layers.DepthwiseConv2D, layers.Dense),
)


def inside(rule: Rule, module: str, model: str) -> Rule:
    r"""A rule of a net, for where that net is a module of another one.

    Args:
        rule: The rule of the net inside.
        module: The name of the module that it is there.
        model: The name of the model that it is here.

    Example:
        >>> inside([(r"bn(.)", r"norm\1")], "backbone", "encoder/resnet50")
        [('backbone\\.bn(.)', 'encoder/resnet50/norm\\1')]
    """
    prefix = re.escape(module) + r"\."
    return [(prefix + pattern, f"{model}/{name}") for pattern, name in rule]


def named_by_rule(
    model: keras.Model, tensors: Tensors, rule: Rule, *, where: str
) -> Named:
    """Weights in Keras's order and layout, by the names of a model's layers.

    Modules of which the rule, or the model, has no layer keep a name, and are so told
    as left over by `by_name.assign`. Counters of batches are left out.

    Args:
        model: The model that the weights are for.
        tensors: What the file holds.
        rule: Which layer each module is.
        where: What errors call the origin of the tensors.

    Raises:
        ValueError: naming the module, if a layer wants other parts than it has.
    """
    modules: dict[str, Tensors] = {}
    for name, tensor in tensors.items():
        module, _, part = name.rpartition(".")
        if part != "num_batches_tracked":
            modules.setdefault(module, {})[part] = tensor
    known = dict(layers_with_weights(model))
    named = {}
    for module, parts in modules.items():
        name = _layer_of(module, rule)
        values = [*parts.values()]
        if name in known:
            values = _values(known[name], parts, f"{where}: module {module}")
        named[name] = values
    return named


def _layer_of(module: str, rule: Rule) -> str:
    for pattern, name in rule:
        match = re.fullmatch(pattern, module)
        if match:
            return match.expand(name)
    return module


def _values(layer: Any, parts: Tensors, where: str) -> list[np.ndarray]:
    """The variables of a layer, from the parts of a module."""
    wanted = ["weight", "bias"]
    if isinstance(layer, layers.BatchNormalization):
        wanted += ["running_mean", "running_var"]
    elif isinstance(layer, _KERNELS) and not layer.use_bias:
        wanted = ["weight"]
    if set(wanted) != set(parts):
        raise ValueError(
            f"{where}: Expected {', '.join(wanted)} for layer {layer.name!r}. "
            f"Received: {', '.join(parts)}. Likely cause: another architecture."
        )
    values = [parts[part] for part in wanted]
    integers = [v.dtype for v in values if np.issubdtype(v.dtype, np.integer)]
    if integers:
        raise ValueError(
            f"{where}: Expected floating-point numbers. Received: {integers[0]}. "
            "Likely cause: a quantized net."
        )
    if values[0].ndim == 4:
        depthwise = isinstance(layer, layers.DepthwiseConv2D)
        values[0] = kernel(values[0], depthwise=depthwise)
    elif isinstance(layer, layers.Dense):
        values[0] = values[0].T
    return [np.asarray(value, "float32") for value in values]
