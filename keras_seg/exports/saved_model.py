"""SavedModels: a folder with the graph and the weights, for TensorFlow."""

import json
from pathlib import Path
from typing import Any

import keras

from keras_seg.exports.serving import Served
from keras_seg.inference.exported import METADATA

#: The signatures, and which of them gives what.
SIGNATURES = {"mask": "serving_default", "probabilities": "probabilities"}


def write(served: Served, path: Path, metadata: dict[str, Any]) -> None:
    """Write the folder of a SavedModel.

    Args:
        served: The model.
        path: The folder, which isn't there yet.
        metadata: What it says of itself, for `assets.extra` beside the graph.
    """
    archive = keras.export.ExportArchive()
    model = served.model
    # The way to the outputs alone, without heads that only training needs.
    archive.track(keras.Model(model.inputs, model.outputs))
    archive.add_endpoint(SIGNATURES["mask"], served.mask, [served.image])
    archive.add_endpoint(
        SIGNATURES["probabilities"], served.probabilities, [served.image]
    )
    archive.write_out(str(path), verbose=False)
    extra = path / "assets.extra"
    extra.mkdir()
    text = json.dumps(metadata, indent=2, ensure_ascii=False)
    (extra / f"{METADATA}.json").write_text(text, encoding="utf-8")
    if "class_names" in metadata:
        lines = "".join(f"{name}\n" for name in metadata["class_names"])
        (extra / "class_names.txt").write_text(lines, encoding="utf-8")
