"""Masks -> the weight map of the U-Net paper.

Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for Biomedical Image
Segmentation", MICCAI 2015, https://arxiv.org/abs/1505.04597, equation 2.
"""

import functools
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_seg.arguments import check_number
from keras_seg.labels import IGNORE

#: Weight maps that `border_weights` remembers.
_REMEMBERED = 256


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
        mask: Class ids `[height, width]`, or 255 where a pixel is ignored: an array, or
            a tensor inside tf.data.
        w0: Height of the second term.
        sigma: Its width in pixels.
        class_weights: w_class by class; None means 1. Ignored pixels have
            w_class 0 then.

    Returns:
        float32 `[height, width]`.

    Raises:
        ValueError: for a mask of another rank, or numbers out of range.
        ImportError: without SciPy.

    Example:
        >>> weights = border_weights(np.array([[1, 0, 0, 2]]))
        >>> weights.astype(float).round(2).tolist()  # d1 + d2 = 3: 1 + 10 exp(-9 / 50)
        [[9.35, 9.35, 9.35, 9.35]]
    """
    check_number("w0", w0, least=0)
    check_number("sigma", sigma, above=0)
    if class_weights is not None:
        if np.ndim(class_weights) != 1:
            raise ValueError(
                "Expected `class_weights` to be a number per class. Received: "
                f"{class_weights!r}"
            )
        for weight in class_weights:
            check_number("class_weights", weight, least=0)
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
