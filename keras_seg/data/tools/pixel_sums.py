"""Sums over pixels, part by part: exact for 8 and 16 bits, in float64 for others.

Sums of 8 and 16 bits come from histograms and are exact. Those of floats are kept in
float64, as a mean and a sum of squared differences that are merged part by part:
Chan, Golub and LeVeque, "Algorithms for Computing the Sample Variance", The American
Statistician 37 (1983), equation 2.1.
"""

from typing import Any

import numpy as np

#: Pixels that are counted at once: their float64 copies fit into caches.
PART = 2**16
#: Pixels of a sample of floats, at most.
_SAMPLE = 2**20


def sums_of(dtype: np.dtype, channels: int) -> "_Counts | _Moments":
    """What adds up pixels `[n, channels]` of a type: `add` them, take the `result`."""
    counted = dtype in (np.uint8, np.uint16)
    return _Counts(dtype, channels) if counted else _Moments(channels)


class _Counts:
    """How often each number of 8 or 16 bits occurs: everything else follows."""

    def __init__(self, dtype: np.dtype, channels: int):
        self._levels = np.iinfo(dtype).max + 1
        self._counts = np.zeros((channels, self._levels), np.int64)

    def add(self, pixels: np.ndarray) -> None:
        for counts, numbers in zip(self._counts, pixels.T, strict=True):
            counts += np.bincount(numbers, minlength=self._levels)

    def result(self) -> dict[str, Any]:
        found = [_of_counts(counts) for counts in self._counts]
        mean, deviation, least, most = np.array(found).T
        none = np.zeros(len(found), np.int64)
        return {
            "pixels": int(self._counts[0].sum()),
            "mean": mean,
            "deviation": deviation,
            "minimum": least,
            "maximum": most,
            "nan": none,
            "infinite": none,
            "histogram": self._counts,
        }


def _of_counts(counts: np.ndarray) -> tuple[float, float, float, float]:
    """Mean, deviation, smallest and largest number, from sums that are exact."""
    numbers = np.flatnonzero(counts).tolist()
    if not numbers:
        return (np.nan,) * 4
    times = counts[numbers].tolist()  # Python's integers have any number of digits
    n = sum(times)
    first = sum(x * k for x, k in zip(numbers, times, strict=True))
    second = sum(x * x * k for x, k in zip(numbers, times, strict=True))
    variance = (n * second - first * first) / (n * n)
    return first / n, float(np.sqrt(variance)), numbers[0], numbers[-1]


class _Moments:
    """Means, and sums of squared differences from them, in float64."""

    def __init__(self, channels: int):
        self._pixels = 0
        self._n, self._nan, self._infinite = np.zeros((3, channels), np.int64)
        self._mean, self._squares = np.zeros((2, channels))
        self._least, self._most = np.full((2, channels), np.nan)
        self._sample = _Sample()

    def add(self, pixels: np.ndarray) -> None:
        self._sample.add(pixels, self._pixels)
        self._pixels += len(pixels)
        for channel, column in enumerate(pixels.T):
            numbers = column.astype(np.float64)
            finite = np.isfinite(numbers)
            if not finite.all():
                nan = int(np.isnan(numbers).sum())
                self._nan[channel] += nan
                self._infinite[channel] += len(numbers) - int(finite.sum()) - nan
                numbers = numbers[finite]
            if numbers.size:
                self._merge(channel, numbers)

    def _merge(self, channel: int, numbers: np.ndarray) -> None:
        before, n = self._n[channel], numbers.size
        mean = numbers.mean()
        squares = np.square(numbers - mean).sum()
        delta = mean - self._mean[channel]
        total = before + n
        self._n[channel] = total
        self._mean[channel] += delta * n / total
        self._squares[channel] += squares + delta**2 * (before * n / total)
        self._least[channel] = np.fmin(self._least[channel], numbers.min())
        self._most[channel] = np.fmax(self._most[channel], numbers.max())

    def result(self) -> dict[str, Any]:
        some = self._n > 0
        n = np.maximum(self._n, 1)
        return {
            "pixels": self._pixels,
            "mean": np.where(some, self._mean, np.nan),
            "deviation": np.where(some, np.sqrt(self._squares / n), np.nan),
            "minimum": self._least,
            "maximum": self._most,
            "nan": self._nan,
            "infinite": self._infinite,
            "sample": self._sample.sorted(len(self._mean)),
        }


class _Sample:
    """Pixels whose place has a small hash: the same ones at each time.

    Every n-th pixel would be of the same few columns of images whose width n divides.
    """

    def __init__(self) -> None:
        self._parts: list[tuple[np.ndarray, np.ndarray]] = []
        self._limit = 2**64 - 1
        self._kept = 0

    def add(self, pixels: np.ndarray, first: int) -> None:
        hashes = _hashes(first, len(pixels))
        self._keep(pixels, hashes)
        while self._kept > _SAMPLE:
            self._limit //= 2
            parts, self._parts, self._kept = self._parts, [], 0
            for part, of_part in parts:
                self._keep(part, of_part)

    def _keep(self, pixels: np.ndarray, hashes: np.ndarray) -> None:
        chosen = hashes <= self._limit
        self._parts.append((pixels[chosen], hashes[chosen]))
        self._kept += int(chosen.sum())

    def sorted(self, channels: int) -> tuple[np.ndarray, ...]:
        columns = np.concatenate([p for p, _ in self._parts]).astype(np.float64).T
        return tuple(np.sort(x[np.isfinite(x)]) for x in columns[:channels])


def _hashes(first: int, count: int) -> np.ndarray:
    """Hashes of consecutive numbers, uint64: the mixer of SplitMix64.

    Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014.
    """
    z = np.arange(first, first + count, dtype=np.uint64)
    z *= np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z ^= z >> np.uint64(shift)
        z *= np.uint64(factor)
    return z ^ (z >> np.uint64(31))
