"""What a program waits for at its start."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any


def importing(statement: str, after: str = "pass") -> Callable[[], Any]:
    """Seconds that a statement takes in a new process.

    Args:
        statement: What is timed.
        after: What that process runs before it.
    """
    script = (
        f"{after}; import time; start = time.perf_counter(); {statement}; "
        "print(time.perf_counter() - start)"
    )
    return lambda: _printed(script)


def first_batch(root: str) -> Callable[[], Any]:
    """From a finished import to the first augmented batch, in a new process."""
    script = (
        "import time, keras_seg; start = time.perf_counter(); "
        "augment = keras_seg.data.standard_augmentation(); "
        f"source = keras_seg.data.voc({root!r}, 'train'); "
        "batches = source.batches(8, size=(320, 320), augment=augment, shuffle=True); "
        "next(iter(batches)); print(time.perf_counter() - start)"
    )
    return lambda: _printed(script)


def _printed(script: str) -> float:
    """The last number that a new process prints."""
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    return float(done.stdout.split()[-1])
