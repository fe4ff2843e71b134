"""Source -> tf.data: whole examples in order, among them those to validate on."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_seg.arguments import check_integer
from keras_seg.data.batches import Examples, with_int32
from keras_seg.data.errors import read_in_order
from keras_seg.data.order import steps_in_order
from keras_seg.data.parallel import READY
from keras_seg.data.sizes import pad_to
from keras_seg.data.suggestions import refuse
from keras_seg.data.tracing import unconverted
from keras_seg.labels import Image, Index, Mask


def pairs(source: Examples) -> tf.data.Dataset:
    """Make a dataset of all images and masks, whole, in order, once.

    Returns:
        A dataset of `[height, width, channels]`, in the dtype of the source, and int32
        `[height, width]`.
    """
    return _in_order(source, source._read).map(with_int32)


def masks(source: Examples) -> tf.data.Dataset:
    """Make a dataset of all masks, whole, in order, once; images aren't read.

    Returns:
        A dataset of int32 `[height, width]`.
    """
    return _in_order(source, source._ids).map(
        unconverted(lambda mask: tf.cast(mask, tf.int32))
    )


def whole_images(
    source: Examples, *, multiple_of: int | None = None
) -> tf.data.Dataset:
    """Make a dataset of whole images at their own sizes, one at a time, to validate on.

    `fit(validation_data=source.whole_images())`, `evaluate(source.whole_images())` and
    a metric of `predict_mask(model, image)` over all examples then give the same
    numbers, for nothing is padded, resized or left out.

    XLA, which Keras turns on by itself on a GPU and on JAX, compiles anew for each size
    of image. On TensorFlow `compile(..., jit_compile=False)` turns it off; or let many
    sizes become few: with `multiple_of=128` the 110 sizes of 446 images of VOC's `val`
    become 6.

    The padding is ignored by losses and metrics, so the same pixels are scored. What a
    net predicts for them is the same where the net itself pads as much: with an encoder
    down to level "P5", at 32. Otherwise black that the net sees stands for the zeros of
    its convolutions, and the logits differ along the bottom and right border, as far as
    a pixel sees; in a net that pools whole images (`deeplab_v3`, `deeplab_v3_plus`,
    `pspnet`, `upernet`, `bisenet_v2`) or has attention (`segformer`), everywhere a
    little. Report scores without it.

    Args:
        source: The Source.
        multiple_of: Of how many pixels height and width become multiples, by padding at
            the bottom and right: black in images, 255 in masks. None pads nothing.

    Returns:
        A dataset of (images, masks): `[1, height, width, channels]`, in the dtype of
        the source, and int32 `[1, height, width]`, all examples in order, once.

    Raises:
        ValueError: for a Source with a `problem`, or a multiple that is no positive
            integer.

    Example:
        >>> from keras_seg.data import shapes
        >>> source = shapes(3, size=(20, 30))
        >>> source.whole_images().element_spec[1].shape
        TensorShape([1, 20, 30])
        >>> {mask.shape for _, mask in source.whole_images(multiple_of=64)}
        {TensorShape([1, 64, 64])}
    """
    refuse(source.problem)
    data = pairs(source)
    if multiple_of is not None:
        multiple = check_integer("multiple_of", multiple_of, 1)
        values = source._values(data.element_spec[0].dtype)

        @unconverted
        def padded(image: Image, mask: Mask) -> tuple[Image, Mask]:
            image, mask = pad_to(
                values.shifted(image), mask, None, values.padding, multiple_of=multiple
            )
            return values.filled(image), mask

        data = data.map(padded)
    return data.batch(1, drop_remainder=True).prefetch(READY)


def _in_order(source: Examples, read: Callable[[Index], Any]) -> tf.data.Dataset:
    """What `read` makes of each index."""
    n = len(source)
    data = read_in_order(steps_in_order(n), read, lambda index: source.names[index])
    return data.apply(tf.data.experimental.assert_cardinality(n))
