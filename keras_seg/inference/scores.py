"""What an evaluation found: scores of the classes, of the images, and how sure."""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_seg.inference.one_device import without_distribution
from keras_seg.metrics import SegmentationScores

# Of the interval: how often images are drawn anew, from which seed, and the
# percentages of the results that lie below its ends.
_DRAWS, _SEED, _ENDS = 2000, 0, (2.5, 97.5)
# Draws that are multiplied at once: a few MB.
_AT_ONCE = 100

#: From intersections and unions, summed over images, to a score.
Score = Callable[[Any, Any], Any]


class ImageScore(NamedTuple):
    """How well one image was predicted.

    Attributes:
        name: What errors call the example; the stem of its file, say.
        loss: Of this image alone: the compiled loss of the model, or else
            cross-entropy; NaN without a labelled pixel.
        mean_iou: Intersection over union of this image alone, averaged over the
            classes that occur in it; NaN without a labelled pixel.
    """

    name: str
    loss: float
    mean_iou: float


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
    """Scores that `evaluate` returns.

    Attributes:
        class_names: A name per class.
        confusion_matrix: Pixels by true class (rows) and predicted class (columns),
            int64 `[num_classes, num_classes]`.
        ignored_pixels: Pixels labelled 255, which count nowhere.
        invalid_pixels: Pixels whose label or prediction is no class.
        images: Number of images.
        loss: Mean over the images of the loss that the model was compiled with; None
            for a model that wasn't compiled.
        boundary_iou: Boundary IoU, averaged over the classes; None if it wasn't asked
            for.
        image_names: What errors call the images, in the order of the examples.
        image_losses: Loss of each image, float64 `[images]`.
        image_hits: Pixels of each image and class that are this class in truth and
            prediction, int64 `[images, num_classes]`.
        image_unions: Pixels of each image and class that are this class in truth or
            prediction.

    Example:
        >>> scores = Scores(("ground", "cat"), np.array([[1, 1], [0, 1]]))
        >>> round(scores.mean_iou, 3), round(scores.pixel_accuracy, 3)
        (0.5, 0.667)
        >>> scores.iou
        {'ground': 0.5, 'cat': 0.5}
        >>> scores.precision, scores.recall
        ({'ground': 1.0, 'cat': 0.5}, {'ground': 0.5, 'cat': 1.0})
    """

    class_names: tuple[str, ...]
    confusion_matrix: np.ndarray
    ignored_pixels: int = 0
    invalid_pixels: int = 0
    images: int = 0
    loss: float | None = None
    boundary_iou: float | None = None
    image_names: Sequence[str] = ()
    image_losses: Any = ()
    image_hits: Any = ()
    image_unions: Any = ()

    @property
    def mean_iou(self) -> float:
        """Intersection over union, averaged over the classes that occur."""
        return self.as_dict()["mean_iou"]

    @property
    def pixel_accuracy(self) -> float:
        """Share of the labelled pixels whose class is predicted right."""
        return self.as_dict()["pixel_accuracy"]

    @property
    def iou(self) -> dict[str, float]:
        """Intersection over union of each class by name, NaN where it is absent."""
        values = self._values(per_class=True)
        return {name: values[f"iou/{name}"] for name in self.class_names}

    @property
    def precision(self) -> dict[str, float]:
        """Share of the pixels predicted as a class that are it; NaN if none are."""
        return self._shares(self.confusion_matrix.sum(0))

    @property
    def recall(self) -> dict[str, float]:
        """Share of the pixels of a class that are predicted as it; NaN if none are."""
        return self._shares(self.confusion_matrix.sum(1))

    @property
    def dice(self) -> dict[str, float]:
        """Harmonic mean of precision and recall (F1); NaN where a class is absent."""
        matrix = self.confusion_matrix
        return self._shares((matrix.sum(0) + matrix.sum(1)) / 2)

    @functools.cached_property
    def mean_iou_interval(self) -> tuple[float, float]:
        """95 % interval of the mean IoU, by the bootstrap over images.

        As many images as there are, are drawn with replacement, 2,000 times, from a
        fixed seed. Each time the mean IoU is that of the sums over the images drawn.
        The interval goes from the 2.5th to the 97.5th percentile. It says how far the
        score depends on which images were labelled, not on the training.

        Returns:
            (low, high), NaN with fewer than two images.
        """
        return self._interval(mean_iou)

    @functools.cached_property
    def pixel_accuracy_interval(self) -> tuple[float, float]:
        """95 % interval of the pixel accuracy, by the same draws of images."""
        return self._interval(pixel_accuracy)

    @functools.cached_property
    def iou_interval(self) -> dict[str, tuple[float, float]]:
        """95 % interval of the IoU of each class, by the same draws of images.

        A draw without the class doesn't count for it. NaN where the class is absent,
        and with fewer than two images.
        """
        low, high = np.full((2, len(self.class_names)), math.nan)
        if len(self.image_hits) > 1:
            present = np.asarray(self.image_unions).sum(0) > 0
            hits, unions = (
                np.asarray(pixels)[:, present]
                for pixels in (self.image_hits, self.image_unions)
            )
            low[present], high[present] = bootstrap_interval(hits, unions, iou)
        ends = zip(low.tolist(), high.tolist(), strict=True)
        return dict(zip(self.class_names, ends, strict=True))

    def _interval(self, score: Score) -> tuple[float, float]:
        low, high = bootstrap_interval(self.image_hits, self.image_unions, score)
        return float(low), float(high)

    def worst_images(self, count: int | None = None) -> list[ImageScore]:
        """Images in the order of their loss, the largest first.

        Args:
            count: How many; None means all.
        """
        # NaN sorts to the end.
        order = np.argsort(-np.asarray(self.image_losses, float), kind="stable")
        return [self._image(int(k)) for k in order[:count]]

    def _image(self, index: int) -> ImageScore:
        hits, unions = self.image_hits[index], self.image_unions[index]
        return ImageScore(
            self.image_names[index],
            float(self.image_losses[index]),
            float(mean_iou(hits, unions)),
        )

    def as_dict(self) -> dict[str, float]:
        """All scores of `metrics.SegmentationScores` by name, and the loss if any."""
        values = self._values(per_class=False)
        return values if self.loss is None else {"loss": self.loss, **values}

    def as_json(self) -> dict[str, Any]:
        """All of it but the loss, as JSON can hold it: None for numbers there aren't.

        (The loss is that of one compilation; a model that was loaded has none.)
        """
        classes = {
            name: _without_nan(getattr(self, name))
            for name in ("iou", "precision", "recall", "dice")
        }
        images = [_without_nan(image._asdict()) for image in self.worst_images()]
        boundary = (
            {} if self.boundary_iou is None else {"boundary_iou": self.boundary_iou}
        )
        return {
            **_without_nan(self._values(per_class=False) | boundary),
            "mean_iou_interval": _ends(self.mean_iou_interval),
            "pixel_accuracy_interval": _ends(self.pixel_accuracy_interval),
            **classes,
            "iou_interval": {k: _ends(v) for k, v in self.iou_interval.items()},
            "ignored_pixels": self.ignored_pixels,
            "invalid_pixels": self.invalid_pixels,
            "images": self.images,
            "confusion_matrix": self.confusion_matrix.tolist(),
            "images_by_loss": images,
        }

    @without_distribution()
    def _values(self, *, per_class: bool) -> dict[str, float]:
        metric = SegmentationScores(
            len(self.class_names), class_names=self.class_names, per_class=per_class
        )
        metric.add_matrix(self.confusion_matrix)
        return {name: float(value) for name, value in metric.result().items()}

    def _shares(self, of_pixels: np.ndarray) -> dict[str, float]:
        hits = np.diag(self.confusion_matrix)
        return {
            name: float(hit / pixels) if pixels else math.nan
            for name, hit, pixels in zip(self.class_names, hits, of_pixels, strict=True)
        }

    def __str__(self) -> str:
        columns = (self.iou, self.precision, self.recall, self.dice)
        titles = ["class", "IoU", "precision", "recall", "Dice"]
        rows = [
            [name, *(_number(column[name]) for column in columns)]
            for name in self.class_names
        ]
        totals = [["mean IoU", _number(self.mean_iou)]]
        low, high = self.mean_iou_interval
        if not math.isnan(low):
            totals.append(["95 % interval", f"{low:.3f} to {high:.3f}"])
        totals.append(["pixel accuracy", _number(self.pixel_accuracy)])
        if self.boundary_iou is not None:
            totals.append(["boundary IoU", _number(self.boundary_iou)])
        totals.append(["ignored pixels", f"{self.ignored_pixels:,}"])
        if self.invalid_pixels:
            totals.append(["invalid pixels", f"{self.invalid_pixels:,}"])
        totals.append(["images", f"{self.images:,}"])
        return f"{_table([titles, *rows])}\n\n{_table(totals)}"


