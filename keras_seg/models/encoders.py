"""Any Keras backbone as an encoder: images to features at strides 2, 4, 8, 16 and 32.

Features are found by one rule, the last output at each resolution, and the input's
convention by trying the backbone's own `preprocess_input`. There is no table of names
of layers that a release of Keras could break.
"""

import sys
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_seg.models.efficientnet_lite import efficientnet_lite
from keras_seg.models.layers import (
    CheckRange,
    PadToMultiple,
    ReverseChannels,
    check_input_shape,
)
from keras_seg.models.weights import imagenet

STRIDES = (2, 4, 8, 16, 32)


def encoder(
    name_or_model: str | keras.Model,
    *,
    input_shape: tuple[int | None, int | None, int] = (None, None, 3),
    weights: str | None = None,
) -> keras.Model:
    """Make an encoder of a backbone.

    Args:
        name_or_model: Name of a backbone of `keras.applications`, in any case and with
            or without underscores; "efficientnet_lite0", "1" or "2"; or a functional
            `keras.Model` that takes images in 0..255 and whose convolutions are
            padded. Of a model a copy is made, with its weights.
        input_shape: Height, width and channels of the images. Any size works: images
            are padded with 0 at the bottom and right to multiples of 32.
        weights: None, or "imagenet", for a name.

    Returns:
        A model named "encoder" from images `[batch, height, width, channels]` in
        0..255 to the list of features at strides 2, 4, 8, 16 and 32. What the backbone
        expects of its input is done inside.

    Raises:
        ValueError: for an unknown name, or a backbone that can't be used, saying why.
        OSError: where Keras can't download the weights, saying where to put the file.
        ImportError: if the weights of EfficientNet-Lite aren't installed.

    Example:
        >>> model = encoder("MobileNetV2")
        >>> [shape[1:3] for shape in model.compute_output_shape((1, 65, 97, 3))]
        [(48, 64), (24, 32), (12, 16), (6, 8), (3, 4)]
    """
    input_shape = check_input_shape(input_shape)
    channels = input_shape[2]
    own = not isinstance(name_or_model, str)
    if isinstance(name_or_model, str):
        backbone, convention = _by_name(name_or_model, channels, weights)
    else:
        if weights is not None:
            raise ValueError(
                "Expected `weights` with the name of a backbone. A model has its own."
            )
        backbone, convention = name_or_model, None
    features = _features(backbone, channels, copy=own)

    image = keras.Input(input_shape, name="image")
    x = CheckRange(name="range")(image)
    if any(side is None or side % STRIDES[-1] for side in input_shape[:2]):
        x = PadToMultiple(STRIDES[-1], name="pad")(x)
    if convention is not None:
        scale, offset, reverse = convention
        if reverse:
            x = ReverseChannels(name="to_bgr")(x)
        x = layers.Rescaling(scale, offset=offset, name="normalize")(x)
    return keras.Model(image, features(x), name="encoder")


def _by_name(
    name: str, channels: int, weights: str | None
) -> tuple[keras.Model, tuple | None]:
    """A backbone without its classifier, and the convention of its input."""
    if weights not in (None, "imagenet"):
        raise ValueError(
            f"Expected `weights` to be None or 'imagenet'. Received: {weights!r}"
        )
    plain = _plain(name)
    lite = plain in ("efficientnetlite0", "efficientnetlite1", "efficientnetlite2")
    if channels != 3 and (lite or weights is not None):
        raise ValueError(
            f"Expected images of 3 channels for {name}"
            f"{' and its weights' if weights else ''}. Received: {channels}. Make them "
            "RGB: of files in folders `channels=3` repeats grey and leaves out alpha."
        )
    if lite:
        return efficientnet_lite(int(plain[-1]), weights=weights), None

    known = {
        _plain(found): build
        for found, build in vars(keras.applications).items()
        if callable(build)
    }
    if plain not in known:
        raise ValueError(
            "Expected `encoder` to be a backbone of keras.applications, "
            f"'efficientnet_lite0' to '2', or a keras.Model. Received: {name!r}. "
            f"There are: {', '.join(sorted(known))}."
        )
    build = known[plain]
    try:
        backbone = imagenet(
            lambda: build(
                include_top=False, weights=weights, input_shape=(None, None, channels)
            )
        )
    except ValueError as error:
        raise ValueError(
            "Expected a backbone that takes images of any size with this number of "
            f"channels. Received: {name!r}, {channels} channels. Keras says: {error}"
        ) from None
    preprocess = sys.modules[build.__module__].preprocess_input
    return backbone, _convention(preprocess, channels)


