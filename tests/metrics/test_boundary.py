import keras
import numpy as np
import pytest

from keras_seg.metrics import BoundaryIoU, MeanDice

CLASSES = 3


def random_masks(seed):
    """Truth with ignored pixels, and a prediction that differs, in blocks of 2 x 2."""
    rng = np.random.default_rng(seed)
    truth, prediction = rng.integers(0, CLASSES, (2, 2, 4, 5)).repeat(2, 2).repeat(2, 3)
    truth[rng.random(truth.shape) < 0.1] = 255
    return truth, np.where(rng.random(truth.shape) < 0.6, truth % 255, prediction)


def rim(mask, known, distance):
    """Pixels of `mask` near a known one outside of it, or the image's edge."""
    near = np.zeros_like(mask)
    for i, j in np.argwhere(mask & known):
        for k in range(i - distance, i + distance + 1):
            for m in range(j - distance, j + distance + 1):
                inside = 0 <= k < mask.shape[0] and 0 <= m < mask.shape[1]
                near[i, j] |= not inside or (known[k, m] and not mask[k, m])
    return near


@pytest.mark.parametrize("distance", [1, 2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_boundary_iou_is_that_of_rims_found_pixel_by_pixel(seed, distance):
    truth, prediction = random_masks(seed)
    both, either = np.zeros((2, CLASSES))
    for t, p in zip(truth, prediction, strict=True):
        for c in range(CLASSES):
            rims = [rim(y == c, t != 255, distance) for y in (t, p)]
            both[c] += (rims[0] & rims[1]).sum()
            either[c] += (rims[0] | rims[1]).sum()
    metric = BoundaryIoU(CLASSES, distance=distance)
    for t, p in zip(truth, prediction, strict=True):
        metric.update_state(t[None], p[None])
    assert 0.1 < (both / either).mean() < 0.9
    np.testing.assert_allclose(metric.result(), (both / either).mean(), rtol=1e-6)


def test_boundary_iou_with_a_wide_rim_is_the_iou_of_whole_regions():
    truth, prediction = random_masks(0)
    known = truth != 255
    iou = [
        ((truth == c) & (prediction == c)).sum()
        / (((truth == c) | (prediction == c)) & known).sum()
        for c in range(CLASSES)
    ]
    metric = BoundaryIoU(CLASSES, distance=20)
    metric.update_state(truth, prediction)
    np.testing.assert_allclose(metric.result(), np.mean(iou), rtol=1e-6)


def test_boundary_iou_counts_invalid_pixels_and_forgets_them():
    metric = BoundaryIoU(CLASSES, distance=1)
    metric.update_state([[[0, 77, -1, 255]]], [[[9, 0, 0, 0]]])
    assert metric.invalid_pixels == 3
    metric.reset_state()
    assert metric.invalid_pixels == 0


@pytest.mark.parametrize(
    ("arguments", "named"),
    [({"distance": 0}, "distance"), ({"absent": "drop"}, "absent")],
)
def test_bad_arguments_of_boundary_iou_raise(arguments, named):
    with pytest.raises(ValueError, match=f"Expected `{named}`"):
        BoundaryIoU(CLASSES, **arguments)


def test_boundary_iou_survives_serialisation():
    metric = BoundaryIoU(CLASSES, distance=7, ignore=254, absent="one", name="rims")
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(metric)
    )
    assert type(copy) is BoundaryIoU
    assert (copy.distance, copy.ignore) == (7, 254)
    assert (copy.absent, copy.name) == ("one", "rims")


@pytest.mark.parametrize("batch_size", [1, 3])
def test_mean_dice_per_image_is_a_mean_over_the_labelled_images(batch_size):
    truth, prediction = (
        np.concatenate(x) for x in zip(random_masks(0), random_masks(1), strict=True)
    )
    truth[3] = 255
    dices = []
    for t, p in zip(truth[:3], prediction[:3], strict=True):
        known = t != 255
        of_class = [
            2
            * ((t == c) & (p == c)).sum()
            / ((t == c).sum() + (known & (p == c)).sum())
            for c in np.unique([t[known], p[known]])
        ]
        dices.append(np.mean(of_class))
    metric = MeanDice(CLASSES, per_image=True)
    for k in range(0, 4, batch_size):
        metric.update_state(truth[k : k + batch_size], prediction[k : k + batch_size])
    np.testing.assert_allclose(metric.result(), np.mean(dices), rtol=1e-6)
