"""LiteRT files, written by TensorFlow's converter from a SavedModel.

Only LiteRT's own operations: those of TensorFlow ("Flex") need a library that plain
runtimes don't have.
"""

import contextlib
import json
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_seg.exports import saved_model
from keras_seg.exports.serving import Served
from keras_seg.inference.exported import METADATA


class NeedsFlexError(ValueError):
    """A model that has operations which LiteRT doesn't have."""


def check_packages() -> dict[str, str]:
    """Versions of the packages that run LiteRT files.

    Raises:
        ImportError: if the runtime is missing, with the command that installs it.
    """
    try:
        import ai_edge_litert.interpreter
    except ImportError as error:
        raise ImportError(
            "Expected ai-edge-litert for `format='litert'`. Install it: "
            f"pip install 'keras-seg[litert]'. {error}"
        ) from None
    return {"ai_edge_litert": ai_edge_litert.__version__}


def write(
    served: Served,
    path: Path,
    metadata: dict[str, Any],
    *,
    quantize: str | None,
    images: Sequence[np.ndarray],
) -> None:
    """Write a LiteRT file.

    Args:
        served: The model.
        path: The file.
        metadata: What it says of itself.
        quantize: None, "float16" or "int8".
        images: `[height, width, channels]` each, to quantize to bytes by.

    Raises:
        NeedsFlexError: naming the operations that LiteRT doesn't have.
    """
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "saved_model"
        saved_model.write(served, saved, metadata)
        converter = tf.lite.TFLiteConverter.from_saved_model(
            str(saved), signature_keys=list(saved_model.SIGNATURES.values())
        )
        if quantize is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if quantize == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if quantize == "int8":
            converter.representative_dataset = _calibration(images)
        try:
            with _silent():
                content = converter.convert()
        except Exception as error:  # the converter's own kinds
            flex = re.search(r"TF Select ops: (.*)", str(error))
            if flex is None:
                raise
            raise NeedsFlexError(
                "Expected a model of operations that LiteRT has. Received: one that "
                f"needs these of TensorFlow: {flex[1]}."
            ) from None
    path.write_bytes(_with_metadata(content, metadata))


def _calibration(images: Sequence[np.ndarray]) -> Any:
    """What the converter looks at, for both signatures."""

    def dataset() -> Iterator[tuple[str, dict[str, np.ndarray]]]:
        for signature in saved_model.SIGNATURES.values():
            for image in images:
                yield signature, {"image": image[None]}

    return dataset


def _with_metadata(content: bytes, metadata: dict[str, Any]) -> bytes:
    """The same file with a JSON text among its named buffers."""
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.convert_bytearray_to_object(content)
    buffer = schema.BufferT()
    text = json.dumps(metadata, ensure_ascii=False).encode()
    buffer.data = np.frombuffer(text, np.uint8)
    model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = METADATA, len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep the converter from writing the whole graph to file descriptor 2.

    And from warning that the interpreter which it calibrates with is an old one.
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"\s*Warning: tf.lite.Interpreter")
            yield
    finally:
        sys.stderr.flush()
        os.dup2(stderr, 2)
        os.close(stderr)
