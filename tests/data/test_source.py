import functools
import itertools
import operator
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_seg
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
        slice(None, None, 2),
        slice(None, None, -1),
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

    def image(index):
        return tf.numpy_function(
            lambda k: np.full((4, 6, 2), 10.0 * k + 2.4, np.float32),
            [index],
            tf.float32,
        )

    def mask(index):
        return tf.numpy_function(
            lambda k: np.full((4, 6), k % 3, np.uint8), [index], tf.uint8
        )

    return data.Source(3, image, mask, **{"class_names": NAMES} | arguments)


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        ([3, 1, 3], [3, 1, 3]),
        ([], []),
        ([-1, 0], [5, 0]),
        (np.array([4, 2], np.uint8), [4, 2]),
        (range(2, 6, 2), [2, 4]),
        ([True, False, False, True, False, False], [0, 3]),
        (np.arange(6) > 3, [4, 5]),
        (tf.constant([1, 0]), [1, 0]),
    ],
    ids=str,
)
def test_a_list_of_indices_is_a_source_of_these_examples(index, expected):
    source = numbered(6)[index]
    assert isinstance(source, data.Source)
    assert numbers(image for image, _ in source) == expected
    assert list(source.names) == [f"example {k}" for k in expected]


@pytest.mark.parametrize(
    "index", [np.int64(2), np.uint8(2), np.array(2), tf.constant(2)]
)
def test_an_integer_of_any_kind_is_an_index(index):
    assert numbers([numbered(6)[index][0]]) == [2]


@pytest.mark.parametrize(
    ("index", "error"),
    [
        (2.0, TypeError),
        ("2", TypeError),
        (None, TypeError),
        (True, TypeError),
        ((1, 2), TypeError),
        ([1.0, 2.0], TypeError),
        ([[1, 2]], TypeError),
        ([[1], [1, 2]], TypeError),
        (["1"], TypeError),
        ([1, 6], IndexError),
        ([-7], IndexError),
        ([True] * 5, IndexError),
    ],
    ids=str,
)
def test_what_is_no_index_is_an_error(index, error):
    with pytest.raises(error, match="Expected"):
        numbered(6)[index]


def test_parts_of_parts_are_those_of_a_list():
    source, expected = numbered(9)[[8, 1, 5, 5, 0]][::-1][[0, 2, 1]], [0, 5, 5]
    assert numbers(image for image, _ in source) == expected
    assert order(source.dataset().batch(1)) == expected


def test_the_sum_of_two_sources_has_the_examples_of_both():
    source = numbered(3, [(4, 6)]) + numbered(5, [(9, 2)])[3:]
    assert len(source) == 5
    assert list(source.names) == [f"example {k}" for k in (0, 1, 2, 3, 4)]
    assert numbers(image for image, _ in source) == [0, 1, 2, 3, 4]
    assert [mask.shape for _, mask in source] == [(4, 6)] * 3 + [(9, 2)] * 2
    assert order(source.batches(2)) == [0, 1, 2, 3, 4]
    augment = data.standard_augmentation(color=0)
    assert order(source[::-1].batches(2, size=(4, 4), augment=augment)) == [
        4,
        3,
        2,
        1,
        0,
    ]


def test_a_sum_with_a_source_of_no_examples_is_the_other_one():
    source = numbered(3)
    assert source + source[:0] is source[:0] + source is source


def test_sources_of_other_classes_or_channels_have_no_sum():
    other = data.arrays(
        np.zeros((1, 4, 6, 3), "uint8"),
        np.zeros((1, 4, 6), int),
        class_names=["a", "b"],
    )
    with pytest.raises(ValueError, match="cat, dog; and a, b"):
        numbered(1) + other
    grey = data.arrays(
        np.zeros((1, 4, 6, 1), "uint8"), np.zeros((1, 4, 6), int), class_names=NAMES
    )
    with pytest.raises(ValueError, match=r"channels\. Received: 3 and 1"):
        numbered(1) + grey
    with pytest.raises(TypeError):
        numbered(1) + 1


