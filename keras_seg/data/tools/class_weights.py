"""Class frequencies of a Source -> class weights for a loss.

Median frequency balancing: Eigen and Fergus, "Predicting Depth, Surface Normals and
Semantic Labels with a Common Multi-Scale Convolutional Architecture", ICCV 2015,
https://arxiv.org/abs/1411.4734, section 6.3.2. The weights of ENet: Paszke, Chaurasia,
Kim and Culurciello, 2016, https://arxiv.org/abs/1606.02147, section 5.2.
"""

import warnings
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_seg.data.parallel import calls_at_once
from keras_seg.data.source import Source
from keras_seg.data.tracing import unconverted
from keras_seg.labels import IGNORE
from keras_seg.terminal import progress


class ClassFrequencies(NamedTuple):
    """How often each class occurs in a Source."""

    #: Pixels of each class, int64 `[num_classes]`.
    pixels: np.ndarray
    #: Labelled pixels of the images where the class occurs, int64 `[num_classes]`.
    pixels_where_present: np.ndarray
    #: Images where the class occurs, int64 `[num_classes]`.
    images: np.ndarray
    #: Ignored pixels.
    ignored: int
    #: What the classes are called.
    class_names: tuple[str, ...]


def class_frequencies(source: Source, *, verbose: bool = True) -> ClassFrequencies:
    """Count the pixels of each class, over all masks of a Source.

    Args:
        source: What to count; images aren't read.
        verbose: Whether to show a progress bar.

    Returns:
        A named tuple: `pixels`, `pixels_where_present` and `images` of each class, the
        number of `ignored` pixels, and `class_names`.

    Raises:
        tf.errors.InvalidArgumentError: for a mask that can't be read, naming the file.

    Example:
        >>> from keras_seg.data import arrays
        >>> image, mask = np.zeros((1, 4, 3), "uint8"), np.array([[0, 0, 1, 255]])
        >>> source = arrays([image], [mask], class_names=["ground", "cat", "dog"])
        >>> counted = class_frequencies(source, verbose=False)
        >>> counted.pixels, counted.ignored
        (array([2, 1, 0]), 1)
    """
    n = source.num_classes
    pixels, where_present, images = np.zeros((3, n), np.int64)
    ignored = 0
    bar = progress(len(source), "mask", "Counting pixels", verbose=verbose)
    for counts in (
        source.masks().map(unconverted(_count_ids), calls_at_once()).as_numpy_iterator()
    ):
        here = counts[:n].astype(np.int64)
        pixels += here
        where_present += np.where(here > 0, here.sum(), 0)
        images += here > 0
        ignored += int(counts[IGNORE])
        bar.add(1)
    return ClassFrequencies(pixels, where_present, images, ignored, source.class_names)


def class_weights(frequencies: ClassFrequencies, method: str = "median") -> list[float]:
    """Make class weights for a loss, so that rare classes count for more.

        median:  w_c = median(f) / f_c,  f_c = pixels_c / pixels_where_present_c
        inverse: w_c = N / (C pixels_c)
        enet:    w_c = 1 / log(1.02 + pixels_c / N)

    where N is the number of labelled pixels, C that of classes which have some, and
    the median runs over these. A class without pixels gets weight 0.

    Args:
        frequencies: What `class_frequencies` counted.
        method: "median", "inverse" or "enet". The last is the gentlest: weights lie in
            1.4..50.5.

    Returns:
        A weight per class, for `class_weights=` of a loss.

    Raises:
        ValueError: for an unknown method, or if no class has a pixel.

    Warns:
        UserWarning: naming the classes without pixels.

    Example:
        >>> counted = ClassFrequencies(
        ...     np.array([60, 20]), np.array([80, 80]), np.array([1, 1]), 0, ("a", "b")
        ... )
        >>> class_weights(counted)  # frequencies 3/4 and 1/4, their median 1/2
        [0.6666666666666666, 2.0]
    """
    pixels = np.asarray(frequencies.pixels, np.float64)
    present = pixels > 0
    if not present.any():
        raise ValueError("Expected pixels of some class. Received: none.")
    if not present.all():
        names = [
            name
            for name, there in zip(frequencies.class_names, present, strict=True)
            if not there
        ]
        warnings.warn(
            f"Classes without pixels get weight 0: {', '.join(names)}.", stacklevel=2
        )
    total = pixels.sum()
    some = pixels[present]
    if method == "median":
        frequency = some / np.asarray(frequencies.pixels_where_present)[present]
        found = np.median(frequency) / frequency
    elif method == "inverse":
        found = total / (len(some) * some)
    elif method == "enet":
        found = 1 / np.log(1.02 + some / total)
    else:
        raise ValueError(
            "Expected `method` to be 'median', 'inverse' or 'enet'. Received: "
            f"{method!r}"
        )
    weights = np.zeros(len(pixels))
    weights[present] = found
    return weights.tolist()


def _count_ids(mask: tf.Tensor) -> tf.Tensor:
    return tf.math.bincount(
        tf.reshape(mask, (-1,)), minlength=IGNORE + 1, maxlength=IGNORE + 1
    )
