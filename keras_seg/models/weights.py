"""Weights of a whole model from a file.

`.keras` and `.caffemodel` files are read by the names of layers: so a net starts from a
coarser one (an FCN-16s from an FCN-32s), and what doesn't fit is told by name. Keras
reads its `.weights.h5` by order.
"""

import os
import re
import warnings
from collections.abc import Callable, Iterable

import h5py
import keras
import numpy as np

#: Weights of a layer, by the layer's name.
Named = dict[str, list[np.ndarray]]


def load_weights(model: keras.Model, path: str | os.PathLike) -> None:
    """Set all weights of a model from a `.weights.h5` or `.keras` file of an equal one.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the file, if it is of another kind, or holds another model:
            other widths, number of classes or channels.
    """
    path = os.fspath(path)
    if not path.endswith((".weights.h5", ".keras")):
        raise ValueError(
            "Expected `weights` to be None, 'imagenet' or a path of a model's weights "
            f"(.keras, .weights.h5; FCN: .caffemodel). Received: {path!r}"
        )
    check_file(path)
    if path.endswith(".keras"):
        assign(model, named_weights(load_model(path)), where=path)
        return
    try:
        model.load_weights(path)
        held = _count_arrays(path)
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(
            f"{path}: Expected weights of a model like this one. {error}"
        ) from None
    if held != len(model.weights):  # Keras passes over what is left
        raise ValueError(
            f"{path}: Expected {len(model.weights)} arrays, the weights of "
            f"{model.name!r}. Received: {held}, of a larger model."
        )


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
    wanted = {layer.name: layer for layer in model.layers if layer.weights}
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
    return missing, left


def tell(where: str, missing: list[str], left: list[str]) -> None:
    """Warn of layers that `assign` found missing or left over."""
    if missing or left:
        warnings.warn(
            f"{where}: not in the file, left as they start: {_listed(missing)}; in the "
            f"file, not used: {_listed(left)}.",
            stacklevel=4,
        )


def named_weights(model: keras.Model) -> Named:
    """Weights of each layer of a model that has some."""
    return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}


def load_model(path: str) -> keras.Model:
    """Load a `.keras` file, or say in one sentence why not."""
    check_file(path)
    try:
        return keras.models.load_model(path, compile=False)
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: Expected a model that Keras saved. {error}"
        ) from None


def check_file(path: str) -> None:
    """Raise unless there is a file."""
    if not os.path.isfile(path):
        raise FileNotFoundError(f"Expected weights at {path}. There is no such file.")


def imagenet(build: Callable[[], keras.Model]) -> keras.Model:
    """Build a model of `keras.applications` with weights that Keras downloads.

    Raises:
        OSError: where the download fails, with the place for the file.
    """
    try:
        return build()
    except Exception as error:  # what Keras raises
        url = re.search(r"https?://\S+/([^/\s]+\.h5)", str(error))
        if url is None:
            raise
        home = os.path.expanduser(os.environ.get("KERAS_HOME", "~/.keras"))
        raise OSError(
            f"Couldn't download {url[0]}. Put {url[1]} into "
            f"{os.path.join(home, 'models')} and try again."
        ) from None


def _count_arrays(path: str) -> int:
    """How many weights a `.weights.h5` file holds, all layers together."""
    names: list[str] = []
    with h5py.File(path) as file:
        file["layers"].visititems(
            lambda name, item: names.append(name) if hasattr(item, "shape") else None
        )
    return sum("seed_generator" not in name for name in names)  # those of dropout


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
