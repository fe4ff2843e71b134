"""Models that are built for their layers and shapes: no memory, no numbers, no time."""

import contextlib
from unittest import mock

import keras
import numpy as np


@contextlib.contextmanager
def no_numbers():
    """Build models whose variables have shapes and no values."""
    nothing = {"get_weights": lambda self: [], "set_weights": lambda self, w: None}
    with (
        keras.StatelessScope(initialize_variables=False),
        mock.patch.multiple(keras.Model, **nothing),  # which copies of models want
    ):
        yield
    # Keras remembers variables without values, and would fill these, hundreds of
    # millions of numbers, where the next Lambda or own layer is called.
    keras.utils.clear_session(free_memory=False)


def learning(model):
    """The number of a model's trainable parameters."""
    return sum(int(np.prod(v.shape)) for v in model.trainable_variables)
