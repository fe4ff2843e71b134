import warnings

import numpy as np
import pytest
import tensorflow as tf

from keras_seg import data

NAMES = ["ground", "cat", "dog", "cow"]


@pytest.fixture
def masks():
    rng = np.random.default_rng(0)
    drawn = [rng.choice([0, 0, 0, 1, 2, 255], (h, h + 3)) for h in (5, 9, 30)]
    drawn[0][drawn[0] == 2] = 0
    return drawn


@pytest.fixture
def source(masks):
    images = [np.zeros((*mask.shape, 3), np.uint8) for mask in masks]
    return data.arrays(images, masks, class_names=NAMES)


def test_frequencies_are_those_of_all_masks(source, masks):
    counted = data.class_frequencies(source)
    flat = np.concatenate([mask.ravel() for mask in masks])
    assert counted.pixels.tolist() == [(flat == c).sum() for c in range(4)]
    assert counted.pixels.dtype == np.int64
    assert counted.ignored == (flat == 255).sum()
    assert counted.images.tolist() == [3, 3, 2, 0]
    labelled = [(mask != 255).sum() for mask in masks]
    expected = [sum(labelled), sum(labelled), sum(labelled[1:]), 0]
    assert counted.pixels_where_present.tolist() == expected


def test_frequencies_show_their_progress(source, capsys):
    data.class_frequencies(source)
    assert "3/3" in capsys.readouterr().out


def test_a_mask_that_cannot_be_counted_is_named():
    masks = [np.zeros((4, 4), int), np.full((4, 4), 7)]
    source = data.arrays(np.zeros((2, 4, 4, 3), "uint8"), masks, class_names=NAMES)
    with pytest.raises(tf.errors.OpError, match=r"example 1.*Received: 7"):
        data.class_frequencies(source)


@pytest.mark.filterwarnings("ignore:Classes without pixels")
@pytest.mark.parametrize(
    ("method", "formula"),
    [
        ("inverse", lambda n, total, _: total / (3 * n)),
        ("enet", lambda n, total, _: 1 / np.log(1.02 + n / total)),
        ("median", lambda n, _, there: np.median(n / there) / (n / there)),
    ],
)
def test_weights_follow_their_formula(source, method, formula):
    counted = data.class_frequencies(source)
    n, there = counted.pixels[:3], counted.pixels_where_present[:3]
    expected = formula(n, n.sum(), there)
    np.testing.assert_allclose(data.class_weights(counted, method)[:3], expected)


def test_a_class_without_pixels_gets_nothing_and_is_named(source):
    counted = data.class_frequencies(source)
    with pytest.warns(UserWarning, match=r"weight 0: cow\.$"):
        weights = data.class_weights(counted)
    assert weights[3] == 0
    assert all(isinstance(weight, float) for weight in weights)


def test_without_a_class_that_is_absent_nobody_is_warned(source):
    counted = data.class_frequencies(source)
    parts = [part[:3] for part in counted[:3]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data.class_weights(type(counted)(*parts, 0, NAMES[:3]), "enet")


def test_an_unknown_method_and_an_empty_source_are_errors(source):
    counted = data.class_frequencies(source)
    with (
        pytest.raises(ValueError, match=r"`method`.*'mean'"),
        pytest.warns(UserWarning, match="cow"),
    ):
        data.class_weights(counted, "mean")
    nothing = counted._replace(pixels=np.zeros(4, np.int64))
    with pytest.raises(ValueError, match="Expected pixels of some class"):
        data.class_weights(nothing)
