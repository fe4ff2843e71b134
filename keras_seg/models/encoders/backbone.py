"""What an encoder is made of: a backbone's features, and the images that it expects."""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import keras
import numpy as np

from keras_seg.models.weights.channels import repeat_numbers

#: A number for all channels, or one for each.
PerChannel: TypeAlias = float | Sequence[float]


class Normalization(NamedTuple):
    """What a backbone does with images: `scale * x + offset`, of BGR if `reverse`."""

    scale: PerChannel = 1.0
    offset: PerChannel = 0.0
    reverse: bool = False

    def for_channels(self, channels: int) -> "Normalization":
        """The normalization of an RGB net's images, for other channels.

            (x - mean) / deviation,  deviation = 1 / scale,  mean = -offset / scale

        Channel i has the mean and deviation of channel i mod 3 of red, green and blue;
        a grey image those of no channel, but the means of the three. Channels aren't
        reversed: where the net takes blue, green, red, the kernel is reversed instead.

        With the kernel of `repeat_kernel`, a one-channel net gives exactly what the RGB
        net gives for the image repeated three times if the three channels have one mean
        and deviation (-1..1, say). Where they differ, as those of ImageNet do, no
        kernel of one channel and no mean can do that for every filter K,

            sum_c K_c (x - mean_c) / deviation_c,

        whose factor of x and whose constant are different sums over K. What holds is:
        the net gives what the RGB net gives after the means of the three.

        Args:
            channels: The number of channels.

        Example:
            >>> Normalization([0.5, 0.25, 0.125], [-1.0, -2.0, 0.0]).for_channels(4)
            Normalization(scale=[0.5, 0.25, 0.125, 0.5], offset=[-1.0, -2.0, 0.0, -1.0],
                reverse=False)
        """
        if channels == 3:
            return self
        if not np.ndim(self.scale) and not np.ndim(self.offset):
            return Normalization(self.scale, self.offset)
        scale, offset = np.broadcast_arrays(
            np.asarray(self.scale, np.float64), np.asarray(self.offset, np.float64)
        )
        if self.reverse:
            scale, offset = scale[::-1], offset[::-1]
        if channels > 1:
            return Normalization(
                repeat_numbers(scale, channels).tolist(),
                repeat_numbers(offset, channels).tolist(),
            )
        deviation = repeat_numbers(1 / scale, channels)
        mean = repeat_numbers(-offset / scale, channels)
        return Normalization((1 / deviation).tolist(), (-mean / deviation).tolist())


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
