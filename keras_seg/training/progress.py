"""What a training shows: a table of its epochs, how far it is, and how long it takes.

epoch    loss   mIoU  val loss  val mIoU  val pixel acc       time       left  ...
1/10  1.3821  0.152    1.2011    0.171*         0.613       14 s  2 min 06 s  ...
"""

import json
import math
import shutil
import time
import warnings
from typing import Any

import keras
import tensorflow as tf

from keras_seg.arguments import check_integer
from keras_seg.terminal import is_terminal
from keras_seg.training.timing import DataWait, RunTimes

# Where output isn't a terminal, how far it is is said once in so many seconds.
_SECONDS = 30.0
# A share of the time that is worth a remedy, in an epoch of at least so many steps.
_MUCH_WAITING, _ENOUGH_STEPS = 0.2, 10


class LiveLine:
    """A line that says how far something is.

    On a terminal the line is written over, a few times a second. Elsewhere, in a log
    file say, it is a line of its own every half a minute, without control characters.

    Example:
        with LiveLine() as line:
            for k in range(100):
                line(f"{k} of 100 images")
    """

    def __init__(self) -> None:
        self._rewrites = is_terminal()
        self._width = 0
        self._said = time.monotonic()

    def is_due(self) -> bool:
        """Tell whether the last time was long enough ago."""
        seconds = time.monotonic() - self._said
        return seconds >= (0.1 if self._rewrites else _SECONDS)

    def __call__(self, text: str) -> None:
        """Say how far it is, unless that was said just now."""
        if not self.is_due():
            return
        self._said = time.monotonic()
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

    def __enter__(self) -> "LiveLine":
        return self

    def __exit__(self, *error: Any) -> None:
        self.clear()


