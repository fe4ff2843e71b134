"""What tests of models share: what each backend does in its own way."""

import keras
import pytest
import tensorflow as tf


@pytest.fixture
def tensorflow_only():
    """For what is TensorFlow's alone: graphs of unknown size, SavedModels."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("graphs of unknown size and SavedModels are TensorFlow's alone")


@pytest.fixture
def gradients():
    """A function: gradients of a loss of a model in its trainable weights."""

    def of(model, loss):
        variables = model.trainable_variables
        values = [variable.value for variable in variables]
        if keras.backend.backend() == "jax":
            import jax

            def at(values):
                state = list(zip(variables, values, strict=True))
                with keras.StatelessScope(state_mapping=state):
                    return loss(model)

            return jax.grad(at)(values)
        with tf.GradientTape() as tape:
            total = loss(model)
        return tape.gradient(total, values)

    return of


@pytest.fixture
def compiled():
    """A function: a model that XLA compiles."""

    def of(model):
        if keras.backend.backend() == "jax":
            import jax

            return jax.jit(model)
        return tf.function(model, jit_compile=True)

    return of


@pytest.fixture
def weights_cache(monkeypatch, tmp_path):
    """A folder in place of Keras's cache, and no network."""

    def offline(address, *_):
        raise OSError("no network")

    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", offline)
    monkeypatch.setattr(
        "keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path)
    )
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    return tmp_path / "models"
