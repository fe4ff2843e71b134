"""`cached`: the examples of a Source, in memory."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

import keras_seg
from keras_seg.data import Source, cached, standard_augmentation
from keras_seg.data.tools import cache


@pytest.fixture(scope="module")
def source():
    """Examples of several sizes, which count how often they are read."""
    reads = tf.Variable(0)

    def image(index):
        reads.assign_add(1)
        side = tf.cast(20 + 3 * index, tf.int32)
        return tf.fill((side, 24, 3), tf.cast(index, tf.uint8))

    def mask(index):
        side = tf.cast(20 + 3 * index, tf.int32)
        ids = tf.range(24) % 4
        return tf.repeat(tf.where(ids == 3, 255, ids)[None], side, axis=0)

    source = Source(
        5,
        image,
        mask,
        class_names=["ground", "cat", "dog"],
        names=["a", "b", "c", "d", "e"],
        palette=[[1, 2, 3], [4, 5, 6], [7, 8, 9]],
    )
    source.reads = reads
    return source


@pytest.fixture(scope="module")
def in_memory(source):
    return cached(source, verbose=False)


def test_a_cached_source_has_the_same_examples(source, in_memory):
    assert len(in_memory) == len(source)
    assert list(in_memory.names) == list(source.names)
    assert in_memory.class_names == source.class_names
    np.testing.assert_array_equal(in_memory.palette, source.palette)
    assert in_memory.size(2) == (26, 24)
    for (image, mask), (image2, mask2) in zip(source, in_memory, strict=True):
        np.testing.assert_array_equal(image, image2)
        np.testing.assert_array_equal(mask, mask2)


def test_batches_of_a_cached_source_are_the_same_and_read_nothing(source, in_memory):
    options = {"size": (16, 16), "shuffle": True, "seed": 3}
    augment = standard_augmentation(rotation=20)
    before = list(source.batches(2, augment=augment, **options))
    reads = int(source.reads)
    after = list(in_memory.batches(2, augment=augment, **options))
    assert int(source.reads) == reads
    for (image, mask), (image2, mask2) in zip(before, after, strict=True):
        np.testing.assert_array_equal(image, image2)
        np.testing.assert_array_equal(mask, mask2)


def test_what_does_not_fit_into_memory_is_refused_before_reading(source, monkeypatch):
    # 20..32 rows of 24 pixels: 3 bytes each in the image and 1 in the mask
    assert cache.memory_needed(source) == 4 * 24 * (20 + 23 + 26 + 29 + 32)
    monkeypatch.setattr(cache, "memory_needed", lambda source: 3 * 2**30)
    for gigabytes, fits in ((4.2, False), (4.4, True)):  # of which 70 % may be taken
        memory = SimpleNamespace(available=gigabytes * 2**30)
        monkeypatch.setattr(
            cache.psutil, "virtual_memory", lambda memory=memory: memory
        )
        if fits:
            assert len(cached(source, verbose=False)) == 5
            continue
        reads = int(source.reads)
        message = r"5 examples, which need 3 GiB of the 4\.2 GiB"
        with pytest.raises(MemoryError, match=message):
            cached(source)
        assert int(source.reads) == reads


def test_a_file_that_can_not_be_read_is_named():
    images = [np.zeros((8, 8, 3), np.uint8)] * 3
    masks = [np.zeros((8, 8), int), np.zeros((8, 8), int), np.full((8, 8), 7)]
    with pytest.raises(ValueError, match="example 2"):
        cached(keras_seg.data.arrays(images, masks, class_names=["a", "b"]))
