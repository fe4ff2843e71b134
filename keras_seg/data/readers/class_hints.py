"""Advice where class names are missing, from the ids in a few masks."""

from collections import Counter

import numpy as np
import tensorflow as tf

from keras_seg.data.decode.label_file import has_colors, read_colors_of, read_labels
from keras_seg.data.id_hints import IdCounts, suggest_classes
from keras_seg.data.readers.color_files import find_color_file
from keras_seg.data.readers.colors import shown_color
from keras_seg.data.readers.pairing import Pairs
from keras_seg.data.suggestions import SuggestionError, spelled

# Masks of ids and of colours that are looked at, and how many of these are listed.
_ID_MASKS, _COLOR_MASKS, _LISTED = 512, 24, 32


def names_missing(pairs: Pairs, colors: np.ndarray | None = None) -> Exception:
    """Make the error for missing names, which tells what the masks hold.

    Args:
        pairs: The files.
        colors: Colours of the ids, `[n, 3]`, if they are known.
    """
    expected = (
        "Expected `class_names`, or masks of a set that `prepare` wrote. Received: "
        "neither."
    )
    if colors is not None:
        names = [f"class{i}" for i in range(len(colors))]
        return SuggestionError(
            f"{expected} One name per colour: {spelled({'class_names': names})}.",
            {"class_names": names},
        )
    paths = [pairs.masks[int(i)] for i in _spread(len(pairs.stems), _COLOR_MASKS)]
    if any(has_colors(path) for path in paths):
        return _colors_unknown(pairs, paths)
    # Many, since each class should be in one of them.
    paths = [pairs.masks[int(i)] for i in _spread(len(pairs.stems), _ID_MASKS)]
    counts = IdCounts()
    for path in paths:
        ids, pixels = np.unique(read_labels(path).numpy(), return_counts=True)
        counts.add(dict(zip(ids.tolist(), pixels.tolist(), strict=True)))
    total = sum(counts.pixels.values())
    shares = ", ".join(
        f"{i} ({counts.pixels[i] / total:.1%} of pixels, {counts.masks_with[i]} masks)"
        for i in counts.ids[:_LISTED]
    )
    dots = f" and {len(counts.ids) - _LISTED} more" * (len(counts.ids) > _LISTED)
    hints = suggest_classes(counts)
    remedies = " ".join(f"{hint.text}: {spelled(hint.arguments)}." for hint in hints)
    return SuggestionError(
        f"{expected} Ids in {counts.masks} masks: {shares}{dots}. {remedies}",
        hints[0].arguments if hints else {},
    )


def check_masks_have_ids(pairs: Pairs) -> None:
    """Raise if masks have colours, and none of a few has ids."""
    paths = [pairs.masks[int(i)] for i in _spread(len(pairs.stems), 3)]
    if all(has_colors(path) for path in paths):
        raise _colors_unknown(pairs, paths)


def _colors_unknown(pairs: Pairs, paths: list[tf.Tensor]) -> Exception:
    """Make the error for masks of colours that stand for no ids yet."""
    pixels: Counter[int] = Counter()
    for path in paths:
        if has_colors(path):
            found, counts = np.unique(read_colors_of(path).numpy(), return_counts=True)
            pixels.update(dict(zip(found.tolist(), counts.tolist(), strict=True)))
    total = sum(pixels.values())
    most = pixels.most_common(_LISTED)
    shares = ", ".join(f"{shown_color(c)} {n / total:.1%}" for c, n in most)
    dots = f" and {len(pixels) - _LISTED} more" * (len(pixels) > _LISTED)
    message = (
        "Expected `palette`, which says the class of each colour, since the masks are "
        f"in RGB. Colours in {len(paths)} masks: {shares}{dots}."
    )
    colors = [(c & 255, c >> 8 & 255, c >> 16) for c, _ in most]
    path = find_color_file((pairs.mask_root, pairs.image_root), colors)
    if path is not None:
        arguments = {"palette": path}
        return SuggestionError(
            f"{message} A file there has them: {spelled(arguments)}.", arguments
        )
    if len(pixels) > _LISTED and all(
        c & 255 == c >> 8 & 255 == c >> 16 for c in pixels
    ):
        return ValueError(f"{message} They are greys: save one channel as the ids.")
    return ValueError(
        f"{message} Write a text file with a line 'R G B name' for each class, such as "
        f"'{' '.join(map(str, colors[0]))} background', and give its path as `palette`."
    )


def _spread(length: int, count: int) -> np.ndarray:
    """Up to so many indices, spread over all."""
    return np.unique(np.linspace(0, length - 1, min(count, length)).astype(int))
