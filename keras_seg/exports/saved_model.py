"""Models for serving, and proof that what they say is what the model says."""

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_seg.files import unfinished
from keras_seg.inference.predict import are_probabilities

#: Images, uint8 `[batch, height, width, channels]`, and the model's outputs.
Example = tuple[np.ndarray, np.ndarray]

#: Sizes that an export of a model without fixed size is compared at: two of them that
#: the model takes. An unpadded U-Net wants some like the last two.
_SIZES = ((64, 96), (33, 47), (192, 224), (188, 204))


def export(
    model: keras.Model,
    path: str | os.PathLike,
    *,
    format: str = "saved_model",
    class_names: Sequence[str] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a model for serving: raw images in, class ids out.

    The SavedModel needs nothing but TensorFlow. Its signature `serving_default` takes
    `image`, uint8 `[batch, height, width, channels]`, and returns `mask`, class ids of
    uint8 `[batch, height, width]`; `probabilities` takes the same and returns
    `probabilities`, float32 `[batch, height, width, num_classes]`. Batch, height and
    width are free unless the model fixes them. Before the folder gets its name, what
    was written is loaded and compared with the model.

    Args:
        model: A model from images to logits, or to probabilities.
        path: Folder to write.
        format: "saved_model".
        class_names: A name per class, kept beside the graph as
            `assets.extra/class_names.txt`, one a line.
        overwrite: Whether to replace what is at `path`.

    Raises:
        FileExistsError: if there is something at `path` and it may not be replaced.
        ValueError: for another format, more than 255 classes, other than one name per
            class, a model that gives NaN, or one that takes none of the sizes tried.
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
    num_classes = model.output_shape[-1]
    if num_classes > 255:
        raise ValueError(
            "Expected a model of at most 255 classes, for masks of uint8. Received: "
            f"{num_classes} classes"
        )
    if class_names is not None and len(class_names) != num_classes:
        raise ValueError(
            f"Expected {num_classes} `class_names`, one per class. Received: "
            f"{len(class_names)}"
        )
    path = Path(path)
    if os.path.lexists(path) and not overwrite:
        raise FileExistsError(
            f"Expected nothing at {path}. Choose another path, or overwrite=True."
        )

    examples = _examples(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(
            prefix=f".{path.name}.writing.", dir=path.parent
        ) as folder,
        unfinished(folder),
    ):
        aside = Path(folder) / "export"
        _write_saved_model(model, aside, examples)
        if class_names is not None:
            extra = aside / "assets.extra"
            extra.mkdir()
            (extra / "class_names.txt").write_text(
                "".join(f"{name}\n" for name in class_names), encoding="utf-8"
            )
        _compare(model, aside, examples)
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.is_dir():
            shutil.rmtree(path)
        os.replace(aside, path)


def _examples(model: keras.Model) -> list[Example]:
    """Images of two sizes that the model takes, and what it gives for them."""
    height, width, channels = model.input_shape[1:]
    rng = np.random.default_rng(0)
    examples: list[Example] = []
    refused: Exception | None = None
    for free_height, free_width in _SIZES:
        size = (height or free_height, width or free_width)
        image = rng.integers(0, 256, (2, *size, channels), np.uint8)
        try:
            scores = model(tf.constant(image, tf.float32), training=False)
        except Exception as error:  # whatever its layers say of this size
            refused = error
            continue
        scores = tf.cast(scores, tf.float32).numpy()
        if not np.isfinite(scores).all():
            raise ValueError(
                f"Expected finite outputs of the model. Received: NaN or infinity for "
                f"random images of {size[0]} x {size[1]}."
            )
        examples.append((image, scores))
        if len(examples) == 2:
            break
    if not examples:
        raise ValueError(
            "Expected a model that takes images of one of the sizes "
            f"{', '.join(f'{h} x {w}' for h, w in _SIZES)}. For the last one it says: "
            f"{refused}"
        )
    return examples


def _write_saved_model(model: keras.Model, path: Path, examples: list[Example]) -> None:
    finished = all(are_probabilities(scores) for _, scores in examples)

    def probabilities(image: Any) -> Any:
        scores = model(tf.cast(image, tf.float32), training=False)
        scores = tf.cast(scores, tf.float32)
        return scores if finished else tf.nn.softmax(scores)

    def serve_mask(image: Any) -> dict:
        mask = tf.argmax(probabilities(image), axis=-1)
        return {"mask": tf.cast(mask, tf.uint8)}

    def serve_probabilities(image: Any) -> dict:
        return {"probabilities": probabilities(image)}

    image = tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8, name="image")
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serving_default", serve_mask, [image])
    archive.add_endpoint("probabilities", serve_probabilities, [image])
    archive.write_out(str(path), verbose=False)


def _compare(model: keras.Model, path: Path, examples: list[Example]) -> None:
    """Raise unless the SavedModel gives what the model gave, at every size tried."""
    loaded = tf.saved_model.load(str(path))
    # Half precision rounds differently where operations are fused.
    tolerance = 5e-2 if _is_half(model) else 1e-3
    for image, scores in examples:
        expected = scores
        if not are_probabilities(scores):
            expected = tf.nn.softmax(scores).numpy()
        received = loaded.signatures["probabilities"](image=tf.constant(image))
        mask = loaded.signatures["serving_default"](image=tf.constant(image))["mask"]
        received = received["probabilities"].numpy()
        difference = np.abs(received - expected).max()
        # Where two classes are nearly as likely, either may win.
        chosen = np.take_along_axis(received, mask.numpy()[..., None].astype(int), -1)
        lost = (received.max(-1) - chosen[..., 0]).max()
        if not (difference <= tolerance and lost <= tolerance):  # nor if it is NaN
            raise RuntimeError(
                "The export differs from the model at "
                f"{image.shape[1]} x {image.shape[2]}: probabilities by up to "
                f"{difference:.2g}."
            )


def _is_half(model: keras.Model) -> bool:
    """Whether a layer computes in half precision; a loaded model forgets its policy."""
    return any(
        _is_half(layer)
        if isinstance(layer, keras.Model)
        else layer.compute_dtype in ("float16", "bfloat16")
        for layer in model.layers
    )
