"""A backbone for RGB -> the same one for images of another number of channels."""

from typing import Any

import keras
import numpy as np
from keras import layers

from keras_seg.models.encoders.backbone import Backbone, Normalization
from keras_seg.models.weights.by_name import finalize
from keras_seg.models.weights.channels import fit_channels, repeat_numbers


def for_channels(backbone: Backbone, channels: int, *, keep_weights: bool) -> Backbone:
    """Copy a backbone for RGB as one for images of other channels.

    Its constants (means and deviations inside of the model, and before it) go by
    `Normalization.for_channels`, its first kernel by `repeat_kernel`.

    Args:
        backbone: The backbone, whose model has an input of three channels.
        channels: Number of channels of the images.
        keep_weights: Whether the copy has the weights of the backbone, or others drawn
            at random.

    Raises:
        ValueError: for a backbone whose first layer filters each channel on its own.
    """
    normalization = backbone.normalization
    reverse = normalization is not None and normalization.reverse
    model = keras.Model(
        backbone.model.inputs, backbone.levels, name=backbone.model.name
    )

    def copy(operation: Any) -> Any:
        if isinstance(operation, keras.Sequential):  # as the stem of ConvNeXt
            return keras.Sequential(map(copy, operation.layers), name=operation.name)
        config = operation.get_config() | _constants(operation, channels, reverse)
        return operation.__class__.from_config(config)

    image = keras.Input((None, None, channels), name="image")
    copied = keras.models.clone_model(model, input_tensors=[image], clone_function=copy)
    if keep_weights:
        for layer in copied.layers:
            if layer.weights:
                values = model.get_layer(layer.name).get_weights()
                layer.set_weights(fit_channels(layer, values, reverse=reverse))
                finalize(layer)
    if normalization is not None:
        normalization = normalization.for_channels(channels)
    return Backbone(copied, copied.output, normalization)


def _constants(operation: Any, channels: int, reverse: bool) -> dict[str, Any]:
    """What changes in the configuration of a layer with a number for each channel."""
    if isinstance(operation, layers.Rescaling):
        if np.size(operation.scale) == 3 or np.size(operation.offset) == 3:
            given = Normalization(operation.scale, operation.offset, reverse)
            scale, offset, _ = given.for_channels(channels)
            return {"scale": scale, "offset": offset}
    if isinstance(operation, layers.Normalization) and operation.input_mean is not None:
        order = slice(None, None, -1 if reverse else 1)
        mean = np.ravel(operation.input_mean)[order]
        deviation = np.sqrt(np.ravel(operation.input_variance)[order])
        return {
            "mean": repeat_numbers(mean, channels).tolist(),
            "variance": (repeat_numbers(deviation, channels) ** 2).tolist(),
        }
    return {}
