"""Models that are built for their layers and shapes: no memory, no numbers, no time."""

import contextlib

import keras


@contextlib.contextmanager
def no_numbers():
    """Build models whose variables have shapes and no values."""
    with keras.StatelessScope(initialize_variables=False):
        yield
    # Keras remembers variables without values, and would fill these, hundreds of
    # millions of numbers, where the next Lambda or own layer is called.
    keras.utils.clear_session(free_memory=False)
