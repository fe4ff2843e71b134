import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_seg.labels import IGNORE, check_labels, check_num_classes


@pytest.mark.parametrize("num_classes", [2, 21, 255, np.int64(21)])
def test_two_to_255_classes_are_fine_and_become_an_int(num_classes):
    checked = check_num_classes(num_classes, ignore=255)
    assert checked == num_classes
    assert type(checked) is int


@pytest.mark.parametrize("num_classes", [0, -3, 2.5, 2.0, "a", None, [2]])
def test_a_number_of_classes_that_is_none_raises(num_classes):
    with pytest.raises(ValueError, match=r"Expected `num_classes`.*Received: "):
        check_num_classes(num_classes)


def test_one_class_raises_and_says_how_to_segment_an_object():
    with pytest.raises(ValueError, match=r"Received: 1\. .*use num_classes=2"):
        check_num_classes(1)


@pytest.mark.parametrize(("num_classes", "ignore"), [(256, 255), (21, 0), (21, 20)])
def test_a_class_with_the_id_of_ignore_raises(num_classes, ignore):
    with pytest.raises(ValueError, match=rf"Expected `ignore`.*ignore={ignore}"):
        check_num_classes(num_classes, ignore=ignore)


@pytest.mark.parametrize(("num_classes", "ignore"), [(256, -1), (300, None), (21, 21)])
def test_any_other_ignore_goes_with_any_number_of_classes(num_classes, ignore):
    assert check_num_classes(num_classes, ignore=ignore) == num_classes


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
@pytest.mark.parametrize("tensor", [np.array, keras.ops.convert_to_tensor])
def test_labelled_pixels_are_told_from_ignored_ones(tensor, dtype):
    labels = tensor(np.array([[0, 20], [IGNORE, 7]], dtype))
    labelled = check_labels(labels, num_classes=21)
    assert np.asarray(labelled).tolist() == [[True, True], [False, True]]


@pytest.mark.parametrize("label", [21, 254, 256, -1, -(2**31)])
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "graph"])
def test_a_stray_label_raises_and_is_named(label, compiled):
    check = tf.function(check_labels) if compiled else check_labels
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        check(tf.constant([0, label, IGNORE]), 21)
    assert f"{label}" in error.value.message
    assert "0..20, or 255" in error.value.message


def test_a_stray_label_is_not_labelled_where_xla_drops_the_check():
    check = tf.function(check_labels, jit_compile=True)
    labelled = check(tf.constant([0, 21, -1, IGNORE, 20]), 21)
    assert labelled.numpy().tolist() == [True, False, False, False, True]


def test_another_id_can_stand_for_no_label():
    labels = tf.constant([0, 1, -1])
    assert check_labels(labels, 2, ignore=-1).numpy().tolist() == [True, True, False]
