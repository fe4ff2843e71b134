"""Backbones of KerasHub.

They don't normalize images: an `ImageConverter` of the same preset does it before them,
which is easily forgotten. Here it is done in the encoder, or there is none.
"""

import importlib
from typing import Any

import keras

from keras_seg.models.encoders.backbone import Backbone, Normalization, PerChannel
from keras_seg.models.encoders.channels import for_channels

#: Names of presets begin with it: "keras_hub:resnet_50_imagenet".
PREFIX = "keras_hub:"


def is_kerashub(model: Any) -> bool:
    """Whether a model is a backbone of KerasHub that gives features by level."""
    return isinstance(model, keras.Model) and hasattr(model, "pyramid_outputs")


def kerashub_model(
    model: Any, scale: PerChannel | None, offset: PerChannel | None
) -> Backbone:
    """Take the features of a KerasHub backbone, and what it expects of images.

    Raises:
        ValueError: if neither scale nor offset is given.
    """
    if scale is None and offset is None:
        raise ValueError(
            "Expected `scale` and `offset` with a backbone of KerasHub, which takes "
            f"images as scale * image + offset. Received neither for {model.name!r}. "
            "They are in its preset: converter = keras_hub.layers.ImageConverter."
            "from_preset(name); models.encoder(backbone, scale=converter.scale, "
            "offset=converter.offset). For a backbone that takes images in 0..255 "
            "give scale=1."
        )
    levels = {
        level: output
        for level, output in model.pyramid_outputs.items()
        if level in ("P1", "P2", "P3", "P4", "P5")
    }
    return Backbone(model, levels, _normalization(scale, offset))


def kerashub_preset(name: str, channels: int, weights: str | None) -> Backbone:
    """Load the backbone of a preset, and the numbers of its `ImageConverter`.

    Args:
        name: What `from_preset` of KerasHub takes, after "keras_hub:".
        channels: Number of channels of the images.
        weights: None, or "imagenet" for the weights of the preset.

    Raises:
        ImportError: if KerasHub isn't installed.
        ValueError: if the preset has no features by level.
    """
    try:
        keras_hub = importlib.import_module("keras_hub")
    except ImportError as error:
        raise ImportError(
            f"{PREFIX}{name} needs KerasHub: pip install keras-hub. {error}"
        ) from None
    backbone = keras_hub.models.Backbone.from_preset(
        name, load_weights=weights is not None
    )
    if not is_kerashub(backbone):
        raise ValueError(
            "Expected a preset of KerasHub with features by level (`pyramid_outputs`). "
            f"Received: {name!r}, a {type(backbone).__name__}"
        )
    converter = keras_hub.layers.ImageConverter.from_preset(name)
    scale, offset = converter.scale, converter.offset
    made = kerashub_model(backbone, 1.0 if scale is None else scale, offset)
    if channels == 3:
        return made
    return for_channels(made, channels, keep_weights=weights is not None)


def _normalization(
    scale: PerChannel | None, offset: PerChannel | None
) -> Normalization:
    return Normalization(
        1.0 if scale is None else scale, 0.0 if offset is None else offset
    )
