"""Published weights of torchvision's FCN and DeepLabV3."""

import os
from typing import Any

from keras_seg.models.weights.download import download
from keras_seg.models.weights.files import check_weights
from keras_seg.models.weights.nets import ENDINGS, other_classes

#: The name of torchvision's weights, and its files (COCO_WITH_VOC_LABELS_V1).
COCO_VOC = "coco_voc"
_ADDRESS = "https://download.pytorch.org/models/"
_FILES = {
    ("fcn", "resnet50"): "fcn_resnet50_coco-1167a1af.pth",
    ("fcn", "resnet101"): "fcn_resnet101_coco-7ecb50ca.pth",
    ("deeplab_v3", "resnet50"): "deeplabv3_resnet50_coco-cd0a2569.pth",
    ("deeplab_v3", "resnet101"): "deeplabv3_resnet101_coco-586e9e4e.pth",
}


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
        raise other_classes(COCO_VOC, num_classes, 21)
    return download(_ADDRESS + _FILES[net, name])
