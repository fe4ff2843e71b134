"""What the machine can do at most: products of matrices, and moving memory."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

#: Rows of the matrices: a product takes 2 * SIDE**3 additions and multiplications.
SIDE = 3072
#: Floats that are read and written: more than any cache holds.
FLOATS = 2**27


def matrix_product() -> Callable[[], Any]:
    """A product of two square matrices of float32, on all cores."""
    import tensorflow as tf

    a, b = tf.random.normal((2, SIDE, SIDE))

    def turn() -> None:
        tf.matmul(a, b)[0, 0].numpy()

    return turn


def memory() -> Callable[[], Any]:
    """Read 512 MiB and write as much, in place, a part on each core."""
    cores = os.cpu_count() or 1
    parts = np.array_split(np.ones(FLOATS, np.float32), cores)
    pool = ThreadPoolExecutor(cores)

    def turn() -> None:
        list(pool.map(lambda part: np.negative(part, out=part), parts))

    return turn
