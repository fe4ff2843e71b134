"""Weights of whole nets, from files of other projects and from our own.

Of other projects' files the names of tensors tell which net they are of.
"""

import re
import warnings

import keras

from keras_seg.models.weights.by_name import (
    Named,
    assign,
    copy_normalization,
    load_model,
    named_weights,
    tell,
)
from keras_seg.models.weights.by_order import ENDING
from keras_seg.models.weights.by_rule import Tensors, inside, named_by_rule
from keras_seg.models.weights.encoders import encoder_rule, fixed_weights, has
from keras_seg.models.weights.rules import RULES
from keras_seg.models.weights.segformer import segformer_by_name
from keras_seg.models.weights.tensors import TENSOR_FILES, read_tensors

_SMP = "segmentation_models_pytorch's"
#: What is in a file, by names that only such a net has; the first that fits.
_KINDS = [
    (r"classifier\.0\.convs\..*", "deeplab_v3", "torchvision's DeepLabV3"),
    (r"classifier\.4\..*", "fcn", "torchvision's FCN"),
    (r"classifier\.cbr\..*", "", "torchvision's LRASPP, which is another net"),
    (
        r"decoder\.(aspp|0)\.convs\..*",
        "",
        "the DeepLabV3 of segmentation_models_pytorch, which dilates the first "
        "convolution of a stage too: with the same weights it is another net",
    ),
    (
        r"decoder\.aspp\.0\.convs\..*",
        "deeplab_v3_plus",
        f"{_SMP} DeepLabV3Plus",
    ),
    (
        r"decoder\.blocks\.x_0_0\..*",
        "unet_plus_plus",
        f"{_SMP} UnetPlusPlus",
    ),
    (r"decoder\.blocks\.0\.conv1\..*", "unet", f"{_SMP} Unet"),
    (
        r"decoder\.blocks\.0\.block\..*",
        "linknet",
        f"{_SMP} Linknet",
    ),
    (r"decoder\.p5\..*", "fpn", f"{_SMP} FPN"),
    (
        r"decoder\.fpn_lateral_blocks\..*",
        "upernet",
        f"{_SMP} UPerNet",
    ),
    (r"decoder\.psp\..*", "pspnet", f"{_SMP} PSPNet"),
    (r"segmentation_head\..*", "", "another net of segmentation_models_pytorch"),
    (r"decode_head\..*", "", "a net of mmsegmentation or a SegFormer"),
    (r"(layer4\.0|encoder\.layer4\.0)\..*", "", "a ResNet, for `encoder_weights`"),
]
#: What such files have and our nets don't: a classifier of images beside the decoder,
#: EfficientNet's last convolution, and (see `_named`) stages of a ResNet behind P3.
_UNUSED = r"classification_head\..*|encoder\._(conv_head|bn1)"


def endings_of(net: str) -> tuple[str, ...]:
    """The endings of files of weights that a net with an encoder can have.

    Args:
        net: The name of its builder.
    """
    known = net == "segformer" or net in RULES
    return (".keras", ENDING, *(TENSOR_FILES if known else ()))


def load_net(
    model: keras.Model, path: str, net: str, *, fresh_head: bool = False
) -> None:
    """Set the weights of a net, of its auxiliary head too where both have one.

    Args:
        model: The net to change; with its auxiliary head, if that is to be set too.
        path: A file of another project's net, or the `.keras` file of an equal one.
        net: The name of its builder.
        fresh_head: Whether to reinitialise the last convolution.

    Raises:
        ValueError: naming the file, if it is of another kind, or holds another net.
    """
    if path.endswith(".keras"):
        saved = load_model(path)
        named = named_weights(saved)
        copy_normalization(saved, model)
    else:
        tensors = read_tensors(path)
        if net == "segformer":
            named = segformer_by_name(model, tensors, path)
        else:
            named = _named(model, tensors, net, path)
    _check_classes(model, named, path, fresh_head)
    if fresh_head:
        named = {name: w for name, w in named.items() if not _is_score(name)}

    def starts_anew(name: str) -> bool:
        return fresh_head and _is_score(name)

    missing, _ = assign(
        model,
        named,
        where=path,
        may_differ=lambda name: _is_auxiliary(name) or starts_anew(name),
    )
    tell(path, [name for name in missing if not starts_anew(name)], [])
    if fresh_head:
        warnings.warn(
            f"{path}: all but the scores is loaded; the layer 'score' starts anew, for "
            f"{model.get_layer('score').filters} classes.",
            stacklevel=3,
        )


def _named(model: keras.Model, tensors: Tensors, net: str, path: str) -> Named:
    """Weights of another project's net by the names of our layers."""
    _check_kind(tensors, net, path)
    backbone = _backbone_of(model)
    prefix = f"encoder/{backbone.name}"
    rule = encoder_rule(backbone, where=path)
    rules = [
        *inside(rule, "backbone", prefix),  # in torchvision
        *inside(rule, "encoder", prefix),  # in smp
        *RULES[net],
    ]
    named = named_by_rule(model, tensors, rules, where=path)
    named |= {f"{prefix}/{n}": w for n, w in fixed_weights(backbone).items()}
    unused = _UNUSED
    for stage in ("layer3", "layer4"):
        if not has(backbone, f"{stage}_0_conv1"):
            unused += rf"|{prefix}/{stage}_.*"
    return {n: w for n, w in named.items() if not re.fullmatch(unused, n)}


def _check_kind(tensors: Tensors, net: str, path: str) -> None:
    for pattern, kind, description in _KINDS:
        if any(re.fullmatch(pattern, name) for name in tensors):
            if kind == net:
                return
            use = f": use keras_seg.{kind}" if kind else ""
            expected = next(text for _, known, text in _KINDS if known == net)
            raise ValueError(
                f"{path}: Expected weights of {expected}. Received those of "
                f"{description}{use}."
            )


def _check_classes(
    model: keras.Model, named: Named, path: str, fresh_head: bool
) -> None:
    classes = model.get_layer("score").filters
    found = named["score"][-1].size if "score" in named else classes
    if found != classes and not fresh_head:
        raise other_classes(path, classes, found)


def other_classes(where: str, expected: int, received: int) -> ValueError:
    """The error for weights of another number of classes."""
    return ValueError(
        f"{where}: Expected weights of {expected} classes, those of the model. "
        f"Received: {received} classes. With fresh_head=True the scores are left out, "
        "and start anew."
    )


def _backbone_of(model: keras.Model) -> keras.Model:
    encoder = model.get_layer("encoder")
    (backbone,) = (x for x in encoder.layers if isinstance(x, keras.Model))
    return backbone


def _is_score(name: str) -> bool:
    return name in ("score", "auxiliary_score")


def _is_auxiliary(name: str) -> bool:
    """Whether a layer is of an auxiliary head, under our name or torchvision's."""
    return name.startswith(("auxiliary_", "aux_classifier."))
