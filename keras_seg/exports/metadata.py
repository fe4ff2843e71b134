"""What an export says of itself: names, colours, what goes in and comes out."""

import json
import sys
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_seg.exports.serving import Served
from keras_seg.palette import color_map


def describe(
    served: Served,
    names: list[str] | None,
    palette: Any,
    *,
    quantize: str | None,
    bands: tuple[int, ...] | None = None,
    **versions: str,
) -> dict[str, Any]:
    """Make what is written into a file, by name; every value fits into JSON.

    Args:
        served: The model.
        names: A name per class, or None.
        palette: A colour per class; None means VOC's.
        quantize: None, "float16" or "int8".
        bands: Bands (channels of an image file) that it takes, by number; None for all.
        **versions: Of packages that made it, beside this one, Keras and TensorFlow.
    """
    colors = color_map(served.num_classes) if palette is None else palette
    named: dict[str, Any] = {} if names is None else {"class_names": names}
    colors_in = "RGB where it has 3 channels"
    if bands is not None:
        named["bands"] = list(bands)
        colors_in = f"its channels {', '.join(map(str, bands))}, counted from 0"
    return named | {
        "palette": np.asarray(colors).tolist(),
        "value_range": [np.asarray(side).tolist() for side in served.value_range],
        "input": f"image: {served.image.dtype.name} [batch, height, width, channels], "
        f"as read from a file, {colors_in}. The model normalizes it.",
        "output": "mask: uint8 [batch, height, width], class ids, 255 where the model "
        "gives no number. probabilities: float32 [batch, height, width, classes].",
        "size": list(served.input_shape[:2]),
        "quantize": quantize,
        "versions": {
            # Not imported from here, since it imports all rooms.
            "keras_seg": sys.modules["keras_seg"].__version__,
            "keras": keras.__version__,
            "tensorflow": tf.__version__,
            **versions,
        },
    }


def as_texts(metadata: dict[str, Any]) -> dict[str, str]:
    """The same with a text for each value: JSON, unless it was a text."""
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in metadata.items()
    }


def check_names(class_names: Iterable[str], num_classes: int) -> list[str]:
    """Names as a list, if there is one for each class and they can be told apart.

    Each is one line, since SavedModels have them in a file, one a line.

    Raises:
        ValueError: saying what is wrong.
    """
    names = [class_names] if isinstance(class_names, str) else list(class_names)
    for name in names:
        if not isinstance(name, str) or not name.strip() or name.splitlines() != [name]:
            raise ValueError(
                "Expected `class_names` to be strings of one line each, not empty. "
                f"Received: {name!r}"
            )
    if len(names) != num_classes:
        raise ValueError(
            f"Expected {num_classes} `class_names`, one per class. Received: "
            f"{len(names)}"
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            "Expected `class_names` that differ. Received more than once: "
            f"{', '.join(map(repr, twice))}"
        )
    return names


def check_palette(palette: Any, num_classes: int) -> np.ndarray:
    """Colours as uint8 `[num_classes, 3]`, if they are that.

    Raises:
        ValueError: for others.
    """
    try:
        colors = np.array(palette)
    except ValueError:  # rows of several lengths
        colors = np.array(None)
    fits = colors.shape == (num_classes, 3) and colors.dtype.kind in "iu"
    if not fits or colors.min() < 0 or colors.max() > 255:
        raise ValueError(
            f"Expected `palette` to be {num_classes} colours (red, green, blue) in "
            f"0..255, one per class. Received: {colors.dtype} {list(colors.shape)}"
        )
    return colors.astype(np.uint8)
