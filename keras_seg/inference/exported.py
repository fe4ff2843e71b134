"""Files that `export` wrote as functions: images in, ids or probabilities out.

Each goes through its own runtime: SavedModels through TensorFlow, ONNX files through
ONNX Runtime, LiteRT files through LiteRT.
"""

import json
import os
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from keras_seg.data.decode.bands import check_bands_for
from keras_seg.inference.nets import Net
from keras_seg.inference.ranges import as_dtype
from keras_seg.labels import IGNORE, check_value_range
from keras_seg.packages import package

#: Under which name a LiteRT file holds its metadata, and a SavedModel its file of them.
METADATA = "keras_seg"


class ExportedNet(Net):
    """An exported model in its own runtime.

    Args:
        path: Its file or folder.

    Attributes:
        metadata: What `export` wrote about the model, by name.
        dtype: Of the images: "uint8", "uint16" or "float32".

    Raises:
        ImportError: if the runtime isn't installed, with the command that installs it.
        ValueError: for a damaged file, or one that holds something else.
    """

    are_probabilities = True
    metadata: dict[str, Any]
    dtype: str
    #: What errors call it.
    kind: ClassVar[str]

    def __init__(self, path: str | os.PathLike):
        try:
            self._load(os.fspath(path))
            low, high = self.metadata.get("value_range", (0, 255))
            self.value_range = check_value_range((low, high))
            bands = self.metadata.get("bands")
            if bands is not None:
                self.bands = check_bands_for(bands, self.input_shape[-1])
        except ImportError:
            raise
        except Exception as error:  # whatever a runtime raises for odd bytes
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise ValueError(
                f"{os.fspath(path)}: Expected {self.kind} that keras_seg.export wrote. "
                f"Received: {lines[0][:300].rstrip('.')}. Likely cause: it was copied "
                "in part, or another program wrote it."
            ) from None

    def _load(self, path: str) -> None:
        """Load it, and set `input_shape`, `num_classes`, `dtype` and `metadata`."""
        raise NotImplementedError  # each runtime has its own

    def served(self, output: str, images: np.ndarray) -> np.ndarray:
        """What it gives for images, unchecked.

        Args:
            output: "mask" or "probabilities".
            images: `[batch, height, width, channels]`, in `dtype`.
        """
        raise NotImplementedError  # each runtime has its own

    def scores(self, images: np.ndarray) -> np.ndarray:
        scores = self.served("probabilities", as_dtype(images, self.dtype))
        self._require_size(scores, images)
        if not np.isfinite(scores).all():
            raise ValueError(
                f"Expected finite outputs of {self.kind}. Received: NaN or infinity. "
                "Likely cause: training diverged before it was exported."
            )
        return scores

    def masks(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        masks = self.served("mask", as_dtype(images, self.dtype))
        self._require_size(masks, images)
        return masks, (masks != IGNORE).all(axis=(1, 2))

    def _require_size(self, outputs: np.ndarray, images: np.ndarray) -> None:
        if outputs.shape[1:3] != images.shape[1:3]:
            raise ValueError(
                f"Expected {self.kind} whose masks are as large as the images. "
                f"Received: {outputs.shape[1:3]} for {images.shape[1:3]}. Likely "
                "cause: a U-Net with padding='valid'. Give its Keras model instead."
            )


class SavedModelNet(ExportedNet):
    """The folder of a SavedModel, in TensorFlow."""

    kind = "a SavedModel"

    def _load(self, path: str) -> None:
        self._loaded = tf.saved_model.load(path)
        signatures = self._loaded.signatures
        self._functions = {
            "mask": signatures["serving_default"],
            "probabilities": signatures["probabilities"],
        }
        (image,) = self._functions["mask"].structured_input_signature[1].values()
        self.input_shape = tuple(image.shape[1:])
        self.dtype = image.dtype.name
        output = self._functions["probabilities"].structured_outputs["probabilities"]
        self.num_classes = int(output.shape[-1])
        about = Path(path) / "assets.extra" / f"{METADATA}.json"
        self.metadata = json.loads(about.read_bytes()) if about.exists() else {}

    def served(self, output: str, images: np.ndarray) -> np.ndarray:
        return self._functions[output](image=tf.constant(images))[output].numpy()


class OnnxNet(ExportedNet):
    """An ONNX file, in ONNX Runtime on the CPU."""

    kind = "an ONNX file"

    def _load(self, path: str) -> None:
        runtime = package("onnxruntime", "onnx")
        options = runtime.SessionOptions()
        options.log_severity_level = 3  # errors; they are raised too
        self._session = runtime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        (image,) = self._session.get_inputs()
        shapes = {output.name: output.shape for output in self._session.get_outputs()}
        if image.name != "image" or shapes.keys() != {"mask", "probabilities"}:
            raise ValueError(f"input {image.name!r}, outputs {sorted(shapes)}")
        # Free sides have names, or none.
        height, width, channels = image.shape[1:]
        self.input_shape = (
            height if isinstance(height, int) else None,
            width if isinstance(width, int) else None,
            channels,
        )
        self.num_classes = int(shapes["probabilities"][-1])
        self.dtype = {"tensor(float)": "float32"}.get(image.type, image.type[7:-1])
        about = self._session.get_modelmeta().custom_metadata_map
        self.metadata = {name: _parsed(text) for name, text in about.items()}

    def served(self, output: str, images: np.ndarray) -> np.ndarray:
        (found,) = self._session.run([output], {"image": images})
        return found


class LiteRTNet(ExportedNet):
    """A LiteRT file, in LiteRT's interpreter on the CPU."""

    kind = "a LiteRT file"

    def _load(self, path: str) -> None:
        interpreter = package("ai_edge_litert.interpreter", "litert")
        content = Path(path).read_bytes()
        if content[4:8] != b"TFL3":  # of other bytes the interpreter may crash
            raise ValueError(f"{len(content):,} bytes that are no LiteRT file")
        self._interpreter = interpreter.Interpreter(
            model_content=content, num_threads=os.cpu_count()
        )
        names = {"mask": "serving_default", "probabilities": "probabilities"}
        self._runners = {
            output: self._interpreter.get_signature_runner(name)
            for output, name in names.items()
        }
        runner = self._runners["probabilities"]
        image = runner.get_input_details()["image"]
        height, width, channels = map(int, image["shape_signature"][1:])
        self.input_shape = (
            None if height < 0 else height,
            None if width < 0 else width,
            channels,
        )
        self.dtype = np.dtype(image["dtype"]).name
        output = runner.get_output_details()["probabilities"]
        self.num_classes = int(output["shape_signature"][-1])
        self.metadata = litert_metadata(content)

    def served(self, output: str, images: np.ndarray) -> np.ndarray:
        return self._runners[output](image=images)[output]


def litert_metadata(content: bytes) -> dict[str, Any]:
    """What `export` wrote about a model into a LiteRT file."""
    schema = package("ai_edge_litert.schema_py_generated", "litert")
    model = schema.Model.GetRootAs(content)
    for k in range(model.MetadataLength()):
        entry = model.Metadata(k)
        if entry.Name().decode() == METADATA:
            return json.loads(model.Buffers(entry.Buffer()).DataAsNumpy().tobytes())
    return {}


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
