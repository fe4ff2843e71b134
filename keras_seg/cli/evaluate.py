"""What `keras-seg evaluate` does."""

import argparse
import json
from collections.abc import Mapping
from typing import Any

import keras_seg
from keras_seg.cli.output import Output
from keras_seg.cli.run_data import path_words, run_data
from keras_seg.cli.run_model import run_model
from keras_seg.terminal import progress
from keras_seg.training.run_files import METRICS, file_of_split
from keras_seg.training.runs import write_scores

# How images go through the model by default.
_PASSES: dict[str, Any] = {
    "tile": None,
    "overlap": 0.25,
    "flips": False,
    "scales": (1.0,),
}
# Images that are listed.
_LISTED = 5


def evaluate(options: argparse.Namespace) -> None:
    """Score a run on a split; see `keras-seg evaluate --help`."""
    output = Output(json=options.json)
    _, source, split, other = run_data(options)
    model = run_model(options)
    bar = progress(len(source), "image", f"Scoring {split}", verbose=output.is_talking)
    passes = {name: getattr(options, name) for name in _PASSES}
    scores = keras_seg.evaluate(
        model, source, **passes, boundary=options.boundary, progress=bar.update
    )
    output.say(f"\n{scores}\n\nImages with the largest loss:\n")
    for image in scores.worst_images(_LISTED):
        output.say(
            f"{image.name}: loss {image.loss:.3f}, mean IoU {image.mean_iou:.3f}"
        )
    # What isn't the run's own score gets a file of its own.
    words = [] if options.export is None else [options.export.resolve().name]
    changed = {name: v for name, v in passes.items() if v != _PASSES[name]}
    words += [_word(name, value) for name, value in changed.items()]
    path = file_of_split(options.run, METRICS, other, *words)
    write_scores(scores, path, split, changed)
    then = _then(options, other, changed)
    result = {"metrics": str(path), "scores": json.loads(path.read_text())}
    output.done(result, f"\nWrote {path}", then)


def _then(
    options: argparse.Namespace, split: str | None, passes: Mapping[str, Any]
) -> list[Any]:
    """What to do with what was scored: a report has the run's own scores only."""
    if options.export is None and not passes:
        named = [] if split is None else ["--split", split]
        return ["report", options.run, *named, *path_words(options)]
    words: list[Any] = ["predict", options.run, "IMAGE", "--out", "DIR"]
    if options.export is not None:
        words += ["--export", options.export]
    for name, value in passes.items():
        values = value if isinstance(value, tuple) else (value,)
        text = ",".join(f"{x:g}" for x in values)
        words += [f"--{name}"] if value is True else [f"--{name}", text]
    return words


def _word(option: str, value: Any) -> str:
    """An option and its value for the name of a file: "flips", "tile512"."""
    values = value if isinstance(value, tuple) else [value]
    return option if value is True else option + "_".join(f"{x:g}" for x in values)
