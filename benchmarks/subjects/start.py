"""What a program waits for at its start."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any


def importing(statement: str) -> Callable[[], Any]:
    """A new process that imports, and ends."""

    def turn() -> None:
        subprocess.run([sys.executable, "-c", statement], check=True)

    return turn


def first_batch(root: str) -> Callable[[], Any]:
    """From a finished import to the first augmented batch, in a new process."""
    script = (
        "import time, keras_seg; start = time.perf_counter(); "
        "augment = keras_seg.data.standard_augmentation(); "
        f"source = keras_seg.data.voc({root!r}, 'train'); "
        "batches = source.batches(8, size=(320, 320), augment=augment, shuffle=True); "
        "next(iter(batches)); print(time.perf_counter() - start)"
    )

    def turn() -> float:
        done = subprocess.run(
            [sys.executable, "-c", script], check=True, capture_output=True, text=True
        )
        return float(done.stdout.split()[-1])

    return turn
