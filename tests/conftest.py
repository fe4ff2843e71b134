"""One TensorFlow thread pool for each pytest worker, and where real data lies."""

import os

# Before TensorFlow is imported: two workers on two cores, no thread more.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from pathlib import Path

import keras
import pytest


@pytest.fixture(autouse=True)
def _keras_as_it_was():
    """Leave no dtype policy behind."""
    policy = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(policy)


@pytest.fixture(scope="session")
def real_voc() -> Path:
    """Folder VOC2012 of the real images."""
    data = os.environ.get("KERAS_SEG_DATA")
    if not data:
        pytest.skip("KERAS_SEG_DATA doesn't name a folder with VOCdevkit/VOC2012")
    root = Path(data) / "VOCdevkit/VOC2012"
    assert root.is_dir(), f"KERAS_SEG_DATA has no {root}"
    return root
