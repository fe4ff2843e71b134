"""Any backbone as an encoder: images to features by level."""

import difflib
import os
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from keras_seg.models.arguments import check_input_shape, check_word
from keras_seg.models.encoders.backbone import Backbone, Normalization, PerChannel
from keras_seg.models.encoders.dilation import dilate
from keras_seg.models.encoders.efficientnet_lite import efficientnet_lite
from keras_seg.models.encoders.frozen import freeze_batch_normalization
from keras_seg.models.encoders.keras_applications import (
    builders,
    keras_application,
    plain,
)
from keras_seg.models.encoders.kerashub import (
    PREFIX,
    is_kerashub,
    kerashub_model,
    kerashub_preset,
)
from keras_seg.models.encoders.levels import (
    STRIDES,
    find_levels,
    maps_of,
    require_levels,
)
from keras_seg.models.encoders.mit import MIT, mit_backbone
from keras_seg.models.encoders.resnet import RESNETS, resnet
from keras_seg.models.layers import PadToMultiple, ReverseChannels
from keras_seg.models.weights.by_name import copy_weights, load_encoder
from keras_seg.models.weights.by_order import ENDING, load_by_order
from keras_seg.models.weights.files import check_file
from keras_seg.models.weights.tensors import TENSOR_FILES

_LITE = ("efficientnetlite0", "efficientnetlite1", "efficientnetlite2")
_MIT = {plain(name): name for name in MIT}


@keras.saving.register_keras_serializable(package="keras_seg")
class Encoder(keras.Model):
    """Images to features by level; `encoder` makes one.

    It is a functional model like any other, but the paths of its variables begin with
    its name, also when it was loaded from a file: so optimizers know them
    (`keras.optimizers.OptimizerMap`).

    Args:
        inputs: A symbolic image.
        outputs: Symbolic features by level.
        name: The name.
        **kwargs: Of `keras.Model`.
    """

    def __init__(
        self, inputs: Any, outputs: Any, name: str | None = None, **kwargs: Any
    ):
        super().__init__(inputs, outputs, name=name, **kwargs)

    @classmethod
    def from_config(cls, config: dict, custom_objects: Any = None) -> "Encoder":
        with keras.name_scope(config["name"]):
            return super().from_config(config, custom_objects)


