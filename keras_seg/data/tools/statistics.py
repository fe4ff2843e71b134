"""Statistics of the pixels of a Source, channel by channel, in one exact pass."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_seg.arguments import check_number
from keras_seg.data.errors import read_in_order
from keras_seg.data.order import steps_in_order
from keras_seg.data.source import Source
from keras_seg.data.tools.pixel_sums import PART, sums_of
from keras_seg.labels import IGNORE, Index
from keras_seg.terminal import progress

#: What `value_range` takes: the lowest and the highest number of each channel.
Range = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True, repr=False)
class Statistics:
    """What `statistics` measured. Arrays have one number per channel.

    Attributes:
        dtype: NumPy's name of the type of the images.
        images: Number of images.
        pixels: Number of pixels that were looked at.
        mean: Mean of the finite numbers, float64 `[channels]`.
        deviation: Their standard deviation, sqrt(mean((x - mean)^2)), float64.
        minimum: The smallest of them.
        maximum: The largest of them.
        nan: How many numbers are NaN, int64 `[channels]`.
        infinite: How many are infinite.
        histogram: Of 8 and 16 bits, how often each number occurs, int64
            `[channels, 256]` or `[channels, 65536]`; else None.
        sample: Of other types, numbers of each channel for percentiles, sorted; else
            None.
    """

    dtype: str
    images: int
    pixels: int
    mean: np.ndarray
    deviation: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray
    nan: np.ndarray
    infinite: np.ndarray
    histogram: np.ndarray | None = None
    sample: tuple[np.ndarray, ...] | None = None

    def percentile(self, percent: float) -> np.ndarray:
        """The number that so many percent of a channel's are at most.

        Between two numbers it is interpolated, as `numpy.percentile` does it. Of 8 and
        16 bits it is exact. Of floats it is that of a sample: the same pixels each
        time, all of them if there are at most 2^20, else between half as many and 2^20,
        whose places are drawn by a hash of their number.

        Args:
            percent: In 0..100.

        Returns:
            float64 `[channels]`; NaN for a channel without finite numbers.

        Raises:
            ValueError: for a number out of range.
        """
        check_number("percent", percent, least=0)
        if percent > 100:
            raise ValueError(
                f"Expected `percent` to be a number in 0..100. Received: {percent!r}"
            )
        if self.histogram is not None:
            return np.array([_percentile(counts, percent) for counts in self.histogram])
        return np.array(
            [np.percentile(x, percent) if x.size else np.nan for x in self.sample or ()]
        )

    def standard_range(self, deviations: float = 1.0) -> Range:
        """The range that a net sees standardised, for its `value_range`.

            low, high = mean -+ deviations * deviation

        A net whose first layer maps the range to -1..1 sees (x - mean) / deviation; one
        that maps it to 0..255 and normalizes it as ImageNet sees about 2.2 times that,
        which `deviations=2.2` makes up for. Numbers outside of the range stay so:
        nothing is clipped.

        Args:
            deviations: How many standard deviations the range reaches on either side.

        Returns:
            The lowest and the highest number of each channel.

        Raises:
            ValueError: naming a channel that is one number everywhere, or has none.
        """
        check_number("deviations", deviations, above=0)
        self._check_varies(self.minimum, self.maximum)
        reach = deviations * self.deviation
        return _as_range(self.mean - reach, self.mean + reach)

    def percentile_range(self, low: float = 0.5, high: float = 99.5) -> Range:
        """The range between two percentiles, which a few extreme pixels don't widen.

        Args:
            low: Percentile of the lower end, in 0..100.
            high: Percentile of the upper end, above it.

        Returns:
            The lowest and the highest number of each channel.

        Raises:
            ValueError: naming a channel whose percentiles are one number, or for
                percentiles in another order.
        """
        lows, highs = self.percentile(low), self.percentile(high)
        if not low < high:
            raise ValueError(
                f"Expected `low` to be below `high`. Received: {low!r} and {high!r}"
            )
        self._check_varies(lows, highs)
        return _as_range(lows, highs)

    def _check_varies(self, lows: np.ndarray, highs: np.ndarray) -> None:
        for channel, (low, high) in enumerate(zip(lows, highs, strict=True)):
            if not low < high:
                found = "no finite number" if np.isnan(low) else f"{low:g} everywhere"
                if not self.minimum[channel] == self.maximum[channel]:
                    found = found.replace("everywhere", "between the percentiles")
                raise ValueError(
                    "Expected channels whose numbers differ. Received: channel "
                    f"{channel}, which has {found}. Try: `bands` without it, or a "
                    "range of your own."
                )

    def __repr__(self) -> str:
        plural = "s" * (self.images != 1)
        head = f"{self.images:,} image{plural}, {self.pixels:,} pixels, {self.dtype}"
        columns: dict[str, Any] = {
            "mean": self.mean,
            "deviation": self.deviation,
            "min": self.minimum,
            "0.5 %": self.percentile(0.5),
            "median": self.percentile(50),
            "99.5 %": self.percentile(99.5),
            "max": self.maximum,
        }
        words = {name: [f"{x:.6g}" for x in xs] for name, xs in columns.items()}
        words = {"channel": [str(k) for k in range(len(self.mean))]} | words
        for name, counts in (("NaN", self.nan), ("infinite", self.infinite)):
            if counts.any():
                words[name] = [f"{count:,}" for count in counts]
        rows = [list(words), *map(list, zip(*words.values(), strict=True))]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(word.rjust(n) for word, n in zip(row, widths, strict=True))
            for row in rows
        ]
        return "\n".join([head, *lines])


def statistics(
    source: Source, *, labelled: bool = False, verbose: bool = True
) -> Statistics:
    """Measure the numbers of each channel, over all images of a Source.

    NaN and infinity are counted, and left out of everything else, as pixels without
    data are. Numbers needn't be in the range of the Source.

    Args:
        source: What to measure.
        labelled: Whether ignored pixels (255 in the mask) are left out.
        verbose: Whether to show a progress bar.

    Returns:
        Mean, standard deviation, smallest and largest number, and percentiles; they
        make a `value_range`: `.standard_range()` or `.percentile_range()`.

    Raises:
        ValueError: for a Source without examples.
        tf.errors.InvalidArgumentError: for an image that can't be read, naming it.

    Example:
        >>> from keras_seg.data import arrays
        >>> image = np.array([[[0, 7], [2, 7], [4, 1]]], "uint8")
        >>> mask = np.array([[0, 1, 255]])
        >>> source = arrays([image], [mask], class_names=["land", "sea"])
        >>> found = statistics(source, verbose=False)
        >>> found
        1 image, 3 pixels, uint8
        channel  mean  deviation  min  0.5 %  median  99.5 %  max
              0     2    1.63299    0   0.02       2    3.98    4
              1     5    2.82843    1   1.06       7       7    7
        >>> found.percentile_range(0, 100)
        ((0.0, 1.0), (4.0, 7.0))
        >>> statistics(source, labelled=True, verbose=False).mean.tolist()
        [1.0, 7.0]
    """
    if not len(source):
        raise ValueError("Expected a Source with examples. Received: none.")
    bar = progress(len(source), "image", "Measuring pixels", verbose=verbose)
    sums: Any = None
    for image, left_out in _images(source, labelled):
        pixels = image.reshape(-1, image.shape[-1])
        if left_out is not None:
            pixels = pixels[~left_out.ravel()]
        if sums is None:
            dtype = pixels.dtype
            sums = sums_of(dtype, pixels.shape[1])
        for start in range(0, len(pixels), PART):
            sums.add(pixels[start : start + PART])
        bar.add(1)
    return Statistics(dtype.name, len(source), **sums.result())


def _images(source: Source, labelled: bool) -> Iterator[tuple[np.ndarray, Any]]:
    """Images whatever their range, and which pixels to leave out, or None, in order."""

    def read(index: Index) -> tuple[Any, ...]:
        image, left_out = source._unchecked(index)
        if labelled:
            ignored = source._labels(index) == IGNORE
            left_out = ignored if left_out is None else ignored | left_out
        return (image,) if left_out is None else (image, left_out)

    data = read_in_order(
        steps_in_order(len(source)), read, lambda index: source.names[index]
    )
    for image, *left_out in data.as_numpy_iterator():
        yield image, left_out[0] if left_out else None


def _percentile(counts: np.ndarray, percent: float) -> float:
    """A percentile of numbers that occur so often, interpolated as NumPy does."""
    until = np.cumsum(counts)
    if not until[-1]:
        return np.nan
    place = (int(until[-1]) - 1) * percent / 100
    below, above = np.searchsorted(until, [np.floor(place), np.ceil(place)], "right")
    return float(below + (above - below) * (place - np.floor(place)))


def _as_range(low: np.ndarray, high: np.ndarray) -> Range:
    return tuple(low.tolist()), tuple(high.tolist())
