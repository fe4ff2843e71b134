"""Masks of objects -> two classes, or three: background, inside, border.

Masks have 0 where there is background, and any other number on objects: 255 on all of
them, or a number of its own on each, up to 16 bits, or a colour. Three classes keep
objects apart that touch: Caicedo et al., "Evaluation of Deep Learning Strategies for
Nucleus Segmentation in Fluorescence Images", Cytometry Part A 95 (2019),
https://doi.org/10.1002/cyto.a.23863. There and in many others the width of the border
is a choice; here it is counted inside of the objects.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from keras_seg.arguments import check_choice, check_integer
from keras_seg.data.checks import naming
from keras_seg.data.decode.array_file import is_array_path
from keras_seg.data.decode.label_file import read_labels
from keras_seg.data.decode.png import decode_object_png
from keras_seg.data.readers.id_tables import id_table
from keras_seg.labels import IGNORE, FilePath, Window

#: Names of the classes, unless others are given.
BINARY_NAMES = ("background", "object")
BORDER_NAMES = ("background", "inside", "border")
#: What `instances` can be.
_KINDS = ("border", "touching")
#: How far the border reaches into objects, in pixels, unless said otherwise.
_BORDER = 2


class Objects(NamedTuple):
    """How masks of objects become classes.

    Attributes:
        names: Names of the classes.
        ignored: Ids of ignored pixels in the files.
        instances: None for two classes; "border" or "touching" for three.
        border: Width of the border in pixels.
    """

    names: tuple[str, ...]
    ignored: tuple[int, ...]
    instances: str | None
    border: int

    def read(self, path: FilePath, window: Window = None) -> tf.Tensor:
        """Read a mask, or a window of it: labels, uint8 `[height, width]`."""
        with naming(path):
            ids = tf.cond(
                is_array_path(path),
                lambda: read_labels(path),
                lambda: decode_object_png(tf.io.read_file(path)),
            )
        labels = labels_of_objects(
            ids, ignored=self.ignored, instances=self.instances, border=self.border
        )
        if window is None:
            return labels
        top, left, height, width = tf.unstack(window)
        return labels[top : top + height, left : left + width]


def check_objects(
    binary: Any,
    instances: Any,
    border: Any,
    *,
    names: Sequence[str] | None,
    ignore: Any,
    **others: Any,
) -> Objects | None:
    """Return how masks of objects become classes; None if they aren't masks of objects.

    Args:
        binary: Of `folder`, as the next four.
        instances: As there.
        border: As there.
        names: `class_names` there.
        ignore: As there.
        **others: Other arguments that say what ids mean, which must be None.

    Raises:
        ValueError: for arguments that don't fit each other.
    """
    if not isinstance(binary, bool):
        raise ValueError(f"Expected `binary` to be True or False. Received: {binary!r}")
    if instances is not None:
        check_choice("instances", instances, _KINDS)
    elif border is not None:
        raise ValueError(
            "Expected `border`, the width of the border of objects, with "
            f"`instances='border'` or 'touching'. Received: {border!r} without it"
        )
    if not binary and instances is None:
        return None
    word = "`instances`" if instances else "`binary`"
    if binary and instances is not None:
        raise ValueError(
            "Expected `binary` (two classes) or `instances` (three), not both."
        )
    for argument, value in others.items():
        if value is not None:
            raise ValueError(
                f"Expected no `{argument}` with {word}, which says what each number in "
                f"the masks means. Received: {value!r}"
            )
    default = BORDER_NAMES if instances else BINARY_NAMES
    chosen = default if names is None else tuple(names)
    if len(chosen) != len(default):
        raise ValueError(
            f"Expected `class_names` to be {len(default)} names with {word}: "
            f"{', '.join(default)}, or others for these. Received: "
            f"{len(chosen)} ({', '.join(map(str, chosen))})"
        )
    ignored = [] if ignore is None else id_table(0, [], ignore).ignored
    if 0 in ignored:
        raise ValueError(
            f"Expected ids in `ignore` that aren't the background's, with {word}. "
            "Received: 0"
        )
    width = _BORDER if border is None else check_integer("border", border, 1, 1000)
    return Objects(chosen, tuple(ignored), instances, width)


def labels_of_objects(
    ids: Any, *, ignored: Sequence[int] = (), instances: str | None, border: int
) -> tf.Tensor:
    """Make labels of ids of objects.

    Two classes: 0 where the id is 0, else 1. Three: a pixel of an object is 2, border,
    if another id lies at most `border` pixels away from it in both directions: the
    square around it, (2 border + 1)^2 pixels, has another number. With "touching" only
    other objects count, so that what borders on background stays 1, inside. Ignored
    pixels, and what lies outside of the image, are no other id.

    Args:
        ids: Integers `[height, width]`, 0 or more.
        ignored: Ids of ignored pixels, which become 255.
        instances: None, "border" or "touching".
        border: Width of the border in pixels.

    Returns:
        uint8 `[height, width]`.

    Example:
        >>> ids = [[0, 0, 7, 7, 7, 7, 9, 9]]
        >>> def labels(instances):
        ...     found = labels_of_objects(ids, instances=instances, border=1)
        ...     return found.numpy()[0].tolist()
        >>> labels(None)
        [0, 0, 1, 1, 1, 1, 1, 1]
        >>> labels("border")
        [0, 0, 2, 1, 1, 2, 2, 1]
        >>> labels("touching")
        [0, 0, 1, 1, 1, 2, 2, 1]
    """
    ids = tf.convert_to_tensor(ids)
    is_object = ids != 0
    labels = tf.cast(is_object, tf.uint8)
    is_ignored = tf.zeros_like(is_object)
    for number in ignored:
        is_ignored |= ids == number
    if instances is not None:
        known = ~is_ignored & (is_object | (instances == "border"))
        ids = tf.cast(ids, tf.int32)
        largest = _largest_around(tf.where(known, ids, tf.int32.min), border)
        smallest = -_largest_around(tf.where(known, -ids, tf.int32.min), border)
        meets_another = (largest > ids) | (smallest < ids)
        labels = tf.where(is_object & meets_another, tf.constant(2, tf.uint8), labels)
    return tf.where(is_ignored, tf.constant(IGNORE, tf.uint8), labels)


def _largest_around(numbers: tf.Tensor, reach: int) -> tf.Tensor:
    """The largest number at most so many pixels away in both directions."""
    for _ in range(2):
        side = 2 * reach + 1
        padding = [[reach, reach], [0, 0]]
        numbers = tf.pad(numbers, padding, constant_values=numbers.dtype.min)
        covered = 1  # rows; doubled, as long as they are no more than the side
        while covered < side:
            step = min(covered, side - covered)
            numbers = tf.maximum(numbers[:-step], numbers[step:])
            covered += step
        numbers = tf.transpose(numbers)
    return numbers
