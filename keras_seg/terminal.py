"""Progress on a terminal, and lines without control characters everywhere else."""

import os
import sys

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


def progress(total: int, unit: str, *, verbose: bool = True) -> keras.utils.Progbar:
    """Make a progress bar; call `.add(1)` after each of `total` units.

    Args:
        total: How many units there are.
        unit: What is counted, "image".
        verbose: Whether to show anything at all.
    """
    return keras.utils.Progbar(
        total, verbose=verbosity() if verbose else 0, unit_name=unit
    )
