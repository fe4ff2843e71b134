import numpy as np
import pytest

from keras_seg.losses import BoundaryF1


def columns(*ids):
    """An image of 9 rows, whose columns have these classes."""
    return np.array([[ids] * 9])


def hard(ids, classes=2):
    return 1e4 * np.eye(classes, dtype="float32")[ids]


TRUTH = columns(*[0] * 6, *[1] * 6)


def test_a_perfect_prediction_costs_nothing():
    assert float(BoundaryF1()(TRUTH, hard(TRUTH))) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("shift", "reach", "expected"),
    [
        # The rims of both sides move: off by one is found in a window of 3, not of 1.
        (1, 1, 1.0),
        (1, 3, 0.0),
        (2, 3, 1.0),
        (2, 5, 0.0),
        (3, 5, 1.0),
        (3, 7, 0.0),
    ],
)
def test_a_boundary_is_found_within_reach(shift, reach, expected):
    moved = columns(*[0] * (6 + shift), *[1] * (6 - shift))
    loss = BoundaryF1(reach=reach)(TRUTH, hard(moved))
    np.testing.assert_allclose(loss, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("width", "true", "predicted"),
    [
        # Columns of the boundary of each class, by hand: its own pixels beside those of
        # the other, one, two or three deep. A window of 1 finds what both share.
        (3, [{5}, {6}], [{5, 8}, {6, 7}]),
        (5, [{4, 5}, {6, 7}], [{4, 5, 8, 9}, {6, 7}]),
        (7, [{3, 4, 5}, {6, 7, 8}], [{3, 4, 5, 8, 9, 10}, {6, 7}]),
    ],
)
def test_width_is_that_of_the_boundary_on_both_sides(width, true, predicted):
    # Class 1 is found two columns wide, of six.
    found = columns(*[0] * 6, *[1] * 2, *[0] * 4)
    losses = []
    for true_columns, predicted_columns in zip(true, predicted, strict=True):
        hits = len(true_columns & predicted_columns)
        precision, recall = hits / len(predicted_columns), hits / len(true_columns)
        losses.append(1 - 2 * precision * recall / (precision + recall))
    loss = BoundaryF1(width=width, reach=1)(TRUTH, hard(found))
    np.testing.assert_allclose(loss, np.mean(losses), rtol=1e-5)


@pytest.mark.parametrize(
    "sides", [{"width": 1}, {"width": 4}, {"reach": 2}, {"reach": 0}, {"width": 3.0}]
)
def test_a_window_without_a_middle_or_a_rim_raises(sides):
    with pytest.raises(ValueError, match="odd numbers of pixels"):
        BoundaryF1(**sides)


def test_ignored_pixels_and_the_edge_of_the_image_end_nothing():
    # Class 1 is beside ignored pixels only, so nothing has a boundary.
    truth = columns(0, 0, 0, 255, 1, 1, 1)
    logits = np.random.default_rng(0).normal(size=(*truth.shape, 2))
    assert float(BoundaryF1()(truth, logits)) == 0
    assert float(BoundaryF1()(columns(1, 1, 1), np.zeros((1, 9, 3, 2)))) == 0


def test_a_class_without_a_boundary_in_the_truth_is_left_out():
    truth = columns(0, 0, 0, 1, 1, 1, 255, 2, 2)
    prediction = columns(0, 0, 0, 1, 1, 1, 1, 2, 1)
    # As the whole of class 2 isn't counted, class 1's rim of one false column is:
    # of 2 columns found, 1 is within reach of the truth's only one.
    loss = BoundaryF1(reach=1)(truth, hard(prediction, 3))
    np.testing.assert_allclose(loss, (0 + 1 - 2 * 0.5 / 1.5) / 2, rtol=1e-5)


def test_what_is_predicted_on_ignored_pixels_makes_no_difference():
    # The truth ends at a column that is predicted wrong, so the loss isn't 0.
    truth = columns(0, 0, 0, 1, 255, 255, 1)
    wrong = np.where(truth == 0, [0, 0, 1, 1, 1, 1, 1], truth)
    losses = [
        float(BoundaryF1(reach=1)(truth, hard(np.where(truth == 255, c, wrong))))
        for c in (0, 1)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert losses[0] > 0.1
