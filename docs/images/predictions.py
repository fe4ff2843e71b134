"""Draw the picture at the top of the README from a run of `keras-seg train`.

python docs/images/predictions.py runs/shapes-unet
"""

import sys
from pathlib import Path

import keras
import numpy as np

import keras_seg
from keras_seg.palette import colorize

# Images side by side, how much they are enlarged, and the gap between them in pixels.
COLUMNS, ENLARGED, GAP = 8, 2, 6


def main(run: str) -> None:
    """Write predictions.png: rows of images, of true masks and of predicted ones."""
    model = keras.saving.load_model(Path(run) / "model.keras")
    source = keras_seg.data.shapes(COLUMNS, size=(64, 64), seed=1)
    rows: list[list[np.ndarray]] = [[], [], []]
    for image, truth in source:
        prediction = keras_seg.predict_mask(model, image)
        masks = (colorize(mask, source.palette) for mask in (truth, prediction))
        for row, panel in zip(rows, (image, *masks), strict=True):
            row.append(framed(panel))
    picture = np.concatenate([np.concatenate(row, axis=1) for row in rows])
    keras.utils.save_img(
        Path(__file__).with_suffix(".png"), picture[:-GAP, :-GAP], scale=False
    )


def framed(panel: np.ndarray) -> np.ndarray:
    """The panel enlarged, with a white gap at the bottom and right."""
    large = panel.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1)
    return np.pad(large, [(0, GAP), (0, GAP), (0, 0)], constant_values=255)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
