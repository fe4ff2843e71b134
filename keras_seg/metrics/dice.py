"""The Dice coefficient of all pixels, or of each image, averaged over the classes."""

import keras
from keras import ops

from keras_seg.labels import IGNORE, DType, Logits, Mask, PixelWeights, Tensor
from keras_seg.metrics import _formulas as formulas
from keras_seg.metrics._class_mean import ClassMean
from keras_seg.metrics._counts import bincount


@keras.saving.register_keras_serializable(package="keras_seg")
class MeanDice(ClassMean):
    """Dice coefficient, averaged over the classes.

        mean over c of 2 tp_c / (2 tp_c + fp_c + fn_c)

        tp_c  pixels that are class c in truth and prediction
        fp_c  pixels that are class c in the prediction only
        fn_c  pixels that are class c in the truth only

    Pixels are those of the whole data set; a class is absent where all three are 0.
    With `per_image=True` it is another number, the usual one in medicine: the mean over
    images of the mean over the classes of each image. An image without labelled pixels
    isn't counted there.
    Pixels whose label or prediction means nothing (NaN, say) aren't counted here but as
    `invalid_pixels`.

    Args:
        num_classes: Number of classes, the background among them.
        per_image: Whether to average over images, instead of counting pixels of all.
        ignore: Label of the ignored pixels.
        absent: What an absent class counts in the mean: "skip" (it is left out, as in
            Keras and the FCN authors' code), "zero", "one" or "nan".
        name: Name of the metric in the logs; None means "mean_dice", or
            "mean_dice_per_image".
        dtype: Type of the result; None means float32.

    Shapes:
        y_true: int `[batch, height, width]`, or with a last axis of 1
        y_pred: float `[batch, height, width, num_classes]`, logits or probabilities, or
            int ids `[batch, height, width]`

    Raises:
        ValueError: for fewer than two classes, an `ignore` that is one of them, an
            unknown `absent`, predictions of another size or number of classes, or a
            `sample_weight`.

    Example:
        >>> metric = MeanDice(num_classes=2)
        >>> metric.update_state([[[0, 0, 1, 255]]], [[[0, 1, 1, 1]]])
        >>> round(float(metric.result()), 4)  # 2/3 for both classes
        0.6667
    """

    def __init__(
        self,
        num_classes: int,
        *,
        per_image: bool = False,
        ignore: int = IGNORE,
        absent: str = "skip",
        name: str | None = None,
        dtype: DType = None,
    ):
        # Of images: how many are labelled, how many have a score of NaN, and the sum of
        # the others' scores, in steps of 1/1024 and, of what is left, 1/1024 of these.
        # A float sum of many images would lose digits.
        self._further_counts = 4 if per_image else 0
        super().__init__(
            num_classes,
            ignore=ignore,
            absent=absent,
            name=name or ("mean_dice_per_image" if per_image else "mean_dice"),
            dtype=dtype,
        )
        self.per_image = per_image

    def update_state(
        self,
        y_true: Mask,
        y_pred: Logits | Mask,
        sample_weight: PixelWeights = None,
    ) -> None:
        """Count the pixels of a batch.

        Args:
            y_true: Masks, int `[batch, height, width]`, or with a last axis of 1.
            y_pred: Logits or probabilities, float `[batch, height, width,
                num_classes]`, or ids, int `[batch, height, width]`.
            sample_weight: Must be None: pixels are counted, not weighed.
        """
        if not self.per_image:
            super().update_state(y_true, y_pred, sample_weight)
            return
        n = self.num_classes
        cells = self.cells(y_true, y_pred, sample_weight)
        images = ops.shape(cells)[0]
        counts = bincount(ops.reshape(cells, (images, -1)), n * n + 2)

        matrices = ops.cast(counts[:, : n * n], self.dtype)
        matrices = ops.reshape(matrices, (images, n, n))
        labelled = ops.sum(matrices, axis=(1, 2)) > 0
        dice = ops.where(labelled, self.of_matrix(matrices), 0.0)
        nan = ops.isnan(dice)
        steps = 1024 * ops.where(nan, 0.0, dice)
        whole = ops.floor(steps)
        of_images = (labelled, nan, whole, ops.round(1024 * (steps - whole)))
        further = ops.stack([ops.cast(x, counts.dtype) for x in of_images], axis=1)
        counts = ops.concatenate([counts, further], axis=1)
        self.add_counts(ops.sum(counts, axis=0))

    def add_matrix(self, matrix: Tensor) -> None:
        """Add the counts of a confusion matrix made elsewhere; not per image.

        Args:
            matrix: Integers `[num_classes, num_classes]`, rows truth, columns
                prediction; also beyond 2**32.
        """
        if self.per_image:
            raise ValueError("Expected images, not a matrix, with per_image=True.")
        super().add_matrix(matrix)

    def result(self) -> Tensor:
        """Return the score of all pixels, or images, counted so far."""
        if not self.per_image:
            return super().result()
        images, nan, steps, rest = ops.unstack(self.float_counts()[-4:], 4)
        mean = ops.divide_no_nan((steps + rest / 1024) / 1024, images)
        return ops.where(nan > 0, float("nan"), mean)

    def quotients(self, matrix: Tensor) -> tuple[Tensor, Tensor]:
        return formulas.dice(matrix)

    def get_config(self) -> dict:
        return super().get_config() | {"per_image": self.per_image}
