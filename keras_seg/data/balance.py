"""Class frequencies -> class weights; masks -> the weight map of the U-Net paper.

Median frequency balancing: Eigen and Fergus, "Predicting Depth, Surface Normals and
Semantic Labels with a Common Multi-Scale Convolutional Architecture", ICCV 2015,
https://arxiv.org/abs/1411.4734, section 6.3.2. The weights of ENet: Paszke, Chaurasia,
Kim and Culurciello, 2016, https://arxiv.org/abs/1606.02147, section 5.2. The weight
map: Ronneberger, Fischer and Brox, https://arxiv.org/abs/1505.04597, equation 2.
"""

import functools
import hashlib
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_seg.data.source import Source
from keras_seg.labels import IGNORE

#: Weight maps that `border_weights` remembers.
_REMEMBERED = 256


class ClassFrequencies(NamedTuple):
    """How often each class occurs in a Source."""

    #: Pixels of each class, int64 `[num_classes]`.
    pixels: np.ndarray
    #: Labelled pixels of the images where the class occurs, int64 `[num_classes]`.
    pixels_where_present: np.ndarray
    #: Images where the class occurs, int64 `[num_classes]`.
    images: np.ndarray
    #: Pixels without a label.
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
    progress = keras.utils.Progbar(len(source), verbose=int(verbose), unit_name="mask")
    for counts in source.masks().map(_count_ids, tf.data.AUTOTUNE).as_numpy_iterator():
        here = counts[:n].astype(np.int64)
        pixels += here
        where_present += np.where(here > 0, here.sum(), 0)
        images += here > 0
        ignored += int(counts[IGNORE])
        progress.add(1)
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


def border_weights(
    mask: Any,
    w0: float = 10.0,
    sigma: float = 5.0,
    class_weights: Sequence[float] | None = None,
) -> Any:
    """Weigh the pixels between objects that nearly touch, as the U-Net paper does.

        w(p) = w_class(p) + w0 exp(-(d1(p) + d2(p))^2 / (2 sigma^2))

    where d1 and d2 are the distances in pixels to the nearest and the second nearest
    object, 0 inside of one. Objects are the 8-connected components of one class other
    than 0. With fewer than two objects the second term is 0. It needs SciPy:
    `pip install 'keras-seg[scipy]'`.

    The latest maps are remembered, so that epochs without augmentation cost nothing.

    Args:
        mask: Class ids `[height, width]`, or 255 where there is no label: an array, or
            a tensor inside tf.data.
        w0: Height of the second term.
        sigma: Its width in pixels.
        class_weights: w_class by class; None means 1. Pixels without a label have
            w_class 0 then.

    Returns:
        float32 `[height, width]`.

    Raises:
        ValueError: for a mask of another rank.
        ImportError: without SciPy.

    Example:
        >>> weights = border_weights(np.array([[1, 0, 0, 2]]))
        >>> weights.astype(float).round(2).tolist()  # d1 + d2 = 3: 1 + 10 exp(-9 / 50)
        [[9.35, 9.35, 9.35, 9.35]]
    """
    weigh = functools.partial(
        _border_weights, w0=w0, sigma=sigma, class_weights=class_weights
    )
    if tf.is_tensor(mask) and not tf.executing_eagerly():
        weights = tf.numpy_function(weigh, [mask], tf.float32, stateful=False)
        return tf.ensure_shape(weights, mask.shape)
    return weigh(np.asarray(mask))


def _border_weights(
    mask: np.ndarray,
    *,
    w0: float,
    sigma: float,
    class_weights: Sequence[float] | None,
) -> np.ndarray:
    if mask.ndim != 2:
        raise ValueError(f"Expected a mask [height, width]. Received: {mask.shape}")
    mask = np.ascontiguousarray(mask, np.int32)
    border = _border_term(_Mask(mask), float(sigma))
    if class_weights is None:
        own = np.float32(1)
    else:
        table = np.zeros(max(IGNORE, int(mask.max())) + 1, np.float32)
        table[: len(class_weights)] = class_weights
        own = table[mask]
    return (own + np.float32(w0) * border).astype(np.float32)


class _Mask:
    """A mask that `lru_cache` can tell from others, by its content."""

    def __init__(self, mask: np.ndarray):
        self.mask = mask
        self._key = (mask.shape, hashlib.blake2b(mask.data, digest_size=16).digest())

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Mask) and self._key == other._key


@functools.lru_cache(maxsize=_REMEMBERED)
def _border_term(wrapped: _Mask, sigma: float) -> np.ndarray:
    """exp(-(d1 + d2)^2 / (2 sigma^2)) at each pixel, float32."""
    try:
        from scipy import ndimage
    except ImportError:
        raise ImportError(
            "border_weights needs SciPy: pip install 'keras-seg[scipy]'"
        ) from None
    mask = wrapped.mask
    wrapped.mask = np.zeros(0)  # the key of the cache needs its name only
    nearest, second = np.full((2, *mask.shape), np.inf)
    # Farther away the term is below 1e-10 of its height.
    reach = int(np.ceil(7 * sigma))
    for label in np.unique(mask[(mask != 0) & (mask != IGNORE)]):
        objects, _ = ndimage.label(mask == label, structure=np.ones((3, 3)))
        for number, place in enumerate(ndimage.find_objects(objects), start=1):
            box = tuple(slice(max(0, s.start - reach), s.stop + reach) for s in place)
            distance = ndimage.distance_transform_edt(objects[box] != number)
            near, next_near = nearest[box], second[box]
            np.minimum(next_near, np.maximum(near, distance), out=next_near)
            np.minimum(near, distance, out=near)
    return np.exp(-((nearest + second) ** 2) / (2 * sigma**2)).astype(np.float32)


def _count_ids(mask: tf.Tensor) -> tf.Tensor:
    return tf.math.bincount(
        tf.reshape(mask, (-1,)), minlength=IGNORE + 1, maxlength=IGNORE + 1
    )
