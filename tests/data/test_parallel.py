"""Iterators that are dropped are gone at once, however old they are."""

import os
import time

import pytest

from keras_seg import data
from keras_seg.data.parallel import calls_at_once
from keras_seg.training.timing import DataWait

SOURCE = data.shapes(4, size=(16, 16))

DATASETS = {
    "batches": lambda: SOURCE.batches(2),
    "augmented": lambda: SOURCE.batches(
        2, size=(8, 8), augment=data.standard_augmentation(), shuffle=True, repeat=True
    ),
    "measured": lambda: DataWait().measured(SOURCE.batches(2)),
    "whole": lambda: SOURCE.whole_images(multiple_of=32),
    "examples": SOURCE.dataset,
    "masks": SOURCE.masks,
    "mapped": lambda: SOURCE.batches(2).map(lambda image, mask: (image, mask)),
}


@pytest.mark.parametrize("name", DATASETS)
def test_no_thread_tunes_a_dataset(name):
    assert DATASETS[name]().options().autotune.enabled is False


@pytest.mark.parametrize(("processors", "calls"), [(None, 2), (2, 3), (128, 32)])
def test_calls_go_with_processors_up_to_a_limit(monkeypatch, processors, calls):
    monkeypatch.setattr(os, "cpu_count", lambda: processors)
    assert calls_at_once() == calls


@pytest.mark.slow
def test_old_iterators_are_dropped_without_waiting():
    batches = SOURCE.batches(2, repeat=True)
    iterators = [iter(batches) for _ in range(300)]
    for iterator in iterators:
        next(iterator)
    del iterator
    time.sleep(6)  # from here on TensorFlow's thread would wake up every 5 s or more
    while iterators:
        start = time.monotonic()
        iterators.pop()
        assert time.monotonic() - start < 2
