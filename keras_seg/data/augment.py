"""One geometry and one colour map per example, drawn from its seed.

The geometry is drawn before anything is decoded, so that only the pixels that are
needed are, and applied to image (bilinear) and mask (nearest) alike: they can't drift
apart.
"""

import math
from typing import Any, NamedTuple

import tensorflow as tf

from keras_seg.labels import IGNORE

# Luminance of red, green and blue (ITU-R BT.601).
_LUMINANCE = (0.299, 0.587, 0.114)


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
    flip: tf.Tensor
    #: bool: whether rows and columns change places.
    transpose: tf.Tensor

    def image(self, window: Any) -> tf.Tensor:
        """Resize and turn the pixels of the window: `[h, w, C]`, float32."""
        # Turned over while it is small, and before it becomes float.
        window = tf.raw_ops.Reverse(
            tensor=window, dims=tf.concat([self.flip, [False]], 0)
        )
        window = tf.cond(
            self.transpose, lambda: tf.transpose(window, (1, 0, 2)), lambda: window
        )
        return tf.image.resize(window, self.size)

    def mask(self, mask: Any) -> tf.Tensor:
        """Take the nearest pixels of a whole mask: `[h, w]`, in its dtype."""
        height, width = tf.unstack(_swap_if(self.transpose, self.size))
        rows = _nearest(self.window[0], self.window[2], height, self.flip[0])
        columns = _nearest(self.window[1], self.window[3], width, self.flip[1])
        # Whole rows can be copied, so columns become rows: a fifth of a resize's time.
        turned = tf.gather(tf.transpose(tf.gather(mask, rows)), columns)
        return tf.cond(self.transpose, lambda: turned, lambda: tf.transpose(turned))


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
        draw = tf.random.stateless_uniform([7], seed)
        # Uniform in the logarithm: half and double are equally likely.
        low, high = self.scale
        scale = low * (high / low) ** draw[0]
        flip, transpose = self._turn(draw[3:6])

        whole = tf.maximum(_round(tf.cast(side, tf.float32) * scale), 1)
        crop = whole if size is None else tf.minimum(whole, _swap_if(transpose, size))
        window = _round(tf.cast(crop, tf.float32) / scale)
        window = tf.clip_by_value(window, 1, side)
        room = tf.cast(side - window + 1, tf.float32)
        corner = tf.minimum(tf.cast(draw[1:3] * room, tf.int32), side - window)
        straight = Geometry(
            tf.concat([corner, window], 0), _swap_if(transpose, crop), flip, transpose
        )
        if not (self.rotation or self.elastic):
            return straight
        angle = self.rotation * (2 * draw[6] - 1)
        return _bend(straight, side, angle, self.elastic, seed)

    def _turn(self, draw: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Whether to mirror (top to bottom, left to right), and to transpose."""
        coin = draw < 0.5
        flip = tf.stack([coin[1] & (self.flip == "both"), coin[0] & bool(self.flip)])
        if not self.quarter:
            return flip, tf.constant(False)
        transpose = coin[2]
        if self.flip:  # all eight ways to lay down a square
            return tf.stack([coin[1], coin[0]]), transpose
        # A turn by 180 degrees is both mirrors, by 90 or 270 a transposition and one.
        return tf.stack([coin[1], coin[1] ^ transpose]), transpose

    def image(self, window: Any, geometry: Geometry | Warp, seed: Any) -> tf.Tensor:
        """Apply geometry and colour to the pixels of the window: uint8 `[h, w, C]`."""
        if not self._colors(window):
            return as_dtype(geometry.image(window), tf.uint8)

        def colors_first() -> tf.Tensor:
            return geometry.image(self._recolor(window, seed))

        def geometry_first() -> tf.Tensor:
            return self._recolor(geometry.image(window), seed)

        if isinstance(geometry, Warp):  # whose outside stays black
            image = colors_first()
        else:
            # Both are linear, so their order is free: the smaller image is coloured.
            before, after = geometry.window[2:], geometry.size
            grows = tf.reduce_prod(before) < tf.reduce_prod(after)
            image = tf.cond(grows, colors_first, geometry_first)
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
        return as_dtype(self._recolor(image, seed), image.dtype)

    def _colors(self, image: Any) -> bool:
        return image.shape[-1] == 3 and self.strength > 0

    def _recolor(self, image: Any, seed: Any) -> tf.Tensor:
        """Colour an image without clipping it: float32."""
        low, high = 1 - self.strength, 1 + self.strength
        # Another stream of numbers than the geometry's.
        seed = tf.random.experimental.stateless_fold_in(seed, 1)
        brightness, contrast, saturation = tf.unstack(
            tf.random.stateless_uniform([3], seed, low, high)
        )
        grey = tf.tile(tf.constant(_LUMINANCE)[:, None], [1, 3])
        matrix = saturation * tf.eye(3) + (1 - saturation) * grey
        offset = brightness * (1 - contrast) * 127.5

        pixels = tf.reshape(tf.cast(image, tf.float32), (-1, 3))
        pixels = tf.matmul(pixels, brightness * contrast * matrix)
        pixels = tf.nn.bias_add(pixels, tf.repeat(offset, 3))
        return tf.reshape(pixels, tf.shape(image))


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
    image = tf.clip_by_value(image, 0, 255)
    return tf.cast(tf.round(image) if dtype.is_integer else image, dtype)


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
    places = start + (2 * tf.range(count) + 1) * length // (2 * count)
    return tf.cond(flip, lambda: places[::-1], lambda: places)


def _pick(pixels: Any, at: Any) -> tf.Tensor:
    """The pixels at rows and columns `[h, w, 2]`."""
    sides = tf.shape(pixels)
    flat = tf.reshape(pixels, tf.concat([[sides[0] * sides[1]], sides[2:]], 0))
    return tf.gather(flat, at[..., 0] * sides[1] + at[..., 1])


def _swap_if(condition: Any, pair: Any) -> tf.Tensor:
    pair = tf.convert_to_tensor(pair)
    return tf.where(condition, pair[::-1], pair)


def _round(x: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.round(x), tf.int32)
