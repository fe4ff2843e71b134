"""Auxiliary heads: scores of earlier features, whose loss helps while training.

    loss = loss of the logits + weight * loss of the auxiliary logits

Lee et al., "Deeply-Supervised Nets", AISTATS 2015, https://arxiv.org/abs/1409.5185;
for segmentation Zhao et al., "Pyramid Scene Parsing Network", section 3.3,
https://arxiv.org/abs/1612.01105. Nothing but the loss of `fit` is different: what a
model predicts, is scored by and is saved as are the main logits alone.
"""

from typing import Any

import keras

from keras_seg.labels import Features, Image, Logits
from keras_seg.models.blocks import enlarge_outputs, fcn_head


def with_auxiliary(
    image: Image,
    logits: Logits,
    features: Features,
    weight: float,
    *,
    output_stride: int,
    activation: Any,
    name: str,
) -> keras.Model:
    """Make a model from an image to logits, which may train an auxiliary head.

    The head is torchvision's: that of an FCN on level "P4".

    Args:
        image: The symbolic image.
        logits: What the model makes of it.
        features: Features by level.
        weight: Weight of the loss of the auxiliary logits. With 0 there is no head.
        output_stride: How many times smaller than the image features may get.
        activation: What is made of scores. None gives logits.
        name: Name of the model.
    """
    if not weight:
        return keras.Model(image, logits, name=name)
    prefix = "auxiliary_"
    x = fcn_head(
        features["P4"],
        logits.shape[-1],
        dropout=0.1,
        name="auxiliary",
        score_name=f"{prefix}score",
    )
    factor = min(16, output_stride)
    end: dict[str, Any] = {"activation": activation, "image": image}
    auxiliary = enlarge_outputs(x, factor, prefix=prefix, **end)
    model = WithAuxiliary(image, logits, name=name)
    both = {"logits": logits, "auxiliary": auxiliary}
    model.trained = keras.Model(image, both, name=f"{name}_trained")
    model.auxiliary_weight = float(weight)
    return model


def trained_part(model: keras.Model) -> keras.Model:
    """The model with its auxiliary head, if it has one."""
    return model.trained if isinstance(model, WithAuxiliary) else model


@keras.saving.register_keras_serializable(package="keras_seg")
class WithAuxiliary(keras.Model):
    """A model from images to logits, whose `fit` trains an auxiliary head too.

    Called with `training=True` it returns a dictionary of "logits" and "auxiliary"
    logits; for a training loop of one's own, `model.compute_loss(x, y, y_pred)` has the
    loss of both. A saved file holds the model without the head: it loads as a plain
    functional model that isn't compiled. `with_auxiliary` makes one.

    Args:
        inputs: A symbolic image.
        outputs: Symbolic logits.
        name: The name.
        **kwargs: Of `keras.Model`.
    """

    trained: keras.Model
    auxiliary_weight: float

    def __init__(
        self, inputs: Any, outputs: Any, name: str | None = None, **kwargs: Any
    ):
        super().__init__(inputs, outputs, name=name, **kwargs)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if training:
            return self.trained(inputs, training=True)
        return super().call(inputs, training=training, mask=mask)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        if not isinstance(y_pred, dict):  # when it is validated
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        loss = super().compute_loss(x, y, y_pred["logits"], sample_weight, training)
        # The compiled loss alone: the line above has the model's own losses already.
        auxiliary = self._compile_loss(y, y_pred["auxiliary"], sample_weight)
        return loss + self.auxiliary_weight * auxiliary

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        if isinstance(y_pred, dict):
            y_pred = y_pred["logits"]
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def get_compile_config(self) -> None:
        # Its optimizer has variables for the head, which a loaded model doesn't.
        return None

    @classmethod
    def from_config(cls, config: dict, custom_objects: Any = None) -> keras.Model:
        return keras.Model.from_config(config, custom_objects)
