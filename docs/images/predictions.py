"""Draw the picture at the top of the README from a run of `keras-seg train`.

python docs/images/predictions.py runs/shapes-unet
"""

import sys
from pathlib import Path

import keras
import numpy as np
from PIL import Image, ImageDraw

import keras_seg
from keras_seg.palette import IGNORE_COLOR, colorize
from keras_seg.visualize.legend import LINE, legend, write

# Images side by side, how much they are enlarged, and the gap between them in pixels.
COLUMNS, ENLARGED, GAP = 8, 2, 6
LABELS = ("Image", "Mask", "Prediction")
# Pixels at the left for the labels.
MARGIN = 90


def main(run: str) -> None:
    """Write predictions.png: rows of images, masks and predictions, with a legend."""
    model = keras.saving.load_model(Path(run) / "model.keras")
    source = keras_seg.data.shapes(COLUMNS, size=(64, 64), seed=1)
    rows: list[list[np.ndarray]] = [[], [], []]
    for image, truth in source:
        prediction = keras_seg.predict_mask(model, image)
        masks = (colorize(mask, source.palette) for mask in (truth, prediction))
        for row, panel in zip(rows, (image, *masks), strict=True):
            row.append(framed(panel))
    labelled = (
        np.concatenate([label(text, len(row[0])), *row], axis=1)
        for text, row in zip(LABELS, rows, strict=True)
    )
    panels = np.concatenate([*labelled])[:, :-GAP]
    entries = [*enumerate(source.class_names), (255, "ignored")]
    colors = [*source.palette, IGNORE_COLOR]
    named = [(*entry, color) for entry, color in zip(entries, colors, strict=True)]
    below = legend(named, panels.shape[1] - MARGIN)
    below = np.pad(below, [(0, 0), (MARGIN, 0), (0, 0)], constant_values=255)
    picture = np.concatenate([panels, below])
    keras.utils.save_img(Path(__file__).with_suffix(".png"), picture, scale=False)


def label(text: str, height: int) -> np.ndarray:
    """A white margin with the name of a row at the middle of its panels."""
    margin = Image.new("RGB", (MARGIN, height), "white")
    write(ImageDraw.Draw(margin), (8, (height - GAP - LINE) // 2), text, MARGIN)
    return np.asarray(margin)


def framed(panel: np.ndarray) -> np.ndarray:
    """The panel enlarged, with a white gap at the bottom and right."""
    large = panel.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1)
    return np.pad(large, [(0, GAP), (0, GAP), (0, 0)], constant_values=255)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
