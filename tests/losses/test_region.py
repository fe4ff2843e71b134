import numpy as np
import pytest

from keras_seg.losses import Dice, Jaccard, Tversky

LABELS = np.array([[[0, 0, 1, 1], [1, 2, 255, 255]]])
every_region_loss = pytest.mark.parametrize(
    "loss", [Dice(), Jaccard(), Tversky(0.3, 0.7)], ids=lambda loss: loss.name
)


def hard(ids):
    """Logits of certain predictions."""
    return 1e4 * np.eye(4, dtype="float32")[ids]


@every_region_loss
@pytest.mark.parametrize("elsewhere", [0, 3])
def test_a_perfect_prediction_costs_nothing_whatever_ignored_pixels_are_predicted_as(
    loss, elsewhere
):
    prediction = np.where(LABELS == 255, elsewhere, LABELS)
    assert float(loss(LABELS, hard(prediction))) == pytest.approx(0, abs=1e-6)


@every_region_loss
def test_a_prediction_without_a_right_pixel_costs_1(loss):
    assert float(loss(LABELS, hard((LABELS + 1) % 4))) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("loss", "of_class"),
    [
        # tp, fp, fn by hand: class 0: 1, 1, 1; class 1: 2, 1, 1; class 2: 0, 0, 1;
        # class 3 is predicted once but isn't in the truth. With alpha 1 and beta 0 that
        # of class 2 is 0 / 0: none of it is found.
        (Dice(), [1 - 2 / 4, 1 - 4 / 6, 1]),
        (Jaccard(), [1 - 1 / 3, 1 - 2 / 4, 1]),
        (Tversky(0.3, 0.7), [1 - 1 / 2, 1 - 2 / 3, 1]),
        (Tversky(1.0, 0.0), [1 - 1 / 2, 1 - 2 / 3, 1]),
        (Tversky(2.0, 0.5), [1 - 1 / 3.5, 1 - 2 / 4.5, 1]),
        (Tversky(2.0, 0.5, gamma=2), np.sqrt([1 - 1 / 3.5, 1 - 2 / 4.5, 1])),
    ],
)
def test_hard_predictions_are_counted(loss, of_class):
    prediction = np.array([[[0, 1, 1, 1], [0, 3, 2, 2]]])
    value = loss(LABELS, hard(prediction))
    np.testing.assert_allclose(value, np.mean(of_class), rtol=1e-6)


def test_tversky_is_dice_with_halves_and_jaccard_with_ones():
    logits = np.random.default_rng(0).normal(size=(1, 2, 4, 4))
    for weights, same in ((0.5, Dice()), (1.0, Jaccard())):
        value = Tversky(weights, weights)(LABELS, logits)
        np.testing.assert_allclose(value, same(LABELS, logits), rtol=1e-6)


@every_region_loss
def test_sums_run_over_the_batch_not_over_images(loss):
    # Class 1 is in the first image only, where a mean over images would see it.
    labels, logits = np.array([[[0, 1]], [[0, 0]]]), np.zeros((2, 1, 2, 2))
    together = np.array([[[0, 1, 0, 0]]]), np.zeros((1, 1, 4, 2))
    np.testing.assert_allclose(loss(labels, logits), loss(*together), rtol=1e-6)
    apart = np.mean([loss(labels[k : k + 1], logits[k : k + 1]) for k in range(2)])
    assert abs(float(loss(labels, logits)) - apart) > 0.01


@every_region_loss
def test_a_weight_of_two_is_two_pixels(loss):
    labels, logits = np.array([[[0, 1, 1]]]), np.array([[[[1, 0], [0, 1], [2, 0]]]])
    twice = np.array([0, 1, 1, 1])
    value = loss(labels, logits, np.array([[[1.0, 2.0, 1.0]]]))
    expected = loss(twice[None, None], logits[:, :, [0, 1, 1, 2]])
    np.testing.assert_allclose(value, expected, rtol=1e-6)
