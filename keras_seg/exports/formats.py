"""Files for serving, compared with the model in their own runtime before they exist."""

import dataclasses
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_seg.data.decode.bands import check_bands_for
from keras_seg.exports import litert, onnx, saved_model
from keras_seg.exports.checks import (
    FORMATS,
    check_dtype,
    check_examples,
    check_request,
    check_size,
)
from keras_seg.exports.comparison import (
    agreement,
    compare,
    random_examples,
    require_equal_shapes,
    resized,
)
from keras_seg.exports.metadata import check_names, check_palette, describe
from keras_seg.exports.serving import Served
from keras_seg.files import unfinished

# The size of images where LiteRT can't leave it free and none is given.
_FIXED = (512, 512)


@dataclasses.dataclass(frozen=True)
class Export:
    """What `export` wrote.

    Attributes:
        path: The file or folder.
        bytes: Its size.
        size: (height, width) of the images that it takes; None is any.
        agreement: Share of the pixels of the examples that have the model's class, of a
            quantized export; else None.
    """

    path: Path
    bytes: int
    size: tuple[int | None, int | None]
    agreement: float | None = None

    def __str__(self) -> str:
        takes = "any size" if None in self.size else "{} x {}".format(*self.size)
        text = f"{self.path}: {self.bytes / 1e6:.1f} MB, for images of {takes}"
        if self.agreement is not None:
            text += f"; the model's class at {self.agreement:.2%} of the pixels"
        return text


def export(
    model: keras.Model,
    path: str | os.PathLike,
    *,
    format: str = "saved_model",
    quantize: str | None = None,
    examples: Any = None,
    size: tuple[int, int] | None = None,
    dtype: str | None = None,
    class_names: Iterable[str] | None = None,
    palette: Any = None,
    bands: Iterable[int] | None = None,
    overwrite: bool = False,
) -> Export:
    """Write a model for serving: raw images in, class ids out.

    Every format takes `image`, `[batch, height, width, channels]` as it is read from a
    file, and gives `mask`, class ids of uint8 `[batch, height, width]`, and
    `probabilities`, float32 `[batch, height, width, num_classes]`: as two outputs of an
    ONNX file, and as the signatures `serving_default` and `probabilities` of a
    SavedModel and a LiteRT file.
    Batch, height and width are free unless the model, `size` or LiteRT fix them. Where
    the model gives NaN for an image, `probabilities` are NaN and `mask` is 255,
    `IGNORE`. Before the file or folder gets its name, what was written is loaded in its
    own runtime and compared with the model at several sizes and batches.

    Args:
        model: A model from images to logits or probabilities; its last layer shows
            which.
        path: Folder of a SavedModel, or a file that ends in .onnx or .tflite.
        format: "saved_model", "onnx" (`pip install 'keras-seg[onnx]'`) or "litert"
            (`pip install 'keras-seg[litert]'`).
        quantize: None keeps float32. "float16" halves the file; "int8" stores weights
            and activations as bytes, with ranges measured on `examples`. Not for
            SavedModels.
        examples: Images like those of training, `[height, width, channels]` each, a
            hundred or so. They calibrate "int8", and tell how far a quantized export
            agrees with the model.
        size: (height, width) that the export takes; None leaves them free.
        dtype: Type of the images that the export takes: "uint8", "uint16" or "float32".
            None means uint8 for a model of images in 0..255, else float32.
        class_names: A name per class, written into the file (for a SavedModel as
            `assets.extra/class_names.txt`, one a line).
        palette: A colour (red, green, blue) per class, written into the file. None
            means VOC's.
        bands: Bands (channels of an image file) that the model takes, numbered from 0
            and in this order, as `data.folder` had them; written into the file, for
            those who read images. None means all.
        overwrite: Whether to replace what is at `path`.

    Returns:
        What was written: its size, the images that it takes, and for a quantized export
        the share of pixels that have the model's class.

    Raises:
        FileExistsError: if there is something at `path` and it may not be replaced.
        ImportError: if packages of the format are missing, with the command that
            installs them.
        NotADirectoryError: if a folder that `path` is in is a file.
        ValueError: for another format, "int8" without examples, a model of one output
            channel, of more than 255, or one whose last layer doesn't show whether its
            outputs are logits, for names that aren't one line for each class, `bands`
            that aren't as many as the model's channels, a model that gives NaN, or one
            that takes none of the sizes tried.
        RuntimeError: if the outputs of model and export differ, or on another backend
            than TensorFlow.

    Example:
        keras_seg.export(model, "unet_voc", class_names=source.class_names)
        serve = tf.saved_model.load("unet_voc").signatures["serving_default"]
        mask = serve(image=image[None])["mask"][0]
    """
    path = Path(path)
    versions = check_request(
        path, format=format, quantize=quantize, overwrite=overwrite
    )
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            "Expected Keras's TensorFlow backend, which writes these formats. Received:"
            f" {keras.backend.backend()}. Save the model as .keras, load it with "
            "KERAS_BACKEND=tensorflow, and export it there."
        )
    in_bytes = quantize == "int8"
    dtype = check_dtype(dtype, model)
    served = Served(model, check_size(size), dtype, in_bytes=in_bytes)
    names = (
        None if class_names is None else check_names(class_names, served.num_classes)
    )
    colors = None if palette is None else check_palette(palette, served.num_classes)
    picked = None if bands is None else check_bands_for(bands, served.input_shape[-1])
    if in_bytes or examples is not None:
        examples = check_examples(examples, served)

    def describe_and_write(served: Served) -> Export:
        about = describe(
            served, names, colors, quantize=quantize, bands=picked, **versions
        )
        return _write(served, path, format, quantize, examples, about)

    try:
        return describe_and_write(served)
    except litert.NeedsFlexError as error:
        if None not in served.input_shape:
            raise ValueError(f"{error} Try: `format='onnx'`") from None
        served = Served(model, _FIXED, dtype, in_bytes=in_bytes)
        warnings.warn(
            f"{error} Likely cause: that it takes images of any size. So this export "
            f"takes images of {served.input_shape[0]} x {served.input_shape[1]} only. "
            "`size` chooses another size.",
            stacklevel=2,
        )
        return describe_and_write(served)


