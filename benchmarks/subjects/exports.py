"""Exports in their runtimes: an image of bytes in, class ids out.

The peer is the same net in PyTorch, eagerly, with what an export has inside:
normalization before it, and the largest score of each pixel after it. All of them have
free use of all cores, and images of one size.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.subjects.nets import logits_of, ours, theirs

ENDINGS = {"saved_model": "", "onnx": ".onnx", "litert": ".tflite"}


def picture(images: int, side: int) -> np.ndarray:
    """Images of bytes, the same for all sides."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (images, side, side, 3), np.uint8)


def exported(
    net: str, images: int, side: int, format: str, quantize: str | None = None
) -> Callable[[], Any]:
    """A net that `keras_seg.export` wrote, in the runtime of its format."""
    from keras_seg.inference.opened import as_net

    x = picture(images, side)
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/net{ENDINGS[format]}"
        # In another process, whose memory isn't that of the runtime.
        words = f"write({net!r}, {side}, {format!r}, {path!r}, {quantize!r})"
        script = f"from benchmarks.subjects.exports import write; {words}"
        subprocess.run([sys.executable, "-c", script], check=True)
        served: Any = as_net(path)

    def predict() -> None:
        served.served("mask", x)

    return predict


def write(net: str, side: int, format: str, path: str, quantize: str | None) -> None:
    """Export a net for images of one size."""
    import keras_seg

    examples = None if quantize is None else picture(4, side)
    options: dict[str, Any] = {"quantize": quantize, "examples": examples}
    keras_seg.export(ours(net), path, format=format, size=(side, side), **options)


def eager(net: str, images: int, side: int) -> Callable[[], Any]:
    """The same net in PyTorch, with what is before and after it."""
    import torch

    model = theirs(net).eval()
    x = picture(images, side)

    def predict() -> None:
        with torch.inference_mode():
            pixels = torch.from_numpy(x).permute(0, 3, 1, 2).float() / 127.5 - 1
            logits_of(model(pixels)).argmax(1).byte().numpy()

    return predict