def _convention(preprocess: Any, channels: int) -> tuple | None:
    """Scale and offset per channel of a `preprocess_input`, and whether it makes BGR.

    All of them are one linear map, which four pixels tell. None if it does nothing.
    """
    black, *primaries = preprocess(
        np.concatenate([np.zeros((1, 3)), 255 * np.eye(3)]).astype(np.float32)[None]
    )[0]
    matrix = (np.stack(primaries) - black) / 255
    reverse = matrix[0, 2] != 0
    scale = np.diag(matrix[::-1] if reverse else matrix)
    if not reverse and np.allclose(scale, 1) and np.allclose(black, 0):
        return None
    if channels != 3:  # no family knows these: to -1..1
        return 1 / 127.5, -1.0, False
    return scale.tolist(), black.tolist(), bool(reverse)


def _features(model: Any, channels: int, *, copy: bool) -> keras.Model:
    """The model from the input of a backbone to its last output at each stride."""
    if not isinstance(model, keras.Model) or not getattr(model, "inputs", None):
        raise ValueError(
            "Expected `encoder` to be a name or a functional keras.Model, whose "
            f"layers are known before it is called. Received: {model!r}"
        )
    if len(model.inputs) != 1 or len(model.inputs[0].shape) != 4:
        raise ValueError(
            "Expected an encoder with one input [batch, height, width, channels]. "
            f"Received inputs: {[tuple(i.shape) for i in model.inputs]}"
        )
    if model.inputs[0].shape[-1] != channels:
        raise ValueError(
            f"Expected an encoder for {channels} channels, those of `input_shape`. "
            f"Received one for {model.inputs[0].shape[-1]}."
        )
    maps = [m for m in (*map(_map_of, model.layers), *model.outputs) if _is_map(m)]
    free = keras.Model(model.inputs, maps, name=model.name)
    if copy:
        source, inputs = free, keras.Input((None, None, channels), name="image")
        free = keras.models.clone_model(source, input_tensors=[inputs])
        free.set_weights(source.get_weights())

    # At this size every stride has a size of its own.
    side = 224
    try:
        shapes = free.compute_output_shape((1, side, side, channels))
    except ValueError as error:
        raise ValueError(
            f"Expected an encoder that takes images of any size. {model.name!r} "
            f"doesn't. Keras says: {error}"
        ) from None
    last = {shape[1:3]: m for shape, m in zip(shapes, free.outputs, strict=True)}
    sizes = [(side // stride, side // stride) for stride in STRIDES]
    lacking = [s for s, size in zip(STRIDES, sizes, strict=True) if size not in last]
    if lacking:
        raise ValueError(
            f"Expected an encoder with features at strides {STRIDES}. {model.name!r} "
            f"has none of 1/{', 1/'.join(map(str, lacking))} of an image's size: it "
            "starts with a larger stride, its convolutions aren't padded, or its "
            "layers are in a model inside of it, where they aren't seen."
        )
    return keras.Model(free.inputs, [last[size] for size in sizes], name=model.name)


def _map_of(layer: Any) -> Any:
    """The output of a layer, but of a model inside: that is in another graph."""
    try:
        return None if isinstance(layer, keras.Model) else layer.output
    except AttributeError:  # called more than once
        return None


def _is_map(tensor: Any) -> bool:
    """Whether this is one map `[batch, height, width, channels]`."""
    return hasattr(tensor, "shape") and len(tensor.shape) == 4


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")
