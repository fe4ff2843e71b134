"""What MeanIoU, MeanAccuracy and MeanDice share: a mean over the classes."""

from keras_seg.labels import IGNORE, DType, Tensor
from keras_seg.metrics import _formulas as formulas
from keras_seg.metrics._confusion import ConfusionMatrixMetric


class ClassMean(ConfusionMatrixMetric):
    """A mean over the classes of a quotient of counts."""

    def __init__(
        self,
        num_classes: int,
        *,
        ignore: int = IGNORE,
        absent: str = "skip",
        name: str | None = None,
        dtype: DType = None,
    ):
        super().__init__(num_classes, ignore=ignore, name=name, dtype=dtype)
        self.absent = formulas.check_absent(absent)

    def of_matrix(self, matrix: Tensor) -> Tensor:
        return formulas.mean_of_classes(*self.quotients(matrix), self.absent)

    def quotients(self, matrix: Tensor) -> tuple[Tensor, Tensor]:
        """Return numerator and denominator of each class."""
        raise NotImplementedError  # each score has its own

    def get_config(self) -> dict:
        return super().get_config() | {"absent": self.absent}
