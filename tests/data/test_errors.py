"""What is wrong with a file is said with its name, also from inside tf.data."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_seg import data

COUNT = 5
AUGMENT = data.standard_augmentation()


def cut(path):
    contents = path.read_bytes()
    path.write_bytes(contents[: len(contents) // 2])


def larger(path):
    """A size that holds any window of the other file."""
    save(path, np.zeros((90, 90, 3), np.uint8))


def smaller(path):
    save(path, np.zeros((9, 9, 3), np.uint8))


def turned(path):
    save(path, np.zeros((30, 20, 3), np.uint8))


def save(path, image):
    image = image[..., 0] if path.suffix == ".png" else image
    Image.fromarray(image).save(path)


IMAGE, MASK = "JPEGImages/{}.jpg", "SegmentationClass/{}.png"
SIZE = r"image {} x {}, mask {} x {}"
DAMAGES = [
    (IMAGE, cut, ""),
    (IMAGE, larger, SIZE.format(90, 90, 20, 30)),
    (IMAGE, turned, SIZE.format(30, 20, 20, 30)),
    (MASK, cut, ""),
    (MASK, smaller, SIZE.format(20, 30, 9, 9)),
]


def damaged(voc_tree, place, file, damage):
    """A VOC source with one bad example, and that one's stem."""
    root = voc_tree([(20, 30)] * COUNT)
    source = data.voc(root)
    stem = source.names[place]
    damage(root / file.format(stem))
    return source, stem


def assert_names_only(source, stem, message):
    assert stem in message
    assert not [name for name in source.names if name != stem and name in message]


@pytest.mark.parametrize(("file", "damage", "message"), DAMAGES)
def test_a_bad_file_is_an_error_by_name_where_a_window_is_read(
    voc_tree, file, damage, message
):
    """What else can be wrong with a file is in test_malformed.py."""
    source, stem = damaged(voc_tree, 2, file, damage)
    # Of the size of the image, so that the window needs the cut part too.
    batches = source.batches(1, size=(20, 30), augment=AUGMENT)
    # That sizes differ is said of the image, all else of the file itself.
    named = (IMAGE if message else file).format(stem)
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=f"{named}: .*{message}"
    ) as error:
        list(batches)
    assert_names_only(source, stem, str(error.value))


FORMS = {
    "dataset": lambda source: source.dataset(),
    "batches": lambda source: source.batches(2),
    "dropping": lambda source: source.batches(2, drop_remainder=True),
    "augmented": lambda source: source.batches(2, size=(40, 40), augment=AUGMENT),
    "shuffled": lambda source: source.batches(2, shuffle=True, first_epoch=3),
    "endless": lambda source: source.batches(2, repeat=True).take(9),
}


@pytest.mark.parametrize(
    ("form", "place"),
    [
        *[(form, COUNT - 1) for form in FORMS],
        *[(form, 2) for form in ("dropping", "endless")],
    ],
)
def test_a_cut_image_at_any_place_is_an_error_by_name(voc_tree, form, place):
    source, stem = damaged(voc_tree, place, IMAGE, cut)
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"{stem}.jpg") as error:
        list(FORMS[form](source))
    assert_names_only(source, stem, str(error.value))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shuffle", "repeat", "failing"), [(False, False, 1), (True, True, 3)]
)
def test_every_shard_that_meets_a_cut_image_names_it(
    voc_tree, shuffle, repeat, failing
):
    """One shard does in an epoch, and all do in many that are shuffled."""
    source, stem = damaged(voc_tree, COUNT - 1, IMAGE, cut)
    arguments = {"shuffle": shuffle, "repeat": repeat, "first_epoch": 1}
    errors = []
    for index in range(3):
        try:
            list(source.batches(1, shard=(index, 3), **arguments).take(30))
        except tf.errors.InvalidArgumentError as error:
            errors.append(str(error))
    assert len(errors) == failing
    for error in errors:
        assert_names_only(source, stem, error)


def test_what_comes_before_a_bad_file_is_still_read(voc_tree):
    source, stem = damaged(voc_tree, 3, IMAGE, cut)
    batches = iter(source.batches(1, size=(20, 30)))
    for place in range(3):
        _, mask = next(batches)
        np.testing.assert_array_equal(mask[0], source[place][1])
    with pytest.raises(tf.errors.InvalidArgumentError, match=stem):
        next(batches)


def test_of_several_bad_files_the_first_is_named(voc_tree):
    root = voc_tree([(20, 30)] * COUNT)
    source = data.voc(root)
    for name in source.names[1:4]:
        cut(root / IMAGE.format(name))
    with pytest.raises(tf.errors.InvalidArgumentError, match=source.names[1]) as error:
        list(source.batches(1))
    assert_names_only(source, source.names[1], str(error.value))


def test_a_part_of_a_source_names_its_own_files(voc_tree):
    source, stem = damaged(voc_tree, 3, MASK, cut)
    with pytest.raises(ValueError, match=stem):
        source[::-1][1]
    with pytest.raises(tf.errors.InvalidArgumentError, match=stem):
        list(source[2:].batches(1))


@pytest.mark.parametrize("repeat", [False, True])
def test_an_image_larger_than_the_batches_is_an_error_by_name(voc_tree, repeat):
    source = data.voc(voc_tree([(20, 30), (20, 31), (20, 30)]))
    batches = source.batches(1, size=(20, 30), repeat=repeat).take(3)
    message = r"stem1x: .*at most 20 x 30.*Received: 20 x 31.*Choose a larger `size`"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        list(batches)


def test_a_drawn_image_larger_than_the_batches_is_an_error_by_name():
    """Its size is known before it is drawn."""
    with pytest.raises(ValueError, match=r"example 0: .*Choose a larger `size`"):
        list(data.shapes(2, size=(20, 30)).batches(1, size=(20, 29)))


def own_source(load_mask, **arguments):
    """A Source whose masks come from a NumPy function."""
    return data.Source(
        3,
        lambda index, window=None: tf.zeros((20, 30, 3), tf.uint8),
        lambda index: tf.numpy_function(load_mask, [index], tf.int32),
        class_names=["ground", "figure"],
        **arguments,
    )


@pytest.mark.parametrize("name", ["3", "a", "20"])
def test_a_name_that_is_part_of_the_message_is_said_all_the_same(name):
    def load_mask(index):
        return np.full((20, 30), 3, np.int32)

    source = own_source(load_mask, names=[name, "second", "third"])
    with pytest.raises(ValueError, match=rf"^{name}: Expected a mask of class ids"):
        source[0]


def test_the_endless_form_ends_with_an_error_if_every_example_is_bad():
    calls = itertools.count()

    def load_mask(index):
        if next(calls) < 300:  # then it becomes good, so that this test ends anyway
            raise ValueError("no mask today")
        return np.zeros((20, 30), np.int32)

    batches = own_source(load_mask).batches(1, repeat=True)
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"example 0: .*no mask today"
    ):
        next(iter(batches))
