"""ONNX files, written by tf2onnx and quantized by ONNX Runtime's own tools."""

import contextlib
import logging
import math
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_seg.exports.metadata import as_texts
from keras_seg.exports.serving import Served

# ONNX Runtime 1.14 and later, and browsers, know this version of the operations.
_OPSET = 18
# Tensors of as many numbers are put in after the conversion: tf2onnx, TensorFlow's
# optimizer and protobuf copy what they convert so often that 223 MB took 14.7 GB.
_LARGE = 2**18
# Operations with bytes in and out, where ONNX Runtime has a kernel for them.
_IN_BYTES = (
    *("Conv", "ConvTranspose", "MatMul", "Gemm", "MaxPool", "AveragePool", "Add"),
    *("Mul", "Concat", "Resize", "Relu", "Clip", "GlobalAveragePool", "Sigmoid"),
)


def check_packages(quantize: str | None) -> dict[str, str]:
    """Versions of the packages that write ONNX files.

    Raises:
        ImportError: naming one that is missing, and the command that installs them.
    """
    try:
        import onnx
        import onnxruntime
        import tf2onnx

        if quantize == "int8":
            import onnxruntime.quantization
    except ImportError as error:
        raise ImportError(
            "Expected tf2onnx, onnx and onnxruntime for `format='onnx'`. Install them: "
            f"pip install 'keras-seg[onnx]'. {error}"
        ) from None
    return {
        "tf2onnx": tf2onnx.__version__,
        "onnx": onnx.__version__,
        "onnxruntime": onnxruntime.__version__,
    }


def write(
    served: Served,
    path: Path,
    metadata: dict[str, Any],
    *,
    quantize: str | None,
    images: Sequence[np.ndarray],
) -> None:
    """Write an ONNX file.

    Args:
        served: The model.
        path: The file.
        metadata: What it says of itself.
        quantize: None, "float16" or "int8".
        images: `[height, width, channels]` each, to quantize to bytes by.
    """
    import onnx

    model = _converted(served)
    if quantize == "float16":
        model = _in_half_precision(model)
    if quantize == "int8":
        model = _in_bytes(model, images)
    model.producer_name = "keras_seg"
    model.doc_string = model.graph.doc_string = ""
    onnx.helper.set_model_props(model, as_texts(metadata))
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _converted(served: Served) -> Any:
    import tf2onnx

    large = [v for v in served.model.variables if math.prod(v.shape) >= _LARGE]
    names = [f"large{k}" for k in range(len(large))]

    def both(image: Any, *kernels: Any) -> dict[str, Any]:
        with keras.StatelessScope(list(zip(large, kernels, strict=True))):
            return served.both(image)

    inputs = [
        tf.TensorSpec(variable.shape, variable.dtype, name=name)
        for variable, name in zip(large, names, strict=True)
    ]
    with _quiet("tf2onnx"):
        model, _ = tf2onnx.convert.from_function(
            tf.function(both, autograph=False),
            [served.image, *inputs],
            opset=_OPSET,
            custom_op_handlers={"Erfc": (_erfc, [])},
        )
    _put_in(
        model, dict(zip(names, map(keras.ops.convert_to_numpy, large), strict=True))
    )
    # Where tf2onnx gives an empty tensor, the input is to be left out: converted to
    # half precision it would be taken for a given one.
    empty = {x.name for x in model.graph.initializer if 0 in x.dims}
    for node in model.graph.node:
        if node.op_type == "Resize":
            node.input[:] = ["" if name in empty else name for name in node.input]
    used = {name for node in model.graph.node for name in node.input}
    for tensor in [x for x in model.graph.initializer if x.name in empty - used]:
        model.graph.initializer.remove(tensor)
    return model


def _put_in(model: Any, values: dict[str, np.ndarray]) -> None:
    """Make inputs of a model constants, in the layout that its nodes take."""
    import onnx

    graph = model.graph
    for tensor in [tensor for tensor in graph.input if tensor.name in values]:
        graph.input.remove(tensor)
    left = []
    for node in graph.node:
        if node.op_type == "Transpose" and node.input[0] in values:
            (order,) = node.attribute
            values[node.output[0]] = values[node.input[0]].transpose(order.ints)
        else:
            left.append(node)
    used = {name for node in left for name in node.input}
    del graph.node[:]
    graph.node.extend(left)
    for name in sorted(used & {*values}):
        graph.initializer.append(
            onnx.numpy_helper.from_array(np.ascontiguousarray(values[name]), name)
        )


def _erfc(graph: Any, node: Any, name: str, args: Any) -> None:
    """1 - erf(x), of which GELU is made and which ONNX doesn't know."""
    one = graph.make_const(f"{name}_one", np.float32(1)).output[0]
    erf = graph.make_node("Erf", node.input).output[0]
    shape, dtype = graph.get_shape(node.output[0]), graph.get_dtype(node.output[0])
    outputs = node.output
    graph.remove_node(node.name)
    graph.make_node(
        *("Sub", [one, erf]),
        name=name,
        outputs=outputs,
        shapes=[shape],
        dtypes=[dtype],
    )


def _in_half_precision(model: Any) -> Any:
    """Weights and sums in float16; softmax and what comes out in float32."""
    from onnxruntime.transformers.float16 import (
        DEFAULT_OP_BLOCK_LIST,
        convert_float_to_float16,
    )
    from onnxruntime.transformers.onnx_model import OnnxModel

    half = convert_float_to_float16(
        model,
        keep_io_types=True,
        op_block_list=[*DEFAULT_OP_BLOCK_LIST, "Softmax"],
        node_block_list=_of_shapes(model),
    )
    OnnxModel(half).topological_sort()  # casts were added at the end
    return half


def _of_shapes(model: Any) -> list[str]:
    """Names of the nodes that compute with sizes of maps, not with their values.

    tf2onnx does it in float32, which holds every size; half precision doesn't.
    """
    values = {image.name for image in model.graph.input}
    names = []
    for node in model.graph.node:
        if node.op_type != "Shape" and values & {*node.input}:
            values |= {*node.output}
        else:
            names.append(node.name)
    return names


def _in_bytes(model: Any, images: Sequence[np.ndarray]) -> Any:
    """Weights and activations as int8, with the ranges that images give."""
    import onnx
    import onnxruntime
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Images(quantization.CalibrationDataReader):
        """One image after the other."""

        def __init__(self) -> None:
            self._left = iter(images)

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self._left, None)
            return None if image is None else {"image": image[None]}

    # It warns of what its own steps leave behind. 3: errors; 2: warnings, its default.
    onnxruntime.set_default_logger_severity(3)
    with tempfile.TemporaryDirectory() as folder, _quiet(None):
        full, folded, quantized = (str(Path(folder) / f"{k}.onnx") for k in range(3))
        onnx.save(model, full)
        # Batch normalization is folded into convolutions.
        quant_pre_process(full, folded, skip_symbolic_shape=True)
        quantization.quantize_static(
            folded,
            quantized,
            Images(),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=list(_IN_BYTES),
            nodes_to_exclude=_of_shapes(onnx.load(folded)),
            per_channel=True,
            # Seven bits: two products of eight overflow on CPUs without VNNI.
            reduce_range=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        onnxruntime.set_default_logger_severity(2)
        return onnx.load(quantized)


@contextlib.contextmanager
def _quiet(name: str | None) -> Iterator[None]:
    """Keep a logger from telling what is no problem."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
