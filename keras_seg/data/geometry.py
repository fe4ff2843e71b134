"""Where the pixels of a result come from: windows, resizing, flips, bends.

A geometry is drawn or computed before anything is decoded, so that only the pixels that
are needed are, and applied to image (bilinear) and mask (nearest) alike: they can't
drift apart.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from keras_seg.labels import IGNORE, Image, Mask, Tensor


class Geometry(NamedTuple):
    """A window of an example, how large it becomes, and how it is flipped.

    First the window is mirrored, then resized, then transposed: with these, all eight
    symmetries of a square.
    """

    #: int32 (top, left, height, width) in pixels of the file.
    window: tf.Tensor
    #: int32 (height, width) of the result.
    size: tf.Tensor
    #: bools: whether it is mirrored (top to bottom, left to right).
    flip: tuple[tf.Tensor, tf.Tensor]
    #: bool: whether rows and columns are exchanged.
    transpose: tf.Tensor

    def image(self, window: Image, black: Any = 0) -> tf.Tensor:
        """Mirror, transpose and resize the window's pixels: `[h, w, C]`, float32."""
        return self.resize(self.turn(window))

    def turn(self, window: Image) -> tf.Tensor:
        """Mirror and transpose the pixels of the window, in their dtype."""
        for axis, flip in enumerate(self.flip):
            window = _if(flip, functools.partial(tf.reverse, axis=[axis]), window)
        return _if(self.transpose, lambda w: tf.transpose(w, (1, 0, 2)), window)

    def resize(self, window: Image) -> tf.Tensor:
        """Resize pixels that are mirrored and transposed already: float32."""
        return tf.image.resize(window, self.size)

    def mask(self, mask: Mask) -> tf.Tensor:
        """Take the nearest pixels of a whole mask: `[h, w]`, in its dtype."""
        height, width = tf.unstack(swap_if(self.transpose, self.size))
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
    points: tf.Tensor
    #: int32 (height, width) of the file's image.
    side: tf.Tensor

    @property
    def size(self) -> tf.Tensor:
        """int32 (height, width) of the result."""
        return tf.shape(self.points)[:2]

    def image(self, window: Image, black: Any = 0) -> tf.Tensor:
        """Interpolate between the pixels of the window: float32, black outside.

        Args:
            window: `[height, width, channels]`.
            black: A number, or one for each channel.
        """
        points = self.points - tf.cast(self.window[:2], tf.float32)
        low = tf.floor(points)
        part = points - low
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
        return tf.where(self._inside()[..., None], mixed, tf.cast(black, tf.float32))

    def mask(self, mask: Mask) -> tf.Tensor:
        """Take the nearest pixels of a whole mask: `[h, w]`, 255 outside."""
        nearest = tf.cast(tf.floor(self.points + 0.5), tf.int32)
        ids = _pick(mask, tf.clip_by_value(nearest, 0, self.side - 1))
        return tf.where(self._inside(), ids, tf.cast(IGNORE, ids.dtype))

    def _inside(self) -> tf.Tensor:
        """Whether points lie on a pixel of the file, bool `[h, w]`."""
        end = tf.cast(self.side, tf.float32) - 0.5
        return tf.reduce_all((self.points >= -0.5) & (self.points < end), axis=-1)


def letterbox(side: tf.Tensor, size: tuple[int, int]) -> Geometry:
    """Resize a whole image to the largest size of its aspect ratio that fits.

    Args:
        side: int32 (height, width) of the image.
        size: (height, width) to fit into.
    """
    sides = tf.cast(side, tf.float32)
    scale = tf.reduce_min(tf.cast(tf.constant(size), tf.float32) / sides)
    fitting = tf.clip_by_value(round_to_int(sides * scale), 1, size)
    never = tf.constant(False)
    window = tf.concat([tf.zeros_like(side), side], 0)
    return Geometry(window, fitting, (never, never), never)


def bend(
    straight: Geometry, side: tf.Tensor, angle: tf.Tensor, elastic: float, seed: Tensor
) -> Warp:
    """Turn a geometry by an angle about the middle of its window, and bend it."""
    size = straight.size
    y, x = tf.meshgrid(
        *(tf.range(tf.cast(n, tf.float32)) + 0.5 for n in tf.unstack(size)),
        indexing="ij",
    )
    points = tf.stack([y, x], axis=-1)
    if elastic:
        seed = tf.random.experimental.stateless_fold_in(seed, 2)
        grid = tf.random.stateless_normal([3, 3, 2], seed, stddev=elastic)
        points += tf.image.resize(grid, size, method="bicubic")
    # From the middle of the result to that of the window, undoing what was done.
    points -= tf.cast(size, tf.float32) / 2
    points = tf.cond(straight.transpose, lambda: points[..., ::-1], lambda: points)
    points *= tf.where(straight.flip, -1.0, 1.0)
    cos, sin = tf.cos(angle), tf.sin(angle)
    points = tf.tensordot(points, tf.stack([[cos, sin], [-sin, cos]]), 1)

    corner, window = straight.window[:2], straight.window[2:]
    crop = swap_if(straight.transpose, size)
    points *= tf.cast(window, tf.float32) / tf.cast(crop, tf.float32)
    points += tf.cast(corner, tf.float32) + tf.cast(window, tf.float32) / 2 - 0.5

    first = tf.cast(tf.floor(tf.reduce_min(points, axis=(0, 1))), tf.int32)
    last = tf.cast(tf.floor(tf.reduce_max(points, axis=(0, 1))), tf.int32) + 1
    first = tf.clip_by_value(first, 0, side - 1)
    last = tf.clip_by_value(last, 0, side - 1)
    return Warp(tf.concat([first, last - first + 1], 0), points, side)


def _nearest(start: Tensor, length: Tensor, count: Tensor, flip: Tensor) -> tf.Tensor:
    """The `count` pixels that lie nearest, when a line of pixels is resized."""
    order = _if(flip, lambda k: count - 1 - k, tf.range(count))
    return start + (2 * order + 1) * length // (2 * count)


def _pick(pixels: Image | Mask, at: tf.Tensor) -> tf.Tensor:
    """The pixels at rows and columns `[h, w, 2]`."""
    sides = tf.shape(pixels)
    flat = tf.reshape(pixels, tf.concat([[sides[0] * sides[1]], sides[2:]], 0))
    return tf.gather(flat, at[..., 0] * sides[1] + at[..., 1])


def swap_if(condition: Tensor, pair: Any) -> tf.Tensor:
    """(height, width), or (width, height) where a condition holds."""
    return _if(condition, lambda p: p[::-1], tf.convert_to_tensor(pair))


def _if(
    condition: Tensor, change: Callable[[tf.Tensor], tf.Tensor], x: Any
) -> tf.Tensor:
    """`change(x)` where a condition holds; tf.cond where that isn't known yet."""
    known = tf.get_static_value(condition)
    if known is None:
        return tf.cond(condition, lambda: change(x), lambda: x)
    return change(x) if known else x


def round_to_int(x: tf.Tensor) -> tf.Tensor:
    """The nearest integers, int32."""
    return tf.cast(tf.round(x), tf.int32)
