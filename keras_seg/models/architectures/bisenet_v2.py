"""BiSeNetV2: a wide, shallow branch for detail, a narrow, deep one for meaning.

Yu et al., "BiSeNet V2: Bilateral Network with Guided Aggregation for Real-time Semantic
Segmentation", IJCV 2021, https://arxiv.org/abs/2004.02147, figures 3 and 6. Its
branches are in `encoders/bisenet_v2.py`. They are trained from scratch: there is no
other encoder to choose.
"""

import os
from typing import Any

import keras
from keras import layers

from keras_seg.labels import (
    Features,
    Image,
    Logits,
    Tensor,
    ValueRange,
    check_num_classes,
)
from keras_seg.models.arguments import check_factor, check_input_shape, check_share
from keras_seg.models.auxiliary import with_heads
from keras_seg.models.blocks import conv_norm_relu, enlarge_outputs, fcn_head
from keras_seg.models.encoded import check_width, started
from keras_seg.models.encoders.bisenet_v2 import (
    context_embedding,
    conv,
    depthwise,
    detail_branch,
    normalized,
    semantic_branch,
)
from keras_seg.models.inputs import image_input
from keras_seg.models.layers import UpsampleBilinear
from keras_seg.models.weights.files import check_weights


def bisenet_v2(
    num_classes: int,
    *,
    input_shape: tuple[int | None, int | None, int] = (None, None, 3),
    weights: str | os.PathLike | None = None,
    fresh_head: bool = False,
    value_range: ValueRange = (0, 255),
    head_width: int = 1024,
    dropout: float = 0.1,
    auxiliary: float = 0.0,
    activation: Any = None,
    name: str = "bisenet_v2",
) -> keras.Model:
    """Build a BiSeNetV2 (arXiv:2004.02147).

    Args:
        num_classes: Number of classes to tell apart, the background among them.
        input_shape: Height, width and channels of the images. None stands for any
            height or width; the output always has the size of the input.
        weights: Weights of the whole net to start from: None, the `.keras` file of an
            equal net, or the folder of a run of `keras-seg train`.
        fresh_head: Whether to reinitialise the last convolution in place of reading it
            from the file of `weights`, which may then be of another number of classes.
        value_range: (low, high) of the images: numbers, or one for each channel.
        head_width: Filters of the 3x3 convolution before the last one.
        dropout: Dropout rate before the last convolution.
        auxiliary: Weight of the losses of four auxiliary heads ("boosters") on the
            stages of the semantic branch, which only `fit` has; the paper trains
            with 1. With 0 there are none.
        activation: Output activation. None gives logits, "softmax" probabilities.
        name: Name of the model.

    Returns:
        A model from images `[batch, height, width, channels]` to float32 logits
        `[batch, height, width, num_classes]`.

    Raises:
        ValueError: for arguments out of range, or weights of another model, saying
            what differs.
        FileNotFoundError: if there is no file of weights.

    Example:
        >>> model = bisenet_v2(num_classes=19, head_width=64)
        >>> model.compute_output_shape((1, 65, 97, 3))
        (1, 65, 97, 19)
    """
    num_classes = check_num_classes(num_classes)
    input_shape = check_input_shape(input_shape)
    check_share("dropout", dropout)
    check_factor("auxiliary", auxiliary)
    check_width("head_width", head_width)
    if fresh_head and weights is None:
        raise ValueError("Expected `weights` with fresh_head=True. Received: None")
    _, weights = check_weights(None, weights)

    image, pixels = image_input(input_shape, value_range)
    x = normalized(pixels)
    detail = detail_branch(x)
    stages = semantic_branch(x)
    x = _aggregate(detail, context_embedding(stages["P5"]))
    x = fcn_head(x, num_classes, width=head_width, dropout=dropout)
    logits = enlarge_outputs(x, 8, activation=activation, image=image)
    boosters = _boosters(stages, num_classes, image, activation) if auxiliary else {}
    model = with_heads(image, logits, boosters, auxiliary, name=name)
    return started(model, weights, "bisenet_v2", fresh_head=fresh_head)


def _aggregate(detail: Tensor, semantic: Tensor) -> Tensor:
    """Each branch gates the other, at stride 8 and at 32; their sum (figure 6)."""
    width = detail.shape[-1]
    fine = _separable(detail, width, name="guide_detail")
    coarse = conv(detail, width, 3, 2, name="guide_down", relu=False)
    # PyTorch's mean counts what was padded.
    coarse = layers.ZeroPadding2D(1, name="guide_pool_pad")(coarse)
    coarse = layers.AveragePooling2D(3, strides=2, name="guide_pool")(coarse)

    gate = conv(semantic, width, 3, name="guide_up", relu=False)
    gate = UpsampleBilinear(4, name="guide_up_bilinear")(gate)
    gate = layers.Activation("sigmoid", name="guide_up_gate")(gate)
    fine = layers.Multiply(name="guide_fine")([fine, gate])

    gate = _separable(semantic, width, name="guide_semantic")
    gate = layers.Activation("sigmoid", name="guide_semantic_gate")(gate)
    coarse = layers.Multiply(name="guide_coarse")([coarse, gate])
    coarse = UpsampleBilinear(4, name="guide_bilinear")(coarse)
    x = layers.Add(name="guide_add")([fine, coarse])
    return conv(x, width, 3, name="guide")


def _boosters(
    stages: Features, num_classes: int, image: Image, activation: Any
) -> dict[str, Logits]:
    """Logits of every stage of the semantic branch, from two convolutions each."""
    logits = {}
    for level, width in zip(stages, (16, 64, 256, 1024), strict=True):
        name = f"auxiliary_{level.lower()}"
        x = conv_norm_relu(stages[level], width, 3, name=f"{name}_first")
        head: dict[str, Any] = {"name": name, "score_name": f"{name}_score"}
        x = fcn_head(x, num_classes, width=width, dropout=0.1, **head)
        stride = 2 ** int(level[1:])
        end: dict[str, Any] = {"activation": activation, "image": image}
        logits[name] = enlarge_outputs(x, stride, prefix=f"{name}_", **end)
    return logits


def _separable(x: Tensor, filters: int, *, name: str) -> Tensor:
    """A normalized 3x3 convolution of each channel, then a 1x1 convolution."""
    x = depthwise(x, 1, 1, name=name, relu=False)
    start = "he_normal"
    return layers.Conv2D(filters, 1, kernel_initializer=start, name=f"{name}_point")(x)