def ids_0_to_4():
    mask = np.array([[0, 1, 2, 3, 4, 255]])
    names = ["ground", "cat", "dog", "car", "bus"]
    return data.arrays(np.zeros((2, 1, 6, 3), "uint8"), [mask, mask], class_names=names)


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([0, (1, 2), (3, 4)], [0, 1, 1, 2, 2, 255]),
        ({0: 0, (1, 2): 1, range(3, 5): 2}, [0, 1, 1, 2, 2, 255]),
        ({"ground": 255, ("cat", "dog"): 1, "car": 2, 4: 0}, [255, 1, 1, 2, 0, 255]),
    ],
)
def test_several_ids_become_one_class(ids, expected):
    source = ids_0_to_4()[1:].map_ids(ids, ["ground", "animal", "vehicle"])
    assert source.class_names == ("ground", "animal", "vehicle")
    assert source.num_classes == len(source.palette) == 3
    assert source[0][1].tolist() == [expected]
    _, mask = next(source.batches(1).as_numpy_iterator())
    assert mask[0, 0, :6].tolist() == expected


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([0, (1, 2)], "`ids` of 3 classes. Received: 2"),
        ([0, (1, 2), 3], r"none for 4 \(bus\).*255"),
        ([0, (1, 2), (2, 3, 4)], "one new id for 2"),
        ([0, (1, 2), (3, 4, 5)], "ids 0..4, or their names. Received: 5"),
        ([0, (1, "bird"), (3, 4)], "Received: 'bird'"),
        ({range(5): 3}, "new ids 0..2, or 255. Received: 3"),
        ({range(5): 0.5}, "Received: 0.5"),
        ("01234", "mapping or list"),
        (7, "mapping or list"),
    ],
)
def test_ids_that_do_not_name_each_class_once_are_an_error(ids, message):
    with pytest.raises(ValueError, match=message):
        ids_0_to_4().map_ids(ids, ["ground", "animal", "vehicle"])


def test_a_mapped_source_still_names_ids_that_are_none():
    mask = np.array([[0, 7]])
    source = data.arrays(np.zeros((1, 1, 2, 3), "uint8"), [mask], class_names=NAMES)
    with pytest.raises(ValueError, match=r"example 0: .*ids 0\.\.2.*Received: 7"):
        source.map_ids([0, (1, 2)], ["ground", "pet"])[0]


def test_the_repr_says_how_many_of_what_and_from_where():
    assert repr(data.shapes(1200, size=(8, 9))) == (
        "Source(1,200 examples, 6 classes (background, disc, square, triangle, ring, "
        "cross), shapes(size=(8, 9), seed=0))"
    )
    names = [f"class{k}" for k in range(9)]
    source = data.Source(0, ones, ones, class_names=names)
    assert repr(source) == (
        "Source(0 examples, 9 classes (class0, class1, class2, class3, ..., class8))"
    )
    assert "part of shapes" in repr(data.shapes(3)[:2][:1])


def test_class_names_may_be_a_mapping_from_ids_or_of_numpy():
    names = {2: "dog", 0: "background", 1: "cat"}
    for given in (names, np.array(NAMES), iter(NAMES)):
        assert own_source(class_names=given).class_names == tuple(NAMES)
    assert "str_" not in repr(own_source(class_names=np.array(NAMES)).class_names)


def ones(index):
    return tf.ones((4, 6), tf.uint8)


class Images:
    """Ways to write a function of an index."""

    def method(self, index):
        return image_of(index)

    def __call__(self, index):
        return image_of(index)


def image_of(index, scale=10):
    """Pixel (y, x) of example k is 10 k + y + x."""
    pixels = tf.range(4)[:, None] + tf.range(6)
    pixels = pixels[..., None] + scale * tf.cast(index, tf.int32)
    return tf.cast(tf.repeat(pixels, 3, -1), tf.uint8)


def with_any_keywords(index, **options):
    assert not options
    return image_of(index)


def with_window(index, window=None, mask_size=None):
    return cut(image_of(index), window)


def with_any_arguments(*arguments, **options):
    return image_of(*arguments, **options)


@functools.wraps(with_window)
def wrapped(index):
    return image_of(index)


