"""Progress on a terminal, and lines without control characters everywhere else."""

import os
import sys
from typing import Any

import keras


def verbosity() -> int:
    """Tell Keras how to show progress on standard output.

    Returns:
        1 on a terminal: a bar that moves. 2 in a file, a pipe or a log: a line when the
        epoch, or all the images, are done. Keras's own choice ("auto") is always a bar,
        whose carriage returns and colours fill a log.

    Example:
        model.fit(..., verbose=verbosity())
    """
    return 1 if is_terminal() else 2


def is_terminal() -> bool:
    """Tell whether standard output is a terminal that can write a line over."""
    terminal = sys.stdout is not None and sys.stdout.isatty()
    return terminal and os.environ.get("TERM") != "dumb"


def progress(
    total: int, unit: str, label: str, *, verbose: bool = True
) -> keras.utils.Progbar:
    """Make a progress bar; call `.add(1)` after each of `total` units.

    Args:
        total: How many units there are.
        unit: What is counted, "image".
        label: What is done with them, "Scoring val": the line above a bar that moves,
            the beginning of the one line in a log.
        verbose: Whether to show anything at all.
    """
    return _Labelled(total, unit, label, verbosity() if verbose else 0)


class _Labelled(keras.utils.Progbar):
    """Keras's bar, which says what it is about."""

    def __init__(self, total: int, unit: str, label: str, verbose: int):
        super().__init__(total, verbose=verbose, unit_name=unit)
        self._label = label
        if verbose == 1:
            print(label, flush=True)

    def update(
        self, current: int, values: Any = None, finalize: bool | None = None
    ) -> None:
        is_last = current >= self.target if finalize is None else finalize
        if self.verbose == 2 and is_last:
            print(self._label, end=": ", flush=True)
        super().update(current, values, finalize)