def iou(hits: Any, unions: Any) -> np.ndarray:
    """IoU of each class; NaN if it doesn't occur."""
    hits, unions = np.asarray(hits, float), np.asarray(unions, float)
    nowhere = np.full_like(hits, math.nan)
    return np.divide(hits, unions, out=nowhere, where=unions > 0)


def mean_iou(hits: Any, unions: Any) -> Any:
    """IoU averaged over the classes that occur, on the last axis; NaN if none does."""
    hits, unions = np.asarray(hits, float), np.asarray(unions, float)
    present = unions > 0
    ratios = np.divide(hits, unions, out=np.zeros_like(hits), where=present)
    with np.errstate(invalid="ignore"):
        return ratios.sum(-1) / present.sum(-1)


def pixel_accuracy(hits: Any, unions: Any) -> Any:
    """Share of the pixels that are right, on the last axis; NaN without a pixel.

    A pixel that is right is in one union, one that is wrong in two: those of its true
    and of its predicted class.
    """
    right, both = np.sum(hits, -1, dtype=float), np.sum(unions, -1, dtype=float)
    with np.errstate(invalid="ignore"):
        return right / ((both + right) / 2)


def bootstrap_interval(hits: Any, unions: Any, score: Score = mean_iou) -> Any:
    """Interval of a score when images are drawn anew.

    Args:
        hits: Intersections, `[images, num_classes]`.
        unions: Unions, likewise.
        score: Function from sums over images of the two, `[draws, num_classes]`, to a
            score of each draw, or one of each draw and class.

    Returns:
        2.5th and 97.5th percentile, NaN with fewer than two images.
    """
    count = len(hits)
    if count < 2:
        return math.nan, math.nan
    random = np.random.default_rng(_SEED)
    hits, unions = np.asarray(hits, float), np.asarray(unions, float)
    found = []
    row = np.arange(_AT_ONCE)[:, None] * count
    for _ in range(_DRAWS // _AT_ONCE):
        drawn = random.integers(count, size=(_AT_ONCE, count)) + row
        times = np.bincount(drawn.ravel(), minlength=_AT_ONCE * count)
        times = times.reshape(_AT_ONCE, count)  # how often each image is drawn
        found.append(score(times @ hits, times @ unions))
    low, high = np.nanpercentile(np.concatenate(found), _ENDS, axis=0)
    return low, high


def _ends(interval: tuple[float, float]) -> list[float] | None:
    return None if math.isnan(interval[0]) else [*interval]


def _without_nan(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }


def _number(value: float) -> str:
    return "absent" if math.isnan(value) else f"{value:.3f}"


def _table(rows: list[list[str]]) -> str:
    """Rows of words below each other: the first column to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            [f"{row[0]:{widths[0]}}"]
            + [
                f"{word:>{width}}"
                for word, width in zip(row[1:], widths[1:], strict=True)
            ]
        )
        for row in rows
    )
