import warnings

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from keras_seg import data
from keras_seg.data.balance import _border_term

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


def brute_force(mask, w0, sigma):
    """The formula, with a distance map of each object."""
    distances = []
    for label in set(np.unique(mask)) - {0, 255}:
        objects, count = ndimage.label(mask == label, np.ones((3, 3)))
        for number in range(1, count + 1):
            ys, xs = np.nonzero(objects == number)
            y, x = np.indices(mask.shape)
            squares = (y[..., None] - ys) ** 2 + (x[..., None] - xs) ** 2
            distances.append(np.sqrt(squares.min(-1)))
    if len(distances) < 2:
        return np.zeros(mask.shape)
    d1, d2 = np.sort(distances, axis=0)[:2]
    return w0 * np.exp(-((d1 + d2) ** 2) / (2 * sigma**2))


def scene(seed, shape=(60, 80), objects=25):
    rng = np.random.default_rng(seed)
    mask = np.zeros(shape, np.int32)
    for _ in range(objects):
        y, x = rng.integers(0, shape[0]), rng.integers(0, shape[1])
        h, w = rng.integers(1, 12, 2)
        mask[y : y + h, x : x + w] = rng.choice([1, 2, 3, 255])
    return mask


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("w0", "sigma"), [(10, 5), (3, 1.5), (10, 12)])
def test_border_weights_equal_brute_force(seed, w0, sigma):
    mask = scene(seed)
    expected = 1 + brute_force(mask, w0, sigma)
    weights = data.border_weights(mask, w0=w0, sigma=sigma)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, expected, atol=1e-5)
    assert weights.max() > 1.05  # there is something between the objects


@pytest.mark.parametrize(
    "mask", [np.zeros((4, 5), int), np.eye(5, dtype=int), np.full((4, 5), 255)]
)
def test_fewer_than_two_objects_have_no_border_between_them(mask):
    np.testing.assert_array_equal(data.border_weights(mask), 1)


def test_class_weights_are_added_to_the_border():
    mask = scene(1)
    weights = data.border_weights(mask, class_weights=[0.5, 2, 3, 4])
    own = np.array([0.5, 2, 3, 4, *[0] * 252])[mask]
    np.testing.assert_allclose(weights, own + brute_force(mask, 10, 5), atol=1e-5)


def test_border_weights_are_the_sample_weights_of_batches():
    masks = [scene(0), scene(1)]
    images = np.zeros((2, 60, 80, 3), "uint8")
    source = data.arrays(images, masks, class_names=NAMES)
    batches = source.batches(2, size=(64, 96), sample_weight=data.border_weights)
    assert batches.element_spec[2].shape == (None, 64, 96)
    _, ids, weights = next(iter(batches))
    for k in range(2):
        expected = 1 + brute_force(ids[k].numpy(), 10, 5)
        np.testing.assert_allclose(weights[k], expected, atol=1e-5)


def test_maps_are_remembered_by_their_content():
    _border_term.cache_clear()
    mask = scene(3)
    first = data.border_weights(mask)
    again = data.border_weights(mask.copy(), w0=10)
    np.testing.assert_array_equal(first, again)
    assert _border_term.cache_info().hits == 1
    mask[0, 0] = 3 - mask[0, 0] % 3
    data.border_weights(mask)
    data.border_weights(mask, sigma=4.0)
    assert _border_term.cache_info().hits == 1


def test_a_mask_of_another_rank_is_an_error():
    with pytest.raises(ValueError, match=r"Expected a mask.*\(1, 4, 4\)"):
        data.border_weights(np.zeros((1, 4, 4), int))
