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
    np.testing.assert_allclose(BoundaryF1()(TRUTH, hard(TRUTH)), 0, atol=1e-6)


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


@pytest.mark.parametrize(("width", "rim"), [(3, 1), (5, 2), (7, 3)])
def test_width_is_that_of_the_rim_on_both_sides(width, rim):
    # Class 1 is predicted in two columns, all of which are rim, and class 0 on both
    # sides of them. A reach of 1 finds the columns that both share.
    predicted = columns(*[0] * 6, *[1] * 2, *[0] * 4)
    before, after = ({*range(6 - rim, 6)}, {*range(8, 8 + rim)})
    rims = [(before, before | after), ({*range(6, 6 + rim)}, {6, 7})]
    losses = []
    for true, found in rims:
        precision, recall = (len(true & found) / len(x) for x in (found, true))
        losses.append(1 - 2 * precision * recall / (precision + recall))
    loss = BoundaryF1(width=width, reach=1)(TRUTH, hard(predicted))
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


def test_predictions_of_ignored_pixels_make_no_difference():
    truth = columns(0, 0, 0, 1, 255, 255, 1)
    losses = [
        float(BoundaryF1()(truth, hard(np.where(truth == 255, c, truth))))
        for c in (0, 1)
    ]
    np.testing.assert_allclose(losses, 0, atol=1e-6)
