"""What a training says on the terminal: a line per epoch, and how far it is."""

import shutil
import sys
import time
from typing import Any

import keras

# Where output isn't a terminal, how far it is is said once in so many seconds.
_SECONDS = 30.0


class Progress:
    """A line that says how far something is.

    On a terminal the line is written over, a few times a second. Elsewhere, in a log
    file say, it is a line of its own every half a minute, without control characters.

    Example:
        with Progress() as progress:
            for k in range(100):
                progress(f"{k} of 100 images")
    """

    def __init__(self) -> None:
        self._rewrites = sys.stdout.isatty()
        self._width = 0
        self._said = time.monotonic()

    def __call__(self, text: str) -> None:
        """Say how far it is, unless that was said just now."""
        now = time.monotonic()
        if now - self._said < (0.1 if self._rewrites else _SECONDS):
            return
        self._said = now
        if not self._rewrites:
            print(text, flush=True)
            return
        text = text[: shutil.get_terminal_size().columns - 1]
        print(f"\r{text:{self._width}}", end="", flush=True)
        self._width = len(text)

    def clear(self) -> None:
        """Take the line away, for other lines to follow."""
        if self._width:
            print(f"\r{'':{self._width}}\r", end="", flush=True)
        self._width = 0

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error: Any) -> None:
        self.clear()


class EpochLines(keras.callbacks.Callback):
    """Print one line per epoch, and show how far an epoch and its validation are.

    It belongs at the end of the callbacks of `fit(verbose=0)`.

    Args:
        best: The `BestModel` among the callbacks, whose epochs are marked.

    Example:
        epoch        time     loss   mIoU  accuracy  val loss  ...
         1/10        14 s   1.3821  0.152     0.613    1.2011  ...
    """

    _COLUMNS = (
        ("loss", "loss", 9, 4),
        ("mean_iou", "mIoU", 7, 3),
        ("pixel_accuracy", "accuracy", 10, 3),
        ("val_loss", "val loss", 10, 4),
        ("val_mean_iou", "val mIoU", 10, 3),
        ("val_pixel_accuracy", "val accuracy", 14, 3),
    )

    def __init__(self, best: Any = None):
        super().__init__()
        self.best = best
        self._progress = Progress()
        self._epoch = 0
        self._started = 0.0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        titles = "".join(f"{title:>{width}}" for _, title, width, _ in self._COLUMNS)
        print(f"{'epoch':>7}{'time':>12}{titles}", flush=True)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch, self._started = epoch, time.monotonic()

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        loss = (logs or {}).get("loss")
        steps = self.params.get("steps") or "?"
        loss = "" if loss is None else f", loss {float(loss):.4f}"
        self._progress(f"{self._number()}  training, {batch + 1}/{steps} steps{loss}")

    def validated(self, done: int, images: int) -> None:
        """Show how far the validation of an epoch is."""
        self._progress(f"{self._number()}  validating, {done}/{images} images")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        line = f"{self._number()}{duration(time.monotonic() - self._started):>12}"
        for name, _, width, digits in self._COLUMNS:
            value = logs.get(name)
            text = "" if value is None else f"{float(value):.{digits}f}"
            line += f"{text:>{width}}"
        is_best = self.best is not None and self.best.epoch == epoch + 1
        self._progress.clear()
        print(line.rstrip() + ("  best" if is_best else ""), flush=True)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._progress.clear()

    def _number(self) -> str:
        number = f"{self._epoch + 1}/{self.params.get('epochs')}"
        return f"{number:>7}"


def duration(seconds: float) -> str:
    """A time for people: "9 s", "2 min 05 s" or "3 h 20 min".

    Example:
        >>> duration(125)
        '2 min 05 s'
    """
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"
