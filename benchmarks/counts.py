"""Multiply-adds, counted in a graph of TensorFlow."""

import math
from typing import Any

import tensorflow as tf


def multiply_adds(model: Any, shape: tuple[int, ...]) -> int:
    """Multiply-adds of a prediction: of its convolutions and products of matrices.

    Args:
        model: A function of images, such as a model for images of this size.
        shape: Of the images: all four numbers.
    """
    images = tf.TensorSpec(shape)
    function = tf.function(lambda x: model(x), autograph=False)
    graph = function.get_concrete_function(images).graph
    return sum(map(of_operation, used(graph)))


def used(graph: Any) -> set[Any]:
    """Operations of a graph that its results need; TensorFlow drops the others."""
    waiting = [tensor.op for tensor in graph.outputs] + graph.control_outputs
    found = set()
    while waiting:
        operation = waiting.pop()
        if operation not in found:
            found.add(operation)
            waiting += [tensor.op for tensor in operation.inputs]
            waiting += operation.control_inputs
    return found


def of_operation(operation: Any) -> int:
    """Multiply-adds of one operation, all of whose shapes are known.

    Of a convolution, as many as the elements of the map that it gives, times the
    kernel's pixels and input channels. Of a transposed convolution, the gradient of
    one, that map is what it takes. A dilated one, which TensorFlow computes on pixels
    that are apart, side by side with some of padding, gives what is put together again.
    Of a product of matrices, as many as the elements that it gives, times the length of
    the sums.

    Raises:
        NotImplementedError: for an operation that may have some, and isn't known here.
    """
    kind = operation.type
    inputs = [tensor.shape for tensor in operation.inputs]
    given: Any = operation.outputs[0].shape if operation.outputs else None
    if kind in ("Conv2D", "DepthwiseConv2dNative"):
        users = operation.outputs[0].consumers()
        together = [user for user in users if user.type == "BatchToSpaceND"]
        outputs = together[0].outputs[0].shape if together else given
        kernel = inputs[1]
    elif kind in ("Conv2DBackpropInput", "DepthwiseConv2dNativeBackpropInput"):
        kernel, outputs = inputs[1:]
    elif kind in ("Conv2DBackpropFilter", "DepthwiseConv2dNativeBackpropFilter"):
        kernel, outputs = given, inputs[2]
    elif kind == "MatMul":
        length = inputs[0][0 if operation.get_attr("transpose_a") else 1]
        return given.num_elements() * length
    elif kind == "BatchMatMulV2":
        length = inputs[0][-2 if operation.get_attr("adj_x") else -1]
        return given.num_elements() * length
    elif kind == "Einsum":
        return _of_einsum(operation.get_attr("equation").decode(), inputs)
    elif kind in ("PartitionedCall", "StatefulPartitionedCall"):
        called = operation.graph._get_function(operation.get_attr("f").name)
        return sum(map(of_operation, used(called.graph)))
    elif any(part in kind for part in ("Conv", "MatMul")):
        raise NotImplementedError(f"Expected an operation that is counted: {kind}")
    else:
        return 0
    window = kernel[:2] if kind.startswith("Depthwise") else kernel[:3]
    return outputs.num_elements() * math.prod(window)


def _of_einsum(equation: str, inputs: list[Any]) -> int:
    """The product of the lengths of all indices; an ellipsis isn't known here."""
    terms = equation.partition("->")[0].split(",")
    lengths = {
        index: length
        for term, shape in zip(terms, inputs, strict=True)
        for index, length in zip(term, shape, strict=True)
    }
    return math.prod(lengths.values())
