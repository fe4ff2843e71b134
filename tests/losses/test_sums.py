"""Sums over many pixels, which float32 loses where it adds one after another.

A batch of copies of an image has the loss of the image.
"""

import numpy as np
import pytest

from tests.losses.formulas import CLASSES, LOSSES, every_loss_with_formula


def image(side):
    """Labels without class 3 and with ignored ones, logits, and a map of weights."""
    rng = np.random.default_rng(0)
    labels = rng.choice([0, 0, 0, 0, 0, 0, 1, 2, 255], (1, side, side))
    logits = rng.normal(size=(1, side, side, CLASSES)).astype("float32")
    logits[..., 0] += 2  # most pixels are background, and found
    return labels, logits, rng.uniform(0.1, 2, labels.shape).astype("float32")


def check(build, formula, side, copies):
    one = image(side)
    expected = formula(*one)
    many = (np.repeat(x, copies, axis=0) for x in one)
    np.testing.assert_allclose(build()(*many), expected, rtol=1e-5)


@pytest.mark.parametrize(
    "name", ["weighted_cross_entropy", "dice", "jaccard", "lovasz"]
)
def test_two_million_pixels_have_the_loss_of_the_formula(name):
    check(*LOSSES[name], side=512, copies=8)


@pytest.mark.slow
@every_loss_with_formula
def test_64_megapixels_have_the_loss_of_the_formula(build, formula):
    check(build, formula, side=1024, copies=64)