def _write(
    served: Served,
    path: Path,
    format: str,
    quantize: str | None,
    examples: Sequence[np.ndarray] | None,
    about: dict[str, Any],
) -> Export:
    """Write aside, compare in the format's own runtime, and rename."""
    ending, runtime = FORMATS[format]
    noise = random_examples(served)
    images = [resized(one, served.input_shape[:2]) for one in examples or ()]
    images = images or [one for batch, _ in noise for one in batch]
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(
            prefix=f".{path.name}.writing.", dir=path.parent
        ) as folder,
        unfinished(folder),
    ):
        aside = Path(folder) / f"export{ending}"
        if format == "saved_model":
            saved_model.write(served, aside, about)
        else:
            writer = onnx if format == "onnx" else litert
            writer.write(served, aside, about, quantize=quantize, images=images)
        net = runtime(aside)
        share = None
        if quantize is None:
            # Half precision rounds differently where operations are fused.
            half = _is_half(served.model)
            compare(net, noise, tolerance=5e-2 if half else 1e-3)
        else:
            require_equal_shapes(net, noise)
            share = agreement(net, served, images)
        del net  # which Windows would keep from being renamed
        _replace(aside, path)
    return Export(path, _bytes(path), served.input_shape[:2], share)


def _replace(aside: Path, path: Path) -> None:
    """Give what was written its name."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)
    os.replace(aside, path)


def _bytes(path: Path) -> int:
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(file.stat().st_size for file in files)


def _is_half(model: keras.Model) -> bool:
    """Whether a layer computes in half precision; a loaded model forgets its policy."""
    return any(
        _is_half(layer)
        if isinstance(layer, keras.Model)
        else layer.compute_dtype in ("float16", "bfloat16")
        for layer in model.layers
    )
