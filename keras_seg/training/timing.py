"""How long training waits for its data, and how long it will take."""

import time
from typing import Any

import numpy as np
import tensorflow as tf

from keras_seg.data.decode.numpy_op import until_exit
from keras_seg.data.tracing import unconverted


class DataWait:
    """Measure how long the training step waits for each batch.

    Keras asks for a batch inside its compiled step, where Python can't look. So the
    clock is read in the pipeline, by the thread that asks: when the batch is asked for,
    and when it is there. That costs a fraction of a millisecond a batch. (The clock is
    Python's: TensorFlow's `timestamp` is refused with deterministic operations.)

    Attributes:
        seconds: Seconds waited so far, None if that isn't measured.
        images: Images delivered so far.

    Example:
        >>> wait = DataWait()
        >>> batches = wait.measured(tf.data.Dataset.range(6).batch(3))
        >>> [batch.numpy().tolist() for batch in batches]
        [[0, 1, 2], [3, 4, 5]]
        >>> wait.images
        6
    """

    def __init__(self) -> None:
        self.seconds: float | None = None
        self.images = 0

    def measured(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        """The same batches, measured."""
        self.seconds, self.images = 0.0, 0
        begin, end = until_exit(self._begin), until_exit(self._end)

        @unconverted
        def note(asked: Any, batch: Any) -> Any:
            images = tf.shape(tf.nest.flatten(batch)[0])[0]
            done = tf.numpy_function(end, [asked, images], tf.int64)
            with tf.control_dependencies([done]):
                return tf.nest.map_structure(tf.identity, batch)

        asked = tf.data.Dataset.counter().map(
            unconverted(lambda _: tf.numpy_function(begin, [], tf.float64))
        )
        # `zip` gets from its datasets one after the other, this clock first.
        data = tf.data.Dataset.zip(asked, batches).map(note)
        options = tf.data.Options()
        # A buffer after the clocks would let them measure the buffer.
        options.experimental_optimization.inject_prefetch = False
        return data.with_options(options)

    def _begin(self) -> np.float64:
        return np.float64(time.monotonic())

    def _end(self, asked: np.ndarray, images: np.ndarray) -> np.int64:
        if self.seconds is not None:
            self.seconds += time.monotonic() - float(asked)
            self.images += int(images)
        return np.int64(0)


class RunTimes:
    """Times of a training, from which follows how long the rest will take.

    The first step, in which TensorFlow compiles, counts for no other step. Epochs with
    validation and those without are told apart.

    Args:
        every: Epochs from one validation to the next; the last one is validated.
        wait: What measures the data.
    """

    def __init__(self, every: int, wait: DataWait):
        self.every = every
        self.wait = wait
        self.epochs = 0
        self.steps: int | None = None
        self._step_seconds: float | None = None
        self._after: dict[bool, float] = {}  # seconds after the last step, if validated
        self._gap = 0.0  # from the end of an epoch to the next one
        self._epoch = self._steps_done = self._counted = 0
        self._began = self._first = self._last = self._ended = 0.0
        self._is_first_step = True
        self._at_first: tuple[float, int] | None = None
        self._total = [0.0, 0.0, 0]  # seconds, seconds waited, images

    def begin(self, epochs: int, steps: int | None) -> None:
        """A training begins."""
        self.epochs, self.steps = epochs, steps
        self._ended = 0.0
        self._is_first_step = True

    def begin_epoch(self, epoch: int) -> None:
        """An epoch begins, counted from 0."""
        self._began = self._last = time.monotonic()
        if self._ended:
            self._gap = self._began - self._ended
        self._epoch, self._steps_done = epoch, 0
        self._first, self._counted = self._began, 0
        self._at_first = self._measured()

    def end_step(self, batch: int) -> None:
        """A step is done; `batch` counts from 0."""
        steps, self._steps_done = batch + 1 - self._steps_done, batch + 1
        self._last = time.monotonic()
        if self._is_first_step:
            self._is_first_step = False
            self._first = self._last
            self._at_first = self._measured()
        else:
            self._counted += steps
        if self._counted:
            self._step_seconds = (self._last - self._first) / self._counted

    def end_epoch(self, *, validated: bool) -> None:
        """All of an epoch is done, but for what comes after this callback."""
        self._ended = time.monotonic()
        self._after[validated] = self._ended - self._last
        if self._step_seconds is None:  # one step only
            self._step_seconds = self._last - self._began
        self.steps = self._steps_done or self.steps
        rate = self._rates()
        if rate is not None:
            for k, value in enumerate(rate):
                self._total[k] += value

    @property
    def seconds(self) -> float:
        """Seconds of this epoch so far."""
        return time.monotonic() - self._began

    def seconds_left(self, done: int = 0, images: int | None = None) -> float | None:
        """Seconds of the training that are left, None if that can't be said yet.

        Args:
            done: Images that are validated in this epoch, while it is validated.
            images: Images to validate, None while it isn't.
        """
        if self._step_seconds is None or self.steps is None:
            return None
        left = 0.0
        after = dict(self._after)
        now = time.monotonic()
        is_over = self._ended >= self._last and self._ended > self._began
        if images is not None and done:
            after[True] = (now - self._last) * images / done
            left += max(0.0, after[True] - (now - self._last))
        elif not is_over:
            left += self._step_seconds * (self.steps - self._steps_done)
            here = self._is_validated(self._epoch)
            if here and True not in after:
                return None
            left += after.get(here, 0.0)
        for epoch in range(self._epoch + 1, self.epochs):
            is_validated = self._is_validated(epoch)
            if is_validated and True not in after:
                return None
            left += self._step_seconds * self.steps + self._gap
            left += after.get(is_validated, 0.0)
        return left

    def rate(self, *, whole: bool = False) -> tuple[float, float] | None:
        """Images per second, and the share of the time that steps waited for data.

        Args:
            whole: Whether over the whole training, or over this epoch.

        Returns:
            None if it isn't measured.
        """
        seconds, waited, images = self._total if whole else self._rates() or (0, 0, 0)
        return (images / seconds, waited / seconds) if seconds and images else None

    def _is_validated(self, epoch: int) -> bool:
        return (epoch + 1) % self.every == 0 or epoch + 1 == self.epochs

    def _measured(self) -> tuple[float, int] | None:
        seconds = self.wait.seconds
        return None if seconds is None else (seconds, self.wait.images)

    def _rates(self) -> tuple[float, float, int] | None:
        """Seconds of this epoch's steps, those waited in, and images."""
        now = self._measured()
        if now is None or self._at_first is None or not self._counted:
            return None
        waited, images = (b - a for a, b in zip(self._at_first, now, strict=True))
        return self._last - self._first, waited, int(images)
