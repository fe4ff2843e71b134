"""What U-Nets are made of: a path down, and a path up with a skip at every level.

Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for Biomedical Image
Segmentation", MICCAI 2015, https://arxiv.org/abs/1505.04597, figure 1.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras import layers

from keras_seg.labels import Features, Image
from keras_seg.models.arguments import is_positive
from keras_seg.models.blocks import double_conv
from keras_seg.models.valid_sizes import require_valid_size


def check_widths(
    widths: Sequence[int] | None, encoder: Any, *, default: Sequence[int]
) -> tuple[int, ...]:
    """Return the filters of each level; of the path up alone, if there is an encoder.

    Args:
        widths: None, or a number for each level.
        encoder: What the net has as an encoder, or None.
        default: What None means without an encoder.

    Raises:
        ValueError: unless these are two or more numbers, with an encoder five.
    """
    if widths is None:
        widths = default if encoder is None else (16, 32, 64, 128, 256)
    checked = tuple(widths) if isinstance(widths, Sequence | np.ndarray) else ()
    enough = len(checked) >= 2 if encoder is None else len(checked) == 5
    if not enough or not all(map(is_positive, checked)):
        count = "two or more positive integers, from full resolution to the bottom"
        if encoder is not None:
            count = "five positive integers, for strides 1, 2, 4, 8 and 16"
        raise ValueError(f"Expected `widths` to be {count}. Received: {widths}")
    return checked


def path_down(
    image: Image,
    widths: Sequence[int],
    *,
    dropout: float,
    padding: str = "same",
    **conv: Any,
) -> Features:
    """The paper's features: from "P0" at full resolution to the bottom.

    Args:
        image: The symbolic image, in 0..255.
        widths: Filters of each level.
        dropout: Share of activations dropped from the two deepest levels.
        padding: "same" or "valid".
        **conv: Of `double_conv`.
    """
    *path, bottom = widths
    x = image
    if padding == "valid":
        x = require_valid_size(x, len(path))
    # To -1..1: around zero it learns sooner.
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="rescale")(x)
    features = {}
    for level, width in enumerate(path):
        name = f"down{level + 1}"
        x = double_conv(x, width, name=name, padding=padding, **conv)
        if level == len(path) - 1:
            x = _dropped(x, dropout, name=name)
        features[f"P{level}"] = x
        x = layers.MaxPooling2D(padding="same", name=f"{name}_pool")(x)
    x = double_conv(x, bottom, name="bottom", padding=padding, **conv)
    return features | {f"P{len(path)}": _dropped(x, dropout, name="bottom")}


def drop_deepest(features: Features, dropout: float) -> Features:
    """An encoder's features, with dropout in the two deepest levels.

    Args:
        features: Features by level.
        dropout: Share of activations dropped.
    """
    skip = _dropped(features["P4"], dropout, name="skip")
    bottom = _dropped(features["P5"], dropout, name="bottom")
    return features | {"P4": skip, "P5": bottom}


def _dropped(x: Any, dropout: float, *, name: str) -> Any:
    return layers.Dropout(dropout, name=f"{name}_dropout")(x) if dropout else x


def path_up(features: Features, widths: Sequence[int], join: Callable[..., Any]) -> Any:
    """From the deepest features to a map at full resolution.

    Args:
        features: Features by level, down to the level that `widths` leads up from.
        widths: Filters of each level, from full resolution down.
        join: A step up: a function of the map from below, the features of this level
            (None if there are none), and the number of filters.
    """
    x = features[f"P{len(widths)}"]
    for level in reversed(range(len(widths))):
        skip = features.get(f"P{level}")
        x = join(x, skip, widths[level], name=f"up{level + 1}")
    return x
