"""Files of weights without names of layers: `.weights.h5`, which Keras reads by order.

Keras itself changes a part of the model before it finds that a file doesn't fit, and
doesn't see what a file has too much; so shapes are compared first.
"""

from collections import Counter

import h5py
import keras

#: How the names of such files end.
ENDING = ".weights.h5"


def load_by_order(model: keras.Model, path: str) -> None:
    """Set all weights of a model from what `save_weights` wrote of an equal one.

    Args:
        model: The model to change.
        path: The file.

    Raises:
        ValueError: naming the file, if it can't be read, or is of another model.
    """
    found = _shapes_in(path)
    # Without those of auxiliary heads, which a file has elsewhere.
    expected = Counter(tuple(w.shape) for x in model.layers for w in x.weights)
    if found != expected:
        missing, left = expected - found, found - expected
        raise ValueError(
            f"{path}: Expected the weights of {model.name!r}, {expected.total()} "
            f"arrays. Missing: {_listed(missing)}. Left over: {_listed(left)}. Likely "
            "cause: another architecture, number of classes or channels, or other "
            "`widths`. A `.keras` file says which layers differ."
        )
    try:
        model.load_weights(path)
    except ValueError as error:
        reason = str(error).partition(": ")[0]
        raise ValueError(
            f"{path}: Expected the weights of {model.name!r}, layer by layer. Received "
            f"arrays of the same shapes in another order: {reason}. A `.keras` file is "
            "read by the names of layers."
        ) from None


def _shapes_in(path: str) -> Counter[tuple[int, ...]]:
    """How many arrays of each shape a file has for layers; an optimizer's are more."""
    shapes: Counter[tuple[int, ...]] = Counter()

    def count(name: str, item: h5py.HLObject) -> None:
        is_seed = "seed_generator" in name  # of dropout: it is no weight
        if isinstance(item, h5py.Dataset) and not is_seed:
            shapes[item.shape] += 1

    try:
        with h5py.File(path) as file:
            file["layers"].visititems(count)
    except (OSError, KeyError) as error:
        raise ValueError(
            f"{path}: Expected a file that `save_weights` of a Keras model wrote. "
            f"{error}"
        ) from None
    return shapes


def _listed(shapes: Counter[tuple[int, ...]]) -> str:
    names = [f"{n} of {shape}" for shape, n in shapes.items()]
    more = f", and {len(names) - 4} other shapes" if len(names) > 4 else ""
    return ", ".join(names[:4]) + more or "none"
