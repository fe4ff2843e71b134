"""Examples that needn't fit into memory: what is found in their windows, together."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_seg.data.decode.array_file import array_size, is_array_file
from keras_seg.data.source import Source
from keras_seg.data.tools.tiles import file_size

# Height and width of windows, which the tiles of files usually divide.
_SIDE = 2048


def windows_of(source: Source, index: int) -> list[np.ndarray]:
    """The windows that an example should be read by; none for the whole at once.

    Only TIFFs of over 2048 x 2048 pixels have some, and what may be one: of other files
    a window costs as much memory as the whole.

    Args:
        source: Where it is.
        index: Which example.

    Returns:
        (top, left, height, width), int32 `[4]` each. Each pixel is in one of them.
    """
    image, mask = source.image_file(index), source.mask_file(index)
    if not source._takes_window or mask is None:
        return []
    if image is not None and not is_array_file(image):
        return []
    try:
        height, width = file_size(mask)
        if height * width <= _SIDE**2:
            return []
        # Of a part of a file, as channels are, only reading tells the size.
        if image is not None and array_size(image) != (height, width):
            return []
    except (ValueError, OSError):  # which reading it will tell
        return []
    return [
        np.array([y, x, min(_SIDE, height - y), min(_SIDE, width - x)], np.int32)
        for y in range(0, height, _SIDE)
        for x in range(0, width, _SIDE)
    ]


def size_of(windows: Sequence[np.ndarray]) -> np.ndarray:
    """(height, width) of the example that windows are all of."""
    return windows[-1][:2] + windows[-1][2:]


def merged(
    parts: Sequence[dict[str, Any]], windows: Sequence[np.ndarray], sample: int
) -> dict[str, Any]:
    """What was measured in the windows of an example -> that of the whole.

    Args:
        parts: Of each window, by names; see `inspect_facts`.
        windows: Where they are.
        sample: How many pixels the sample of an example has, at most.
    """

    def column(name: str, of: Sequence[dict[str, Any]] = parts) -> np.ndarray:
        return np.stack([part[name] for part in of])

    areas = np.prod([window[2:] for window in windows], axis=1, dtype=np.int64)
    # Where there is no data, values are stand-ins.
    known = [p for p, n in zip(parts, areas, strict=True) if p["gaps"] < n] or parts
    unknown: Counter[int] = Counter()
    for part in parts:
        counts = part["unknown"].tolist(), part["unknown_pixels"].tolist()
        unknown.update(dict(zip(*counts, strict=True)))
    pixels = np.concatenate([part["sample"] for part in known])
    return {
        **parts[0],
        "image_size": size_of(windows),
        "mask_size": size_of(windows),
        "pixels": column("pixels").sum(0, dtype=np.int64),
        "unknown": np.array([*unknown], np.int64),
        "unknown_pixels": np.array([*unknown.values()], np.int64),
        "fingerprint": column("fingerprint"),
        "least": column("least").min(),
        "most": column("most").max(),
        "opaque": column("opaque").all(),
        "low": column("low", known).min(0),
        "high": column("high", known).max(0),
        "sample": pixels[:: max(1, len(pixels) // sample)][:sample],
        "gaps": column("gaps").sum(dtype=np.int64),
    }
