"""Checks that are cheap inside tf.data and speak plainly outside it.

In graph mode a failed check is a bare assertion. The pipeline then reads the example
again in eager mode (`pipeline.read_in_order`), where the same check has words, and the
file a name.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from keras_seg.labels import IGNORE


def require(condition: Any, message: Callable[[], str]) -> None:
    """Raise unless `condition` holds; `message` is called in eager mode only."""
    if tf.executing_eagerly():
        if not bool(condition):
            raise ValueError(message())
    else:
        tf.debugging.Assert(condition, ["read again in eager mode for the reason"])


@contextlib.contextmanager
def naming(path: tf.Tensor) -> Iterator[None]:
    """Put the name of the file before any error that is raised inside."""
    try:
        yield
    except (ValueError, tf.errors.OpError) as error:
        if not tf.executing_eagerly():
            raise
        raise ValueError(f"{path.numpy().decode()}: {reason(error)}") from None


def reason(error: Exception) -> str:
    """What an error says, without what TensorFlow puts around it."""
    text = error.message if isinstance(error, tf.errors.OpError) else str(error)
    text = text.split("} ")[-1] if text.startswith("{{") else text
    return text.removesuffix(" [Op:ReadFile]").strip()


def check_ids(mask: Any, num_classes: int) -> None:
    """Raise unless every pixel of a mask is a class id or `IGNORE`."""
    stray = ((mask < 0) | (mask >= num_classes)) & (mask != IGNORE)

    def message() -> str:
        found = sorted(set(tf.boolean_mask(mask, stray).numpy().tolist()))
        shown = ", ".join(map(str, found[:8])) + (", ..." if len(found) > 8 else "")
        return (
            f"Expected a mask of class ids 0..{num_classes - 1}, or {IGNORE} where "
            f"there is no label. Received: {shown}. Likely causes: a mask of another "
            "set of classes, ids that start at 1, or a palette mask that was saved as "
            "grey."
        )

    require(tf.logical_not(tf.reduce_any(stray)), message)


def check_same_size(image_size: Any, mask_size: Any) -> None:
    """Raise unless image and mask have one (height, width)."""
    require(
        tf.reduce_all(tf.equal(image_size, mask_size)),
        lambda: (
            "Expected image and mask of the same height and width. Received: image "
            f"{_by(image_size)}, mask {_by(mask_size)}. Masks are never resized: make "
            "the image the size of its mask, or the mask anew."
        ),
    )


def _by(size: Any) -> str:
    height, width = (int(side) for side in size)
    return f"{height} x {width}"
