"""How many examples are read at once and how many batches wait: fixed numbers.

TensorFlow can choose both while it reads (`AUTOTUNE`). Then each iterator has a thread
that wakes up ever more seldom, at last once a minute, and now and then misses the call
to end: whoever drops the iterator waits until it wakes up, with Python's lock in hand.
A `fit` opens and drops an iterator or two every epoch.
"""

import os

import tensorflow as tf

READY = 2
"""Batches, or whole images, that are made before they are asked for."""

MOST_CALLS = 32
"""Examples read at once, however many processors: each may be a photo of 100 MB."""


def calls_at_once() -> int:
    """One more than there are processors, so that one is ready when another ends."""
    return min((os.cpu_count() or 1) + 1, MOST_CALLS)


def without_autotune(data: tf.data.Dataset) -> tf.data.Dataset:
    """The same dataset; it, and what is made of it, has no thread that tunes it."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return data.with_options(options)
