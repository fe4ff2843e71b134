"""What losses and metrics cost: ours beside Keras's, 8 x 512 x 512 pixels, 21 classes.

    python benchmarks/losses_and_metrics.py [--rounds 7]

In graph mode, on whatever TensorFlow finds. Losses run forward and backward. All of a
group take turns; the ratios are of medians, to the first of the group.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

from keras_seg import losses, metrics

SHAPE, CLASSES = (8, 512, 512), 21


def gradient_of(loss: Callable, masks: tf.Tensor, logits: tf.Tensor) -> Callable:
    """A graph of a loss and its gradient."""

    @tf.function
    def run() -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = loss(masks, logits)
        return value, tape.gradient(value, logits)

    return lambda: run()[0].numpy()


def update_of(metric: keras.metrics.Metric, masks: tf.Tensor, y: tf.Tensor) -> Callable:
    """A graph of `update_state`."""

    @tf.function
    def run() -> tf.Tensor:
        metric.update_state(masks, y)
        return tf.constant(0)

    return lambda: run().numpy()


def compare(group: dict[str, Callable], rounds: int) -> None:
    """Time the members of a group in turn, and print ratios to the first."""
    spent: dict[str, list[float]] = {name: [] for name in group}
    for turn in range(rounds + 1):
        for name, run in group.items():
            start = time.perf_counter()
            run()
            if turn:  # the first one traces
                spent[name].append(time.perf_counter() - start)
    first = statistics.median(next(iter(spent.values())))
    for name, values in spent.items():
        median = statistics.median(values)
        print(f"{name:44} {1000 * median:7.0f} ms  {median / first:5.2f}")
    print()


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds

    rng = np.random.default_rng(0)
    logits = tf.constant(rng.normal(size=(*SHAPE, CLASSES)).astype(np.float32))
    clean = tf.constant(rng.integers(0, CLASSES, SHAPE), tf.int32)
    ignored = rng.random(SHAPE) < 0.1
    masks = tf.constant(np.where(ignored, 255, clean.numpy()), tf.int32)
    weights = rng.uniform(0.5, 2, CLASSES).tolist()

    plain = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    group = {"Keras SparseCategoricalCrossentropy": gradient_of(plain, clean, logits)}
    for loss in (
        losses.WeightedCrossEntropy(weights),
        losses.Focal(class_weights=weights),
        losses.TopKCrossEntropy(),
        losses.Dice(),
        losses.BoundaryF1(),
        losses.Lovasz(),
    ):
        group[f"{type(loss).__name__}, 255 ignored"] = gradient_of(loss, masks, logits)
    compare(group, rounds)

    argmax = tf.function(lambda: tf.argmax(logits, -1))
    theirs = keras.metrics.MeanIoU(CLASSES, sparse_y_pred=False)
    compare(
        {
            "argmax alone": lambda: argmax().numpy(),
            "MeanIoU": update_of(metrics.MeanIoU(CLASSES), masks, logits),
            "SegmentationScores": update_of(
                metrics.SegmentationScores(CLASSES), masks, logits
            ),
            "Keras MeanIoU, nothing ignored": update_of(theirs, clean, logits),
        },
        rounds,
    )


if __name__ == "__main__":
    main()
