"""Options of inference: whole images or tiles, mirror images, scales."""

import dataclasses
import operator
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Passes:
    """Options of `predict` and `evaluate`, checked.

    Attributes:
        tile: (height, width) of the tiles; None for whole images where they fit into
            memory.
        overlap: Fraction by which neighbouring tiles overlap.
        flips: Whether mirror images count too.
        scales: Factors of the images' height and width.
    """

    tile: tuple[int, int] | None = None
    overlap: float = 0.25
    flips: bool = False
    scales: tuple[float, ...] = (1.0,)

    @property
    def is_plain(self) -> bool:
        """Whether images go through the model once, as they are."""
        return not self.flips and self.scales == (1.0,)


def check_passes(tile: Any, overlap: Any, flips: Any, scales: Any) -> Passes:
    """Options as `Passes`, if they are valid.

    Raises:
        ValueError: saying which of them isn't.
    """
    return Passes(
        _check_tile(tile),
        _check_overlap(overlap),
        _check_flips(flips),
        _check_scales(scales),
    )


def check_boundary(boundary: Any) -> int | None:
    """The width of a band along boundaries in pixels, if it is one, or None."""
    if boundary is None:
        return None
    try:
        width = 0 if isinstance(boundary, bool) else operator.index(boundary)
    except TypeError:
        width = 0
    if width < 1:
        raise ValueError(
            "Expected `boundary` to be pixels, a positive integer. Received: "
            f"{boundary!r}"
        )
    return width


def _check_tile(tile: Any) -> tuple[int, int] | None:
    if tile is None:
        return None
    try:
        pair = tile if isinstance(tile, Sequence) else (tile, tile)
        height, width = (operator.index(side) for side in pair)
    except (TypeError, ValueError):
        height = width = 0
    if height < 1 or width < 1 or isinstance(tile, bool):
        raise ValueError(
            "Expected `tile` to be pixels, a positive integer, or (height, width). "
            f"Received: {tile!r}"
        )
    return height, width


def _check_overlap(overlap: Any) -> float:
    if not _is_number(overlap) or not 0 <= overlap < 1:
        raise ValueError(
            "Expected `overlap` to be the share of a tile, 0 <= overlap < 1. Received: "
            f"{overlap!r}"
        )
    return float(overlap)


def _check_flips(flips: Any) -> bool:
    if not isinstance(flips, bool | np.bool_):
        raise ValueError(f"Expected `flips` to be True or False. Received: {flips!r}")
    return bool(flips)


def _check_scales(scales: Any) -> tuple[float, ...]:
    found = tuple(scales) if np.ndim(scales) == 1 and len(scales) else (None,)
    if not all(_is_number(scale) and 0.01 <= scale <= 100 for scale in found):
        raise ValueError(
            "Expected `scales` to be factors in 0.01..100, as (0.75, 1.0, 1.25). "
            f"Received: {scales!r}"
        )
    return tuple(float(scale) for scale in found)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
