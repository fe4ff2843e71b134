"""Checks that are cheap inside tf.data and speak plainly outside it.

In graph mode a failed check is a bare assertion. The pipeline then reads the example
again in eager mode (`pipeline.read_in_order`), where the same check has words, and the
file a name.
"""

import collections
import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf

from keras_seg.labels import IGNORE
from keras_seg.palette import VOC_GREYS


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
        name = path.numpy().decode(errors="backslashreplace")
        raise ValueError(f"{name}: {reason(error)}") from None


#: What was raised while tf.data read, the last errors of it.
_RAISED: collections.deque[Exception] = collections.deque(maxlen=16)


def remember(error: Exception) -> None:
    """Keep an error that tf.data will hand on as text in an error of its own."""
    _RAISED.append(error)


def cause_of(error: Exception) -> Exception:
    """The error that was raised while reading, or else the error itself."""
    if isinstance(error, tf.errors.OpError):
        for raised in reversed(_RAISED):
            if str(raised) in error.message:
                return raised
    return error


def reason(error: Exception) -> str:
    """What an error says, without what TensorFlow puts around it."""
    text = error.message if isinstance(error, tf.errors.OpError) else str(error)
    text = text.split("} ")[-1] if text.startswith("{{") else text
    return re.sub(r"\s*\[Op:\w+\]( name:)?\s*$", "", text).strip()


def check_ids(mask: Any, num_classes: int) -> None:
    """Raise unless every pixel of a mask is a class id or `IGNORE`."""
    if mask.dtype == tf.uint8 and not tf.executing_eagerly():
        # One more than 255 is 0: half of the time of the comparisons below.
        fine = tf.reduce_max(mask + 1) <= num_classes
        require(fine, lambda: "")
        return
    stray = ((mask < 0) | (mask >= num_classes)) & (mask != IGNORE)

    def message() -> str:
        found = sorted(set(tf.boolean_mask(mask, stray).numpy().tolist()))
        shown = ", ".join(map(str, found[:8])) + (", ..." if len(found) > 8 else "")
        return (
            f"Expected a mask of class ids 0..{num_classes - 1}, or {IGNORE} where "
            f"there is no label. Received: {shown}. {_likely_cause(found, num_classes)}"
        )

    require(tf.logical_not(tf.reduce_any(stray)), message)


def _likely_cause(strays: Sequence[int], num_classes: int) -> str:
    """Where ids that are no class come from."""
    of_voc = num_classes == 21 or len(strays) > 1
    if of_voc and {*strays} <= VOC_GREYS and max(strays) > 20:
        return (
            "These are the greys of VOC's colours: a palette mask was saved as grey. "
            "Make it anew from the original; grey can't be turned back for all ids."
        )
    if len(strays) > 20:
        return (
            "So many ids come from a mask that was resized smoothly or stored as JPEG, "
            "or from a photo. Masks are resized with the nearest pixel and stored as "
            "PNG."
        )
    if [*strays] == [num_classes]:
        return "Likely cause: ids that start at 1, or a class too few in the list."
    return (
        "Likely causes: a mask of another set of classes, classes too few, or an id "
        "that means no label, which `ignore` of `data.folder` makes 255."
    )


def check_ids_of_file(path: tf.Tensor, mask: Any, num_classes: int) -> None:
    """Check ids where the file's name is known; a Source only knows the example's."""
    if tf.executing_eagerly():
        with naming(path):
            check_ids(mask, num_classes)


def check_same_size(image_size: Any, mask_size: Any) -> None:
    """Raise unless image and mask have one (height, width)."""

    def message() -> str:
        hint = "make the image the size of its mask, or the mask anew"
        if [int(side) for side in image_size][::-1] == [int(s) for s in mask_size]:
            hint = (
                "one lies on its side. If the photo says in its EXIF data how to turn "
                "it, which isn't done here, store it turned"
            )
        return (
            "Expected image and mask of the same height and width. Received: image "
            f"{_by(image_size)}, mask {_by(mask_size)}. Masks are never resized: "
            f"{hint}."
        )

    require(tf.reduce_all(tf.equal(image_size, mask_size)), message)


def _by(size: Any) -> str:
    height, width = (int(side) for side in size)
    return f"{height} x {width}"
