import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_seg import data

NAMES = ["background", "cat", "dog"]


def numbered(length, sizes=((4, 6),)):
    """Examples that say who they are: image k is full of k, its mask of k % 3."""
    sizes = list(itertools.islice(itertools.cycle(sizes), length))
    images = [np.full((*size, 3), k, np.uint8) for k, size in enumerate(sizes)]
    masks = [np.full(size, k % 3, np.uint8) for k, size in enumerate(sizes)]
    return data.arrays(images, masks, class_names=NAMES)


def numbers(images):
    """Which examples of `numbered` these are."""
    return [int(image[0, 0, 0]) for image in images]


def order(batches):
    """Numbers of the examples in the order in which batches bring them."""
    return [k for images, *_ in batches for k in numbers(images)]


def equal(one, other):
    """Whether two lists of batches are the same in every pixel."""
    one, other = list(one.as_numpy_iterator()), list(other.as_numpy_iterator())
    return len(one) == len(other) > 0 and all(
        np.array_equal(a, b)
        for pair in zip(one, other, strict=True)
        for a, b in zip(*pair, strict=True)
    )


# Indexing, slices, split


def test_an_example_is_read_by_index():
    image, mask = numbered(5)[3]
    assert (image.dtype, mask.dtype) == (np.uint8, np.int32)
    assert (image == 3).all()
    assert (mask == 0).all()
    assert image.shape == (4, 6, 3)
    assert mask.shape == (4, 6)


def test_negative_indices_count_from_the_end():
    assert numbers([numbered(5)[-1][0], numbered(5)[-5][0]]) == [4, 0]


@pytest.mark.parametrize("index", [5, -6])
def test_past_the_end_is_an_index_error(index):
    with pytest.raises(IndexError):
        numbered(5)[index]


def test_a_loop_over_a_source_ends():
    assert numbers(image for image, _ in numbered(5)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "cut",
    [
        slice(2, 4),
        slice(None, None, 2),
        slice(None, None, -1),
        slice(-2, None),
        slice(3, 99),
        slice(4, 4),
    ],
    ids=str,
)
def test_a_slice_is_a_source_of_these_examples(cut):
    source = numbered(6)[cut]
    expected = list(range(6))[cut]
    assert len(source) == len(expected)
    assert source.class_names == tuple(NAMES)
    assert list(source.names) == [f"example {k}" for k in expected]
    assert numbers(image for image, _ in source) == expected
    assert [int(mask[0, 0]) for _, mask in source] == [k % 3 for k in expected]
    assert order(source.dataset().batch(1)) == expected


def test_a_slice_of_a_slice_reads_and_augments_the_right_examples():
    source = numbered(9)[1::2][1:]
    assert numbers(image for image, _ in source) == [3, 5, 7]
    augment = data.standard_augmentation(color=0)
    assert order(source.batches(2, size=(4, 4), augment=augment)) == [3, 5, 7]


def test_a_split_shares_no_example_and_loses_none():
    first, second = numbered(10).split(0.7, seed=3)
    parts = [numbers(image for image, _ in part) for part in (first, second)]
    assert [len(part) for part in parts] == [7, 3]
    assert sorted(parts[0] + parts[1]) == list(range(10))
    assert parts == [sorted(part) for part in parts]


def test_the_same_seed_splits_alike_and_another_does_not():
    first = [tuple(numbered(30).split(0.5, seed=seed)[0].names) for seed in (0, 0, 1)]
    assert first[0] == first[1] != first[2]


@pytest.mark.parametrize("fraction", [0, 0.01, 0.99, 1, 1.5, -0.5])
def test_a_split_that_leaves_one_side_empty_is_an_error(fraction):
    with pytest.raises(ValueError, match=f"`fraction`.*{fraction} of 10 examples"):
        numbered(10).split(fraction)


def own_source(**arguments):
    """A Source as a user makes one, through NumPy, which tells no shapes."""

    def image(index, window=None):
        pixels = tf.numpy_function(
            lambda k: np.full((4, 6, 2), 10.0 * k + 0.4, np.float32),
            [index],
            tf.float32,
        )
        if window is None:
            return pixels
        top, left, height, width = tf.unstack(window)
        return pixels[top : top + height, left : left + width]

    def mask(index):
        return tf.numpy_function(
            lambda k: np.full((4, 6), k % 3, np.uint8), [index], tf.uint8
        )

    return data.Source(3, image, mask, **{"class_names": NAMES} | arguments)


@pytest.mark.parametrize("augment", [None, data.standard_augmentation()])
def test_a_source_of_ones_own_functions_is_read(augment):
    source = own_source()
    image, mask = source[2]
    assert (image.dtype, mask.dtype) == (np.uint8, np.int32)
    assert np.unique(image).tolist() == [20]
    (images, masks) = next(iter(source.batches(3, size=(4, 6), augment=augment)))
    assert images.shape == (3, 4, 6, 2)
    assert masks.shape == (3, 4, 6)


