"""How functions become graphs: with AutoGraph those of the user, without it ours.

AutoGraph makes graphs of Python's `if` and `while` on tensors. To look for them, it
parses the source of every function that a pipeline calls, which takes seconds before
the first batch. Ours have none, so pipelines are traced without it, and functions that
come from outside are converted one by one.
"""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

#: For functions of ours that are given to tf.data itself.
unconverted = tf.autograph.experimental.do_not_convert


def converted(function: Callable) -> Callable:
    """Make a function of the user one that AutoGraph converts wherever it is traced.

    Eager calls are plain Python, as they are without this.
    """
    if _is_ours(function) or _is_lambda(function):
        return function

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if tf.executing_eagerly():
            return function(*args, **kwargs)

        # Anew for each pipeline, since what the function reads may have changed; and
        # without arguments, or TensorFlow would bind them by a signature that a
        # decorator took from another function.
        @tf.function
        def traced() -> Any:
            return function(*args, **kwargs)

        return traced()

    return call


def traced_once(function: Callable) -> Callable:
    """Make a function of ours one whose graph all pipelines of a process share.

    What decodes a file has many ops, and tracing them takes longer than running them
    on a small file. Eager calls are plain Python, where checks have words.
    """
    graph = tf.function(function, autograph=False)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return (function if tf.executing_eagerly() else graph)(*args, **kwargs)

    return call


def _is_ours(function: Callable) -> bool:
    name = getattr(function, "__module__", None) or type(function).__module__
    return name.partition(".")[0] == __name__.partition(".")[0]


def _is_lambda(function: Callable) -> bool:
    """Whether a function has no statements to convert.

    AutoGraph can't tell two lambdas in one statement apart, and warns.
    """
    return getattr(function, "__name__", "") == "<lambda>"
