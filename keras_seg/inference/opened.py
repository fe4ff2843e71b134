"""What `predict` and `evaluate` take as a model: of Keras, or exported."""

import os
import weakref
from pathlib import Path
from typing import Any, TypeAlias

import keras

from keras_seg.inference.exported import LiteRTNet, OnnxNet, SavedModelNet
from keras_seg.inference.nets import KerasNet, Net
from keras_seg.models.outputs import count_classes

#: A Keras model, the folder of a SavedModel, or an ONNX or LiteRT file.
Model: TypeAlias = keras.Model | str | os.PathLike

_FILES = {".onnx": OnnxNet, ".tflite": LiteRTNet}
_nets: "weakref.WeakKeyDictionary[keras.Model, KerasNet]" = weakref.WeakKeyDictionary()


def as_net(model: Any) -> Net:
    """Make what inference uses a model through.

    Args:
        model: A Keras model, the folder of a SavedModel, or an ONNX or LiteRT file.

    Raises:
        FileNotFoundError: if there is no such folder or file.
        ImportError: if the runtime of the file isn't installed.
        ValueError: for something else.
    """
    if isinstance(model, str | os.PathLike):
        path = Path(model)
        if path.suffix in _FILES and path.is_file():
            return _FILES[path.suffix](path)
        if not path.exists():
            raise FileNotFoundError(
                f"Expected what `export` wrote at {path}. There is nothing."
            )
        if not (path / "saved_model.pb").is_file():
            load = ". Load it first: keras.models.load_model(path)"
            raise FileNotFoundError(
                "Expected the folder of a SavedModel, with saved_model.pb, or a file "
                f".onnx or .tflite. Received: {path}"
                f"{load if path.suffix == '.keras' else ''}"
            )
        return SavedModelNet(path)
    if isinstance(model, Net):
        return model
    count_classes(model)
    if model not in _nets:
        _nets[model] = KerasNet(model)
    return _nets[model]
