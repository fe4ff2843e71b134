import numpy as np
import pytest
from scipy import ndimage

from keras_seg import data

NAMES = ["ground", "cat", "dog", "cow"]


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


def test_maps_are_remembered_by_their_content(monkeypatch):
    measured = []
    label = ndimage.label
    monkeypatch.setattr(
        ndimage, "label", lambda *a, **k: measured.append(1) or label(*a, **k)
    )
    mask = scene(99)
    first = data.border_weights(mask)
    assert measured
    measured.clear()
    np.testing.assert_array_equal(data.border_weights(mask.copy()), first)
    assert not measured
    mask[0, 0] = 3 - mask[0, 0] % 3
    data.border_weights(mask)
    assert measured
    measured.clear()
    data.border_weights(mask, sigma=4.0)
    assert measured


def test_a_mask_of_another_rank_is_an_error():
    with pytest.raises(ValueError, match=r"Expected a mask.*\(1, 4, 4\)"):
        data.border_weights(np.zeros((1, 4, 4), int))
