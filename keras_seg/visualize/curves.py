"""Curves of a training run."""

import csv
import os


def curves(history: str | os.PathLike, path: str | os.PathLike) -> None:
    """Plot the curves of a run.

    Args:
        history: CSV file that `keras.callbacks.CSVLogger` wrote.
        path: Image file to write, `.png` or another that Matplotlib knows.

    Raises:
        ValueError: for a history without epochs.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    with open(history) as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise ValueError(f"Expected at least one epoch in {history}. Received: none.")
    epochs = [int(row["epoch"]) + 1 for row in rows]
    names = [
        name
        for name in rows[0]
        if name not in ("epoch", "learning_rate") and not name.startswith("val_")
    ]
    figure = Figure(figsize=(5 * len(names), 3.6), layout="constrained")
    for axes, name in zip(
        figure.subplots(1, len(names), squeeze=False)[0], names, strict=True
    ):
        for key, label in ((name, "training"), (f"val_{name}", "validation")):
            if key in rows[0]:
                values = [float(row[key] or "nan") for row in rows]
                axes.plot(epochs, values, marker="o", markersize=3, label=label)
        axes.set(title=name, xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=120)
