"""Weighted sums of losses, which are losses."""

from typing import Any

import keras

from keras_seg.arguments import check_number
from keras_seg.labels import Logits, Mask, PixelWeights, Tensor
from keras_seg.losses._base import SegmentationLoss


@keras.saving.register_keras_serializable(package="keras_seg")
class Sum(keras.losses.Loss):
    """A weighted sum of losses; what `0.5 * Dice() + WeightedCrossEntropy()` makes.

        loss = factor_1 loss_1 + factor_2 loss_2 + ...

    Args:
        losses: Losses of this package.
        factors: A number for each.
        name: Name of the loss.

    Example:
        >>> from keras_seg.losses import Dice, WeightedCrossEntropy
        >>> loss = 0.5 * Dice() + WeightedCrossEntropy()
        >>> loss
        0.5 * Dice() + WeightedCrossEntropy()
        >>> [part.name for part in loss.losses], loss.factors
        (['dice', 'weighted_cross_entropy'], [0.5, 1.0])
    """

    def __init__(
        self,
        losses: list[SegmentationLoss],
        factors: list[float],
        *,
        name: str = "sum",
    ):
        super().__init__(name=name)
        self.losses = list(losses)
        for factor in factors:
            check_number("factor", factor)
        self.factors = [float(factor) for factor in factors]

    def __call__(
        self, y_true: Mask, y_pred: Logits, sample_weight: PixelWeights = None
    ) -> Tensor:
        return sum(
            factor * loss(y_true, y_pred, sample_weight)
            for factor, loss in zip(self.factors, self.losses, strict=True)
        )

    def get_config(self) -> dict:
        config = super().get_config()
        del config["reduction"]
        losses = [keras.saving.serialize_keras_object(loss) for loss in self.losses]
        return config | {"losses": losses, "factors": self.factors}

    @classmethod
    def from_config(cls, config: dict) -> "Sum":
        losses = [keras.saving.deserialize_keras_object(x) for x in config["losses"]]
        return cls(**(config | {"losses": losses}))

    def __repr__(self) -> str:
        return " + ".join(
            repr(loss) if factor == 1 else f"{factor:g} * {loss!r}"
            for factor, loss in zip(self.factors, self.losses, strict=True)
        )

    def __add__(self, other: Any) -> "Sum":
        if isinstance(other, SegmentationLoss):
            other = Sum([other], [1.0])
        if not isinstance(other, Sum):
            return NotImplemented
        return Sum(self.losses + other.losses, self.factors + other.factors)

    def __mul__(self, factor: float) -> "Sum":
        return Sum(self.losses, [factor * own for own in self.factors])

    __rmul__ = __mul__
