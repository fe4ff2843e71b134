"""What a run shows to people: what its model makes of examples, and its report."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_seg.data import Source
from keras_seg.inference import Scores, predict_mask
from keras_seg.training.run_files import HISTORY, read_run
from keras_seg.visualize import report, samples


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
        rows.append((image, truth, predict_mask(model, image)))
    return samples(rows, source.palette, source.class_names)


def run_report(
    run: Path,
    out: Path,
    model: keras.Model,
    source: Source,
    scores: Scores | Mapping[str, Any],
    **options: Any,
) -> None:
    """Write the report of a run, with its curves and settings.

    Args:
        run: The folder of the run.
        out: File to write, `.html`.
        model: Its model.
        source: The examples that the scores are of.
        scores: What `evaluate` returned, or `read_scores`.
        options: More of `visualize.report`: `training`, `command`, `split`, `images`
            and `progress`.
    """
    history = run / HISTORY
    report(
        out,
        model,
        source,
        scores,
        history=history if history.is_file() else None,
        run=read_run(run),
        title=run.resolve().name,
        **options,
    )