def encoder(
    name_or_model: str | keras.Model,
    *,
    input_shape: tuple[int | None, int | None, int] = (None, None, 3),
    weights: str | os.PathLike | None = None,
    output_stride: int = 32,
    dilate_first: bool = False,
    deepest: str = "P5",
    scale: PerChannel | None = None,
    offset: PerChannel | None = None,
) -> keras.Model:
    """Make an encoder of a backbone: images to features by level.

    Args:
        name_or_model: "resnet18", "34", "50" or "101", as torchvision has them;
            "mit_b0" to "mit_b5", the encoders of SegFormer; "efficientnet_lite0", "1"
            or "2"; the name of a backbone of `keras.applications`, in any case and with
            or without underscores; "keras_hub:" and a preset of KerasHub; or a
            functional `keras.Model` whose convolutions are padded. Of a model a copy is
            made, with its weights. An encoder that was made before comes back as it is.
        input_shape: Height, width and channels of the images. None stands for any
            height or width.
        weights: Only with a name. None for a random start, "imagenet", or a file: a
            `.keras` file of such an encoder, or of a model with one as its layer
            "encoder", or of its backbone alone; a `.weights.h5` file of such an
            encoder; an `.h5` file that Keras offers for its backbone; the `.pth` file
            of an EfficientNet-Lite; a `.pth` or `.safetensors` file of a ResNet, or of
            a net with one, by torchvision's names; a `.bin` or `.safetensors` file of a
            MiT or a SegFormer, by Hugging Face's names (MiT has no "imagenet").
            Weights for RGB become those for other channels as in
            segmentation_models_pytorch: the first kernel's sum for one channel; for n,
            channel i gets what channel i mod 3 had, times 3 / n. The backbone's mean
            and deviation go by i mod 3 too; a single channel gets the mean of the
            three. So a net of six channels that sees RGB twice gives the features of
            RGB, and one of a single channel those of the image repeated to RGB if the
            backbone has one mean and deviation for all channels (MobileNet and
            EfficientNet-Lite, say; those of ImageNet in ResNet and MiT differ).
            Batch normalization keeps the scale, shift and statistics of the file in
            training: `training.freeze_batch_normalization(encoder, False)` trains it.
        output_stride: How many times smaller than the image features may get: 32, 16
            or 8. What would make them smaller is dilation instead; the weights are the
            same. Levels keep their names: with 8, "P4" and "P5" are as large as "P3".
        dilate_first: Whether with an `output_stride` below 32 also those convolutions
            are dilated that would have made features smaller, as
            segmentation_models_pytorch does it. Without, it is done as in torchvision.
        deepest: The last level. Layers of the backbone behind it are left out.
        scale: Only with a model: it gets `scale * image + offset`, of images in 0..255.
            A number, or one for each channel. None means 1. A backbone of KerasHub
            needs it: the numbers are those of its `ImageConverter`.
        offset: Likewise. None means 0.

    Returns:
        A model named "encoder" from images `[batch, height, width, channels]` in 0..255
        to a dictionary of features: level "Pk" has 1 / 2^k of the height and width of
        the image, which is padded with 0 at the bottom and right to multiples of the
        deepest stride. A backbone gives the levels that it has: most have "P1" to "P5",
        ConvNeXt and MiT begin at "P2". The paths of all variables begin with
        "encoder/".

    Raises:
        ValueError: for an unknown name, a backbone that can't be used or dilated, or
            weights of another one, saying why.
        FileNotFoundError: if there is no file of weights.
        OSError: where weights can't be downloaded, saying where to put the file.
        ImportError: if the weights of EfficientNet-Lite, or KerasHub, aren't installed.

    Example:
        >>> model = encoder("MobileNetV2")
        >>> shapes = model.compute_output_shape((1, 65, 97, 3))
        >>> {level: shape[1:3] for level, shape in shapes.items()}
        {'P1': (48, 64), 'P2': (24, 32), 'P3': (12, 16), 'P4': (6, 8), 'P5': (3, 4)}
    """
    input_shape = check_input_shape(input_shape)
    check_word("output_stride", output_stride, (8, 16, 32))
    weights = None if weights is None else os.fspath(weights)
    check_word("deepest", deepest, tuple(STRIDES))
    check_encoder(name_or_model, weights)
    if isinstance(name_or_model, Encoder):
        if output_stride != 32 or scale is not None or offset is not None:
            raise ValueError(
                "Expected `output_stride`, `scale` and `offset` where the encoder is "
                "made. Received: an encoder that is made already"
            )
        return name_or_model

    with keras.name_scope("encoder"):
        if isinstance(name_or_model, str):
            if scale is not None or offset is not None:
                raise ValueError(
                    "Expected `scale` and `offset` with a model only. What "
                    f"{name_or_model!r} expects of images is known."
                )
            backbone = _by_name(name_or_model, input_shape[2], weights)
        else:
            backbone = _of_model(name_or_model, input_shape[2], scale, offset)
        levels = {level: x for level, x in backbone.levels.items() if level <= deepest}
        if not levels:
            raise ValueError(
                f"Expected `deepest` to be one of {', '.join(backbone.levels)}, the "
                f"levels of {backbone.model.name!r}, or behind. Received: {deepest!r}"
            )
        features = keras.Model(backbone.model.inputs, levels, name=backbone.model.name)
        if output_stride < STRIDES[deepest]:
            features = dilate(features, output_stride, dilate_first=dilate_first)
        made = _assemble(features, input_shape, backbone.normalization)
    if weights is not None and weights.endswith(".keras"):
        load_encoder(made, weights)
    elif weights is not None and weights.endswith(ENDING):
        load_by_order(made, weights)
    if weights is not None:
        freeze_batch_normalization(made)
    return made


def dilated_encoder(
    name_or_model: str | keras.Model,
    levels: Sequence[str],
    *,
    output_stride: int,
    decoder: str,
    input_shape: tuple[int | None, int | None, int],
    **arguments: Any,
) -> keras.Model:
    """Make an encoder for a decoder that wants features at a certain stride.

    Args:
        name_or_model: As that of `encoder`. One that was made before has to have this
            output stride.
        levels: The levels that the decoder needs.
        output_stride: The stride of the deepest one of them.
        decoder: The decoder's name, for errors.
        input_shape: Height, width and channels of the images.
        **arguments: Of `encoder`.
    """
    if isinstance(name_or_model, Encoder):
        made: keras.Model = name_or_model
        takes = made.input_shape[1:]
        if any(a != b for a, b in zip(takes, input_shape, strict=True) if a and b):
            raise ValueError(
                f"Expected an encoder for images {input_shape}, the `input_shape`. "
                f"Received one for images {takes}."
            )
    else:
        made = encoder(
            name_or_model,
            output_stride=output_stride,
            input_shape=input_shape,
            **arguments,
        )
    strides = {level: min(STRIDES[level], output_stride) for level in levels}
    require_levels(made, strides, decoder=decoder)
    return made


