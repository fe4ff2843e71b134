"""The optimizer of a segmentation net: schedule, decay, and a rate for its encoder.

Each optimizer takes the steps that PyTorch's of the same name takes, with parameter
groups for the encoder and for what isn't decayed (`pytorch_optimizers.py`).

    poly: Chen et al., DeepLab, 2017, https://arxiv.org/abs/1606.00915, section 4.1.1
"""

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from keras_seg.arguments import check_choice, check_integer, check_number
from keras_seg.training.pytorch_optimizers import SGD, Adam, AdamW, GroupedOptimizer

__all__ = ["optimizer"]

_OPTIMIZERS: dict[str, type[GroupedOptimizer]] = {
    "adamw": AdamW,
    "adam": Adam,
    "sgd": SGD,
}


def optimizer(
    model: keras.Model,
    learning_rate: float,
    *,
    steps: int,
    name: str = "adamw",
    schedule: str = "poly",
    warmup: int = 0,
    weight_decay: float = 1e-4,
    encoder_rate: float = 0.03,
    ema: float | None = None,
    accumulate: int = 1,
    clip: float | None = None,
) -> keras.optimizers.Optimizer:
    """Make the optimizer of a training, for `compile`.

    The learning rate at step i = 0, 1, ... of `fit` is

        warmup = 0:  learning_rate * decay(i / steps)
        i < warmup:  learning_rate * (i + 1) / (warmup + 1)
        later:       learning_rate * decay((i - warmup) / (steps - warmup))

        "poly":      decay(x) = (1 - x) ** 0.9
        "cosine":    decay(x) = (1 + cos(pi * x)) / 2
        "constant":  decay(x) = 1

    "poly" and "cosine" are 0 from step `steps` on. The optimizers are those of PyTorch
    by these names, with its defaults:

        "adamw":  betas 0.9 and 0.999, epsilon 1e-8; each step also multiplies
                  the weights by 1 - rate * weight_decay.
        "adam":   the same, with weight_decay * weights added to the gradient.
        "sgd":    momentum 0.9, not Nesterov's, as torchvision and mmsegmentation train;
                  weight_decay * weights added to the gradient. (In `keras.optimizers`
                  the decay of SGD and Adam is AdamW's, and momentum holds past rates.)

    Biases and the weights of normalization layers aren't decayed.

    Args:
        model: The model to train, built, with what stays fixed frozen already.
        learning_rate: The highest learning rate.
        steps: Steps of the whole training: epochs times steps per epoch. With a
            "constant" schedule, any number above `warmup`.
        name: "adamw", "adam" or "sgd".
        schedule: "poly", "cosine" or "constant". The learning rate can be set later, by
            callbacks such as `ReduceLROnPlateau`, if it is "constant" and `warmup` is
            0; otherwise Keras raises when one tries.
        warmup: Steps of linear warm-up, fewer than `steps`.
        weight_decay: Factor of the weights in their decay; 0 for none.
        encoder_rate: Factor of the rate for variables whose path begins with
            "encoder/", those of a net made with `encoder=`: below 1 if the encoder has
            trained weights, 1 if it hasn't. Other nets, such as the FCNs, have none.
        ema: Momentum of a moving average of the weights over steps of `fit`, such as
            0.999. It replaces the weights when `fit` ends; `SwapEMAWeights` of Keras
            also validates with it. None for no average.
        accumulate: Steps of `fit` whose gradients are averaged for one update of the
            weights, at the learning rate of the last step. `steps` and `warmup` still
            are steps of `fit`. 1 with several replicas of `tf.distribute`.
        clip: Largest global norm of the gradients; larger ones are scaled down to it.
            None doesn't clip.

    Returns:
        A Keras optimizer. Make it in the scope of the strategy, if there is one.

    Raises:
        ValueError: for an argument out of its range, for a model that isn't built or
            has no trainable weights, and for `accumulate` with several replicas.

    Example:
        >>> import keras_seg
        >>> model = keras_seg.unet(6, widths=(4, 8))
        >>> adamw = optimizer(model, 1e-3, steps=2000, warmup=100)
        >>> model.compile(adamw, keras_seg.losses.WeightedCrossEntropy())
        >>> f"{float(model.optimizer.learning_rate):.2e}"
        '9.90e-06'
    """
    _check_model(model)
    check_choice("name", name, _OPTIMIZERS)
    check_choice("schedule", schedule, ("poly", "cosine", "constant"))
    check_number("learning_rate", learning_rate, above=0)
    check_integer("steps", steps, least=1)
    check_integer("warmup", warmup, least=0)
    if warmup >= steps:
        raise ValueError(
            f"Expected `warmup` to be fewer steps than `steps`, {steps}. "
            f"Received: {warmup}. Both count steps of `fit`, not epochs."
        )
    check_number("weight_decay", weight_decay, least=0)
    check_number("encoder_rate", encoder_rate, least=0)
    if ema is not None:
        check_number("ema", ema, above=0, below=1)
    check_integer("accumulate", accumulate, least=1)
    if accumulate > steps:
        raise ValueError(
            f"Expected `accumulate` to be at most `steps`, {steps}. "
            f"Received: {accumulate}, with which the weights would never change."
        )
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    if accumulate > 1 and replicas > 1:
        raise ValueError(
            f"Expected `accumulate` to be 1 with {replicas} replicas. Received: "
            f"{accumulate}. Keras accumulates gradients on one device only. Replicas "
            "share a batch: make that larger."
        )
    if clip is not None:
        check_number("clip", clip, above=0)
    return _OPTIMIZERS[name](
        _rate(float(learning_rate), schedule, int(steps), int(warmup)),
        weight_decay=float(weight_decay),
        encoder_rate=float(encoder_rate),
        global_clipnorm=None if clip is None else float(clip),
        use_ema=ema is not None,
        ema_momentum=0.99 if ema is None else float(ema),
        gradient_accumulation_steps=None if accumulate == 1 else int(accumulate),
        name=name,
    )


