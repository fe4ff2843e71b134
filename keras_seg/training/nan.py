"""Stop a training whose loss is NaN or infinite, and say which files it read."""

import math
import threading
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_seg.arguments import check_integer, check_seed
from keras_seg.data import Source
from keras_seg.data.order import example_of
from keras_seg.models.outputs import broken_weights


class NonFiniteLossError(ValueError):
    """The loss became NaN or infinite."""


class StopOnNaN(keras.callbacks.Callback):
    """Stop training at the first step whose loss is NaN or infinite.

    `keras.callbacks.TerminateOnNaN` ends `fit` like a training that is done: its last
    epoch is validated, kept and written. This callback raises, so that no other
    callback sees the epoch, and says which step it was and which examples it read. It
    also looks at the weights when an epoch ends, because a model of NaN may have a
    finite loss: TensorFlow's fused convolutions turn NaN into 0.

    It belongs at the beginning of the callbacks. It doesn't wait for the device: where
    nothing else does either, on JAX, `fit` may end some steps later.

    Args:
        source: The examples that are trained on, to name them. None names the step
            only. The others are the arguments that `source.batches` was given.
        batch_size: Examples per batch.
        shuffle: Whether each epoch has an order of its own.
        seed: Seed of the order.
        repeat: Whether the batches go on for ever.
        first_step: Batches passed over at the beginning, with `repeat`.
        first_epoch: Epoch that the batches begin with.

    Raises:
        NonFiniteLossError: a ValueError; `fit` ends with it.

    Example:
        arguments = {"batch_size": 8, "shuffle": True, "seed": 3, "repeat": True}
        model.fit(
            source.batches(size=(256, 256), **arguments),
            steps_per_epoch=100,
            callbacks=[StopOnNaN(source, **arguments)],
        )
    """

    # Where Keras can (JAX), it calls this in a thread, and the training goes on.
    async_safe = True

    def __init__(
        self,
        source: Source | None = None,
        batch_size: int = 1,
        *,
        shuffle: bool = False,
        seed: int = 0,
        repeat: bool = False,
        first_step: int = 0,
        first_epoch: int = 0,
    ):
        super().__init__()
        self.source = source
        self.batch_size = check_integer("batch_size", batch_size, 1)
        self.shuffle = shuffle
        self.seed = check_seed(seed, least=-(2**63))
        self.repeat = repeat
        self.first_step = check_integer("first_step", first_step, 0)
        self.first_epoch = check_integer("first_epoch", first_epoch, 0)
        self._lock = threading.Lock()
        self._begun: list[int] = []  # first batches of steps that aren't looked at yet
        self._bad: dict[int, float] = {}  # losses by batch
        self._last: dict[int, int] = {}  # last batch of a step by its first one
        self._epoch = self._epochs_before = self._batches_before = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._epochs_before = self._batches_before = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch, self._batches = epoch, 0
        self._begun, self._bad, self._last = [], {}, {}

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        self._raise_if_known()
        with self._lock:
            self._begun.append(batch)

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        # The mean loss of the epoch so far: NaN from the first bad step on.
        loss = float((logs or {}).get("loss", 0.0))
        with self._lock:
            first = max((b for b in self._begun if b <= batch), default=batch)
            if first in self._begun:
                self._begun.remove(first)
            self._batches = max(self._batches, batch + 1)
            if not math.isfinite(loss):
                self._bad[first], self._last[first] = loss, batch
        self._raise_if_known()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._begun = []
        self._raise_if_known()
        self._epochs_before += 1
        self._batches_before += self._batches
        broken = broken_weights(self.model)
        if broken:
            raise NonFiniteLossError(
                f"Expected finite weights. Received: NaN or infinity in "
                f"{', '.join(broken[:3])} after epoch {epoch + 1}. {_CAUSES}"
            )

    def _raise_if_known(self) -> None:
        """Raise for the first bad step, once all before it are known."""
        with self._lock:
            first = min(self._bad, default=None)
            if first is None or any(b < first for b in self._begun):
                return
            loss, last = self._bad[first], self._last[first]
        step = f"step {first + 1}"
        if last > first:  # several steps in one call of the device
            step = f"one of steps {first + 1} to {last + 1}"
        raise NonFiniteLossError(
            f"Expected a finite loss. Received: {loss} at {step} of epoch "
            f"{self._epoch + 1}{self._examples(first, last)}. {_CAUSES}"
        )

    def _examples(self, first: int, last: int) -> str:
        if self.source is None:
            return ""
        names = [str(self.source.names[k]) for k in self.indices(first, last)]
        return f", whose batch has {', '.join(dict.fromkeys(names))}"

    def indices(self, first: int, last: int) -> Sequence[int]:
        """Indices of the examples that batches of the current epoch read.

        Args:
            first: The first of the batches, counted from 0.
            last: The last of them.
        """
        if self.source is None:
            return []
        n = len(self.source)
        begin, end = first * self.batch_size, (last + 1) * self.batch_size
        if self.repeat:
            before = self.first_epoch * n
            before += (self.first_step + self._batches_before) * self.batch_size
        else:
            before = (self.first_epoch + self._epochs_before) * n
            end = min(end, n)
        return [
            int(
                example_of(
                    tf.constant(step, tf.int64), n, shuffle=self.shuffle, seed=self.seed
                )
            )
            for step in range(before + begin, before + end)
        ]


_CAUSES = (
    "Likely causes, the commonest first: `learning_rate` too high; `precision` "
    "mixed_float16, in which large numbers overflow (mixed_bfloat16 doesn't); initial "
    "weights with NaN; in batches of your own, images or sample weights with NaN."
)
