"""The numbers of a split's images: dtype, range, percentiles, pixels without data."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from keras_seg.data.values import guessed_range
from keras_seg.labels import Image, ValueRange, shown_range

#: Pixels of each image that percentiles are estimated from, on a grid.
PER_IMAGE = 1024
_PERCENTILES = (1, 50, 99)
#: A range of which images use less than this is likely another one.
USED = 0.3


@dataclass
class ImageValues:
    """What the numbers of the images are."""

    #: Of the images, "" if none was read, and the range that they are said to have.
    dtype: str = ""
    value_range: ValueRange = (0, 255)
    #: Smallest and largest value by channel.
    low: np.ndarray = field(default_factory=lambda: np.zeros(0))
    high: np.ndarray = field(default_factory=lambda: np.zeros(0))
    #: Whether the range was measured, so that it fits.
    is_measured: bool = False
    #: Pixels without data, and images that have some.
    gaps: int = 0
    images_with_gaps: int = 0
    #: Pixels of each image.
    sample: list[np.ndarray] = field(default_factory=list)

    def add(self, low: Any, high: Any, sample: np.ndarray, *, gaps: int) -> None:
        """Count an image of as many channels as the others."""
        if self.sample and self.sample[0].shape[1] != sample.shape[1]:
            return
        first = not self.sample
        self.low = low if first else np.minimum(self.low, low)
        self.high = high if first else np.maximum(self.high, high)
        self.sample.append(sample)
        self.gaps += gaps
        self.images_with_gaps += gaps > 0

    @property
    def percentiles(self) -> dict[int, float]:
        """Values below which so many percent of the pixels of all channels lie."""
        if not self.sample:
            return {}
        values = np.percentile(np.concatenate(self.sample), _PERCENTILES)
        return dict(zip(_PERCENTILES, map(float, values), strict=True))

    @property
    def likely_range(self) -> tuple[float, float] | None:
        """The range that images seem to have, where it is another one; else None."""
        if not self.sample or self.dtype == "uint8":
            return None
        low, high = float(self.low.min()), float(self.high.max())
        if high <= low:
            return None
        said = np.asarray(self.value_range, np.float64)
        if high - low >= USED * (said[1] - said[0]).max() or self.is_measured:
            return None
        return guessed_range(low, high)

    @property
    def has_few_levels(self) -> bool:
        """Whether several images of 8 bits have fewer levels than 4 bits hold."""
        if len(self.sample) < 2 or self.dtype != "uint8":
            return False
        return float(self.high.max() - self.low.min()) < 2**4

    def line(self) -> str:
        """One line of a report; "" if nothing was read."""
        if not self.sample:
            return ""
        channels = self.sample[0].shape[1]
        shares = ", ".join(
            f"{'median' if p == 50 else f'{p} %'} {value:.4g}"
            for p, value in self.percentiles.items()
        )
        text = (
            f"{self.dtype}, {channels} channel{'s' * (channels > 1)}, values "
            f"{self.low.min():.6g} to {self.high.max():.6g} of "
            f"{shown_range(self.value_range)} ({shares})"
        )
        if self.images_with_gaps:
            plural = "s" * (self.images_with_gaps != 1)
            text += (
                f"; {self.gaps:,} pixels without data in {self.images_with_gaps:,} "
                f"image{plural}"
            )
        return text

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return {
            "dtype": self.dtype,
            "value_range": [np.asarray(side).tolist() for side in self.value_range],
            "low": self.low.tolist(),
            "high": self.high.tolist(),
            "percentiles": {str(p): value for p, value in self.percentiles.items()},
            "pixels_without_data": self.gaps,
        }


def measured_values(image: Image, gaps: Any) -> dict[str, tf.Tensor]:
    """Smallest and largest values by channel, and a sample of pixels, inside tf.data.

    Args:
        image: `[height, width, channels]`.
        gaps: Which pixels have no data, bools; None for none.
    """
    pixels = tf.reshape(image, (-1, tf.shape(image)[2]))
    if gaps is not None:
        pixels = tf.boolean_mask(pixels, ~tf.reshape(gaps, (-1,)))
        # Of an image without any data there is black.
        is_some = tf.shape(pixels)[0] > 0
        pixels = tf.cond(is_some, lambda: pixels, lambda: image[0, :1])
    step = tf.maximum(tf.shape(pixels)[0] // PER_IMAGE, 1)
    return {
        "low": tf.cast(tf.reduce_min(pixels, axis=0), tf.float64),
        "high": tf.cast(tf.reduce_max(pixels, axis=0), tf.float64),
        "sample": tf.cast(pixels[::step][:PER_IMAGE], tf.float64),
        "gaps": tf.constant(0)
        if gaps is None
        else tf.reduce_sum(tf.cast(gaps, tf.int32)),
    }
