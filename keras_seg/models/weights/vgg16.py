"""Weights of VGG16 and of the FCNs made of it, for the layers of an FCN.

Section 3.1 of the FCN paper: the fully connected fc6 is a 7x7 convolution of pool5, fc7
a 1x1 convolution. Nets of Caffe and of Keras see BGR; with the channels of the first
kernel reversed once, a net sees RGB.
"""

import keras

from keras_seg.models.weights.by_name import (
    Named,
    assign,
    copy_normalization,
    load_model,
    named_weights,
    tell,
)
from keras_seg.models.weights.by_order import ENDING, load_by_order
from keras_seg.models.weights.caffe import kernel, read_caffemodel
from keras_seg.models.weights.channels import fit_channels
from keras_seg.models.weights.imagenet import with_downloads

#: The layer that sees the image.
_FIRST = "conv1_1"


def load_vgg16(model: keras.Model, source: str) -> None:
    """Set the VGG16 of an FCN, its classifier too, and nothing else.

    Args:
        model: The FCN to change.
        source: "imagenet" for Keras's VGG16, or a `.caffemodel` or `.keras` file of
            VGG16 or of an FCN.

    Raises:
        ValueError: naming the source, if a layer is missing or has another shape.
        OSError: where Keras can't download the weights, saying where to put the file.
    """
    if source == "imagenet":
        vgg16 = with_downloads(lambda: keras.applications.VGG16(weights="imagenet"))
        named, where = _of_keras(vgg16), "VGG16 of Keras"
    elif source.endswith(".caffemodel"):
        named, where = _of_caffe(model, source), source
    else:
        saved = load_model(source)
        is_fcn = any(layer.name == "conv1_1" for layer in saved.layers)
        named, where = named_weights(saved) if is_fcn else _of_keras(saved), source
    named = {name: values for name, values in named.items() if not _is_score(name)}
    if _FIRST in named:
        named[_FIRST] = fit_channels(model.get_layer(_FIRST), named[_FIRST])
    assign(model, named, where=where, may_differ=_is_score)


def load_fcn(model: keras.Model, path: str) -> None:
    """Set the weights of an FCN from a file of an equal or of a coarser one.

    Layers that a coarser FCN doesn't have stay as they are, and a warning names them.

    Args:
        model: The FCN to change.
        path: A `.keras` file, or a `.caffemodel` of the authors; or the `.weights.h5`
            file of an equal FCN.

    Raises:
        ValueError: naming the file, if it is of another kind or holds another net.
    """
    if path.endswith(ENDING):
        load_by_order(model, path)
        return
    is_caffe = path.endswith(".caffemodel")
    if is_caffe:
        named = _of_caffe(model, path)
    else:
        saved = load_model(path)
        named = named_weights(saved)
        copy_normalization(saved, model)
    if is_caffe and not any(map(_is_score, named.keys() - {"fc8"})):
        raise ValueError(
            f"{path}: Expected weights of an FCN, with its scores. Received: "
            f"{', '.join(named)}. Likely cause: it is VGG16, for encoder_weights."
        )
    tell(path, *assign(model, named, where=path, may_differ=_is_score))


def _of_keras(vgg16: keras.Model) -> Named:
    """Weights of a Keras VGG16 by the names of an FCN's layers."""
    named = {}
    for layer in vgg16.layers:
        if not layer.weights or layer.name == "predictions":
            continue
        name, values = layer.name, layer.get_weights()
        if name.startswith("block") and "_conv" in name:
            name = name.replace("block", "conv").replace("_conv", "_")
        elif name in ("fc1", "fc2"):
            size, name = {"fc1": (7, "fc6"), "fc2": (1, "fc7")}[name]
            weights, bias = values
            values = [weights.reshape(size, size, -1, weights.shape[-1]), bias]
        named[name] = values  # under another name it is told as left over
    if _FIRST in named:
        weights, bias = named[_FIRST]
        named[_FIRST] = [weights[:, :, ::-1], bias]
    return named


def _of_caffe(model: keras.Model, path: str) -> Named:
    """Weights of a .caffemodel in Keras's layout, for the layers that are known."""
    named = read_caffemodel(path)
    for layer in model.layers:
        if layer.name not in named or not layer.weights:
            continue
        blob, *bias = named[layer.name]
        height, width, channels, filters = layer.kernel.shape
        if layer.name == _FIRST and blob.size == height * width * 3 * filters:
            channels = 3  # of RGB, for a net of other channels
        try:
            weights = kernel(blob, (height, width, channels, filters))
        except ValueError as error:
            raise ValueError(f"{path}: layer {layer.name}: {error}") from None
        if layer.name == _FIRST:
            weights = weights[:, :, ::-1]
        named[layer.name] = [weights, *(b.ravel() for b in bias)]
    return named


def _is_score(name: str) -> bool:
    """Whether a layer belongs to what nets of other strides or tasks don't share."""
    return name.startswith(("score", "upscore")) or name == "fc8"
