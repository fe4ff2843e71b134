"""One list of all losses with their formulas in NumPy, in float64."""

import re

import keras
import numpy as np
import pytest

from keras_seg.losses import (
    BoundaryF1,
    Dice,
    Focal,
    Jaccard,
    Lovasz,
    TopKCrossEntropy,
    Tversky,
    WeightedCrossEntropy,
)

CLASSES = 4
SHAPE = (2, 5, 6)
WEIGHTS = [0.5, 2.0, 1.25, 3.0]


def random_batch(seed):
    """Labels without class 3 and with ignored ones, logits, and a map of weights."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, SHAPE)
    labels[rng.random(SHAPE) < 0.2] = 255
    logits = 2 * rng.normal(size=(*SHAPE, CLASSES)).astype("float32")
    return labels, logits, rng.uniform(0.1, 2, SHAPE).astype("float32")


LABELS, LOGITS, MAP = random_batch(0)


def softmax(z):
    exp = np.exp(z - z.max(-1, keepdims=True))
    return exp / exp.sum(-1, keepdims=True)


def labelled(y, z, s):
    """Class, log probabilities and weight of each labelled pixel, in float64."""
    z = z.astype("float64") - z.max(-1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(-1, keepdims=True))
    return y[y != 255].astype(int), log_p[y != 255], s[y != 255].astype("float64")


def cross_entropy(y, z, s, gamma=0.0, smoothing=0.0, fraction=1.0, weights=WEIGHTS):
    """Mean of (1 - q)^gamma ce over the hardest pixels, with weights of classes."""
    y, log_p, s = labelled(y, z, s)
    classes = z.shape[-1]
    t = (1 - smoothing) * np.eye(classes)[y] + smoothing / classes
    ce = -(t * log_p).sum(-1)
    hardest = np.argsort(-ce)[: int(np.ceil(fraction * len(ce)))]
    weights = np.ones(classes) if weights is None else np.array(weights)
    sw = (s * weights[y])[hardest]
    focus = (1 - np.exp(-ce[hardest])) ** gamma
    return (sw * focus * ce[hardest]).sum() / sw.sum()


def region(of_class):
    """Mean over the present classes of a function of tp, fp and fn."""

    def formula(y, z, s):
        y, log_p, s = labelled(y, z, s)
        losses = []
        for c in np.unique(y):
            p, own = np.exp(log_p[:, c]), y == c
            tp, fp = (s * p)[own].sum(), (s * p)[~own].sum()
            losses.append(of_class(tp, fp, (s * (1 - p))[own].sum()))
        return np.mean(losses)

    return formula


def lovasz(y, z, s):
    """The paper's algorithm 1, with pixels that are s pixels large."""
    y, log_p, s = labelled(y, z, s)
    losses = []
    for c in np.unique(y):
        own, error = y == c, np.abs((y == c) - np.exp(log_p[:, c]))
        order = np.argsort(-error)
        hits, misses = ((s * x)[order].cumsum() for x in (own, ~own))
        jaccard = 1 - (hits[-1] - hits) / (hits[-1] + misses)
        losses.append((error[order] * np.diff(jaccard, prepend=0)).sum())
    return np.mean(losses)


def pool(x, k):
    """The largest of k x k pixels, of those inside of the image."""
    r, (_, h, w) = k // 2, x.shape
    x = np.pad(x, [(0, 0), (r, r), (r, r)], constant_values=-np.inf)
    return np.max([x[:, i : i + h, j : j + w] for i in range(k) for j in range(k)], 0)


def boundary_f1(y, z, s, width=3, reach=5):
    known = y != 255
    losses = []
    for c in np.unique(y[known]):
        p = softmax(z.astype("float64"))[..., c]
        b_y, b_p = (
            (pool(known * (1 - x), width) - (1 - x)) * known
            for x in (1.0 * (y == c), p)
        )
        precision = (s * b_p * pool(b_y, reach)).sum() / (s * b_p).sum()
        recall = (s * b_y * pool(b_p, reach)).sum() / (s * b_y).sum()
        losses.append(1 - 2 * precision * recall / (precision + recall))
    return np.mean(losses)


def received_labels(error):
    """The smallest and the largest stray label that an error names."""
    named = str(error).split("Received labels from")[1]
    return [float(n) for n in re.findall(r"-?\d+\.?\d*", named)[:2]]


DICE = region(lambda tp, fp, fn: 1 - 2 * tp / (2 * tp + fp + fn))
JACCARD = region(lambda tp, fp, fn: 1 - tp / (tp + fp + fn))

# What makes each loss, and its formula.
LOSSES = {
    "weighted_cross_entropy": (
        lambda **o: WeightedCrossEntropy(WEIGHTS, label_smoothing=0.1, **o),
        lambda y, z, s: cross_entropy(y, z, s, smoothing=0.1),
    ),
    "focal": (
        lambda **o: Focal(2.0, WEIGHTS, **o),
        lambda y, z, s: cross_entropy(y, z, s, gamma=2.0),
    ),
    "focal_half": (
        lambda **o: Focal(0.5, WEIGHTS, **o),
        lambda y, z, s: cross_entropy(y, z, s, gamma=0.5),
    ),
    "top_k": (
        lambda **o: TopKCrossEntropy(0.25, WEIGHTS, **o),
        lambda y, z, s: cross_entropy(y, z, s, fraction=0.25),
    ),
    "dice": (Dice, DICE),
    "jaccard": (Jaccard, JACCARD),
    "tversky": (
        lambda **o: Tversky(0.3, 0.7, **o),
        region(lambda tp, fp, fn: 1 - tp / (tp + 0.3 * fp + 0.7 * fn)),
    ),
    "focal_tversky": (
        lambda **o: Tversky(0.3, 0.7, gamma=4 / 3, **o),
        region(lambda tp, fp, fn: (1 - tp / (tp + 0.3 * fp + 0.7 * fn)) ** 0.75),
    ),
    "lovasz": (Lovasz, lovasz),
    "boundary_f1": (BoundaryF1, boundary_f1),
    "sum": (
        lambda **o: 0.5 * Dice(**o) + Jaccard(**o) * 2,
        lambda y, z, s: 0.5 * DICE(y, z, s) + 2 * JACCARD(y, z, s),
    ),
}

# One of each base: of single pixels, of regions, and sums.
KINDS = {name: LOSSES[name][0] for name in ("weighted_cross_entropy", "tversky", "sum")}

tensorflow_only = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="other backends can't raise at what is in a tensor",
)
every_loss = pytest.mark.parametrize(
    "build", [build for build, _ in LOSSES.values()], ids=LOSSES
)
every_loss_with_formula = pytest.mark.parametrize(
    ("build", "formula"), LOSSES.values(), ids=LOSSES
)
