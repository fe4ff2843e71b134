"""One geometry and one colour map per example, drawn from its seed.

The geometry is drawn before anything is decoded, so that only the pixels that are
needed are, and applied to image (bilinear) and mask (nearest) alike: they can't drift
apart.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_seg.labels import IGNORE

# Luminance of red, green and blue (ITU-R BT.601).
_LUMINANCE = (0.299, 0.587, 0.114)
# Numbers that are drawn for the geometry of an example, and then for its colours.
_DRAWS = (7, 3)


class Geometry(NamedTuple):
    """A window of an example, how large it becomes, and how it is turned over.

    First the window is mirrored, then resized, then rows and columns change places:
    that makes all eight ways to lay down a square.
    """

    #: int32 (top, left, height, width) in pixels of the file.
    window: tf.Tensor
    #: int32 (height, width) of the result.
    size: tf.Tensor
    #: bools: whether it is mirrored (top to bottom, left to right).
    flip: tuple[tf.Tensor, tf.Tensor]
    #: bool: whether rows and columns change places.
    transpose: tf.Tensor

    def image(self, window: Any) -> tf.Tensor:
        """Turn over and resize the pixels of the window: `[h, w, C]`, float32."""
        return self.resize(self.turn(window))

    def turn(self, window: Any) -> tf.Tensor:
        """Turn over the pixels of the window, in their dtype."""
        for axis, flip in enumerate(self.flip):
            window = _if(flip, functools.partial(tf.reverse, axis=[axis]), window)
        return _if(self.transpose, lambda w: tf.transpose(w, (1, 0, 2)), window)

    def resize(self, window: Any) -> tf.Tensor:
        """Resize pixels that are turned: float32."""
        return tf.image.resize(window, self.size)

    def mask(self, mask: Any) -> tf.Tensor:
        """Take the nearest pixels of a whole mask: `[h, w]`, in its dtype."""
        height, width = tf.unstack(_swap_if(self.transpose, self.size))
        rows = _nearest(self.window[0], self.window[2], height, self.flip[0])
        columns = _nearest(self.window[1], self.window[3], width, self.flip[1])
        # Whole rows can be copied, so columns become rows: a fifth of a resize's time.
        mask = tf.transpose(tf.gather(tf.transpose(tf.gather(mask, rows)), columns))
        return _if(self.transpose, tf.transpose, mask)


class Warp(NamedTuple):
    """Where each pixel of the result comes from: a geometry that also bends."""

    #: int32 (top, left, height, width): all pixels of the file that are needed.
    window: tf.Tensor
    #: float32 `[h, w, 2]`: rows and columns of the file that pixels come from.
    place: tf.Tensor
    #: int32 (height, width) of the file's image.
    side: tf.Tensor

    @property
    def size(self) -> tf.Tensor:
        """int32 (height, width) of the result."""
        return tf.shape(self.place)[:2]

    def image(self, window: Any) -> tf.Tensor:
        """Interpolate between the pixels of the window: float32, 0 outside."""
        place = self.place - tf.cast(self.window[:2], tf.float32)
        low = tf.floor(place)
        part = place - low
        last = self.window[2:] - 1
        first = tf.cast(low, tf.int32)
        mixed = 0.0
        for down in (0, 1):
            for right in (0, 1):
                at = tf.clip_by_value(first + tf.constant([down, right]), 0, last)
                share = (part[..., 0] if down else 1 - part[..., 0]) * (
                    part[..., 1] if right else 1 - part[..., 1]
                )
                pixels = tf.cast(_pick(window, at), tf.float32)
                mixed += share[..., None] * pixels
        return mixed * tf.cast(self._inside()[..., None], tf.float32)

    def mask(self, mask: Any) -> tf.Tensor:
        """Take the nearest pixels of a whole mask: `[h, w]`, 255 outside."""
        nearest = tf.cast(tf.floor(self.place + 0.5), tf.int32)
        ids = _pick(mask, tf.clip_by_value(nearest, 0, self.side - 1))
        return tf.where(self._inside(), ids, tf.cast(IGNORE, ids.dtype))

    def _inside(self) -> tf.Tensor:
        """Whether places lie on a pixel of the file, bool `[h, w]`."""
        end = tf.cast(self.side, tf.float32) - 0.5
        return tf.reduce_all((self.place >= -0.5) & (self.place < end), axis=-1)


class StandardAugmentation:
    """Scale, crop, flip, turn, bend and colour; see `standard_augmentation`."""

    def __init__(
        self,
        *,
        scale: tuple[float, float],
        flip: bool | str,
        color: float,
        rotation: float | str,
        elastic: float,
    ):
        low, high = scale
        if not 0 < low <= high:
            raise ValueError(
                "Expected `scale` to be (low, high), 0 < low <= high. Received: "
                f"{scale}"
            )
        if flip not in (True, False, "both"):
            raise ValueError(
                f"Expected `flip` to be True, False or 'both'. Received: {flip!r}"
            )
        if not 0 <= color < 1:
            raise ValueError(f"Expected `color` to be in 0..1. Received: {color}")
        if rotation != "quarter" and not (
            isinstance(rotation, int | float) and 0 <= rotation <= 180
        ):
            raise ValueError(
                "Expected `rotation` to be degrees in 0..180, or 'quarter'. Received: "
                f"{rotation!r}"
            )
        if not 0 <= elastic < math.inf:
            raise ValueError(
                f"Expected `elastic` to be a number of pixels. Received: {elastic}"
            )
        self.scale = (float(low), float(high))
        self.flip = flip
        self.strength = float(color)
        self.quarter = rotation == "quarter"
        self.rotation = 0.0 if self.quarter else math.radians(float(rotation))
        self.elastic = float(elastic)

    def geometry(
        self, height: Any, width: Any, size: Any, seed: Any
    ) -> Geometry | Warp:
        """Draw the geometry of one example.

        Args:
            height: Of the image, in pixels.
            width: Of the image, in pixels.
            size: (height, width) to crop to, or None for all of the scaled image.
            seed: Two integers.

        Returns:
            The geometry; its `size` is at most `size`, where the scaled image is
            smaller.
        """
        side = tf.stack([height, width])
        draw, _ = _draw(seed)
        scale_draw, top, left, *turn_draw, angle_draw = tf.unstack(draw)
        # Uniform in the logarithm: half and double are equally likely.
        low, high = self.scale
        scale = low * (high / low) ** scale_draw
        flip, transpose = self._turn(*turn_draw)

        whole = tf.maximum(_round(tf.cast(side, tf.float32) * scale), 1)
        crop = whole if size is None else tf.minimum(whole, _swap_if(transpose, size))
        window = _round(tf.cast(crop, tf.float32) / scale)
        window = tf.clip_by_value(window, 1, side)
        room = side - window
        corner = tf.stack([top, left]) * tf.cast(room + 1, tf.float32)
        corner = tf.minimum(tf.cast(corner, tf.int32), room)
        straight = Geometry(
            tf.concat([corner, window], 0), _swap_if(transpose, crop), flip, transpose
        )
        if not (self.rotation or self.elastic):
            return straight
        angle = self.rotation * (2 * angle_draw - 1)
        return _bend(straight, side, angle, self.elastic, seed)

    def _turn(self, *draw: Any) -> tuple[tuple[tf.Tensor, tf.Tensor], tf.Tensor]:
        """Whether to mirror (top to bottom, left to right), and to transpose."""
        left_right, top_bottom, transpose = (number < 0.5 for number in draw)
        never = tf.constant(False)
        if self.quarter:
            if self.flip:  # all eight ways to lay down a square
                return (top_bottom, left_right), transpose
            # Half a turn is both mirrors, a quarter is one of them and a transposition.
            return (top_bottom, top_bottom ^ transpose), transpose
        return (
            top_bottom if self.flip == "both" else never,
            left_right if self.flip else never,
        ), never

    def image(self, window: Any, geometry: Geometry | Warp, seed: Any) -> tf.Tensor:
        """Apply geometry and colour to the pixels of the window: uint8 `[h, w, C]`."""
        if not self._colors(window):
            return as_dtype(geometry.image(window), tf.uint8)

        colors = self._color_map(seed)
        if isinstance(geometry, Warp):  # whose outside stays black
            return as_dtype(geometry.image(_recolor(window, *colors)), tf.uint8)

        turned = geometry.turn(window)
        before, after = geometry.window[2:], geometry.size
        # Both are linear, so their order is free: the smaller image is coloured.
        image = tf.cond(
            tf.reduce_prod(before) < tf.reduce_prod(after),
            lambda: geometry.resize(_recolor(turned, *colors)),
            lambda: _recolor(geometry.resize(turned), *colors),
        )
        return as_dtype(image, tf.uint8)

    def color(self, image: Any, seed: Any) -> tf.Tensor:
        """Change brightness, contrast and saturation of an RGB image.

            x' = b (c (s x + (1 - s) grey(x)) + (1 - c) 127.5)

        with b, c and s drawn from 1 - color .. 1 + color: one linear map per pixel.

        Args:
            image: `[height, width, 3]` in 0..255. With other than 3 channels it is
                returned as it is.
            seed: Two integers.

        Returns:
            The image in the dtype it came in, in 0..255.
        """
        if not self._colors(image):
            return image
        return as_dtype(_recolor(image, *self._color_map(seed)), image.dtype)

    def _colors(self, image: Any) -> bool:
        return image.shape[-1] == 3 and self.strength > 0

    def _color_map(self, seed: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Draw the colour map of one example: x' = x matrix + offset."""
        _, draw = _draw(seed)
        brightness, contrast, saturation = tf.unstack(
            1 - self.strength + 2 * self.strength * draw
        )
        grey = np.repeat(np.array([_LUMINANCE], np.float32).T, 3, axis=1)
        matrix = saturation * (np.eye(3, dtype=np.float32) - grey) + grey
        offset = brightness * (1 - contrast) * 127.5
        return brightness * contrast * matrix, offset