@pytest.mark.parametrize("part", [lambda s: s, lambda s: s[:], lambda s: s[:][1:]])
def test_a_mask_of_another_size_is_an_error_in_parts_too(part):
    def image(index, window=None):
        pixels = tf.zeros((4, 6, 3), tf.uint8)
        if window is None:
            return pixels
        top, left, height, width = tf.unstack(tf.minimum(window, [3, 5, 4, 6]))
        return pixels[top : top + height, left : left + width]

    def mask(index):
        return tf.zeros((8, 12), tf.uint8)

    source = data.Source(3, image, mask, class_names=NAMES)
    batches = part(source).batches(1, size=(8, 8), augment=data.standard_augmentation())
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"example .: Expected image and mask"
    ):
        next(iter(batches))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"class_names": ["cat"]}, "two classes"),
        ({"class_names": ["cat", "cat"]}, "names that differ"),
        ({"class_names": "cat"}, "names that differ"),
        ({"class_names": [str(k) for k in range(256)]}, "255"),
        ({"names": ["a", "b"]}, "2 names for 3 examples"),
        ({"palette": [(0, 0, 0)]}, r"3 colours.*\(1, 3\)"),
        ({"palette": [(0, 0, 256)] * 3}, "3 colours"),
        ({"palette": [(0.0, 0.5, 1.0)] * 3}, "3 colours.*float64"),
    ],
)
def test_a_source_that_means_nothing_is_an_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        own_source(**arguments)


def test_a_palette_is_kept():
    colors = [(1, 2, 3), (4, 5, 6), (7, 8, 255)]
    source = own_source(palette=colors)
    assert (
        source[:2].palette.tolist()
        == source.palette.tolist()
        == np.array(colors).tolist()
    )


def test_a_dataset_is_all_pairs_in_order_once():
    sizes = [(4, 6), (9, 2), (1, 1)]
    dataset = numbered(7, sizes).dataset()
    assert dataset.cardinality() == 7
    for _ in range(2):
        for k, (image, mask) in enumerate(dataset.as_numpy_iterator()):
            assert (image.dtype, mask.dtype) == (np.uint8, np.int32)
            assert image.shape == (*sizes[k % 3], 3)
            assert (image == k).all()
            assert (mask == k % 3).all()
        assert k == 6


# Batches: shapes and padding


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(1, 1)], (32, 32)),
        ([(32, 64)], (32, 64)),
        ([(33, 64)], (64, 64)),
        ([(5, 33), (40, 7)], (64, 64)),
    ],
)
def test_a_batch_has_the_size_of_its_largest_image_in_multiples_of_32(sizes, expected):
    images, masks = next(iter(numbered(2, sizes).batches(2)))
    assert (images.dtype, masks.dtype) == (tf.uint8, tf.int32)
    assert images.shape == (2, *expected, 3)
    assert masks.shape == (2, *expected)


@pytest.mark.parametrize("size", [None, (50, 45)])
def test_padding_is_0_in_images_and_255_in_masks_at_the_bottom_and_right(size):
    sizes = [(5, 33), (40, 7)]
    images, masks = next(iter(numbered(3, sizes)[1:].batches(2, size=size)))
    for place, (k, (height, width)) in enumerate([(1, sizes[1]), (2, sizes[0])]):
        expected = np.full(masks.shape[1:], 255)
        expected[:height, :width] = k % 3
        np.testing.assert_array_equal(masks[place], expected)
        expected = np.zeros(images.shape[1:])
        expected[:height, :width] = k
        np.testing.assert_array_equal(images[place], expected)


@pytest.mark.parametrize("augment", [None, data.standard_augmentation()])
def test_with_a_size_the_shape_is_static(augment):
    images, masks = numbered(2).batches(2, size=(8, 9), augment=augment).element_spec
    assert images.shape.as_list() == [None, 8, 9, 3]
    assert masks.shape.as_list() == [None, 8, 9]
    images, _ = numbered(2).batches(2, size=(8, 9), drop_remainder=True).element_spec
    assert images.shape.as_list() == [2, 8, 9, 3]


