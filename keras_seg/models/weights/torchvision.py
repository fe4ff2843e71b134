"""Weights of torchvision's FCN and DeepLabV3, from its files and from our own."""

import os
import re
import warnings
from typing import Any

import keras

from keras_seg.models.weights.by_name import (
    Named,
    assign,
    load_model,
    named_weights,
    tell,
)
from keras_seg.models.weights.by_rule import Tensors, inside, named_by_rule
from keras_seg.models.weights.download import download
from keras_seg.models.weights.files import check_weights
from keras_seg.models.weights.rules import DEEPLAB_V3, FCN, RESNET
from keras_seg.models.weights.tensors import TENSOR_FILES, read_tensors

#: The endings of files of whole nets.
ENDINGS = (".keras", *TENSOR_FILES)

#: The name of torchvision's weights, and its files (COCO_WITH_VOC_LABELS_V1).
COCO_VOC = "coco_voc"
_ADDRESS = "https://download.pytorch.org/models/"
_FILES = {
    ("fcn", "resnet50"): "fcn_resnet50_coco-1167a1af.pth",
    ("fcn", "resnet101"): "fcn_resnet101_coco-7ecb50ca.pth",
    ("deeplab_v3", "resnet50"): "deeplabv3_resnet50_coco-cd0a2569.pth",
    ("deeplab_v3", "resnet101"): "deeplabv3_resnet101_coco-586e9e4e.pth",
}

_RULES = {"fcn": FCN, "deeplab_v3": DEEPLAB_V3}
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
    (r"segmentation_head\..*", "", "another net of segmentation_models_pytorch"),
    (r"decode_head\..*", "", "a net of mmsegmentation or a SegFormer"),
    (r"(layer4\.0|encoder\.layer4\.0)\..*", "", "a ResNet, for `encoder_weights`"),
]


def check_starts(
    net: str,
    num_classes: int,
    encoder: Any,
    *,
    encoder_weights: str | os.PathLike | None,
    weights: str | os.PathLike | None,
    fresh_head: bool,
    encoder_endings: tuple[str, ...],
) -> tuple[str | None, str | None]:
    """Return where the weights of an encoder and of a net are, if they are there.

    Args:
        net: "fcn" or "deeplab_v3".
        num_classes: The number of classes of the model.
        encoder: The builder's argument.
        encoder_weights: None, "imagenet" or a file.
        weights: None, "coco_voc", a file, or the folder of a run.
        fresh_head: Whether the scores in a file are left out.
        encoder_endings: What the names of files of the encoder's weights end in.

    Returns:
        The encoder's: None, "imagenet" or a path. The net's: None or a path.

    Raises:
        ValueError: for arguments that don't go together.
        FileNotFoundError: if there is no such file.
        OSError: where a download fails, with the place for the file.
    """
    if fresh_head and weights is None:
        raise ValueError("Expected `weights` with fresh_head=True. Received: None")
    encoder_weights, weights = check_weights(
        encoder_weights,
        weights,
        endings=ENDINGS,
        encoder_endings=encoder_endings,
        names=(COCO_VOC,),
    )
    if weights == COCO_VOC:
        weights = _coco_voc(net, encoder, num_classes, fresh_head)
    return encoder_weights, weights


def _coco_voc(net: str, encoder: Any, num_classes: int, fresh_head: bool) -> str:
    """The file of torchvision's weights of a net, downloaded if need be."""
    encoders = [name for known, name in _FILES if known == net]
    name = encoder.lower() if isinstance(encoder, str) else encoder
    if name not in encoders:
        raise ValueError(
            f"Expected `encoder` to be {' or '.join(map(repr, encoders))} with "
            f"weights={COCO_VOC!r}. Received: {encoder!r}"
        )
    if num_classes != 21 and not fresh_head:
        raise _other_classes(COCO_VOC, num_classes, 21)
    return download(_ADDRESS + _FILES[net, name])


def load_net(
    model: keras.Model, path: str, net: str, *, fresh_head: bool = False
) -> None:
    """Set the weights of a net, of its auxiliary head too where both have one.

    Args:
        model: The net to change; with its auxiliary head, if that is to be set too.
        path: A file of torchvision's net, or the `.keras` file of an equal one.
        net: "fcn" or "deeplab_v3".
        fresh_head: Whether the scores in the file are left out, and start anew.

    Raises:
        ValueError: naming the file, if it is of another kind, or holds another net.
    """
    if path.endswith(".keras"):
        named = named_weights(load_model(path))
    else:
        tensors = read_tensors(path)
        _check_kind(tensors, net, path)
        rule = [*inside(RESNET, "backbone", _backbone_of(model)), *_RULES[net]]
        named = named_by_rule(model, tensors, rule, where=path)
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
        raise _other_classes(path, classes, found)


def _other_classes(where: str, expected: int, received: int) -> ValueError:
    return ValueError(
        f"{where}: Expected weights of {expected} classes, those of the model. "
        f"Received: {received} classes. With fresh_head=True the scores are left out, "
        "and start anew."
    )


def _backbone_of(model: keras.Model) -> str:
    """The name of the backbone's layers, as "encoder/resnet50"."""
    encoder = model.get_layer("encoder")
    (inside,) = (x.name for x in encoder.layers if isinstance(x, keras.Model))
    return f"encoder/{inside}"


def _is_score(name: str) -> bool:
    return name in ("score", "auxiliary_score")


def _is_auxiliary(name: str) -> bool:
    """Whether a layer is of an auxiliary head, under our name or torchvision's."""
    return name.startswith(("auxiliary_", "aux_classifier."))
