"""Weights from one model to another by the names of layers.

So a net starts from a coarser one (an FCN-16s from an FCN-32s), and what doesn't fit is
told by name. Layers of a model inside a model have its name in front:
"encoder/resnet50/conv1".
"""

import warnings
from collections.abc import Callable, Iterable, Iterator

import keras
import numpy as np

from keras_seg.models.weights.channels import fit_channels

#: Weights of a layer, by the layer's name.
Named = dict[str, list[np.ndarray]]


def load_encoder(encoder: keras.Model, path: str) -> None:
    """Set all weights of an encoder from a `.keras` file.

    Args:
        encoder: The encoder to change.
        path: The file of an equal encoder, of a model with one as layer "encoder", or
            of its backbone alone.
            One for RGB can be given to one for other channels (`weights.channels`).

    Raises:
        ValueError: naming the file, if it is of another kind, or has another encoder.
    """
    saved = _encoder_of(load_model(path))
    wanted = dict(layers_with_weights(encoder))
    reverse = any(layer.name == "to_bgr" for layer in saved.layers)
    named = named_weights(saved)
    inside = [layer.name for layer in encoder.layers if isinstance(layer, keras.Model)]
    if inside and not wanted.keys() & named.keys():
        # Of the backbone alone, which may have layers behind those of the features.
        named = {f"{inside[0]}/{name}": values for name, values in named.items()}
        named = {name: named[name] for name in named.keys() & wanted.keys()} or named
    named = {
        name: fit_channels(wanted[name], values, reverse=reverse)
        if name in wanted
        else values
        for name, values in named.items()
    }
    assign(encoder, named, where=path)
    copy_normalization(saved, encoder)


def assign(
    model: keras.Model,
    named: Named,
    *,
    where: str,
    may_differ: Callable[[str], bool] = lambda name: False,
) -> tuple[list[str], list[str]]:
    """Set the weights of each layer that has some.

    Args:
        model: The model to change.
        named: Its weights, and perhaps more.
        where: What errors call their origin.
        may_differ: Whether a layer may be missing in `named`, and stay as it is, or be
            left over.

    Returns:
        The names of layers that are missing, and that are left over.

    Raises:
        ValueError: for other layers missing or left over, and for shapes that differ.
            The model is unchanged then.
    """
    wanted = dict(layers_with_weights(model))
    missing = [name for name in wanted if name not in named]
    left = [name for name in named if name not in wanted]
    if not all(map(may_differ, missing + left)):
        raise ValueError(
            f"{where}: Expected weights of the layers of {model.name!r}. Missing: "
            f"{_listed(missing)}. Left over: {_listed(left)}. Likely cause: another "
            "architecture, or other `widths`."
        )
    both = [name for name in wanted if name in named]
    for name in both:
        expected = [tuple(w.shape) for w in wanted[name].weights]
        received = [tuple(w.shape) for w in named[name]]
        if expected != received:
            raise ValueError(
                f"{where}: Expected weights {expected} for layer {name!r} of "
                f"{model.name!r}. Received: {received}. Number of classes, channels "
                "and `widths` must be those of the file."
            )
    for name in both:
        wanted[name].set_weights(named[name])
        finalize(wanted[name])
    return missing, left


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Set all weights of a model to those of an equal one."""
    target.set_weights(source.get_weights())
    for layer in target.layers:
        finalize(layer)


def copy_normalization(source: keras.Model, target: keras.Model) -> None:
    """Let a net normalize images as the one does that its weights come from.

    Nets for other than three channels scaled images to -1..1 in earlier versions.
    """
    encoders = [_encoder_of(model) for model in (source, target)]
    channels = encoders[1].inputs[0].shape[-1]
    for name in ("normalize", "subtract_mean"):
        found = [x for model in encoders for x in model.layers if x.name == name]
        if len(found) == 2:
            numbers = found[0].scale, found[0].offset
            if all(np.size(x) in (1, channels) for x in numbers):
                found[1].scale, found[1].offset = numbers


def _encoder_of(model: keras.Model) -> keras.Model:
    """The layer "encoder" of a model, or the model itself."""
    return next((layer for layer in model.layers if layer.name == "encoder"), model)


def finalize(layer: keras.layers.Layer) -> None:
    """Tell a layer that its weights were set, if it computes others from them.

    Keras's `Normalization` does, which EfficientNet begins with.
    """
    if isinstance(layer, keras.layers.Normalization):
        layer.finalize_state()


def tell(where: str, missing: list[str], left: list[str]) -> None:
    """Warn of layers that `assign` found missing or left over."""
    if missing or left:
        warnings.warn(
            f"{where}: not in the file, left as they start: {_listed(missing)}; in the "
            f"file, not used: {_listed(left)}.",
            stacklevel=5,
        )


def named_weights(model: keras.Model) -> Named:
    """Weights of each layer of a model that has some."""
    return {name: layer.get_weights() for name, layer in layers_with_weights(model)}


def load_model(path: str) -> keras.Model:
    """Load a `.keras` file, or say in one sentence why not."""
    try:
        return keras.models.load_model(path, compile=False)
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: Expected a model that Keras saved. {error}"
        ) from None


def layers_with_weights(
    model: keras.Model, prefix: str = ""
) -> Iterator[tuple[str, keras.layers.Layer]]:
    """The layers that have weights, by name; those of models inside have theirs."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from layers_with_weights(layer, f"{prefix}{layer.name}/")
        elif layer.weights:
            yield f"{prefix}{layer.name}", layer


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = f", and {len(names) - 8} more" if len(names) > 8 else ""
    return ", ".join(names[:8]) + more or "none"
