"""Checks that are cheap inside tf.data and speak plainly outside it.

In graph mode a failed check is a bare assertion. The pipeline then reads the example
again in eager mode (`errors.read_in_order`), where the same check has words, and the
file a name.
"""

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf

from keras_seg.labels import IGNORE, Image, Mask, Tensor
from keras_seg.palette import VOC_GREYS


def require(condition: Tensor, message: Callable[[], str]) -> None:
    """Raise unless `condition` holds; `message` is called in eager mode only."""
    if tf.executing_eagerly():
        if not bool(condition):
            raise ValueError(message())
    else:
        tf.debugging.Assert(condition, ["read again in eager mode for the reason"])


class NamedError(ValueError):
    """An error whose message begins with the name of the file that it is about."""


@contextlib.contextmanager
def naming(path: tf.Tensor | Callable[[], str]) -> Iterator[None]:
    """Put the name of the file before an error raised inside that has no name yet.

    Args:
        path: Scalar string tensor, or a function that is called if there is an error.
    """
    try:
        yield
    except NamedError:
        raise
    except (ValueError, tf.errors.OpError) as error:
        if not tf.executing_eagerly():
            raise
        name = (
            path() if callable(path) else path.numpy().decode(errors="backslashreplace")
        )
        raise NamedError(f"{name}: {reason(error)}") from None


def reason(error: Exception) -> str:
    """What an error says, without what TensorFlow puts around it."""
    if not isinstance(error, ValueError | OSError | tf.errors.OpError):
        return f"{type(error).__name__}: {error}"  # "KeyError: 3", not "3"
    text = error.message if isinstance(error, tf.errors.OpError) else str(error)
    raised = _RAISED_BY_OP.search(text)
    if raised:
        words = raised[1].replace("] [", " ")
        return re.sub(r"\\(.)", lambda match: _ESCAPED.get(match[1], match[0]), words)
    text = text.split("} ")[-1] if text.startswith("{{") else text
    text = re.sub(r"\s*\[Op:\w+\]( name:)?\s*$", "", text).strip()
    if _CUT_OFF.fullmatch(text.rstrip(".")):
        text = text.rstrip(".") + ". The file is cut off or damaged: copy it again."
    return text


def cause_of(error: Exception) -> Exception:
    """The error about an example, out of the one that tf.data's iterator raises."""
    if isinstance(error, tf.errors.OpError) and _RAISED_BY_OP.search(error.message):
        return ValueError(reason(error))
    return error


# What the op `Assert` raises. It escapes quotes, and TensorFlow says where the op is.
_RAISED_BY_OP = re.compile(r"assertion failed: \[(.*?)\]\s+\[\[\{\{", re.S)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "'": "'", '"': '"', "\\": "\\"}
# What decoding says of a file that begins like an image and isn't a whole one.
_CUT_OFF = re.compile(r"(jpeg::Uncompress failed\. )?Invalid (PNG|JPEG) data[^.]*")


def check_image(image: Image) -> None:
    """Raise unless an image is `[height, width, channels]`."""
    if image.shape.rank not in (None, 3):
        raise ValueError(
            "Expected an image [height, width, channels]. Received: shape "
            f"{tuple(image.shape)}. Grey images need a last axis of 1: "
            "image[..., None]."
        )


def check_mask(mask: Mask) -> None:
    """Raise unless a mask is integers `[height, width]`."""
    if mask.shape.rank not in (None, 2) or not mask.dtype.is_integer:
        raise ValueError(
            "Expected a mask of integers [height, width]. Received: "
            f"{mask.dtype.name}, shape {mask.shape}"
        )


def check_ids(mask: Mask, num_classes: int) -> None:
    """Raise unless every pixel of a mask is a class id or `IGNORE`."""
    if mask.dtype == tf.uint8 and not tf.executing_eagerly():
        # In uint8, 255 + 1 is 0, so one comparison allows IGNORE too: half of the time
        # of the comparisons below.
        is_valid = tf.reduce_max(mask + 1) <= num_classes
        require(is_valid, lambda: "")
        return
    stray = ((mask < 0) | (mask >= num_classes)) & (mask != IGNORE)

    def message() -> str:
        strays = sorted(set(tf.boolean_mask(mask, stray).numpy().tolist()))
        shown = ", ".join(map(str, strays[:8])) + (", ..." if len(strays) > 8 else "")
        return (
            f"Expected a mask of class ids 0..{num_classes - 1}, or {IGNORE} for "
            f"ignored pixels. Received: {shown}. {_likely_cause(strays, num_classes)}"
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
        return "Likely cause: ids that start at 1, or a class missing in the list."
    return (
        "Likely causes: an id of ignored pixels, which `ignore` of `data.folder` makes "
        "255, a mask of another set of classes, or a class missing in the list."
    )


def check_same_size(image_size: Tensor, mask_size: Any) -> None:
    """Raise unless image and mask have one (height, width)."""

    def message() -> str:
        hint = "make the image the size of its mask, or the mask anew"
        if [int(side) for side in image_size][::-1] == [int(s) for s in mask_size]:
            hint = (
                "one is rotated by 90 degrees. EXIF orientation is not applied: save "
                "the image with the rotation applied"
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