def cut(image, window):
    if window is None:
        return image
    top, left, height, width = tf.unstack(window)
    return image[top : top + height, left : left + width]


FUNCTIONS = {
    "function": image_of,
    "lambda": lambda index: image_of(index),
    "partial": functools.partial(image_of, scale=10),
    "partial of a window": functools.partial(with_window, window=None),
    "method": Images().method,
    "callable object": Images(),
    "**options": with_any_keywords,
    "*arguments": with_any_arguments,
    "wrapped": wrapped,
    "tf.function": tf.function(image_of),
    "window": with_window,
    "window by keyword": lambda index, *, window=None: cut(image_of(index), window),
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_any_function_of_an_index_is_read_whole(function):
    source = data.Source(3, function, ones, class_names=NAMES)
    np.testing.assert_array_equal(source[2][0], image_of(2))


def test_any_function_of_an_index_is_read_in_windows():
    sources = [data.Source(3, f, ones, class_names=NAMES) for f in FUNCTIONS.values()]
    source = functools.reduce(operator.add, sources)
    augment = data.standard_augmentation(scale=(1, 1), flip=False, color=0)
    batches = source.batches(3, size=(2, 3), augment=augment)
    for name, (images, _) in zip(FUNCTIONS, batches, strict=True):
        for k, image in enumerate(images.numpy().astype(int)):
            first = image[0, 0, 0]
            assert 10 * k <= first <= 10 * k + 5, name
            expected = first + np.indices((2, 3)).sum(0)
            np.testing.assert_array_equal(image[..., 0], expected, err_msg=name)


@pytest.mark.parametrize("function", [lambda: 0, lambda index, other: 0, 3, None])
def test_what_is_no_function_of_an_index_is_an_error(function):
    with pytest.raises(ValueError, match="`image` to be a function of an index"):
        data.Source(3, function, ones, class_names=NAMES)
    with pytest.raises(ValueError, match="`mask` to be a function of an index"):
        data.Source(3, image_of, function, class_names=NAMES)


@pytest.mark.parametrize("length", [-1, 2.5, "3", None])
def test_a_length_that_is_no_number_of_examples_is_an_error(length):
    with pytest.raises(ValueError, match="`length`"):
        data.Source(length, image_of, ones, class_names=NAMES)


@pytest.mark.parametrize(
    ("image", "mask", "message"),
    [
        (ones, ones, "Grey images need a last axis of 1"),
        (lambda i: tf.cast(image_of(i), tf.int32), ones, "0..255. Received: int32"),
        (
            lambda i: image_of(0) / 255,
            ones,
            r"float32 in 0..0.03.*`value_range=\(0, 1\)`",
        ),
        (lambda i: tf.zeros((4, 6, 3)) - 1, ones, "float32 in -1..-1"),
        (image_of, lambda i: tf.ones((4, 6)), "mask of integers.*float32"),
        (image_of, lambda i: tf.ones((4, 6), bool), "mask of integers.*bool"),
        (image_of, lambda i: tf.ones((4, 6, 1), tf.uint8), r"mask.*\(4, 6, 1\)"),
        (image_of, lambda i: tf.ones((4, 5), tf.uint8), "image 4 x 6, mask 4 x 5"),
    ],
)
def test_what_is_no_image_or_mask_is_an_error_by_its_number(image, mask, message):
    source = data.Source(3, image, mask, class_names=NAMES)
    with pytest.raises(ValueError, match=f"^example 1: .*{message}"):
        source[1]


@pytest.mark.parametrize("augment", [None, data.standard_augmentation()])
def test_a_source_of_ones_own_functions_is_read(augment):
    source = own_source()
    image, mask = source[2]
    assert (image.dtype, mask.dtype) == (np.float32, np.int32)
    assert np.unique(image).tolist() == [np.float32(22.4)]
    (images, masks) = next(iter(source.batches(3, size=(4, 6), augment=augment)))
    assert images.shape == (3, 4, 6, 2)
    assert masks.shape == (3, 4, 6)


@pytest.mark.parametrize("part", [lambda s: s, lambda s: s[:][1:]])
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
        ({"class_names": "cat"}, "list of names.*'cat'"),
        ({"class_names": None}, "list of names.*None"),
        ({"class_names": 3}, "list of names.*3"),
        ({"class_names": [0, 1]}, "list of names.*0, which is no string"),
        ({"class_names": ["cat", None]}, "None, which is no string"),
        ({"class_names": ["cat", ""]}, "'', a blank name"),
        ({"class_names": ["cat", "  "]}, "'  ', a blank name"),
        ({"class_names": ["cat", "a\nb"]}, "one of several lines"),
        ({"class_names": {"cat", "dog"}}, "no order"),
        ({"class_names": {0: "cat", 2: "dog"}}, "of all ids from 0 on"),
        ({"class_names": {"cat": 0, "dog": 1}}, "of all ids from 0 on"),
        ({"class_names": [str(k) for k in range(256)]}, r"ignore=255.*are 0\.\.255"),
        ({"names": ["a", "b"]}, "2 names for 3 examples"),
        ({"names": "abc"}, "`names` to be a list"),
        ({"palette": []}, "3 colours"),
        ({"palette": [(0, 0, 0), (1, 1)]}, "3 colours"),
        ({"palette": "reds"}, "3 colours"),
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


def test_whole_images_are_scored_alike_by_fit_evaluate_and_predict_mask():
    """Sizes that aren't multiples of 32, where padding would change the numbers."""
    source = data.shapes(3, size=(33, 21)) + data.shapes(2, size=(17, 40), seed=1)
    model = keras_seg.unet(6, widths=(4, 8))
    model.compile(
        keras.optimizers.SGD(0.0),
        loss=keras_seg.losses.WeightedCrossEntropy(),
        metrics=[keras_seg.metrics.MeanIoU(6)],
        run_eagerly=True,
    )
    images, masks = source.whole_images().element_spec
    assert images.shape.as_list() == [1, None, None, 3]
    assert masks.shape.as_list() == [1, None, None]
    history = model.fit(
        source.batches(1, size=(40, 40), repeat=True),
        steps_per_epoch=1,
        validation_data=source.whole_images(),
        shuffle=False,
        verbose=0,
    ).history
    loss, score = model.evaluate(source.whole_images(), verbose=0)
    metric = keras_seg.metrics.MeanIoU(6)
    for image, mask in source:
        prediction = keras_seg.predict_mask(model, image)
        metric.update_state(mask[None], prediction[None])
    assert history["val_mean_iou"] == [score] == [float(metric.result())]
    assert history["val_loss"] == [loss]


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
    ("drop_remainder", "shard", "expected"),
    [
        (False, (0, 1), [[0, 1, 2], [3, 4, 5], [6]]),
        (True, (0, 1), [[0, 1, 2], [3, 4, 5]]),
        (False, (0, 2), [[0, 2, 4], [6]]),
        (True, (1, 2), [[1, 3, 5]]),
        (True, (2, 3), []),
    ],
)
def test_the_last_batch_is_kept_or_dropped_and_counted(drop_remainder, shard, expected):
    batches = numbered(7).batches(3, drop_remainder=drop_remainder, shard=shard)
    assert batches.cardinality() == len(expected)
    assert [numbers(images) for images, _ in batches] == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"batch_size": 0},
            "`batch_size` to be a whole number, 1 or more. Received: 0",
        ),
        ({"batch_size": 2.0}, "`batch_size`.*2.0"),
        ({"seed": 0.5}, "`seed`.*0.5"),
        ({"first_epoch": -1}, "`first_epoch`.*-1"),
        ({"augment": True}, "`augment`.*True"),
        ({"letterbox": True}, "`letterbox` with a `size`"),
        ({"size": 320}, "`size`.*Received: 320"),
        ({"size": (320.5, 320)}, "`size`.*320.5"),
        ({"size": (0, 5)}, "`size`"),
        ({"size": (1, 2, 3)}, "`size`"),
        ({"shard": (2, 2)}, r"`shard`.*\(2, 2\)"),
        ({"shard": (-1, 2)}, "`shard`"),
        ({"shard": 2}, "`shard`.*2"),
        ({"shard": (4, 5)}, r"shard \(4, 5\).*4 in all"),
    ],
)
def test_an_argument_out_of_range_is_an_error_at_once(arguments, message):
    with pytest.raises(ValueError, match=message):
        numbered(4).batches(**{"batch_size": 2} | arguments)


