"""One TensorFlow thread pool for each pytest worker, and where real data lies."""

import os

# Before TensorFlow is imported: two workers on two cores, no thread more.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import gc
from pathlib import Path

import pytest

# Imports and graphs make many small objects that stay. By default a collection begins
# after 700 of them.
gc.set_threshold(50_000)


@pytest.fixture(scope="session", autouse=True)
def _collections_pass_over_what_was_imported():
    # TensorFlow's and Keras's own objects: 0.3 s of each collection, for nothing.
    gc.collect()
    gc.freeze()
    yield
    gc.freeze()  # pytest collects five times more before it ends


@pytest.fixture(scope="session", autouse=True)
def _seeds_leave_kernels_as_they_are():
    # `keras.utils.set_random_seed` seeds Python's generator, from which Keras has all
    # its seeds, and TensorFlow's, from which nothing here draws. TensorFlow then throws
    # away its kernels, and prepares each op and graph of earlier tests once more.
    import tensorflow as tf

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tf.random, "set_seed", lambda seed: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _graphs_run_as_they_were_traced():
    """Without TensorFlow's optimizer of graphs, unless KERAS_SEG_GRAPPLER says so.

    It takes an eighth of the time of tests/data, whose graphs run once or twice.
    """
    if not os.environ.get("KERAS_SEG_GRAPPLER"):
        import tensorflow as tf

        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


@pytest.fixture(scope="module", autouse=True)
def _models_of_a_module_do_not_depend_on_earlier_tests():
    """Seed what fixtures of a module draw; each worker has other tests before."""
    import keras

    keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True)
def _keras_as_it_was():
    """Seed what a test draws, and leave no dtype policy behind."""
    # Here, since pytest's own process, which runs no test, needs no TensorFlow.
    import keras

    keras.utils.set_random_seed(0)
    policy = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(policy)


@pytest.fixture(scope="session")
def real_voc() -> Path:
    """Folder VOC2012 of the real images."""
    return _real("VOCdevkit/VOC2012")


@pytest.fixture(scope="session")
def real_coco() -> Path:
    """Folder of the real images and annotations of COCO 2017."""
    return _real("coco")


@pytest.fixture(scope="session")
def python_of_peers() -> str:
    """A Python that has PyTorch."""
    python = os.environ.get("KERAS_SEG_PEERS")
    if not python:
        pytest.skip("KERAS_SEG_PEERS doesn't name a Python with PyTorch")
    return python


def _real(name: str) -> Path:
    data = os.environ.get("KERAS_SEG_DATA")
    if not data:
        pytest.skip(f"KERAS_SEG_DATA doesn't name a folder with {name}")
    root = Path(data) / name
    assert root.is_dir(), f"KERAS_SEG_DATA has no {root}"
    return root