@pytest.mark.parametrize(
    ("drop_remainder", "shard", "lengths"),
    [
        (False, (0, 1), [3, 3, 1]),
        (True, (0, 1), [3, 3]),
        (False, (0, 2), [3, 1]),
        (True, (1, 2), [3]),
        (True, (2, 3), []),
    ],
)
def test_the_last_batch_is_kept_or_dropped_and_counted(drop_remainder, shard, lengths):
    batches = numbered(7).batches(3, drop_remainder=drop_remainder, shard=shard)
    assert batches.cardinality() == len(lengths)
    assert [len(images) for images, _ in batches] == lengths


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "`batch_size` >= 1. Received: 0"),
        ({"size": 320}, "`size`.*Received: 320"),
        ({"size": (0, 5)}, "`size`"),
        ({"size": (1, 2, 3)}, "`size`"),
        ({"shard": (2, 2)}, r"`shard`.*\(2, 2\)"),
        ({"shard": (-1, 2)}, "`shard`"),
        ({"shard": (4, 5)}, r"shard \(4, 5\).*4 in all"),
    ],
)
def test_an_argument_out_of_range_is_an_error_at_once(arguments, message):
    with pytest.raises(ValueError, match=message):
        numbered(4).batches(**{"batch_size": 2} | arguments)


def test_batches_of_no_example_are_an_error():
    with pytest.raises(ValueError, match="0 in all"):
        numbered(4)[:0].batches(2)


# Batches: order and epochs


def test_without_shuffle_every_epoch_is_in_order():
    batches = numbered(5).batches(2)
    assert order(batches) == order(batches) == [0, 1, 2, 3, 4]
    assert order(numbered(3).batches(2, repeat=True).take(4)) == [
        0,
        1,
        2,
        0,
        1,
        2,
        0,
        1,
    ]


def test_shuffled_epochs_are_permutations_that_differ():
    n = 20
    batches = numbered(n).batches(3, shuffle=True)
    finite = [tuple(order(batches)) for _ in range(5)]
    stream = order(numbered(n).batches(1, shuffle=True, repeat=True).take(5 * n))
    endless = [tuple(stream[start : start + n]) for start in range(0, 5 * n, n)]
    assert finite == endless  # the two forms agree
    assert {tuple(sorted(epoch)) for epoch in finite} == {tuple(range(n))}
    assert len({*finite, tuple(range(n))}) == 6


def test_a_shuffled_example_may_come_at_any_place():
    """No buffer: the last example is as likely the first as any other."""
    stream = order(numbered(5).batches(50, shuffle=True, repeat=True).take(40))
    places = [np.flatnonzero(np.array(stream) == k) % 5 for k in range(5)]
    counts = np.array([np.bincount(place, minlength=5) for place in places])
    assert counts.sum(1).tolist() == [400] * 5
    assert counts.min() > 50  # of 80 that are expected


@pytest.mark.parametrize("repeat", [False, True])
def test_the_same_seed_makes_the_same_batches_and_another_does_not(repeat):
    same, again, other = (
        data.shapes(5, size=(24, 24)).batches(
            2,
            size=(16, 16),
            augment=data.standard_augmentation(),
            shuffle=True,
            seed=seed,
            repeat=repeat,
        )
        for seed in (7, 7, 8)
    )
    same, again, other = (batches.take(3) for batches in (same, again, other))
    assert equal(same.cache(), again)
    assert not equal(again, other)


FORMS = pytest.mark.parametrize("repeat", [False, True], ids=["finite", "endless"])
AUGMENTED = {"size": (16, 16), "augment": data.standard_augmentation(), "shuffle": True}


@FORMS
def test_epoch_3_started_equals_epoch_3_reached(repeat):
    source = data.shapes(6, size=(24, 24))
    reached = source.batches(2, repeat=repeat, **AUGMENTED)
    started = source.batches(2, repeat=repeat, first_epoch=3, **AUGMENTED).take(3)
    if repeat:
        reached = reached.skip(3 * 3).take(3)
    else:
        epochs = [list(reached.as_numpy_iterator()) for _ in range(4)]
        assert not np.array_equal(epochs[2][0][0], epochs[3][0][0])
        reached = tf.data.Dataset.from_tensor_slices(
            tuple(np.stack(part) for part in zip(*epochs[3], strict=True))
        )
    assert equal(started, reached)


def test_both_forms_bring_the_same_epoch():
    source = data.shapes(6, size=(24, 24))
    finite = source.batches(2, first_epoch=2, **AUGMENTED)
    endless = source.batches(2, first_epoch=2, repeat=True, **AUGMENTED)
    assert equal(finite, endless.take(3))


def test_an_endless_example_depends_on_its_number_alone():
    """Not on the batch size, nor on how often the dataset was opened or skipped."""
    source = data.shapes(5, size=(24, 24))
    one = source.batches(1, repeat=True, **AUGMENTED).unbatch()
    next(iter(one))
    four = source.batches(4, repeat=True, **AUGMENTED).unbatch()
    assert equal(one.skip(9).take(4), four.skip(9).take(4))
    later = source.batches(2, repeat=True, first_epoch=1, **AUGMENTED).unbatch()
    assert equal(one.skip(9).take(4), later.skip(9 - 5).take(4))


def test_the_endless_form_never_ends():
    batches = numbered(3).batches(2, repeat=True)
    assert batches.cardinality() == tf.data.INFINITE_CARDINALITY
    assert len(list(batches.take(50))) == 50


