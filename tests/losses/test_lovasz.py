import numpy as np
import pytest
import tensorflow as tf

from keras_seg.losses import Lovasz

RNG = np.random.default_rng(0)
LABELS = RNG.choice([0, 1, 2, 255], (2, 7, 8))


def iou(truth, prediction, c):
    truth, prediction = (x[LABELS != 255] == c for x in (truth, prediction))
    return (truth & prediction).sum() / (truth | prediction).sum()


@pytest.mark.parametrize("seed", range(4))
def test_the_loss_of_hard_predictions_is_1_minus_iou(seed):
    prediction = np.random.default_rng(seed).integers(0, 4, LABELS.shape)
    hard = np.eye(4, dtype="float32")[prediction]
    value = Lovasz(from_logits=False)(LABELS, hard)
    expected = 1 - np.mean([iou(LABELS, prediction, c) for c in range(3)])
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_a_perfect_prediction_costs_nothing():
    logits = 1e4 * np.eye(4, dtype="float32")[np.where(LABELS == 255, 3, LABELS)]
    assert float(Lovasz()(LABELS, logits)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("wrong", [0.1, 0.5, 0.9])
def test_pixels_that_are_equally_wrong_cost_what_one_is_wrong_by(wrong):
    # Two classes: the errors of all pixels are ties, so J rises from 0 to 1 at once.
    own = np.eye(2)[[0, 1, 1, 0, 1]]
    probabilities = own * (1 - wrong) + (1 - own) * wrong
    value = Lovasz(from_logits=False)([[[0, 1, 1, 0, 1]]], probabilities[None, None])
    np.testing.assert_allclose(value, wrong, rtol=1e-5)


def test_a_class_by_hand():
    # Class 1: errors 0.6 (a miss), 0.3 (false), 0.2 (a hit): J = 1/2, 2/3, 1.
    # Class 0: errors 0.6 (false), 0.3 (a hit), 0.2 (false): J = 1/2, 1, 1.
    p = np.array([0.4, 0.3, 0.8])
    value = Lovasz(from_logits=False)(
        [[[1, 0, 1]]], np.stack([1 - p, p], -1)[None, None]
    )
    one = 0.6 * 1 / 2 + 0.3 * (2 / 3 - 1 / 2) + 0.2 * (1 - 2 / 3)
    zero = 0.6 * 1 / 2 + 0.3 * (1 - 1 / 2)
    np.testing.assert_allclose(value, (one + zero) / 2, rtol=1e-6)


def test_a_weight_of_two_is_two_pixels():
    labels, logits = np.array([[[0, 1, 1]]]), np.array([[[[1, 0], [0, 1], [2, 0]]]])
    value = Lovasz()(labels, logits, np.array([[[1.0, 2.0, 1.0]]]))
    expected = Lovasz()([[[0, 1, 1, 1]]], logits[:, :, [0, 1, 1, 2]])
    np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_the_loss_is_that_of_the_authors_in_torch():
    torch = pytest.importorskip("torch", reason="PyTorch isn't installed")
    logits = RNG.normal(size=(*LABELS.shape, 4)).astype("float32")
    z = torch.tensor(logits, requires_grad=True)
    known = torch.tensor(LABELS != 255)
    p, y = torch.softmax(z, -1)[known], torch.tensor(LABELS)[known]
    losses = []
    for c in range(3):  # lovasz_softmax_flat with classes="present"
        own = (y == c).float()
        errors, order = torch.sort((own - p[:, c]).abs(), 0, descending=True)
        sorted_own = own[order]
        intersection = sorted_own.sum() - sorted_own.cumsum(0)
        union = sorted_own.sum() + (1 - sorted_own).cumsum(0)
        jaccard = 1 - intersection / union
        jaccard[1:] = jaccard[1:] - jaccard[:-1].clone()
        losses.append(torch.dot(errors, jaccard))
    expected = torch.stack(losses).mean()
    expected.backward()

    z_of_tf = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(z_of_tf)
        value = Lovasz()(LABELS, z_of_tf)
    np.testing.assert_allclose(value, expected.item(), rtol=1e-5)
    gradient = tape.gradient(value, z_of_tf)
    np.testing.assert_allclose(gradient, z.grad.numpy(), atol=1e-6)