class _Progress(keras.callbacks.Callback):
    """What `ProgressTable` and `JSONLines` share: times, and a note about waiting."""

    def __init__(self, best: Any = None, *, validate_every: int = 1):
        super().__init__()
        self.best = best
        self._wait = DataWait()
        validate_every = check_integer("validate_every", validate_every, 1)
        self._times = RunTimes(validate_every, self._wait)
        self._epoch = 0
        self._noted = False

    def measured(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        """The same batches, of which this callback knows how long `fit` waits for them.

        Under a strategy of several devices, which reads ahead, nothing is shown of it.

        Args:
            batches: The batches for `fit`.
        """
        return self._wait.measured(batches)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        strategy = getattr(self.model, "distribute_strategy", None)
        if getattr(strategy, "num_replicas_in_sync", 1) > 1:
            self._times.wait = DataWait()  # which measures nothing
        self._times.begin(self.params.get("epochs") or 1, self.params.get("steps"))
        self._noted = False

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch
        self._times.begin_epoch(epoch)

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        self._times.end_step(batch)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        validated = any(name.startswith("val_") for name in logs or {})
        self._times.end_epoch(validated=validated)
        self._show_epoch(logs or {})
        self._note_waiting()

    def _show_epoch(self, logs: dict[str, Any]) -> None:
        raise NotImplementedError  # a table and JSON have their own

    def _is_best(self) -> bool:
        return self.best is not None and self.best.epoch == self._epoch + 1

    def _note_waiting(self) -> None:
        rate = self._times.rate()
        steps = self._times.steps or 0
        if self._noted or rate is None or steps < _ENOUGH_STEPS:
            return
        _, waiting = rate
        if waiting >= _MUCH_WAITING:
            self._noted = True
            warnings.warn(
                f"{waiting:.0%} of the time of a training step is spent waiting for "
                "data. Remedies, those that help most first: keep decoded images in "
                "memory with `cache`; convert the data set once with `prepare`, so "
                "that it reads faster; more CPU cores; a `scale` nearer to 1; less of "
                "`augment`.",
                stacklevel=2,
            )


class ProgressTable(_Progress):
    """Print a row per epoch, and show how far an epoch and its validation are.

    The columns: loss and mIoU of the training crops; loss, mIoU and pixel accuracy of
    the validation images, the best mIoU so far with a star; the time of the epoch; the
    time left for the whole training, validations included; training images per second,
    and the share of a step's time that is spent waiting for data. A terminal that is
    too narrow for all has fewer columns.

    On a terminal a line below the table moves with every step. In a file or a log
    there are whole lines only, without control characters.

    It belongs at the end of the callbacks of `fit(verbose=0)`.

    Args:
        best: The `BestModel` among the callbacks, whose epochs get the star.
        validate_every: Number of epochs from one validation to the next, for the time
            that is left.

    Example:
        best = BestModel("model.keras")
        table = ProgressTable(best)
        validate = Validate(val, progress=table.validated)
        model.fit(
            table.measured(batches),
            callbacks=[validate, best, table],
            verbose=0,
        )
    """

    _COLUMNS = (
        ("loss", "loss", 9, 4),
        ("mean_iou", "mIoU", 7, 3),
        ("val_loss", "val loss", 10, 4),
        ("val_mean_iou", "val mIoU", 10, 3),
        ("val_pixel_accuracy", "val pixel acc", 14, 3),
    )
    _TIMES = (("time", 12), ("left", 12), ("images/s", 10), ("waiting", 9))

    def __init__(self, best: Any = None, *, validate_every: int = 1):
        super().__init__(best, validate_every=validate_every)
        self._line = LiveLine()
        self._width = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        super().on_train_begin(logs)
        self._line = LiveLine()
        terminal = shutil.get_terminal_size().columns if is_terminal() else 1000
        titles = [f"{title:>{width}}" for _, title, width, _ in self._COLUMNS]
        titles[3] += " "  # for the star
        self._width = len(f"{'epoch':>7}" + "".join(titles))
        for title, width in self._TIMES:
            if self._width + width >= terminal:
                break
            titles.append(f"{title:>{width}}")
            self._width += width
        print(f"{'epoch':>7}" + "".join(titles), flush=True)

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        super().on_train_batch_end(batch, logs)
        if not self._line.is_due():
            return
        steps = self._times.steps or "?"
        loss = (logs or {}).get("loss")
        parts = [f"training, {batch + 1}/{steps} steps"]
        parts += [] if loss is None else [f"loss {float(loss):.4f}"]
        rate = self._times.rate()
        if rate is not None:
            parts += [f"{rate[0]:.0f} images/s", f"{rate[1]:.0%} waiting for data"]
        self._show(parts, self._times.seconds_left())

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._show([f"validating, {batch + 1} steps"], None)

    def validated(self, done: int, images: int | None = None) -> None:
        """Show how far the validation of an epoch is: `progress` of `Validate`.

        Args:
            done: Images that are scored.
            images: Images in all, if that is known.
        """
        if self._line.is_due():
            number = f"{done}" if images is None else f"{done}/{images}"
            left = self._times.seconds_left(done, images) if images else None
            self._show([f"validating, {number} images"], left)

    def _show(self, parts: list[str], left: float | None) -> None:
        if left is not None:
            parts.append(f"{duration(left)} left")
        self._line(f"{self._number()}  {', '.join(parts)}")

    def _show_epoch(self, logs: dict[str, Any]) -> None:
        row = self._number()
        for name, _, width, digits in self._COLUMNS:
            value = logs.get(name)
            text = "" if value is None else f"{float(value):.{digits}f}"
            row += f"{text:>{width}}"
            if name == "val_mean_iou":
                row += "*" if self._is_best() else " "
        left, rate = self._times.seconds_left(), self._times.rate()
        texts = [
            duration(self._times.seconds),
            "" if left is None else duration(left),
            "" if rate is None else f"{rate[0]:.0f}",
            "" if rate is None else f"{rate[1]:.0%}",
        ]
        for text, (_, width) in zip(texts, self._TIMES, strict=True):
            row += f"{text:>{width}}"
        self._line.clear()
        print(row[: self._width].rstrip(), flush=True)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._line.clear()
        if self.best is not None and self.best.epoch is not None:
            print(f"{'':7}* the best so far", flush=True)
        rate = self._times.rate(whole=True)
        if rate is not None:
            print(
                f"Training read {rate[0]:.0f} images a second, and spent {rate[1]:.0%} "
                "of the time waiting for them.",
                flush=True,
            )

    def _number(self) -> str:
        number = f"{self._epoch + 1}/{self.params.get('epochs')}"
        return f"{number:>7}"


class JSONLines(_Progress):
    """Print a JSON object per epoch, on a line of its own: for scripts.

    It has "epoch" (from 1), "epochs", all logs of `fit` by name, "best" (whether this
    epoch's model was kept), "seconds", "seconds_left", "images_per_second" and
    "waiting" (the share of a step's time spent waiting for data). A number that isn't
    known, or isn't finite, is null.

    Args:
        best: The `BestModel` among the callbacks.
        validate_every: Number of epochs from one validation to the next.

    Example:
        model.fit(batches, callbacks=[JSONLines()], verbose=0)
    """

    def _show_epoch(self, logs: dict[str, Any]) -> None:
        images_per_second, waiting = self._times.rate() or (None, None)
        print_json(
            {
                "epoch": self._epoch + 1,
                "epochs": self.params.get("epochs"),
                **{name: float(value) for name, value in logs.items()},
                "best": self._is_best(),
                "seconds": self._times.seconds,
                "seconds_left": self._times.seconds_left(),
                "images_per_second": images_per_second,
                "waiting": waiting,
            }
        )


def print_json(content: dict[str, Any]) -> None:
    """Print a JSON object on one line, with null for NaN and infinity."""
    print(json.dumps(_finite(content)), flush=True)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


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
