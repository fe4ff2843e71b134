"""Tests of models leave graphs behind, which are collected after each of them."""

import gc

import pytest


@pytest.fixture(scope="session", autouse=True)
def _collections_pass_over_what_was_imported():
    # TensorFlow's and Keras's own objects: 0.3 s of each collection, for nothing.
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