@pytest.mark.parametrize(("count", "shuffle"), [(2, False), (3, True)])
def test_shards_share_no_example_and_lose_none(count, shuffle):
    n, epochs = 7, 2
    shards = [(index, count) for index in range(count)]
    arguments = {"shuffle": shuffle, "first_epoch": 5}

    finite = [numbered(n).batches(2, shard=s, **arguments) for s in shards]
    for _ in range(epochs):
        assert sorted(k for batches in finite for k in order(batches)) == list(range(n))

    whole = order(numbered(n).batches(1, repeat=True, **arguments).take(n * count))
    endless = [
        order(numbered(n).batches(1, repeat=True, shard=s, **arguments).take(n))
        for s in shards
    ]
    # Every epoch of the run, taken in turns: so many epochs as there are shards.
    turns = [k for turn in zip(*rotated(endless, n * 5), strict=True) for k in turn]
    assert turns == whole


def rotated(shards, first):
    """Shards in the order in which they take the steps from the first one."""
    return [shards[(first + turn) % len(shards)] for turn in range(len(shards))]


# Batches: what users give


def shift_ids(image, mask, seed):
    """Turn left, which changes the size, and add what the seed says."""
    step = tf.cast(tf.random.stateless_uniform([], seed, 0, 100, tf.int32), tf.float32)
    return tf.image.rot90(tf.cast(image, tf.float32) + step), tf.transpose(mask)[::-1]


@pytest.mark.parametrize(("size", "shape"), [(None, (32, 32)), ((3, 9), (3, 9))])
def test_what_an_own_augmentation_returns_is_cropped_and_padded(size, shape):
    batches = numbered(3).batches(3, size=size, augment=shift_ids, seed=2)
    images, masks = next(batches.as_numpy_iterator())
    assert (images.dtype, masks.dtype) == (np.uint8, np.int32)
    assert images.shape == (3, *shape, 3)
    assert masks.shape == (3, *shape)
    height, width = min(6, shape[0]), min(4, shape[1])  # turned, of 4 x 6
    for k in range(3):
        assert (masks[k, :height, :width] == k).all()
        assert (masks[k] == 255).sum() == shape[0] * shape[1] - height * width
        step = tf.random.stateless_uniform([], (2, k), 0, 100, tf.int32).numpy()
        assert (images[k, :height, :width] == k + step).all()
        assert (images[k][masks[k] == 255] == 0).all()


def test_an_own_augmentation_is_cropped_at_random_and_together():
    mask = np.arange(200).reshape(10, 20)
    image = np.repeat(mask[..., None], 3, -1).astype(np.uint8)
    names = [f"class {label}" for label in range(200)]
    source = data.arrays([image], [mask], class_names=names)
    batches = source.batches(120, size=(4, 25), augment=lambda *x: x[:2], repeat=True)
    images, masks = next(batches.as_numpy_iterator())
    np.testing.assert_array_equal(images[..., 0], np.where(masks == 255, 0, masks))
    tops = {int(top) for top in masks[:, 0, 0]}
    assert tops == {20 * row for row in range(7)}


@pytest.mark.parametrize("size", [None, (4, 4)])
def test_an_own_augmentation_that_tears_image_and_mask_apart_is_an_error(size):
    batches = numbered(2).batches(
        1, size=size, augment=lambda image, mask, seed: (image[:, :3], mask)
    )
    with pytest.raises(Exception, match="example 0"):
        list(batches)


def test_an_own_augmentation_that_leaves_the_classes_is_an_error():
    batches = numbered(2).batches(
        1,
        augment=lambda image, mask, seed: (
            image,
            mask + tf.cast(seed[1], tf.int32) * 9,
        ),
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"example 1: .*10"):
        list(batches)


@FORMS
@pytest.mark.parametrize("size", [None, (50, 45)])
def test_sample_weights_are_the_third_element(size, repeat):
    batches = numbered(2, [(5, 33), (40, 7)]).batches(
        2,
        size=size,
        repeat=repeat,
        sample_weight=lambda mask: tf.cast(mask != 255, tf.float32) * 0.5,
    )
    _, masks, weights = next(batches.as_numpy_iterator())
    assert weights.dtype == np.float32
    np.testing.assert_array_equal(weights, 0.5 * (masks != 255))


@FORMS
@pytest.mark.parametrize("weighted", [False, True])
def test_keras_fits_on_batches(repeat, weighted):
    model = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(3, 1)])
    loss = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, ignore_class=255
    )
    model.compile("sgd", loss, jit_compile=False)
    weight = (lambda mask: tf.cast(mask == 0, tf.float32)) if weighted else None
    batches = numbered(3).batches(2, repeat=repeat, sample_weight=weight)
    history = model.fit(batches, steps_per_epoch=2 if repeat else None, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert model.optimizer.iterations == 2