def standard_augmentation(
    *,
    scale: tuple[float, float] = (0.5, 2.0),
    flip: bool | str = True,
    color: float = 0.3,
    rotation: float | str = 0.0,
    elastic: float = 0.0,
) -> StandardAugmentation:
    """Make the usual augmentation, for `augment=` of `Source.batches`.

    Each example is scaled, cropped at random to the size of the batch (and padded at
    the bottom and right where it is smaller), mirrored with probability 1/2, and
    changed in brightness, contrast and saturation; if asked for, it is turned and bent
    too. Everything depends on the seed of the example alone.

    Args:
        scale: Range of the factor of height and width, uniform in its logarithm.
        flip: Whether to mirror left and right; "both" mirrors top and bottom too, each
            with probability 1/2, for images from above.
        color: How far brightness, contrast and saturation go from 1, in 0..1; for
            images of 3 channels.
        rotation: Largest angle in degrees to turn to either side, or "quarter" for
            none, one, two or three quarter turns, without interpolation. What comes
            from outside of the image is 0 there, and 255 in the mask.
        elastic: Standard deviation in pixels of the displacements on a 3 x 3 grid that
            bend the image, as in the U-Net paper (section 3.1, which takes 10);
            between them they are interpolated bicubically.

    Raises:
        ValueError: for a range that isn't one, or an unknown word.

    Example:
        >>> augment = standard_augmentation(scale=(2.0, 2.0), flip=False)
        >>> geometry = augment.geometry(30, 40, size=(50, 50), seed=(0, 1))
        >>> geometry.size.numpy(), geometry.window.numpy()[2:]
        (array([50, 50], dtype=int32), array([25, 25], dtype=int32))
    """
    return StandardAugmentation(
        scale=scale, flip=flip, color=color, rotation=rotation, elastic=elastic
    )


