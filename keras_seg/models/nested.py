"""Nested skips: every level's features joined with what comes up, again and again.

Zhou et al., "UNet++", https://arxiv.org/abs/1807.10165, figure 1 and equation 1:

    X(i, j) = H([X(i, j - 1), ..., X(i, 0), U(X(i + 1, j - 1))])    for j > 0

    i         the level; its maps are 2^i times smaller than the image
    j         the column
    X(i, 0)   features
    U         a step up
    H         convolutions
"""

from collections.abc import Callable, Sequence
from typing import Any

from keras_seg.labels import Features


def nested(
    features: Features, widths: Sequence[int], join: Callable[..., Any]
) -> tuple[list[Any], Any, int]:
    """The X(i, j) with j > 0 of features by level.

    Args:
        features: X(i, 0) as "Pi".
        widths: Channels of the last X(i, j) of each level, from full resolution down.
            The others have as many as X(i, 0).
        join: A function of X(i + 1, j - 1), of the list of X(i, j - 1) to X(i, 0), and
            of the number of filters, that gives X(i, j). The list is empty at levels
            that have no features.

    Returns:
        The X(i, j) with j > 0 of the finest level i that has features; what the last
        one gives at full resolution; and i.
    """
    finest, bottom = (int(f(features)[1:]) for f in (min, max))
    x = {(i, 0): features[f"P{i}"] for i in range(finest, bottom + 1)}
    for j in range(1, bottom - finest + 1):
        for i in range(finest, bottom - j + 1):
            left = [x[i, k] for k in reversed(range(j))]
            width = widths[i] if i + j == bottom else left[-1].shape[-1]
            x[i, j] = join(x[i + 1, j - 1], left, width, name=f"x{i}_{j}")
    row = [x[finest, j] for j in range(1, bottom - finest + 1)]
    last = row[-1]
    for i in reversed(range(finest)):
        last = join(last, [], widths[i], name=f"x{i}_{bottom - i}")
    return row, last, finest
