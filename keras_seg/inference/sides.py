"""Heights and widths that a net can take, and how much smaller its outputs are.

Models of this package take every size. A U-Net with `padding="valid"` takes some, and
its output lacks a margin on each side; other Keras models may want multiples of 32, or
one fixed size. An image is then continued by its mirror image, as in Ronneberger,
Fischer and Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation",
MICCAI 2015, https://arxiv.org/abs/1505.04597, figure 2.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_seg.models.valid_sizes import RequireValidSize, is_valid_size

# What heights and widths of other models may have to be multiples of.
_STEPS = (1, 2, 4, 8, 16, 32, 64)


@dataclasses.dataclass(frozen=True)
class Side:
    """The heights (or widths) that a net can take: first, first + step, ...

    Attributes:
        first: The smallest one.
        step: From one to the next. 0 means that there is no other.
        margin: Pixels that the output lacks on each side.

    Example:
        >>> side = Side(first=188, step=16, margin=92)  # the paper's U-Net
        >>> side.at_most(572), side.for_output(388), side.for_output(389)
        (572, 572, 588)
    """

    first: int = 1
    step: int = 1
    margin: int = 0

    def at_most(self, limit: int) -> int:
        """The largest one up to a limit; 0 if there is none."""
        if limit < self.first:
            return 0
        return limit - (limit - self.first) % self.step if self.step else self.first

    def for_output(self, length: int) -> int:
        """The smallest one whose output has so many pixels; 0 if there is none."""
        missing = length + 2 * self.margin - self.first
        if missing <= 0:
            return self.first
        return self.first + -(-missing // self.step) * self.step if self.step else 0


def sides_of(
    model: keras.Model,
    takes: Callable[[keras.Model, Any], bool] = lambda model, size: True,
) -> tuple[Side, Side]:
    """Heights and widths that a model can take.

    Args:
        model: A functional or sequential model with one output.
        takes: Function (model, size) that finds out what the shapes of layers don't
            say: whether a model takes images of a size.

    Raises:
        ValueError: for a model whose outputs aren't as large as its images, but for a
            margin that is the same at every size.
    """
    fixed = model.input_shape[1:3]
    tried = None
    for first, step in _candidates(model):
        size = [side or first + 256 // step * step for side in fixed]
        larger = [side or n + 8 * step for side, n in zip(fixed, size, strict=True)]
        margins = _margins(model, size) if takes(model, size) else None
        if margins is None:
            continue
        tried = tried or (size, margins)
        fits = all(m >= 0 and m % 1 == 0 for m in margins)
        if fits and _margins(model, larger) == margins:
            return (
                _side(fixed[0], margins[0], first, step),
                _side(fixed[1], margins[1], first, step),
            )
    if tried is None:  # its first prediction will say what it wants
        return _side(fixed[0], 0, 1, 1), _side(fixed[1], 0, 1, 1)
    size, margins = tried
    given = [round(a - 2 * m) for a, m in zip(size, margins, strict=True)]
    raise ValueError(
        "Expected a model whose outputs are as large as its images, or smaller by a "
        f"margin that is the same at every size. Received: outputs of {given[0]} x "
        f"{given[1]} for images of {size[0]} x {size[1]}. Likely cause: logits that "
        "aren't upsampled to the size of the image."
    )


def _candidates(model: keras.Model) -> list[tuple[int, int]]:
    """First sides and steps that a model may have."""
    for layer in model._flatten_layers():
        if isinstance(layer, RequireValidSize):
            sides = range(1, 2**62)
            first = next(n for n in sides if is_valid_size(n, layer.levels))
            return [(first, 2**layer.levels)]
    return [(step, step) for step in _STEPS]


def _margins(model: keras.Model, size: Sequence[int]) -> list[float] | None:
    """What the output lacks on each side; None if images of a size are refused."""
    try:
        given = model.compute_output_shape((1, *size, model.input_shape[-1]))
    except Exception:  # whatever the layers of other people's models raise
        return None
    return [(a - b) / 2 for a, b in zip(size, given[1:3], strict=True)]


def _side(fixed: int | None, margin: float, first: int, step: int) -> Side:
    if fixed:
        return Side(fixed, 0, int(margin))
    smallest = 2 * int(margin) + 1  # whose output has a pixel
    if first < smallest:
        first += -(-(smallest - first) // step) * step
    return Side(first, step, int(margin))


def mirrored(length: int, start: int, stop: int) -> np.ndarray:
    """Indices of pixels start to stop - 1 of a line that goes on as its mirror image.

    Args:
        length: Pixels that the line has.
        start: The first one, which may be negative.
        stop: One after the last, which may be beyond `length`.

    Example:
        >>> mirrored(4, -2, 7).tolist()  # the pixel at the edge isn't repeated
        [2, 1, 0, 1, 2, 3, 2, 1, 0]
    """
    period = max(1, 2 * (length - 1))
    places = np.arange(start, stop) % period
    return np.minimum(places, period - places) if length > 1 else places
