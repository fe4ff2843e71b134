"""Weights of ResNet from files of torchvision and of those who took its names."""

import keras

from keras_seg.models.weights.by_name import assign
from keras_seg.models.weights.by_rule import Tensors, named_by_rule
from keras_seg.models.weights.channels import fit_channels
from keras_seg.models.weights.rules import RESNET
from keras_seg.models.weights.tensors import read_tensors

#: What a ResNet is called in nets that have one: torchvision, then smp and others.
_INSIDE = ("backbone.", "encoder.")


def load_resnet(model: keras.Model, path: str) -> None:
    """Set all weights of a ResNet; its classifier in the file is left out.

    Args:
        model: The ResNet to change.
        path: A `.pth` or `.safetensors` file of torchvision's ResNet, or of a net that
            has one as its module "backbone" or "encoder".

    Raises:
        ValueError: naming the file, if it is of another kind, or holds another net.
    """
    named = named_by_rule(model, _resnet_in(read_tensors(path)), RESNET, where=path)
    named.pop("fc", None)
    if "conv1" in named:
        named["conv1"] = fit_channels(model.get_layer("conv1"), named["conv1"])
    assign(model, named, where=path)


def _resnet_in(tensors: Tensors) -> Tensors:
    for prefix in _INSIDE:
        if f"{prefix}conv1.weight" in tensors:
            return {
                name.removeprefix(prefix): tensor
                for name, tensor in tensors.items()
                if name.startswith(prefix)
            }
    return tensors