def check_encoder(name_or_model: Any, weights: str | None) -> None:
    """Raise unless this is a name that is known, or a functional model.

    Raises:
        ValueError: for anything else, or if there are weights for a model.
    """
    if isinstance(name_or_model, str):
        known = {*builders(), *_LITE, *_MIT, *RESNETS}
        is_preset = name_or_model.startswith(PREFIX)
        if not is_preset and plain(name_or_model) not in known:
            near = difflib.get_close_matches(plain(name_or_model), known, n=3)
            hint = "Nearest" if near else "There are"
            raise ValueError(
                "Expected `encoder` to be the name of a backbone: 'resnet18', '34', "
                "'50' or '101', 'mit_b0' to 'mit_b5', 'efficientnet_lite0', '1' or "
                f"'2', one of keras.applications, or '{PREFIX}' and a preset. "
                f"Received: {name_or_model!r}. {hint}: "
                f"{', '.join(near or sorted(known))}."
            )
        return
    is_model = isinstance(name_or_model, keras.Model)
    if not is_model or not getattr(name_or_model, "inputs", None):
        raise ValueError(
            "Expected `encoder` to be a name or a functional keras.Model, whose "
            f"layers are known before it is called. Received: {name_or_model!r}"
        )
    if weights is not None:
        raise ValueError(
            "Expected weights of an encoder with the name of a backbone. A model has "
            f"its own. Received: {weights!r}"
        )


def encoder_endings(name_or_model: Any) -> tuple[str, ...]:
    """The endings of the files of weights that this backbone has."""
    if not isinstance(name_or_model, str) or name_or_model.startswith(PREFIX):
        return (".keras", ENDING)
    if plain(name_or_model) in (*_MIT, *RESNETS):
        return (".keras", ENDING, *TENSOR_FILES)
    return (".keras", ENDING, ".pth" if plain(name_or_model) in _LITE else ".h5")


def _by_name(name: str, channels: int, weights: str | None) -> Backbone:
    """The backbone of a name, with weights but for those of a `.keras` file."""
    if weights not in (None, "imagenet"):
        endings = encoder_endings(name)
        check_file("weights", weights or "", endings, words="'imagenet', ")
    of_keras = weights is not None and weights.endswith((".keras", ENDING))
    start = None if of_keras else weights
    if name.startswith(PREFIX):
        return kerashub_preset(name.removeprefix(PREFIX), channels, start)
    if plain(name) in _MIT:
        return mit_backbone(_MIT[plain(name)], channels, start)
    if plain(name) in RESNETS:
        depth = int(plain(name).removeprefix("resnet"))
        return resnet(depth, channels=channels, weights=start)
    if plain(name) not in _LITE:
        return keras_application(plain(name), channels, start)
    model = efficientnet_lite(int(name[-1]), channels=channels, weights=start)
    levels = find_levels(model, {"P1": "block0_depthwise_conv"})  # the stem
    return Backbone(model, levels, None)


def _of_model(
    model: Any, channels: int, scale: PerChannel | None, offset: PerChannel | None
) -> Backbone:
    """A copy of a functional model, for images of any size, as a backbone."""
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
    maps: Any
    if is_kerashub(model):
        _, maps, normalization = kerashub_model(model, scale, offset)
    else:
        # Also of a Sequential model.
        maps, _ = maps_of(keras.Model(model.inputs, model.outputs))
        normalization = None
        if scale is not None or offset is not None:
            normalization = Normalization(
                1.0 if scale is None else scale, 0.0 if offset is None else offset
            )
    source = keras.Model(model.inputs, maps, name=model.name)
    inputs = keras.Input((None, None, channels), name="image")
    copy = keras.models.clone_model(source, input_tensors=[inputs])
    copy_weights(source, copy)
    levels = copy.output if is_kerashub(model) else find_levels(copy)
    return Backbone(copy, levels, normalization)


def _assemble(
    features: keras.Model,
    input_shape: tuple[int | None, int | None, int],
    normalization: Normalization | None,
) -> Encoder:
    """An encoder of what follows after images were padded and normalized."""
    multiple = max(STRIDES[level] for level in features.output)
    image = keras.Input(input_shape, name="image")
    x = image
    if any(side is None or side % multiple for side in input_shape[:2]):
        x = PadToMultiple(multiple, name="pad")(x)
    if normalization is not None:
        scale, offset, reverse = normalization
        if reverse:
            x = ReverseChannels(name="to_bgr")(x)
        x = layers.Rescaling(scale, offset=offset, name="normalize")(x)
    return Encoder(image, features(x), name="encoder")