def test_batches_of_no_example_are_an_error():
    with pytest.raises(ValueError, match="0 in all"):
        numbered(4)[:0].batches(2)


def test_images_that_do_not_fit_are_an_error_before_any_is_read():
    source = numbered(3, [(8, 8), (8, 8), (8, 9)])
    message = r"example 2: .*at most 8 x 8.*Received: 8 x 9.*letterbox"
    with pytest.raises(ValueError, match=message):
        source.batches(1, size=(8, 8))
    source[:2].batches(1, size=(8, 8))
    with pytest.raises(ValueError, match=r"example 0: .*Received: 4 x 6"):
        data.Source(3, image_of, ones, class_names=NAMES).batches(1, size=(4, 5))


#: Sides of images, and those that they have in 20 x 21 pixels.
FITTING = {
    (40, 84): (10, 21),
    (80, 40): (20, 10),
    (4, 6): (14, 21),
    (20, 21): (20, 21),
    (1, 300): (1, 21),
}


def test_a_letterbox_keeps_the_aspect_ratio_and_ignores_the_rest():
    rows = [np.arange(h * w).reshape(h, w) % 3 for h, w in FITTING]
    images = [np.repeat(r[..., None], 3, -1).astype(np.uint8) * 100 for r in rows]
    source = data.arrays(images, rows, class_names=NAMES)
    ((images, masks),) = source.batches(5, size=(20, 21), letterbox=True)
    assert images.shape == (5, 20, 21, 3)
    found = zip(images.numpy(), masks.numpy(), rows, FITTING.items(), strict=True)
    for image, mask, ids, (side, fitting) in found:
        height, width = fitting
        assert (mask[:height, :width] != 255).all()
        assert (mask != 255).sum() == height * width
        assert (image[mask == 255] == 0).all()
        # Nearest: the pixel of the file on which the centre of the new one lies.
        nearest = [
            ((np.arange(n) + 0.5) * s / n).astype(int)
            for n, s in zip(fitting, side, strict=True)
        ]
        np.testing.assert_array_equal(mask[:height, :width], ids[np.ix_(*nearest)])
        expected = tf.image.resize(ids[..., None] * 100.0, fitting)[..., 0]
        np.testing.assert_allclose(image[:height, :width, 0], expected, atol=0.51)


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
    stream = order(numbered(4).batches(100, shuffle=True, repeat=True).take(8))
    places = [np.flatnonzero(np.array(stream) == k) % 4 for k in range(4)]
    counts = np.array([np.bincount(place, minlength=4) for place in places])
    assert counts.sum(1).tolist() == [200] * 4
    assert counts.min() > 25  # of 50 that are expected


