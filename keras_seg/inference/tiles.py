"""Tiles of an image, and what models make of them joined without seams.

Where tiles overlap, each pixel is a mean of theirs. The weight of a tile falls linearly
from its centre to its edges, where it sees least of what is around a pixel; the weights
of a pixel sum to 1.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from keras_seg.inference.sides import Side

#: From where to where a tile goes along a side of the image.
Span = tuple[int, int]

# Tiles begin at multiples of this, so that pools halve the same pixels as in the whole
# image: far from its edges a tile then gives what the whole image gives.
_GRID = 32


def spans(length: int, side: Side, tile: int, overlap: float) -> list[Span]:
    """Cut the height or the width of an image into tiles.

    Args:
        length: Pixels to cover.
        side: Heights (or widths) that the net takes.
        tile: Pixels that the net is given at most, its margin included.
        overlap: Fraction by which neighbouring tiles overlap. A net with a margin sees
            what is around its output, so its tiles needn't overlap, and don't.

    Returns:
        The pixels of each tile, from the first to one after the last. Those of the
        last tile end with the image.

    Raises:
        ValueError: for a tile that is smaller than what the net can take.

    Example:
        >>> spans(1000, Side(), 512, 0.25)
        [(0, 512), (384, 896), (512, 1000)]
    """
    given = side.at_most(tile)
    if not given:
        raise ValueError(
            f"Expected `tile` to be {side.first} or more, the smallest image that the "
            f"model takes. Received: {tile}"
        )
    if 0 < side.for_output(length) <= given:
        return [(0, length)]
    inside = given - 2 * side.margin
    step = inside if side.margin else max(1, round(inside * (1 - overlap)))
    if side.step == 0:  # tiles of one size, so the last one ends with the image
        grid = 1
    else:
        grid = side.step if side.margin else max(side.step, _GRID)
    while grid > step:
        grid //= 2
    step -= step % grid
    starts = [0]
    while starts[-1] + inside < length:
        starts.append(starts[-1] + step)
    last = length - inside
    starts[-1] = min(starts[-1], last + -last % grid)
    return [(start, min(start + inside, length)) for start in starts]


def weights(tiles: Sequence[Span], length: int) -> list[np.ndarray]:
    """The weight of each tile at each of its pixels, along one side of the image.

    Args:
        tiles: What `spans` gives.
        length: Pixels of the side.

    Returns:
        For each tile float32 `[its length]`. At each pixel of the side those of all
        tiles sum to 1.

    Example:
        >>> [w.tolist() for w in weights([(0, 3), (2, 5)], 5)]
        [[1.0, 1.0, 0.5], [0.5, 1.0, 1.0]]
    """
    heights = []
    total = np.zeros(length)
    for start, stop in tiles:
        rising = np.arange(1, stop - start + 1)
        heights.append(np.minimum(rising, rising[::-1]))
        total[start:stop] += heights[-1]
    return [
        (height / total[start:stop]).astype(np.float32)
        for height, (start, stop) in zip(heights, tiles, strict=True)
    ]


def joined(
    predict: Callable[[Span, Span], np.ndarray],
    rows: Sequence[Span],
    columns: Sequence[Span],
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Predict tiles, and blend them where they overlap.

    Only what overlaps with tiles to come is kept: the right edge of one tile and the
    lower edge of one row of tiles.

    Args:
        predict: Function from the rows and columns of a tile to its probabilities,
            `[batch, height, width, num_classes]`.
        rows: Tiles from top to bottom.
        columns: Tiles from left to right.

    Yields:
        (top, left, probabilities) of rectangles that cover the image, each pixel once.
    """
    height, width = rows[-1][1], columns[-1][1]
    row_weights, column_weights = weights(rows, height), weights(columns, width)
    above: Any = None  # weighted sums of the rows that the last tiles had too
    for (top, bottom), next_top, by_row in zip(
        rows, [*(start for start, _ in rows[1:]), height], row_weights, strict=True
    ):
        below: Any = None
        before: Any = None  # those of the columns that the last tile had too
        for (left, right), next_left, by_column in zip(
            columns,
            [*(start for start, _ in columns[1:]), width],
            column_weights,
            strict=True,
        ):
            tile = predict((top, bottom), (left, right))
            tile = tile * (by_row[:, None] * by_column)[..., None]
            known = 0
            if before is not None:
                known = before.shape[2]
                tile[:, :, :known] += before
            if above is not None:
                tile[:, : above.shape[1], known:] += above[:, :, left + known : right]
            finished, edge = next_top - top, next_left - left
            yield top, left, tile[:, :finished, :edge]
            before = tile[:, :, edge:].copy()
            if below is None:
                shape = (len(tile), bottom - next_top, width, tile.shape[-1])
                below = np.empty(shape, np.float32)
            below[:, :, left:next_left] = tile[:, finished:, :edge]
        above = below