def _rate(learning_rate: float, schedule: str, steps: int, warmup: int) -> Any:
    """A learning rate as Keras's optimizers take it."""
    schedules = keras.optimizers.schedules
    rate: Any = learning_rate
    if schedule == "poly":
        rate = schedules.PolynomialDecay(learning_rate, steps - warmup, 0.0, power=0.9)
    elif schedule == "cosine":
        rate = schedules.CosineDecay(learning_rate, steps - warmup)
    return LinearWarmup(rate, warmup) if warmup else rate


@keras.saving.register_keras_serializable(package="keras_seg")
class LinearWarmup(keras.optimizers.schedules.LearningRateSchedule):
    """A straight rise to the beginning of another schedule.

        rate(step) = min(1, (step + 1) / (warmup + 1)) * schedule(max(0, step - warmup))

    That is PyTorch's `LinearLR(start_factor=1 / (warmup + 1), total_iters=warmup)`
    before the other in a `SequentialLR`. No step is taken at rate 0.

    Args:
        schedule: What follows: a schedule, or a number that stays.
        warmup: Steps before the rate is that of `schedule` at its step 0.
    """

    def __init__(self, schedule: Any, warmup: int):
        super().__init__()
        self.schedule = schedule
        self.warmup = warmup

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, keras.config.floatx())
        risen = ops.minimum(1.0, (step + 1) / (self.warmup + 1))
        if not callable(self.schedule):
            return risen * self.schedule
        return risen * self.schedule(ops.maximum(0.0, step - self.warmup))

    def get_config(self) -> dict[str, Any]:
        schedule = keras.saving.serialize_keras_object(self.schedule)
        return {"schedule": schedule, "warmup": self.warmup}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "LinearWarmup":
        schedule = keras.saving.deserialize_keras_object(config["schedule"])
        return cls(schedule, config["warmup"])


def _check_model(model: Any) -> None:
    if not isinstance(model, keras.Model):
        raise ValueError(f"Expected a Keras model. Received: {model!r}")
    if not model.built:
        raise ValueError(
            f"Expected a model that is built. Received: {model.name!r}, which has no "
            "weights yet. Call it on an image once."
        )
    if not model.trainable_variables:
        reason = "all of them frozen" if model.variables else "not one"
        raise ValueError(
            f"Expected a model with weights to train. Received: {model.name!r} with "
            f"{len(model.weights)}, {reason}."
        )
