"""The usual augmentation: one geometry and one colour map per example."""

import math
import numbers
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from keras_seg.data.color import color_map, recolor
from keras_seg.data.geometry import Geometry, Warp, bend, round_to_int, swap_if
from keras_seg.data.values import BYTES, Values, in_units, values_of
from keras_seg.labels import Image, Tensor, ValueRange

# Numbers that are drawn for the geometry of an example, and then for its colours.
_DRAWS = (7, 3)


@dataclass(frozen=True, kw_only=True)
class StandardAugmentation:
    """The usual augmentation, for `augment=` of `Source.batches`.

    Each example is scaled, cropped at random to the size of the batch (and padded at
    the bottom and right where it is smaller), mirrored with probability 1/2, and
    changed in brightness, contrast and saturation; if asked for, it is rotated and
    deformed too. Everything depends on the seed of the example alone.

    Args:
        scale: Range of the factor of height and width, uniform in its logarithm.
        flip: Whether to mirror left and right; "both" mirrors top and bottom too, each
            with probability 1/2, for images from above.
        color: How far brightness, contrast and saturation go from 1, in 0..1; for
            images of 3 channels. Black and white are the ends of the images' range.
        rotation: Largest angle in degrees to turn to either side, or "quarter" for
            none, one, two or three quarter turns, without interpolation. What comes
            from outside of the image is black there, and 255 in the mask.
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

    scale: tuple[float, float] = (0.5, 2.0)
    flip: bool | str = True
    color: float = 0.3
    rotation: float | str = 0.0
    elastic: float = 0.0

    def __post_init__(self) -> None:
        try:
            low, high = map(float, self.scale)
        except (TypeError, ValueError):
            low, high = math.nan, math.nan
        if not 0 < low <= high < math.inf:
            raise ValueError(
                "Expected `scale` to be (low, high), 0 < low <= high. Received: "
                f"{self.scale}"
            )
        if self.flip not in (True, False, "both"):
            raise ValueError(
                f"Expected `flip` to be True, False or 'both'. Received: {self.flip!r}"
            )
        if not (_is_number(self.color) and 0 <= self.color < 1):
            raise ValueError(
                f"Expected `color` to be in 0..1, without 1. Received: {self.color!r}"
            )
        if self.rotation != "quarter" and not (
            _is_number(self.rotation) and 0 <= float(self.rotation) <= 180
        ):
            raise ValueError(
                "Expected `rotation` to be degrees in 0..180, or 'quarter'. Received: "
                f"{self.rotation!r}"
            )
        if not (_is_number(self.elastic) and 0 <= self.elastic < math.inf):
            raise ValueError(
                "Expected `elastic` to be a number of pixels. Received: "
                f"{self.elastic!r}"
            )

    def geometry(
        self, height: Tensor, width: Tensor, size: Any, seed: Tensor
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
        low, high = map(float, self.scale)
        scale = low * (high / low) ** scale_draw
        flip, transpose = self._turn(*turn_draw)

        whole = tf.maximum(round_to_int(tf.cast(side, tf.float32) * scale), 1)
        crop = whole if size is None else tf.minimum(whole, swap_if(transpose, size))
        window = round_to_int(tf.cast(crop, tf.float32) / scale)
        window = tf.clip_by_value(window, 1, side)
        room = side - window
        corner = tf.stack([top, left]) * tf.cast(room + 1, tf.float32)
        corner = tf.minimum(tf.cast(corner, tf.int32), room)
        straight = Geometry(
            tf.concat([corner, window], 0), swap_if(transpose, crop), flip, transpose
        )
        degrees = 0.0 if self.rotation == "quarter" else float(self.rotation)
        if not (degrees or self.elastic):
            return straight
        angle = math.radians(degrees) * (2 * angle_draw - 1)
        return bend(straight, side, angle, float(self.elastic), seed)

    def _turn(self, *draw: Any) -> tuple[tuple[tf.Tensor, tf.Tensor], tf.Tensor]:
        """Whether to mirror (top to bottom, left to right), and to transpose."""
        left_right, top_bottom, transpose = (number < 0.5 for number in draw)
        never = tf.constant(False)
        if self.rotation == "quarter":
            if self.flip:  # all eight symmetries of a square
                return (top_bottom, left_right), transpose
            # Half a turn is both mirrors, a quarter is one of them and a transposition.
            return (top_bottom, top_bottom ^ transpose), transpose
        return (
            top_bottom if self.flip == "both" else never,
            left_right if self.flip else never,
        ), never

    def image(
        self,
        window: Image,
        geometry: Geometry | Warp,
        seed: Tensor,
        values: Values = BYTES,
    ) -> tf.Tensor:
        """Apply geometry and colour to the pixels of the window.

        Returns:
            `[h, w, C]`, in the dtype of `values`.
        """
        if not self._recolors(window):
            return values.cast(geometry.image(window, values.low))

        colors = self._color_map(seed, values.range)
        if isinstance(geometry, Warp):  # whose outside stays black
            recolored = recolor(window, *colors)
            return values.cast(geometry.image(recolored, values.low))

        turned = geometry.turn(window)
        before, after = geometry.window[2:], geometry.size
        # Both are linear, so their order is free: the smaller image is coloured.
        image = tf.cond(
            tf.reduce_prod(before) < tf.reduce_prod(after),
            lambda: geometry.resize(recolor(turned, *colors)),
            lambda: recolor(geometry.resize(turned), *colors),
        )
        return values.cast(image)

    def recolor(
        self, image: Image, seed: Tensor, value_range: ValueRange | None = None
    ) -> tf.Tensor:
        """Change brightness, contrast and saturation of an RGB image.

        The factors of `color.color_map` are drawn from 1 - color .. 1 + color.

        Args:
            image: `[height, width, 3]`. With other than 3 channels it is returned as it
                is.
            seed: Two integers.
            value_range: (low, high) of the image, black and white. None means what 8
                and 16 bits hold, and (0, 255) for floats.

        Returns:
            The image in the dtype it came in, in the range.
        """
        if not self._recolors(image):
            return image
        values = values_of(image.dtype, value_range)._replace(dtype=image.dtype)
        return values.cast(recolor(image, *self._color_map(seed, values.range)))

    def _recolors(self, image: Image) -> bool:
        return image.shape[-1] == 3 and self.color > 0

    def _color_map(
        self, seed: Tensor, value_range: ValueRange
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Draw the colour map of one example."""
        _, draw = _draw(seed)
        colors = color_map(*tf.unstack(1 - self.color + 2 * self.color * draw))
        return colors if value_range == (0, 255) else in_units(*colors, value_range)


#: Called like a function everywhere.
standard_augmentation = StandardAugmentation


def _draw(seed: Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Random numbers in 0..1: those of an example's geometry, and of its colours."""
    geometry, _ = _DRAWS
    numbers = tf.random.stateless_uniform([sum(_DRAWS)], seed)
    return numbers[:geometry], numbers[geometry:]


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
