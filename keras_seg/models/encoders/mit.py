"""Mix Transformer (MiT): the encoders of SegFormer.

Xie et al., "SegFormer: Simple and Efficient Design for Semantic Segmentation with
Transformers", NeurIPS 2021, https://arxiv.org/abs/2105.15203, section 3.1 and table 6
(MiT-B0 to B5). Where the paper leaves something open it is as in Hugging Face's
`transformers`: layer normalization with epsilon 1e-5, and weights that start as in the
authors' code.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from keras_seg.models.encoders.backbone import Backbone, Normalization
from keras_seg.models.weights.segformer import load_mit

#: Channels and blocks of each stage.
MIT = {
    "mit_b0": ((32, 64, 160, 256), (2, 2, 2, 2)),
    "mit_b1": ((64, 128, 320, 512), (2, 2, 2, 2)),
    "mit_b2": ((64, 128, 320, 512), (3, 4, 6, 3)),
    "mit_b3": ((64, 128, 320, 512), (3, 4, 18, 3)),
    "mit_b4": ((64, 128, 320, 512), (3, 8, 27, 3)),
    "mit_b5": ((64, 128, 320, 512), (3, 6, 40, 3)),
}
#: Heads of the attention, and how many times smaller the map is that it looks at.
_HEADS = (1, 2, 5, 8)
_REDUCTIONS = (8, 4, 2, 1)
#: Mean and standard deviation of red, green and blue over ImageNet, in 0..255.
_MEAN = np.array([123.675, 116.28, 103.53])
_DEVIATION = np.array([58.395, 57.12, 57.375])
#: Share of examples for which the last block is left out in training; the first: none.
_DROP_PATH = 0.1


@keras.saving.register_keras_serializable(package="keras_seg")
class MapAttention(layers.Layer):
    """Attention of every pixel of a map to every pixel of another.

        softmax(Q K^T / sqrt(d)) V

    for each head apart, where d is the number of its channels. Sizes of maps may be
    unknown until the layer runs. The softmax is in float32 under every policy.

    Args:
        heads: Number of heads, which divides the number of channels.
        **kwargs: Of `keras.layers.Layer`.

    Shapes:
        query: `[batch, height, width, channels]`, and so is the result
        key: `[batch, height', width', channels]`
        value: as `key`

    Example:
        >>> import numpy as np
        >>> value = np.array([[[[1.0], [5.0]]]])
        >>> MapAttention(1)(np.zeros((1, 1, 3, 1)), value, value)[0, :, :, 0].numpy()
        array([[3., 3., 3.]], dtype=float32)
    """

    def __init__(self, heads: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.heads = heads

    def call(self, query: Any, key: Any, value: Any) -> Any:
        batch, height, width, channels = ops.shape(query)
        by_head = (batch, -1, self.heads, channels // self.heads)
        x = ops.dot_product_attention(
            ops.reshape(query, by_head),
            ops.reshape(key, by_head),
            ops.reshape(value, by_head),
        )
        return ops.reshape(x, (batch, height, width, channels))

    def compute_output_shape(
        self, query_shape: tuple, key_shape: tuple, value_shape: tuple
    ) -> tuple:
        return query_shape

    def get_config(self) -> dict:
        return super().get_config() | {"heads": self.heads}


def mit_backbone(name: str, channels: int, weights: str | None) -> Backbone:
    """Build a MiT, and say what it expects of images.

    Args:
        name: One of `MIT`.
        channels: Number of channels of the images.
        weights: None, or a file of Hugging Face's: `.bin` or `.safetensors`.

    Raises:
        ValueError: for weights of another net, and for "imagenet", which there is no
            file to download for.
    """
    if weights == "imagenet":
        raise ValueError(
            f"Expected a file of weights for {name!r}. Received: 'imagenet', which "
            "isn't downloaded for it. Give the path of Hugging Face's "
            f"nvidia/{name.replace('_', '-')}: pytorch_model.bin or model.safetensors."
        )
    model = mit(*MIT[name], channels=channels, name=name)
    if weights is not None:
        load_mit(model, weights)
    normalization = Normalization(
        (1 / _DEVIATION).tolist(), (-_MEAN / _DEVIATION).tolist()
    )
    return Backbone(model, model.output, normalization.for_channels(channels))


def mit(
    widths: Sequence[int],
    depths: Sequence[int],
    *,
    channels: int = 3,
    name: str = "mit",
) -> keras.Model:
    """Build a Mix Transformer.

    Args:
        widths: Channels of the four stages: multiples of 1, 2, 5 and 8, the numbers of
            heads. Those of MiT-B0 to B5 are in `MIT`.
        depths: Number of blocks of the four stages.
        channels: Channels of the images.
        name: Name of the model.

    Returns:
        A model from normalized images `[batch, height, width, channels]` to a
        dictionary of the features of the four stages, "P2" to "P5". Level Pk has
        1 / 2^k of the height and width, rounded up. Keys and values are 1/32 of both,
        rounded down: images have 29 pixels or more, and `models.encoder` pads them.

    Example:
        >>> model = mit((4, 4, 5, 8), (1, 1, 1, 1))
        >>> shapes = model.compute_output_shape((1, 64, 33, 3))
        >>> {level: shape[1:] for level, shape in shapes.items()}
        {'P2': (16, 9, 4), 'P3': (8, 5, 4), 'P4': (4, 3, 5), 'P5': (2, 2, 8)}
    """
    x = image = keras.Input((None, None, channels), name="image")
    rates = iter(np.linspace(0, _DROP_PATH, sum(depths)).tolist())
    levels = {}
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        x = _merge_patches(x, width, first=stage == 0, name=f"stage{stage}_patch")
        for k in range(depth):
            x = _block(
                x,
                heads=_HEADS[stage],
                reduction=_REDUCTIONS[stage],
                drop_path=next(rates),
                name=f"stage{stage}_block{k}",
            )
        x = levels[f"P{stage + 2}"] = _normalize(x, name=f"stage{stage}_norm")
    return keras.Model(image, levels, name=name)


def _merge_patches(x: Any, width: int, *, first: bool, name: str) -> Any:
    """Overlapped patch merging: a convolution of overlapping patches, normalized."""
    size, stride = (7, 4) if first else (3, 2)
    # On both sides, which padding="same" of Keras doesn't do at even sizes.
    x = layers.ZeroPadding2D(size // 2, name=f"{name}_pad")(x)
    x = _conv(x, width, size, stride, name=f"{name}_conv")
    return _normalize(x, name=f"{name}_norm")


def _block(x: Any, *, heads: int, reduction: int, drop_path: float, name: str) -> Any:
    """Efficient self-attention, then Mix-FFN, each normalized before and added."""
    y = _normalize(x, name=f"{name}_norm1")
    y = _attend(y, heads=heads, reduction=reduction, name=f"{name}_attention")
    y = _drop_path(y, drop_path, name=f"{name}_drop1")
    x = layers.Add(name=f"{name}_add1")([x, y])
    y = _normalize(x, name=f"{name}_norm2")
    y = _mix_ffn(y, name=f"{name}_ffn")
    y = _drop_path(y, drop_path, name=f"{name}_drop2")
    return layers.Add(name=f"{name}_add2")([x, y])


def _attend(x: Any, *, heads: int, reduction: int, name: str) -> Any:
    """Attention to a map `reduction` times smaller in both directions."""
    width = x.shape[-1]
    query = _linear(x, width, name=f"{name}_query")
    if reduction > 1:
        x = _conv(x, width, reduction, reduction, name=f"{name}_reduce_conv")
        x = _normalize(x, name=f"{name}_reduce_norm")
    key = _linear(x, width, name=f"{name}_key")
    value = _linear(x, width, name=f"{name}_value")
    x = MapAttention(heads, name=name)(query, key, value)
    return _linear(x, width, name=f"{name}_project")


def _mix_ffn(x: Any, *, name: str) -> Any:
    """Two linear layers, and a 3x3 convolution between: it tells where a pixel is."""
    width = x.shape[-1]
    x = _linear(x, 4 * width, name=f"{name}_expand")
    x = layers.DepthwiseConv2D(
        3, padding="same", depthwise_initializer=_of_convolutions(), name=f"{name}_conv"
    )(x)
    x = layers.Activation("gelu", name=f"{name}_gelu")(x)
    return _linear(x, width, name=f"{name}_project")


def _drop_path(x: Any, rate: float, *, name: str) -> Any:
    """Stochastic depth: what a block adds is left out for a share of the examples."""
    if not rate:
        return x
    return layers.Dropout(rate, noise_shape=(None, 1, 1, 1), name=name)(x)


def _linear(x: Any, width: int, *, name: str) -> Any:
    start = keras.initializers.RandomNormal(stddev=0.02)
    return layers.Dense(width, kernel_initializer=start, name=name)(x)


def _conv(x: Any, width: int, size: int, stride: int, *, name: str) -> Any:
    return layers.Conv2D(
        width, size, strides=stride, kernel_initializer=_of_convolutions(), name=name
    )(x)


def _of_convolutions() -> keras.initializers.Initializer:
    return keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")


def _normalize(x: Any, *, name: str) -> Any:
    return layers.LayerNormalization(epsilon=1e-5, name=name)(x)
