"""Curves of a training run."""

import csv
import os
from typing import Any


def curves(history: str | os.PathLike, path: str | os.PathLike) -> None:
    """Plot loss and scores of a training run over its epochs.

    Args:
        history: CSV file that `callbacks.CSVHistory` or `keras.callbacks.CSVLogger`
            wrote. The latter counts epochs from 0; the plot counts from 1.
        path: Image file to write, `.png` or another that Matplotlib knows.

    Raises:
        ValueError: naming the file, for a history without epochs, or another file.
    """
    draw_curves(read_history(history)).savefig(path, dpi=120)


def read_history(path: str | os.PathLike) -> dict[str, list[float]]:
    """Read the columns of a training's CSV file, NaN where a number is missing.

    Args:
        path: CSV file that `callbacks.CSVHistory` or `keras.callbacks.CSVLogger` wrote.

    Raises:
        ValueError: naming the file, for one without epochs, or another file.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
        if not rows:
            raise ValueError("Received: no epoch")
        if "epoch" not in rows[0]:
            raise ValueError("Received: no column 'epoch'")
        if any(None in row or None in row.values() for row in rows):
            raise ValueError("Received: lines of different lengths")
        columns = {
            name: [
                float("nan") if row[name] in ("", "NA") else float(row[name])
                for row in rows
            ]
            for name in rows[0]
        }
    except (ValueError, csv.Error) as error:
        raise ValueError(
            f"{path}: Expected a CSV file with a line per epoch. {error}"
        ) from None
    if columns["epoch"][0] == 0:
        columns["epoch"] = [epoch + 1 for epoch in columns["epoch"]]
    return columns


def draw_curves(columns: dict[str, list[float]]) -> Any:
    """Draw a panel for each number, training and validation together.

    Args:
        columns: What `read_history` returns.

    Returns:
        A Matplotlib figure.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    names = [
        name
        for name in columns
        if name not in ("epoch", "learning_rate") and not name.startswith("val_")
    ]
    wide = min(3, len(names))
    high = -(-len(names) // wide)
    figure = Figure(figsize=(5 * wide, 3.6 * high), layout="constrained")
    for place, name in enumerate(names, start=1):
        axes = figure.add_subplot(high, wide, place)
        for key, label in ((name, "training"), (f"val_{name}", "validation")):
            points = [
                (epoch, value)
                for epoch, value in zip(
                    columns["epoch"], columns.get(key, ()), strict=False
                )
                if value == value  # an epoch without validation is no gap in the line
            ]
            if points:
                axes.plot(
                    *zip(*points, strict=True), marker="o", markersize=3, label=label
                )
        axes.set(title=name, xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    return figure
