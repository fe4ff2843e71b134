"""What `export` is asked for: formats, paths, sizes, types, examples."""

import os
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_seg.arguments import check_choice, is_whole
from keras_seg.data import Source
from keras_seg.exports import litert, onnx
from keras_seg.exports.serving import Served
from keras_seg.files import check_folder_path
from keras_seg.inference.exported import ExportedNet, LiteRTNet, OnnxNet, SavedModelNet
from keras_seg.models.inputs import value_range_of

#: The formats, how paths of each end, and their runtimes.
FORMATS: dict[str, tuple[str, type[ExportedNet]]] = {
    "saved_model": ("", SavedModelNet),
    "onnx": (".onnx", OnnxNet),
    "litert": (".tflite", LiteRTNet),
}
#: Numbers in place of float32.
QUANTIZED = ("float16", "int8")


def check_request(
    path: str | os.PathLike, *, format: Any, quantize: Any, overwrite: bool
) -> dict[str, str]:
    """Raise the errors of `export` that don't depend on the model.

    Returns:
        Versions of the packages that the format needs, by name.

    Raises:
        FileExistsError: if there is something at `path` and it may not be replaced.
        ImportError: if packages of the format are missing.
        NotADirectoryError: if a folder that `path` is in is a file.
        ValueError: for another format, or a path or numbers that it doesn't have.
    """
    path = Path(path)
    _check_format(format, quantize, path)
    check_folder_path(path.parent)
    if os.path.lexists(path) and not overwrite:
        raise FileExistsError(
            f"Expected nothing at {path}. Choose another `path`, or add "
            "`overwrite=True`."
        )
    if format == "onnx":
        return onnx.check_packages(quantize)
    return litert.check_packages() if format == "litert" else {}


def _check_format(format: Any, quantize: Any, path: Path) -> None:
    if format not in FORMATS:
        raise ValueError(
            f"Expected `format` to be one of {', '.join(map(repr, FORMATS))}. "
            f"Received: {format!r}"
        )
    if quantize not in (None, *QUANTIZED):
        raise ValueError(
            "Expected `quantize` to be None, 'float16' or 'int8'. Received: "
            f"{quantize!r}"
        )
    if quantize is not None and format == "saved_model":
        raise ValueError(
            "Expected `format='onnx'` or `format='litert'` with "
            f"`quantize={quantize!r}`. Received: `format='saved_model'`, whose numbers "
            "stay float32."
        )
    ending, _ = FORMATS[format]
    if ending and path.suffix != ending:
        raise ValueError(
            f"Expected a `path` that ends in {ending} with `format={format!r}`: "
            "`predict` and `evaluate` know the format by it. Received: "
            f"{path}. Try: {path.with_suffix(ending)}"
        )
    for other, (theirs, _) in FORMATS.items():
        if not ending and theirs and path.suffix == theirs:
            raise ValueError(
                "Expected the name of a folder as `path` with `format='saved_model'`, "
                f"the default. Received: {path}. Try: `format={other!r}`"
            )


def check_dtype(dtype: Any, model: keras.Model) -> str:
    """The dtype of the images that an export takes; None means what a model needs."""
    low, high = (np.asarray(side) for side in value_range_of(model))
    if dtype is None:
        return "uint8" if (low == 0).all() and (high == 255).all() else "float32"
    check_choice("dtype", dtype, ("uint8", "uint16", "float32"))
    if dtype != "float32" and high.max() > np.iinfo(dtype).max:
        raise ValueError(
            f"Expected `dtype` to hold the model's images, up to {high.max():g}. "
            f"Received: {dtype!r}"
        )
    return str(dtype)


def check_size(size: Any) -> tuple[int, int] | None:
    """(height, width) of the images that an export takes; None means any."""
    if size is None:
        return None
    sides = tuple(size) if isinstance(size, tuple | list) else ()
    if len(sides) != 2 or not all(is_whole(side, 1) for side in sides):
        raise ValueError(
            "Expected `size` to be pixels (height, width), two positive integers. "
            f"Received: {size!r}"
        )
    return int(sides[0]), int(sides[1])


def check_examples(examples: Any, served: Served) -> list[np.ndarray]:
    """Images to quantize by, in a list, if they are images that the model takes.

    Raises:
        ValueError: saying what is wrong with which of them.
    """
    channels, dtype = served.input_shape[-1], served.image.dtype.name
    expected = (
        f"Expected `examples` to be a list of images, {dtype} [height, width, "
        f"{channels}], like those of training."
    )
    try:
        images = [np.asarray(image) for image in examples]
    except (TypeError, ValueError):  # no list, or (image, mask) of a Source
        images = []
    if not images:
        received = "none"
        if isinstance(examples, Source):
            received = "a Source, which has masks too"
        elif examples is not None and not hasattr(examples, "__len__"):
            received = f"{type(examples).__name__} without images"
        raise ValueError(
            f"{expected} The ranges of int8 are measured on them. Received: {received}."
            " Try: examples=[source[k][0] for k in range(100)]"
        )
    for k, image in enumerate(images):
        fits = image.ndim == 3 and image.size and image.shape[-1] == channels
        if not fits or image.dtype != dtype:
            raise ValueError(
                f"{expected} Received: {image.dtype} {list(image.shape)} as number {k}."
            )
    return images
