"""Which layer of a backbone each module of an encoder in another project's net is."""

import re

import keras
import numpy as np

from keras_seg.models.weights.by_name import Named
from keras_seg.models.weights.by_rule import Rule
from keras_seg.models.weights.rules import RESNET

#: Modules of a block of EfficientNet-PyTorch, and our names of their layers.
_BLOCK = {
    "_expand_conv": "expand_conv",
    "_bn0": "expand_bn",
    "_depthwise_conv": "dwconv",
    "_bn1": "bn",
    "_se_reduce": "se_reduce",
    "_se_expand": "se_expand",
    "_project_conv": "project_conv",
    "_bn2": "project_bn",
}
#: What users of PyTorch normalize images in 0..1 by, as weights of `Normalization`.
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def encoder_rule(backbone: keras.Model, *, where: str) -> Rule:
    """The rule of a backbone, for the names in nets of PyTorch.

    Args:
        backbone: The model inside of an encoder.
        where: What errors call the file.

    Raises:
        ValueError: for a backbone that such nets don't have, or have otherwise.
    """
    if backbone.name.startswith("resnet") and has(backbone, "layer1_0_conv1"):
        return RESNET
    if backbone.name == "efficientnetb0":
        return _efficientnet(backbone)
    raise ValueError(
        f"{where}: Expected a net with the encoder 'resnet18', '34', '50' or '101', or "
        f"'efficientnetb0', for weights of PyTorch. Received: {backbone.name!r}. "
        "Likely cause: backbones of keras.applications pad their maps otherwise than "
        "those of PyTorch; with the same weights they are other nets."
    )


def fixed_weights(backbone: keras.Model) -> Named:
    """Weights that a backbone has, and of which the same net in PyTorch has none."""
    if backbone.name != "efficientnetb0":
        return {}
    mean, variance = np.array(_MEAN, "f4"), np.array(_DEVIATION, "f4") ** 2
    return {"normalization": [mean, variance, np.zeros((), "int32")]}


def has(model: keras.Model, name: str) -> bool:
    """Whether a model has a layer of this name."""
    return any(layer.name == name for layer in model.layers)


def _efficientnet(backbone: keras.Model) -> Rule:
    """EfficientNet-PyTorch's names: its blocks are numbered from the first to the last.

    https://github.com/lukemelas/EfficientNet-PyTorch, which pads as TensorFlow does for
    images of 224 pixels.
    """
    names = [layer.name for layer in backbone.layers]
    blocks = dict.fromkeys(n[:7] for n in names if re.match(r"block\d[a-z]_", n))
    rule = [("_conv_stem", "stem_conv"), ("_bn0", "stem_bn")]
    for k, block in enumerate(blocks):
        for module, layer in _BLOCK.items():
            rule.append((rf"_blocks\.{k}\.{module}", f"{block}_{layer}"))
    return rule
