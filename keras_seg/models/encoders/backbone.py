"""What an encoder is made of: a backbone's features, and the images that it expects."""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import keras

#: A number for all channels, or one for each.
PerChannel: TypeAlias = float | Sequence[float]


class Normalization(NamedTuple):
    """What a backbone does with images: `scale * x + offset`, of BGR if `reverse`."""

    scale: PerChannel = 1.0
    offset: PerChannel = 0.0
    reverse: bool = False


class Backbone(NamedTuple):
    """A functional model, its features by level, and how it wants images.

    Attributes:
        model: A functional model that takes images of any size.
        levels: Symbolic tensors of the model, by level.
        normalization: What is done with images in 0..255 before. None for nothing.
    """

    model: keras.Model
    levels: dict[str, Any]
    normalization: Normalization | None
