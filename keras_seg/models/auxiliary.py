"""Auxiliary heads: scores of earlier features, whose loss helps while training.

    loss = loss of the logits + weight * sum of the losses of auxiliary logits

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
        activation: Output activation. None gives logits.
        name: Name of the model.
    """
    if not weight:
        return with_heads(image, logits, {}, weight, name=name)
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
    return with_heads(image, logits, {"auxiliary": auxiliary}, weight, name=name)


def with_heads(
    image: Image, logits: Logits, heads: dict[str, Logits], weight: float, *, name: str
) -> keras.Model:
    """Make a model from an image to logits, which may train auxiliary heads.

    Args:
        image: The symbolic image.
        logits: What the model makes of it.
        heads: Auxiliary logits by name. If there are none, it is a plain model.
        weight: Weight of the loss of each of them.
        name: Name of the model.
    """
    if not heads:
        return keras.Model(image, logits, name=name)
    model = WithAuxiliary(image, logits, name=name)
    model.trained = keras.Model(
        image, {"logits": logits, **heads}, name=f"{name}_trained"
    )
    model.auxiliary_weight = float(weight)
    return model


def trained_part(model: keras.Model) -> keras.Model:
    """The model with its auxiliary head, if it has one."""
    return model.trained if isinstance(model, WithAuxiliary) else model


@keras.saving.register_keras_serializable(package="keras_seg")
class WithAuxiliary(keras.Model):
    """A model from images to logits, whose `fit` trains auxiliary heads too.

    Called, it returns logits, also with `training=True`. A training loop of one's own
    has all from `y_pred = model.trained(x, training=True)`, a dictionary of "logits"
    and of the auxiliary logits by name, and the loss of all from
    `model.compute_loss(x, y, y_pred)`. A saved file holds the model without the heads:
    it loads as a plain functional model that isn't compiled. `with_heads` makes one.

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
        self._fits = False

    def train_step(self, *args: Any) -> Any:  # of TensorFlow: data; of JAX: state, data
        self._fits = True
        try:
            return super().train_step(*args)
        finally:
            self._fits = False

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if training and self._fits:
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
        if not isinstance(y_pred, dict):  # as in `evaluate`
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        loss = super().compute_loss(x, y, y_pred["logits"], sample_weight, training)
        # The compiled loss alone: the line above has the model's own losses already.
        for name, auxiliary in y_pred.items():
            if name != "logits":
                term = self._compile_loss(y, auxiliary, sample_weight)
                loss += self.auxiliary_weight * term
        return loss

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