def test_the_same_seed_makes_the_same_batches_and_another_does_not():
    same, again, other = (
        data.shapes(5, size=(24, 24)).batches(
            2,
            size=(16, 16),
            augment=data.standard_augmentation(),
            shuffle=True,
            seed=seed,
        )
        for seed in (7, 7, 8)
    )
    assert equal(same.cache(), again)
    assert not equal(again, other)


def test_a_seed_is_that_of_the_order_and_that_of_the_augmentation():
    seeds = 7, 8
    shuffled = [numbered(20).batches(1, shuffle=True, seed=seed) for seed in seeds]
    assert order(shuffled[0]) != order(shuffled[1])
    source, augment = data.shapes(1, size=(24, 24)), data.standard_augmentation()
    one, other = (
        source.batches(1, size=(16, 16), augment=augment, seed=seed) for seed in seeds
    )
    assert not equal(one, other)


def test_an_example_is_augmented_anew_in_each_epoch():
    batches = data.shapes(1, size=(24, 24)).batches(
        1, size=(16, 16), augment=data.standard_augmentation(), repeat=True
    )
    assert len({images.numpy().tobytes() for images, _ in batches.take(4)}) == 4


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


def test_shards_share_no_example_and_lose_none():
    n, count, epochs = 7, 3, 2
    shards = [(index, count) for index in range(count)]
    arguments = {"shuffle": True, "first_epoch": 5}

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


