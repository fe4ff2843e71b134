"""Batch normalization that keeps what it came with."""

import keras


def freeze_batch_normalization(encoder: keras.Model, freeze: bool = True) -> None:
    """Keep scale, shift and statistics of an encoder's batch normalization.

    In training, batch normalization takes mean and variance of the batch. Those of a
    few crops differ from batch to batch, and from those of the whole images that the
    trained model will see.

    Args:
        encoder: The layer "encoder" of a model, or any model.
        freeze: False trains it instead. (`encoder.trainable = True` wouldn't, where the
            encoder is trainable already: TensorFlow ignores it.)

    Example:
        >>> import keras_seg
        >>> encoder = keras_seg.models.encoder("resnet18")
        >>> freeze_batch_normalization(encoder)
        >>> len(encoder.weights) - len(encoder.trainable_weights)  # 4 of 20 layers
        80
    """
    for layer in encoder._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = not freeze
