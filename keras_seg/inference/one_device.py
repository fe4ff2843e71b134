"""Predictions on one device, also of a model that several devices train together."""

import contextlib
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

# Compiled functions of models; on TensorFlow a dictionary of them by dtype of images.
_functions: weakref.WeakKeyDictionary[keras.Model, Any] = weakref.WeakKeyDictionary()


def predict_on_batch(model: keras.Model, images: Any) -> Any:
    """What a model gives for a batch of images, NumPy; computed on one device.

    `Model.predict_on_batch` gives the whole batch to each replica of a
    `tf.distribute.Strategy`, and returns it once for each. On JAX it spreads the work
    over all devices of a distribution, which other hosts would have to take part in.
    Here one device computes with its copy of the weights, so scores are exactly those
    that the model has without its strategy.

    Args:
        model: The model.
        images: `[batch, height, width, channels]`.

    Returns:
        Its outputs, with the structure that they have in the model.
    """
    if keras.backend.backend() == "tensorflow":
        if not model.run_eagerly:
            outputs = _of_any_size(model, images.dtype.name)(images)
            return keras.tree.map_structure(np.asarray, outputs)
    elif keras.backend.backend() == "jax" and _is_on_several_devices(model):
        outputs = _on_local_device(model, images)
        return keras.tree.map_structure(np.asarray, outputs)
    # Not model(images): in graph mode activations are freed as soon as they are used.
    return model.predict_on_batch(images)


@contextlib.contextmanager
def without_distribution() -> Iterator[None]:
    """Let variables that are made inside, such as a metric's, be this process's own.

    Under a distribution of JAX, all hosts have to make a variable together.
    """
    distribution = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(distribution)


def _of_any_size(model: keras.Model, dtype: str) -> Callable:
    """The model as a function that runs outside of its replicas.

    It is traced once, for batches and images of all sizes. Keras's own is traced for
    the first size and then for one that is freer, up to four times; at the end it is as
    free as this one, which isn't slower.
    """
    import tensorflow as tf

    functions = _functions.setdefault(model, {})
    if dtype not in functions:
        reference: Any = weakref.ref(model)  # or the entry would keep its key alive
        strategy = model.distribute_strategy
        if strategy.num_replicas_in_sync > 1:
            device = strategy.extended.worker_devices[0]
        else:
            device = None  # wherever the caller wants it

        def call(images: Any) -> Any:
            with tf.device(device) if device else contextlib.nullcontext():
                return reference()(images, training=False)

        images = tf.TensorSpec((None, *model.input_shape[1:]), dtype)
        functions[dtype] = tf.function(call, [images], autograph=False)
    return functions[dtype]


def _is_on_several_devices(model: keras.Model) -> bool:
    model.jax_state_sync()  # between steps of `fit`, variables have no values
    return any(len(v.value.sharding.device_set) > 1 for v in model.variables)


def _on_local_device(model: keras.Model, images: Any) -> Any:
    """Call a model with this process's copies of its variables."""
    import jax

    if model not in _functions:
        reference: Any = weakref.ref(model)

        def call(*state_and_images: Any) -> Any:
            return reference().stateless_call(*state_and_images, training=False)[0]

        _functions[model] = jax.jit(call)
    copies = [
        [v.value.addressable_data(0) for v in variables]
        for variables in (model.trainable_variables, model.non_trainable_variables)
    ]
    with without_distribution():
        return _functions[model](*copies, images)