def test_a_shard_goes_on_after_as_many_of_its_own_batches():
    for index in range(3):
        arguments = {"shard": (index, 3), "shuffle": True, "repeat": True}
        whole = order(numbered(7).batches(2, **arguments).take(6))
        rest = numbered(7).batches(2, first_step=2, **arguments)
        assert order(rest.take(4)) == whole[4:]


def rotated(shards, first):
    """Shards in the order in which they take the steps from the first one."""
    return [shards[(first + turn) % len(shards)] for turn in range(len(shards))]


# Batches: what users give


def shift_ids(image, mask, seed):
    """Turn left, which changes the size, and add what the seed says."""
    step = tf.cast(tf.random.stateless_uniform([], seed, 0, 100, tf.int32), tf.float32)
    return tf.image.rot90(tf.cast(image, tf.float32) + step), tf.transpose(mask)[::-1]


def test_functions_of_a_user_may_branch_on_tensors():
    # AutoGraph's work: without it, each `if` here is an error in tf.data.
    def image(index):
        if index % 2 == 0:
            grey = 10
        else:
            grey = 20
        return tf.fill((4, 6, 3), tf.cast(grey, tf.uint8))

    def mask(index):
        return tf.fill((4, 6), 1 if index > 1 else 0)

    class Darker:
        step = 1

        def __call__(self, image, mask, seed):
            if image[0, 0, 0] > 10:
                image = image - self.step
            return image, mask

    def weight(mask):
        if tf.reduce_max(mask) > 0:
            return tf.ones((4, 6))
        return tf.zeros((4, 6))

    source = data.Source(3, image, mask, class_names=NAMES)
    darker = Darker()

    def read():
        batches = source.batches(3, size=(4, 6), augment=darker, sample_weight=weight)
        (images, masks, weights), *_ = batches.as_numpy_iterator()
        return [array[:, 0, 0].tolist() for array in (images[..., 0], masks, weights)]

    assert read() == [[10, 19, 10], [0, 0, 1], [0.0, 0.0, 1.0]]
    darker.step = 5  # each pipeline sees what is true when it is made
    assert read()[0] == [10, 15, 10]
    assert source[1][0].max() == 20


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
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"example 0: .*image and mask of the same"
    ):
        list(batches)


@pytest.mark.parametrize("augment", [lambda image, mask: (image, mask), 3, "flip"])
def test_an_augmentation_that_is_no_function_of_three_is_an_error(augment):
    with pytest.raises(ValueError, match=r"`augment`.*\(image, mask, seed\)"):
        numbered(3).batches(1, augment=augment)


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


@pytest.mark.parametrize(("size", "repeat"), [(None, False), ((50, 45), True)])
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


@pytest.mark.parametrize(("repeat", "weighted"), [(False, True), (True, False)])
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


def test_a_look_at_one_batch_of_the_endless_form_changes_nothing():
    batches = numbered(6).batches(2, shuffle=True, repeat=True)
    first = order(batches.take(3))
    next(iter(batches))
    assert order(batches.take(3)) == first


def test_epochs_are_counted_under_a_strategy_too():
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        batches = numbered(8).batches(3, shuffle=True)
    started = numbered(8).batches(3, shuffle=True, first_epoch=1)
    first, second = order(batches), order(batches)
    assert sorted(first) == sorted(second) == list(range(8))
    assert second == order(started) != first


SCRIPT = """
import sys
from keras_seg import data

source = data.shapes(100, size=(64, 64))
augment = data.standard_augmentation()
iterator = iter(source.batches(4, size=(32, 32), augment=augment, repeat=True))
next(iterator)
assert not {"tensorflow_datasets", "jinja2"} & {*sys.modules}
"""


@pytest.mark.slow
def test_a_script_imports_neither_tfds_nor_jinja_and_ends_with_an_open_iterator():
    """Its threads call Python, which they can't while the interpreter is taken down."""
    subprocess.run([sys.executable, "-c", SCRIPT], check=True, timeout=300)