def as_dtype(image: tf.Tensor, dtype: Any) -> tf.Tensor:
    """Return pixels clipped to 0..255; rounded where `dtype` is an integer's."""
    # One pass over the pixels, where tf.clip_by_value makes two.
    image = tf.raw_ops.ClipByValue(
        t=image,
        clip_value_min=tf.constant(0, image.dtype),
        clip_value_max=tf.constant(255, image.dtype),
    )
    return tf.cast(tf.round(image) if dtype.is_integer else image, dtype)


def _draw(seed: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Random numbers in 0..1: those of an example's geometry, and of its colours."""
    geometry, _ = _DRAWS
    numbers = tf.random.stateless_uniform([sum(_DRAWS)], seed)
    return numbers[:geometry], numbers[geometry:]


def _recolor(image: Any, matrix: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    """Apply a colour map without clipping: float32."""
    pixels = tf.reshape(tf.cast(image, tf.float32), (-1, 3))
    return tf.reshape(tf.matmul(pixels, matrix) + offset, tf.shape(image))


def _bend(
    straight: Geometry, side: tf.Tensor, angle: tf.Tensor, elastic: float, seed: Any
) -> Warp:
    """Turn a geometry by an angle about the middle of its window, and bend it."""
    size = straight.size
    y, x = tf.meshgrid(
        *(tf.range(tf.cast(n, tf.float32)) + 0.5 for n in tf.unstack(size)),
        indexing="ij",
    )
    place = tf.stack([y, x], axis=-1)
    if elastic:
        seed = tf.random.experimental.stateless_fold_in(seed, 2)
        grid = tf.random.stateless_normal([3, 3, 2], seed, stddev=elastic)
        place += tf.image.resize(grid, size, method="bicubic")
    # From the middle of the result to that of the window, undoing what was done.
    place -= tf.cast(size, tf.float32) / 2
    place = tf.cond(straight.transpose, lambda: place[..., ::-1], lambda: place)
    place *= tf.where(straight.flip, -1.0, 1.0)
    cos, sin = tf.cos(angle), tf.sin(angle)
    place = tf.tensordot(place, tf.stack([[cos, sin], [-sin, cos]]), 1)

    corner, window = straight.window[:2], straight.window[2:]
    crop = _swap_if(straight.transpose, size)
    place *= tf.cast(window, tf.float32) / tf.cast(crop, tf.float32)
    place += tf.cast(corner, tf.float32) + tf.cast(window, tf.float32) / 2 - 0.5

    first = tf.cast(tf.floor(tf.reduce_min(place, axis=(0, 1))), tf.int32)
    last = tf.cast(tf.floor(tf.reduce_max(place, axis=(0, 1))), tf.int32) + 1
    first = tf.clip_by_value(first, 0, side - 1)
    last = tf.clip_by_value(last, 0, side - 1)
    return Warp(tf.concat([first, last - first + 1], 0), place, side)


def _nearest(start: Any, length: Any, count: Any, flip: Any) -> tf.Tensor:
    """The `count` pixels that lie nearest, when a line of pixels is resized."""
    order = _if(flip, lambda k: count - 1 - k, tf.range(count))
    return start + (2 * order + 1) * length // (2 * count)


def _pick(pixels: Any, at: Any) -> tf.Tensor:
    """The pixels at rows and columns `[h, w, 2]`."""
    sides = tf.shape(pixels)
    flat = tf.reshape(pixels, tf.concat([[sides[0] * sides[1]], sides[2:]], 0))
    return tf.gather(flat, at[..., 0] * sides[1] + at[..., 1])


def _swap_if(condition: Any, pair: Any) -> tf.Tensor:
    return _if(condition, lambda p: p[::-1], tf.convert_to_tensor(pair))


def _if(condition: Any, change: Callable[[tf.Tensor], tf.Tensor], x: Any) -> tf.Tensor:
    """`change(x)` where a condition holds; tf.cond where that isn't known yet."""
    known = tf.get_static_value(condition)
    if known is None:
        return tf.cond(condition, lambda: change(x), lambda: x)
    return change(x) if known else x


def _round(x: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.round(x), tf.int32)
