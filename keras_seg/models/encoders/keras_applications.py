"""Backbones of `keras.applications`, by name.

Their features are found by one rule, and what they expect of images by trying their own
`preprocess_input`. So no release of Keras can break a table of names of layers. Only
EfficientNet has one: the rule alone doesn't give its features as the field has them.
"""

import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_seg.models.encoders.backbone import Backbone, Normalization
from keras_seg.models.encoders.channels import for_channels
from keras_seg.models.encoders.levels import find_levels
from keras_seg.models.weights.imagenet import with_downloads

#: Beginnings of names: where features are the input of a layer. As in
#: segmentation_models_pytorch, P1 is the stem and P5 isn't widened for the classifier;
#: P4 of B0 is the first block of its stage, not the last.
_INPUTS_OF = {
    "efficientnetb": {"P1": "block1a_dwconv", "P5": "top_conv"},
    "efficientnetb0": {"P4": "block5b_expand_conv"},
    "efficientnetv2": {"P5": "top_conv"},
}


def plain(name: str) -> str:
    """A name without case, underscores and hyphens: "MobileNet_V2" is "mobilenetv2"."""
    return name.lower().replace("_", "").replace("-", "")


def builders() -> dict[str, Callable[..., keras.Model]]:
    """The builders of `keras.applications` by plain name."""
    return {
        plain(name): build
        for name, build in vars(keras.applications).items()
        if callable(build)
    }


def keras_application(name: str, channels: int, weights: str | None) -> Backbone:
    """Build a backbone of `keras.applications` without its classifier.

    For other than three channels it is the one for RGB, turned into one for them:
    Keras itself normalizes such images otherwise, or not at all.

    Args:
        name: One of `builders()`.
        channels: Number of channels of the images.
        weights: None, "imagenet", or an `.h5` file of Keras's for it.

    Raises:
        ValueError: if it doesn't take images of any size, or of so many channels.
        OSError: where Keras can't download the weights.
    """
    build = builders()[name]
    try:
        model = with_downloads(
            lambda: build(
                include_top=False, weights=weights, input_shape=(None, None, 3)
            )
        )
    except ValueError as error:
        raise ValueError(
            "Expected a backbone that takes images of any size. Received: "
            f"{name!r}. Keras says: {error}"
        ) from None
    for layer in model.layers:
        if isinstance(layer, layers.Normalization):
            layer.name = "normalization"  # Keras numbers it: weights go by name
    inputs_of = {
        level: layer
        for beginning, found in _INPUTS_OF.items()
        for level, layer in found.items()
        if name.startswith(beginning)
    }
    preprocess = sys.modules[build.__module__].preprocess_input
    levels = find_levels(model, inputs_of)
    backbone = Backbone(model, levels, normalization_of(preprocess))
    if channels == 3:
        return backbone
    return for_channels(backbone, channels, keep_weights=weights is not None)


def normalization_of(preprocess: Any) -> Normalization | None:
    """Find out what a `preprocess_input` does. None if it does nothing.

    All of them are one linear map of RGB, which four pixels tell.
    """
    black, *primaries = preprocess(
        np.concatenate([np.zeros((1, 3)), 255 * np.eye(3)]).astype(np.float32)[None]
    )[0]
    matrix = (np.stack(primaries) - black) / 255
    reverse = matrix[0, 2] != 0
    scale = np.diag(matrix[::-1] if reverse else matrix)
    if not reverse and np.allclose(scale, 1) and np.allclose(black, 0):
        return None
    return Normalization(scale.tolist(), black.tolist(), bool(reverse))
