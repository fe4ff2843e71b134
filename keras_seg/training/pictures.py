"""What a model makes of a few examples, to look at."""

import keras
import numpy as np

from keras_seg.data import Source
from keras_seg.inference import predict_mask
from keras_seg.visualize import samples, visible


def sample_sheet(model: keras.Model, source: Source, count: int = 4) -> np.ndarray:
    """Draw image, truth and prediction of examples spread over a Source, a row each.

    Args:
        model: A model from images to the classes of the Source.
        source: The examples.
        count: How many to draw.

    Returns:
        uint8 `[height, width, 3]`.
    """
    rows = []
    for index in np.linspace(0, len(source) - 1, min(count, len(source)), dtype=int):
        image, truth = source[int(index)]
        rows.append((visible(image), truth, predict_mask(model, image)))
    return samples(rows, source.palette, source.class_names)
