"""Drawn shapes on a textured background: a data set that needs no download."""

import colorsys
import functools

import numpy as np
import tensorflow as tf

from keras_seg.arguments import check_seed, is_whole
from keras_seg.data.decode.numpy_op import numpy_op
from keras_seg.data.source import Source
from keras_seg.labels import IGNORE

CLASS_NAMES = ("background", "disc", "square", "triangle", "ring", "cross")

#: Half the width in pixels of the boundary of each figure, which is ignored.
_BORDER = 1.0

#: Largest angle of a figure, in radians.
_LEAN = 0.3

#: Ranges of hue, saturation and value, in 0..1: the background's, and the figures'.
_DULL = (0.0, 0.0, 0.2), (1.0, 0.3, 1.0)
_VIVID = (0.0, 0.5, 0.5), (1.0, 1.0, 1.0)


def shapes(length: int, *, size: tuple[int, int] = (128, 128), seed: int = 0) -> Source:
    """Draw images of overlapping shapes, and their masks.

    The class of a figure is its outline alone. Its colour is random, though more vivid
    than the background's; texture, position and size are random too. Figures lean by up
    to 17 degrees, and may hide each other. As in VOC, pixels on the boundary of a
    figure are ignored (255). The same seed and index give the same example.

    Args:
        length: Number of examples.
        size: (height, width) of the images.
        seed: Another seed gives other examples.

    Returns:
        A Source of RGB images with six classes: background, disc, square, triangle,
        ring and cross.

    Raises:
        ValueError: for a length or size that isn't positive.

    Example:
        >>> source = shapes(100)
        >>> image, mask = source[7]
        >>> image.shape, mask.shape, source.class_names[1]
        ((128, 128, 3), (128, 128), 'disc')
    """
    sides = tuple(size) if isinstance(size, list | tuple) else ()
    if len(sides) != 2 or not all(is_whole(n, 1) for n in (length, *sides)):
        raise ValueError(
            "Expected a positive `length` and a positive `size`, (height, width). "
            f"Received: length={length!r}, size={size!r}"
        )
    size = height, width = sides
    seed = check_seed(seed)

    # Image and mask of an example are read one after the other.
    @functools.lru_cache(maxsize=32)
    def example(index: int) -> tuple[np.ndarray, np.ndarray]:
        return _draw(np.random.default_rng((seed, index)), height, width)

    return Source(
        length,
        lambda index: numpy_op(lambda i: example(i)[0], index, tf.uint8, (*size, 3)),
        lambda index: numpy_op(lambda i: example(i)[1], index, tf.int32, size),
        class_names=CLASS_NAMES,
        size=lambda index: size,
        origin=f"shapes(size={size}, seed={seed})",
    )


def _draw(
    rng: np.random.Generator, height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """An image uint8 `[height, width, 3]` and its mask int32 `[height, width]`."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    image = _texture(rng, y, x, _color(rng, *_DULL), _color(rng, *_DULL))
    mask = np.zeros((height, width), np.int32)

    side = min(height, width)
    for _ in range(rng.integers(1, 5)):
        label = int(rng.integers(1, len(CLASS_NAMES)))
        radius = side * rng.uniform(0.18, 0.32)
        turn = rng.uniform(-_LEAN, _LEAN)
        middle = rng.uniform(0.1, 0.9, 2) * (height, width)

        # No figure reaches farther than 1.25 radii, a square's corners.
        box = tuple(
            slice(max(0, int(m - 1.25 * radius - 2)), int(m + 1.25 * radius + 3))
            for m in middle
        )
        dy, dx = y[box] - np.float32(middle[0]), x[box] - np.float32(middle[1])
        cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
        distance = _distance(label, cos * dx + sin * dy, cos * dy - sin * dx, radius)

        inside = distance < 0
        colors = _color(rng, *_VIVID), rng.uniform(0, 255, 3)
        texture = _texture(rng, y[box], x[box], *colors)
        image[box][inside] = texture[inside]
        mask[box][inside] = label
        mask[box][np.abs(distance) < _BORDER] = IGNORE

    image += 8 * rng.standard_normal(image.shape, np.float32)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), mask


def _distance(label: int, u: np.ndarray, v: np.ndarray, radius: float) -> np.ndarray:
    """Distance in pixels to the outline of a figure, negative inside.

    Near the outline it is exact, but for corners; u and v are coordinates from the
    figure's middle.
    """
    match CLASS_NAMES[label]:
        case "disc":
            return np.hypot(u, v) - radius
        case "square":
            return np.maximum(np.abs(u), np.abs(v)) - 0.85 * radius
        case "triangle":
            # Three half planes, a third of a turn apart.
            slope = np.sqrt(3) / 2
            return np.maximum(v, slope * np.abs(u) - v / 2) - radius / 2
        case "ring":
            return np.abs(np.hypot(u, v) - 0.75 * radius) - 0.25 * radius
        case _:  # cross: two bars
            bars = [
                np.maximum(np.abs(a) - radius, np.abs(b) - radius / 3)
                for a, b in ((u, v), (v, u))
            ]
            return np.minimum(*bars)


def _color(rng: np.random.Generator, low: tuple, high: tuple) -> np.ndarray:
    """A colour in 0..255 whose hue, saturation and value are in a range."""
    return 255 * np.array(colorsys.hsv_to_rgb(*rng.uniform(low, high)))


def _texture(
    rng: np.random.Generator,
    y: np.ndarray,
    x: np.ndarray,
    color: np.ndarray,
    other: np.ndarray,
) -> np.ndarray:
    """A colour in waves of another, across each other: stripes, checks or blotches."""
    wave = np.zeros_like(x)
    for _ in range(2):
        angle, pixels = rng.uniform(0, np.pi), rng.uniform(6, 24)
        fy, fx = 2 * np.pi / pixels * np.array([np.sin(angle), np.cos(angle)])
        wave += np.sin(np.float32(fy) * y + np.float32(fx) * x + rng.uniform(0, 6.28))
    # Little of the other one, so that outlines are seen.
    mix = np.float32(0.15) * wave[..., None]
    return color.astype(np.float32) + mix * (other - color).astype(np.float32)
