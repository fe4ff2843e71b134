"""SavedModels for serving, compared with the model before they get their name."""

import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_seg.files import unfinished
from keras_seg.labels import IGNORE
from keras_seg.models.outputs import check_finite, count_classes, ends_in_softmax

#: Images, uint8 `[batch, height, width, channels]`, and the probabilities for them.
Example = tuple[np.ndarray, np.ndarray]

#: Sizes that an export of a model without fixed size is compared at: two of them that
#: the model takes. An unpadded U-Net wants some like the last two.
_SIZES = ((64, 96), (33, 47), (192, 224), (188, 204))


def export(
    model: keras.Model,
    path: str | os.PathLike,
    *,
    format: str = "saved_model",
    class_names: Iterable[str] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a model for serving: raw images in, class ids out.

    The SavedModel needs nothing but TensorFlow. Its signature `serving_default` takes
    `image`, uint8 `[batch, height, width, channels]`, and returns `mask`, class ids of
    uint8 `[batch, height, width]`; `probabilities` takes the same and returns
    `probabilities`, float32 `[batch, height, width, num_classes]`. Batch, height and
    width are free unless the model fixes them. Where the model gives NaN for an image,
    `probabilities` are NaN and `mask` is 255, `IGNORE`. Before the folder gets its
    name, what was written is loaded and compared with the model.

    Args:
        model: A model from images to logits, or to probabilities: which of them is read
            off its last layer.
        path: Folder to write.
        format: "saved_model".
        class_names: A name per class, kept beside the graph as
            `assets.extra/class_names.txt`, one a line.
        overwrite: Whether to replace what is at `path`.

    Raises:
        FileExistsError: if there is something at `path` and it may not be replaced.
        ValueError: for another format, a model of one output channel, of more than 255,
            or one whose last layer doesn't show whether its outputs are logits, for
            names that aren't one line for each class, a model that gives NaN, or one
            that takes none of the sizes tried.
        RuntimeError: if the outputs of model and export differ, or on another backend
            than TensorFlow.

    Example:
        keras_seg.export(model, "unet_voc", class_names=source.class_names)
        serve = tf.saved_model.load("unet_voc").signatures["serving_default"]
        mask = serve(image=image[None])["mask"][0]
    """
    if format != "saved_model":
        raise ValueError(f"Expected `format` to be 'saved_model'. Received: {format!r}")
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            "Expected Keras's TensorFlow backend, whose format this is. Received: "
            f"{keras.backend.backend()}. Save the model as .keras, load it with "
            "KERAS_BACKEND=tensorflow, and export it there."
        )
    num_classes = count_classes(model, at_most=255)
    finished = ends_in_softmax(model)
    names = None if class_names is None else _check_names(class_names, num_classes)
    path = Path(path)
    if os.path.lexists(path) and not overwrite:
        raise FileExistsError(
            f"Expected nothing at {path}. Choose another path, or overwrite=True."
        )

    def probabilities(image: Any) -> Any:
        scores = model(tf.cast(image, tf.float32), training=False)
        scores = tf.cast(scores, tf.float32)
        return scores if finished else tf.nn.softmax(scores)

    examples = _examples(model, probabilities)
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(
            prefix=f".{path.name}.writing.", dir=path.parent
        ) as folder,
        unfinished(folder),
    ):
        aside = Path(folder) / "export"
        _write(model, probabilities, aside)
        if names is not None:
            extra = aside / "assets.extra"
            extra.mkdir()
            lines = "".join(f"{name}\n" for name in names)
            (extra / "class_names.txt").write_text(lines, encoding="utf-8")
        # Half precision rounds differently where operations are fused.
        compare(aside, examples, tolerance=5e-2 if _is_half(model) else 1e-3)
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.is_dir():
            shutil.rmtree(path)
        os.replace(aside, path)


def compare(path: Path, examples: list[Example], *, tolerance: float) -> None:
    """Raise unless a SavedModel gives what the model gave.

    Args:
        path: Folder of the SavedModel.
        examples: Images, and the probabilities that the model gave for them.
        tolerance: By how much a probability may differ, and by how much the class of a
            mask may be less likely than the most likely one: of two that are nearly as
            likely either may win.

    Raises:
        RuntimeError: if probabilities or masks differ.
    """
    loaded = tf.saved_model.load(str(path))
    for image, expected in examples:
        given = {"image": tf.constant(image)}
        received = loaded.signatures["probabilities"](**given)["probabilities"].numpy()
        mask = loaded.signatures["serving_default"](**given)["mask"].numpy()
        difference = np.abs(received - expected).max()
        valid = mask < expected.shape[-1]
        chosen = np.where(valid, mask, 0)[..., None].astype(int)
        chosen = np.take_along_axis(expected, chosen, -1)[..., 0]
        lost = np.where(valid, expected.max(-1) - chosen, 1).max()
        if not (difference <= tolerance and lost <= tolerance):  # nor if it is NaN
            raise RuntimeError(
                "The export differs from the model at "
                f"{image.shape[1]} x {image.shape[2]}: probabilities by up to "
                f"{difference:.2g}, those of the classes in the mask by up to "
                f"{lost:.2g}."
            )


def _check_names(class_names: Iterable[str], num_classes: int) -> list[str]:
    """Names that stay apart when they are written one a line."""
    names = [class_names] if isinstance(class_names, str) else list(class_names)
    for name in names:
        if not isinstance(name, str) or not name.strip() or name.splitlines() != [name]:
            raise ValueError(
                "Expected `class_names` to be strings of one line each, not empty. "
                f"Received: {name!r}"
            )
    if len(names) != num_classes:
        raise ValueError(
            f"Expected {num_classes} `class_names`, one per class. Received: "
            f"{len(names)}"
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            "Expected `class_names` that differ. Received more than once: "
            f"{', '.join(map(repr, twice))}"
        )
    return names


def _examples(model: keras.Model, probabilities: Any) -> list[Example]:
    """Images of two sizes that the model takes, and what it gives for them."""
    height, width, channels = model.input_shape[1:]
    rng = np.random.default_rng(0)
    examples: list[Example] = []
    refused: Exception | None = None
    for free_height, free_width in _SIZES:
        size = (height or free_height, width or free_width)
        image = rng.integers(0, 256, (2, *size, channels), np.uint8)
        try:
            given = probabilities(tf.constant(image)).numpy()
        except Exception as error:  # whatever its layers say of this size
            refused = error
            continue
        check_finite(model, given)
        examples.append((image, given))
        if len(examples) == 2:
            break
    if not examples:
        raise ValueError(
            "Expected a model that takes images of one of the sizes "
            f"{', '.join(f'{h} x {w}' for h, w in _SIZES)}. For the last one it says: "
            f"{refused}"
        )
    return examples


def _write(model: keras.Model, probabilities: Any, path: Path) -> None:
    """Write both signatures and the weights."""

    def serve_mask(image: Any) -> dict:
        given = probabilities(image)
        mask = tf.cast(tf.argmax(given, axis=-1), tf.uint8)
        is_number = tf.reduce_all(tf.math.is_finite(given), axis=-1)
        return {"mask": tf.where(is_number, mask, tf.constant(IGNORE, tf.uint8))}

    def serve_probabilities(image: Any) -> dict:
        return {"probabilities": probabilities(image)}

    image = tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8, name="image")
    archive = keras.export.ExportArchive()
    # The way to the outputs alone, without heads that only training needs.
    archive.track(keras.Model(model.inputs, model.outputs))
    archive.add_endpoint("serving_default", serve_mask, [image])
    archive.add_endpoint("probabilities", serve_probabilities, [image])
    archive.write_out(str(path), verbose=False)


def _is_half(model: keras.Model) -> bool:
    """Whether a layer computes in half precision; a loaded model forgets its policy."""
    return any(
        _is_half(layer)
        if isinstance(layer, keras.Model)
        else layer.compute_dtype in ("float16", "bfloat16")
        for layer in model.layers
    )
