"""The numbers of the report: of classes, charts, data and settings."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_seg.data import Source, inspect
from keras_seg.data.tools.inspect_facts import Findings

# Examples of a split that are read for its facts, spread evenly.
_LOOKED_AT = 500
# Confusions that are listed, and how large a share of a class they have at least.
_CONFUSIONS, _LEAST = 8, 0.01
# Parts of run.json that the page shows in places of their own, or twice.
_ELSEWHERE = ("given", "class_names", "palette", "versions", "examples", "best")


def data_facts(
    splits: Mapping[str, Source],
) -> tuple[list[dict[str, Any]], dict[str, Findings]]:
    """Read examples of each split, and say what is in them.

    Args:
        splits: The examples, by names of the splits.

    Returns:
        A row for each split, and what was found in it.
    """
    findings: dict[str, Findings] = {}
    for name, source in splits.items():
        found = inspect(source, examples=_LOOKED_AT, verbose=False)
        findings[name] = found.splits["all"]
    return [_facts(name, found) for name, found in findings.items()], findings


def _facts(name: str, found: Findings) -> dict[str, Any]:
    sizes = sorted(found.sizes, key=lambda size: (size[0] * size[1], size))
    ends = (sizes[0], sizes[-1], found.sizes.most_common(1)[0][0]) if sizes else ()
    return {
        "split": name,
        "images": found.examples,
        "looked_at": found.looked_at,
        "sizes": ends,  # (height, width): smallest, largest, most frequent
        "ignored": found.ignored / found.total if found.total else None,
    }


def class_rows(
    scores: Mapping[str, Any], palette: np.ndarray, findings: Mapping[str, Findings]
) -> list[dict[str, Any]]:
    """A row for each class: scores, and share of the labelled pixels by split."""
    shares = {
        split: found.pixels / max(1, found.pixels.sum())
        for split, found in findings.items()
    }
    names = ("iou", "precision", "recall", "dice")
    return [
        {
            "name": name,
            "color": palette[k].tolist(),
            "scores": {kind: scores[kind][name] for kind in names},
            "interval": scores.get("iou_interval", {}).get(name),
            "shares": {split: float(share[k]) for split, share in shares.items()},
            "images": {s: int(found.images[k]) for s, found in findings.items()},
        }
        for k, name in enumerate(scores["iou"])
    ]


def confusions(
    scores: Mapping[str, Any], class_names: Sequence[str]
) -> list[dict[str, Any]]:
    """The classes that are most often taken for others, by share of their pixels."""
    matrix = np.array(scores["confusion_matrix"], float)
    pixels = matrix.copy()
    np.fill_diagonal(matrix, 0)
    shares = matrix / np.maximum(pixels.sum(1, keepdims=True), 1)
    order = np.argsort(-shares, axis=None, kind="stable")[:_CONFUSIONS]
    return [
        {
            "truth": class_names[row],
            "prediction": class_names[column],
            "share": float(shares[row, column]),
            "pixels": int(matrix[row, column]),
        }
        for row, column in zip(*np.unravel_index(order, shares.shape), strict=True)
        if shares[row, column] >= _LEAST
    ]


def chart_data(
    scores: Mapping[str, Any], history: Mapping[str, list[float]] | None
) -> dict[str, Any]:
    """What the script of the page draws: bars, the confusion matrix, curves.

    The matrix is a list of the cells with pixels: [row, column, pixels].
    """
    matrix = np.array(scores["confusion_matrix"], np.int64)
    cells = [[int(i), int(j), int(matrix[i, j])] for i, j in np.argwhere(matrix)]
    return {
        "classes": [*scores["iou"]],
        "iou": [*scores["iou"].values()],
        "interval": [scores.get("iou_interval", {}).get(k) for k in scores["iou"]],
        "cells": cells,
        "rowPixels": matrix.sum(1).tolist(),
        "curves": [] if history is None else _curves(history),
    }


def _curves(history: Mapping[str, list[float]]) -> list[dict[str, Any]]:
    """A chart for each number of the training: loss, scores, learning rate."""
    names = [name for name in history if name != "epoch" and name[:4] != "val_"]
    first = ("loss", "mean_iou", "pixel_accuracy")
    names.sort(key=lambda x: (x not in first, x == "learning_rate"))
    return [
        {
            "name": name.replace("_", " ")
            .replace("iou", "IoU")
            .replace("dice", "Dice"),
            "epochs": [int(epoch) for epoch in history["epoch"]],
            "lines": {
                label: [v if np.isfinite(v) else None for v in history[key]]
                for label, key in (("training", name), ("validation", f"val_{name}"))
                if key in history
            },
        }
        for name in names
    ]


def setting_rows(
    run: Mapping[str, Any],
) -> tuple[list[tuple[str, str]], list[str], list[tuple[str, str]]]:
    """Settings that have a value, names of the others, and versions."""
    shown = {k: v for k, v in run.items() if k not in _ELSEWHERE}
    return (
        [(k, _text(v)) for k, v in shown.items() if v is not None],
        [k for k, v in shown.items() if v is None],
        [(k, _text(v)) for k, v in (run.get("versions") or {}).items()],
    )


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{k}: {_text(v)}" for k, v in value.items())
    return str(value)
