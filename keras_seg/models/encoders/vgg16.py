"""VGG16 as a fully convolutional net: the path down of the FCNs.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
Recognition", ICLR 2015, https://arxiv.org/abs/1409.1556, column D; as convolutions in
section 3.1 of the FCN paper.
"""

from collections.abc import Sequence
from typing import Any

from keras import layers

from keras_seg.labels import Image, ValueRange
from keras_seg.models.arguments import check_input_shape, check_share
from keras_seg.models.inputs import image_input
from keras_seg.models.weights.channels import repeat_numbers

#: Mean of red, green and blue over ILSVRC, as the authors subtract it. Of other
#: channels, channel i has that of i mod 3; one alone has the mean of the three.
MEAN = (122.67892, 116.66877, 104.00699)
#: Filters of VGG16's five blocks.
VGG16_WIDTHS = (64, 128, 256, 512, 512)


def vgg16(
    input_shape: tuple[int | None, int | None, int],
    value_range: ValueRange,
    padding: str,
    widths: Sequence[int],
    head_width: int,
    dropout: float,
) -> tuple[Image, Any, Any, Any]:
    """VGG16 with its classifier cast to convolutions, in the FCN authors' words.

    Args:
        input_shape: Height, width and channels of the images.
        value_range: (low, high) of the images.
        padding: "same", or "caffe" for the authors' geometry.
        widths: Filters of the five blocks.
        head_width: Filters of fc6 and fc7.
        dropout: Share of activations dropped after fc6 and fc7.

    Returns:
        The image, pool3, pool4 and fc7.
    """
    input_shape = check_input_shape(input_shape)
    check_share("dropout", dropout)
    image, x = image_input(input_shape, value_range)
    offset = (-repeat_numbers(MEAN, input_shape[2])).tolist()
    x = layers.Rescaling(1.0, offset=offset, name="subtract_mean")(x)
    if padding == "caffe":
        x = layers.ZeroPadding2D(99, name="pad")(x)  # and 1 that conv1_1 adds

    pools = []
    for block, (repeats, width) in enumerate(
        zip((2, 2, 3, 3, 3), widths, strict=True), start=1
    ):
        for k in range(1, repeats + 1):
            x = _conv(x, width, 3, "same", name=f"conv{block}_{k}")
        x = layers.MaxPooling2D(padding="same", name=f"pool{block}")(x)  # rounds up
        pools.append(x)

    fc6_padding = "valid" if padding == "caffe" else "same"
    x = _conv(x, head_width, 7, fc6_padding, name="fc6")
    if dropout:
        x = layers.Dropout(dropout, name="fc6_dropout")(x)
    x = _conv(x, head_width, 1, "same", name="fc7")
    if dropout:
        x = layers.Dropout(dropout, name="fc7_dropout")(x)
    return image, pools[2], pools[3], x


def _conv(x: Any, width: int, size: int, padding: str, *, name: str) -> Any:
    """A convolution with a ReLU."""
    return layers.Conv2D(
        width,
        size,
        padding=padding,
        activation="relu",
        kernel_initializer="he_normal",
        name=name,
    )(x)
