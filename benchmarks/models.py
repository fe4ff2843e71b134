"""Parameters, multiply-adds and time of the models: writes docs/models.md.

    python benchmarks/models.py

Time is of one 512 x 512 image in `predict_on_batch`, the median of several rounds in
which the models take turns; it is the machine's that ran this, the counts are anyone's.
"""

import contextlib
import io
import os
import platform
import re
import statistics
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

import keras_seg

SIDE, CLASSES, ROUNDS = 512, 21, 7
COSTS = "## Costs"
PAGE = Path(__file__).parent.parent / "docs" / "models.md"
MODELS: list[tuple[str, dict[str, Any]]] = [
    ("fcn32s", {}),
    ("fcn16s", {}),
    ("fcn8s", {}),
    ("fcn8s", {"upsampling": "bilinear"}),
    ("fcn8s", {"padding": "caffe"}),
    ("unet", {}),
    ("unet", {"upsampling": "bilinear"}),
    ("unet", {"upsampling": "nearest"}),
    ("unet", {"widths": (16, 32, 64, 128)}),
    ("unet", {"encoder": "efficientnet_lite0"}),
    ("unet", {"encoder": "MobileNetV2"}),
    ("unet", {"encoder": "EfficientNetB0"}),
    ("unet", {"encoder": "resnet50"}),
    ("unet", {"encoder": "DenseNet121"}),
    ("unet", {"encoder": "VGG16"}),
    ("unet", {"encoder": "ConvNeXtTiny"}),
]


def build(name: str, options: dict[str, Any]) -> keras.Model:
    """The model of a row."""
    return getattr(keras_seg, name)(CLASSES, **options)


def multiply_adds(model: keras.Model, side: int = SIDE) -> float:
    """Half of the floating point operations that TensorFlow counts for one image."""
    profiler = tf.compat.v1.profiler
    image = tf.TensorSpec((1, side, side, 3))
    graph = tf.function(model).get_concrete_function(image).graph
    options = profiler.ProfileOptionBuilder.float_operation()
    with contextlib.redirect_stdout(io.StringIO()):
        counted = profiler.profile(graph, options=options | {"output": "none"})
    return counted.total_float_ops / 2


def row(name: str, options: dict[str, Any]) -> list[str]:
    """What doesn't depend on the machine."""
    other = {k: v for k, v in options.items() if k not in ("encoder", "upsampling")}
    default = "nearest" if "encoder" in options else "transpose"
    model = build(name, options)
    return [
        f"`{name}`",
        options.get("encoder", ""),
        options.get("upsampling", default),
        ", ".join(f"{k}={v}" for k, v in other.items()),
        f"{model.count_params():,}",
        f"{multiply_adds(model) / 1e9:.1f} G",
    ]


def times() -> list[float]:
    """Milliseconds of each model, the median over rounds in which they take turns."""
    image = np.zeros((1, SIDE, SIDE, 3), np.float32)
    models = [build(*entry) for entry in MODELS]
    taken: list[list[float]] = [[] for _ in models]
    for turn in range(ROUNDS + 1):
        for model, spent in zip(models, taken, strict=True):
            start = time.perf_counter()
            model.predict_on_batch(image)
            if turn:  # the first one traces
                spent.append(1000 * (time.perf_counter() - start))
    return [statistics.median(spent) for spent in taken]


def page(rows: list[list[str]], spent: list[float]) -> str:
    """The last section of docs/models.md."""
    lines = [
        "| model | encoder | upsampling | options | parameters | multiply-adds | ms |",
        "|---|---|---|---|--:|--:|--:|",
    ]
    for cells, ms in zip(rows, spent, strict=True):
        lines.append("| " + " | ".join([*cells, f"{ms:,.0f}"]) + " |")
    table = "\n".join(lines)
    return f"""{COSTS}

What each model costs on one {SIDE} x {SIDE} image with {CLASSES} classes. Written by
`python benchmarks/models.py`. Multiply-adds are half of the operations that TensorFlow
counts. Milliseconds are of `predict_on_batch` in float32: medians of {ROUNDS} rounds in
which the models took turns, on {os.cpu_count()} cores of {_processor()}
with TensorFlow {tf.__version__} and Keras {keras.__version__}. Compare them with each
other, not with those of another machine.

{table}
"""


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
        return re.findall(r"model name\s*: (.*)", text)[0]
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    before, _, _ = PAGE.read_text().partition(COSTS)
    PAGE.write_text(before + page([row(*entry) for entry in MODELS], times()))
    print(PAGE.read_text())
