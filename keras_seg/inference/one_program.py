"""What is computed from a prediction, as one program for each size of image on JAX.

Op by op, JAX compiles each op anew for each shape, 45 programs for each size of image.
TensorFlow's ops take any shape.
"""

import functools
import weakref
from collections.abc import Callable
from typing import Any

import keras

from keras_seg.labels import Tensor

# The loss that models were compiled with, and its program.
_losses: weakref.WeakKeyDictionary[keras.Model, tuple[Any, Callable]] = (
    weakref.WeakKeyDictionary()
)


def one_program(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The same function of arrays, without side effects; compiled as a whole on JAX."""
    if keras.backend.backend() != "jax":
        return function
    import jax

    return jax.jit(function)


def loss_of(model: keras.Model) -> Callable[..., Tensor]:
    """The loss that a model was compiled with: (images, masks, outputs) -> a scalar."""
    if keras.backend.backend() != "jax":
        return functools.partial(model.compute_loss, training=False)
    compiled = model._compile_loss  # another one after each `compile`
    if model not in _losses or _losses[model][0] is not compiled:
        reference: Any = weakref.ref(model)  # or the entry would keep its key alive

        def compute(state: list[Tensor], *example: Tensor) -> Tensor:
            mapping = list(zip(reference().variables, state, strict=True))
            with keras.StatelessScope(state_mapping=mapping):
                return reference().compute_loss(*example, training=False)

        _losses[model] = compiled, one_program(compute)
    # Weights too, for losses that regularize them; this process's copies.
    state = [v.value.addressable_data(0) for v in model.variables]
    return functools.partial(_losses[model][1], state)
