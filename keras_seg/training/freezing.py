"""Encoders that stay as they are for a while, or in part for good."""

from typing import Any

import keras

from keras_seg.arguments import is_whole
from keras_seg.models.encoders.frozen import freeze_batch_normalization
from keras_seg.training.pytorch_optimizers import GroupedOptimizer


class FreezeEncoder(keras.callbacks.Callback):
    """Train the decoder alone for some epochs, then the encoder too.

    A decoder that begins at random sends large, useless gradients into an encoder with
    trained weights. While the encoder is frozen, its batch normalization uses the
    statistics that it came with.

    The optimizer must know the encoder's variables from the beginning, so call
    `optimizer.build(model.trainable_variables)` before `fit`, and freeze nothing
    yourself. On JAX, Keras's own optimizers can't leave out variables that they know:
    take one of `training.optimizer`, without `ema` and not in mixed_float16.

    Args:
        epochs: Epochs in which the encoder is frozen. With `initial_epoch=` of `fit`
            they count from the beginning of the whole training.
        batch_normalization: Whether that of the encoder is trained later too. By
            default its scale, shift and statistics stay, as in every encoder that is
            made with weights.

    Raises:
        ValueError: for fewer epochs than 1; when `fit` begins, for a model without a
            layer "encoder", or an optimizer that wasn't built for it; on JAX, for an
            optimizer that can't leave out variables.

    Example:
        model = keras_seg.unet(21, encoder="resnet50", encoder_weights="imagenet")
        adamw = keras_seg.training.optimizer(model, 1e-3, steps=5000)
        adamw.build(model.trainable_variables)
        model.compile(adamw, keras_seg.losses.WeightedCrossEntropy())
        model.fit(batches, epochs=20, callbacks=[FreezeEncoder(epochs=2)])
    """

    def __init__(self, epochs: int, *, batch_normalization: bool = False):
        super().__init__()
        if not is_whole(epochs, 1):
            raise ValueError(f"Expected `epochs` to be 1 or more. Received: {epochs!r}")
        self.epochs = epochs
        self.batch_normalization = batch_normalization

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        try:
            self._encoder = self.model.get_layer("encoder")
        except ValueError:
            raise ValueError(
                "Expected a model with an encoder, as of `unet(encoder=...)`. "
                f"Received: {self.model.name!r}, which has no layer 'encoder'"
            ) from None
        self._train_encoder(True)
        optimizer = self.model.optimizer
        if keras.backend.backend() == "jax":
            _check_leaves_out(optimizer)
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # of loss scaling
        known = (
            {id(v) for v in optimizer._trainable_variables} if optimizer.built else {}
        )
        if not all(id(v) in known for v in self.model.trainable_variables):
            raise ValueError(
                "Expected an optimizer that was built for all variables, by "
                "`optimizer.build(model.trainable_variables)` before `fit`."
            )

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._encoder.trainable != (epoch >= self.epochs):
            self._train_encoder(epoch >= self.epochs)
            self.model.make_train_function(force=True)

    def _train_encoder(self, trains: bool) -> None:
        self._encoder.trainable = trains
        if trains:
            freeze_batch_normalization(self._encoder, not self.batch_normalization)


def _check_leaves_out(optimizer: Any) -> None:
    """Raise for an optimizer that can't take a step with some variables frozen."""
    if isinstance(optimizer, GroupedOptimizer) and not optimizer.use_ema:
        return
    received = type(optimizer).__name__
    if isinstance(optimizer, GroupedOptimizer):
        received = f"{received} with `ema`"
    raise ValueError(
        "Expected an optimizer of `training.optimizer`, without `ema` and not in "
        f"mixed_float16, to freeze an encoder for some epochs on JAX. Received: "
        f"{received}. To freeze it for the whole training, set its `trainable` to "
        "False before the optimizer is made."
    )
