import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_seg.labels import IGNORE, as_ids, check_labels, check_num_classes, fit_masks

JAX = keras.backend.backend() == "jax"
tensorflow_only = pytest.mark.skipif(JAX, reason="JAX can't raise at what it finds")


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
def test_a_stray_label_raises_and_is_named(label):
    message = rf"^Expected labels 0\.\.20, or 255 .* from {label} to {label}\. Likely"
    with pytest.raises(ValueError, match=message):
        check_labels(keras.ops.convert_to_tensor([0, label, IGNORE]), 21)


@tensorflow_only
@pytest.mark.parametrize("label", [21, 254, 256, -1, -(2**31)])
def test_a_stray_label_raises_and_is_named_in_a_graph(label):
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        tf.function(check_labels)(tf.constant([0, label, IGNORE]), 21)
    assert "Expected labels 0..20, or 255" in error.value.message
    assert f"from] [{label}] [to] [{label}] [Likely causes" in error.value.message


@pytest.mark.parametrize("label", [0.5, -0.5, 254.5, np.nan, np.inf])
def test_a_label_that_is_not_whole_raises_and_is_named(label):
    with pytest.raises(ValueError, match=rf" {label}\b"):
        check_labels(keras.ops.convert_to_tensor([0.0, label, 255.0]), 21)


def test_the_smallest_and_the_largest_stray_label_are_named():
    with pytest.raises(ValueError, match=r"from -7 to 300\."):
        check_labels(keras.ops.convert_to_tensor([0, 300, 99, 255, -7]), 21)


def test_a_stray_label_is_not_labelled_where_nothing_can_raise():
    if JAX:
        import jax

        check = jax.jit(check_labels, static_argnums=1)
    else:
        check = tf.function(check_labels, jit_compile=True)
    for labels in ([0, 21, -1, IGNORE, 20], [0.0, 21.0, 0.5, 255.0, 20.0]):
        labelled = check(keras.ops.convert_to_tensor(labels), 21)
        assert np.asarray(labelled).tolist() == [True, False, False, False, True]


def test_another_id_can_stand_for_no_label():
    labelled = check_labels(np.array([0, 1, -1]), 2, ignore=-1)
    assert np.asarray(labelled).tolist() == [True, True, False]


@pytest.mark.skipif(JAX, reason="NumPy's 64 bits are cut to 32 there")
@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_no_label_becomes_another_when_it_is_cast(dtype):
    label = 2**32 + 1  # its lowest 32 bits are a class
    ids = as_ids(keras.ops.convert_to_tensor(np.array([1, label], dtype)))
    assert np.asarray(ids).tolist() == [1, label]


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 4, 1)])
def test_masks_of_the_size_of_predictions_lose_their_last_axis(shape):
    assert tuple(fit_masks(keras.ops.zeros(shape), (2, 3, 4)).shape) == (2, 3, 4)


@pytest.mark.parametrize(
    "shape", [(2, 3, 1), (1, 3, 4), (2, 4, 3), (2, 3), (2, 3, 4, 2), (2, 3, 4, 1, 1)]
)
def test_masks_of_another_size_raise(shape):
    with pytest.raises(ValueError, match=r"Expected masks .*Received: masks"):
        fit_masks(keras.ops.zeros(shape), (2, 3, 4))


@tensorflow_only
def test_masks_of_unknown_rank_raise_and_say_what_to_do():
    @tf.function(input_signature=[tf.TensorSpec(None, tf.int32)])
    def door(masks):
        return fit_masks(masks, (2, 3, 4))

    with pytest.raises(ValueError, match=r"unknown rank.*set_shape"):
        door.get_concrete_function()
