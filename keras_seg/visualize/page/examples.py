"""The images of the report: which ones, and as what pictures."""

import base64
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from keras_seg.data import Source
from keras_seg.inference import predict_mask
from keras_seg.inference.image import Model
from keras_seg.inference.scores import iou, mean_iou
from keras_seg.labels import IGNORE
from keras_seg.palette import color_table
from keras_seg.visualize.pictures import fit, is_stretched, visible

#: Height and width in pixels that a picture has at most.
SIDE = 512
_QUALITY = 80
# Colours of the error map, by its ids, which colour-blind people can tell apart.
RIGHT, WRONG, IGNORED = 0, 1, 2
ERROR_COLORS = ((0, 114, 178), (230, 97, 1), (190, 190, 190))
# Opacity of the colours: what is right shows the photo, and class 0 nothing else.
_OF_ERRORS, _OF_CLASSES = bytes([90, 255, 255]), bytes([0])
# Classes that are listed of one image.
_LISTED = 12

Row = Mapping[str, Any]


def choose(rows: Sequence[Row], count: int) -> dict[str, list[Row]]:
    """Choose the images to show.

    Args:
        rows: All images, the largest loss first, those without a loss last.
        count: How many to show.

    Returns:
        Rows by heading: the worst ones, and typical ones from the middle half of the
        losses.
    """
    if len(rows) <= count:
        return {"All images, the largest loss first": [*rows]}
    worst = -(-count * 5 // 7)
    rest = [row for row in rows[worst:] if row["loss"] is not None]
    middle = rest[len(rest) // 4 : len(rest) - len(rest) // 4]
    places = np.linspace(0, len(middle) - 1, min(count - worst, len(middle)), dtype=int)
    typical = [middle[place] for place in places]
    chosen = {"The largest loss": [*rows[:worst]]}
    if typical:
        chosen["Typical: from the middle half of the losses"] = typical
    return chosen


def indices_of(chosen: Mapping[str, Iterable[Row]], source: Source) -> list[int]:
    """The examples that rows are of, by their names.

    Raises:
        ValueError: for a name that no example has.
    """
    places = defaultdict(list)
    for index in range(len(source) - 1, -1, -1):
        places[str(source.names[index])].append(index)
    found = []
    for row in (row for rows in chosen.values() for row in rows):
        if not places[row["name"]]:
            raise ValueError(
                "Expected scores of the examples. Received: a score of "
                f"{row['name']!r}, which none of the {len(source):,} examples is "
                "called. Likely cause: the data has changed. Score the model again."
            )
        found.append(places[row["name"]].pop())  # of one name, one after the other
    return found


def draw(model: Model, source: Source, index: int) -> dict[str, Any]:
    """Predict an example, and make pictures of it.

    Args:
        model: What predicts.
        source: The examples.
        index: Which one.

    Returns:
        Pictures as data URIs: `photo`, and `truth`, `prediction` and `errors` to lay
        over it; `size`, and by what number it was divided for the pictures; whether the
        photo's brightness was `stretched` for them; `mean_iou`, None without a labelled
        pixel; `classes` that occur, with their IoU.
    """
    image, truth = source[index]
    prediction = predict_mask(model, image)
    errors = error_map(truth, prediction)
    hits, unions = _counts(truth, prediction, source.num_classes)
    colors = color_table(source.palette)
    height, width = truth.shape
    whole = float(mean_iou(hits, unions)) if unions.any() else None
    return {
        "photo": _photo(visible(image)),
        "truth": _mask(truth, colors, _OF_CLASSES),
        "prediction": _mask(prediction, colors, _OF_CLASSES),
        "errors": _mask(errors, np.array(ERROR_COLORS), _OF_ERRORS),
        "size": (height, width),
        # A strip would be as thin as a line, or higher than the page.
        "ratio": min(max(width / height, 0.5), 3),
        "divided_by": -(-max(height, width) // SIDE),
        "stretched": is_stretched(image),
        "mean_iou": whole,
        "wrong": float((errors == WRONG).mean()),
        "classes": _classes(hits, unions, source),
    }


def error_map(truth: Any, prediction: Any) -> np.ndarray:
    """Which pixels are right (0), wrong (1) and ignored (2).

    Example:
        >>> error_map([[3, 3, 255]], [[3, 4, 3]]).tolist()
        [[0, 1, 2]]
    """
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    wrong = np.where(truth == prediction, RIGHT, WRONG)
    return np.where(truth == IGNORE, IGNORED, wrong).astype(np.uint8)


def _counts(
    truth: np.ndarray, prediction: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of each class in truth and prediction, and in either of them."""
    labelled = truth != IGNORE
    truth, prediction = truth[labelled], prediction[labelled]
    hits = np.bincount(truth[truth == prediction], minlength=count)
    both = np.bincount(truth, minlength=count) + np.bincount(
        prediction, minlength=count
    )
    return hits, both - hits


def _classes(
    hits: np.ndarray, unions: np.ndarray, source: Source
) -> list[dict[str, Any]]:
    """Classes that occur, those of most pixels first."""
    present = [int(k) for k in np.argsort(-unions, kind="stable") if unions[k]]
    values = iou(hits, unions)
    listed = [
        {
            "name": source.class_names[k],
            "color": source.palette[k].tolist(),
            "iou": float(values[k]),
        }
        for k in present[:_LISTED]
    ]
    more = len(present) - len(listed)
    return [*listed, {"name": f"and {more} more", "iou": None}] if more else listed


def _photo(pixels: np.ndarray) -> str:
    rgb = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    file = io.BytesIO()
    Image.fromarray(fit(rgb, SIDE)).save(file, "JPEG", quality=_QUALITY)
    return _uri("image/jpeg", file)


def _mask(ids: np.ndarray, colors: np.ndarray, opacity: bytes) -> str:
    """A picture of ids in their colours, the first ones of which are seen through."""
    image = Image.fromarray(fit(ids.astype(np.uint8), SIDE))
    image.putpalette(colors.astype(np.uint8).tobytes())
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True, transparency=opacity)
    return _uri("image/png", file)


def _uri(kind: str, file: io.BytesIO) -> str:
    return f"data:{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
