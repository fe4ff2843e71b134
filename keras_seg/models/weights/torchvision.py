"""Published weights of torchvision's FCN and DeepLabV3."""

from typing import Any

from keras_seg.models.weights.download import download
from keras_seg.models.weights.nets import other_classes

#: The name of torchvision's weights, and its files (COCO_WITH_VOC_LABELS_V1).
COCO_VOC = "coco_voc"
_ADDRESS = "https://download.pytorch.org/models/"
_FILES = {
    ("fcn", "resnet50"): "fcn_resnet50_coco-1167a1af.pth",
    ("fcn", "resnet101"): "fcn_resnet101_coco-7ecb50ca.pth",
    ("deeplab_v3", "resnet50"): "deeplabv3_resnet50_coco-cd0a2569.pth",
    ("deeplab_v3", "resnet101"): "deeplabv3_resnet101_coco-586e9e4e.pth",
}


def names(net: str) -> tuple[str, ...]:
    """The names of published weights that a net has.

    Example:
        >>> names("fcn"), names("unet")
        (('coco_voc',), ())
    """
    return (COCO_VOC,) if any(known == net for known, _ in _FILES) else ()


def file(net: str, encoder: Any, num_classes: int, *, fresh_head: bool) -> str:
    """Return the file of torchvision's weights of a net, downloaded if need be.

    Args:
        net: "fcn" or "deeplab_v3".
        encoder: The builder's argument.
        num_classes: The number of classes of the model.
        fresh_head: Whether to reinitialise the last convolution.

    Raises:
        ValueError: for an encoder or a number of classes that the file isn't for.
        OSError: where a download fails, with the place for the file.
    """
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
