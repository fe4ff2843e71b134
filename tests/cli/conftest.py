"""Data sets and a trained run that the tests of the command share."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import keras_seg
from keras_seg.cli import main

TINY = ["--widths", "4,8", "--size", "32", "--batch-size", "2", "--epochs", "1"]


@pytest.fixture(scope="session")
def voc_tree(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("voc") / "VOC2012"
    keras_seg.data.write_voc(keras_seg.data.shapes(6, size=(40, 50)), root, "train")
    keras_seg.data.write_voc(
        keras_seg.data.shapes(5, size=(37, 61), seed=1), root, "val"
    )
    return root


@pytest.fixture(scope="session")
def run(voc_tree, tmp_path_factory) -> Path:
    """A trained run; what the command said is in the file `said.txt` beside it."""
    out = tmp_path_factory.mktemp("runs") / "voc"
    with (
        open(out.parent / "said.txt", "w") as said,
        contextlib.redirect_stdout(said),
    ):
        status = main(
            [
                "train",
                "--data",
                "voc",
                "--root",
                str(voc_tree),
                "--out",
                str(out),
                *TINY,
            ]
        )
    assert status == 0
    return out


@pytest.fixture(scope="session")
def own_folders(tmp_path_factory) -> Path:
    """Images of four bands and masks of 0 and 255, 20 of each."""
    root = tmp_path_factory.mktemp("own")
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    for k in range(20):
        mask = np.zeros((36, 44), np.uint8)
        mask[5 : 5 + k, 8:30] = 255
        bands = (
            rng.integers(0, 100, (36, 44, 4)).astype(np.uint8) + mask[..., None] // 2
        )
        Image.fromarray(bands, "RGBA").save(root / f"images/tile{k}.png")
        Image.fromarray(mask).save(root / f"masks/tile{k}_mask.png")
    return root


@pytest.fixture
def tiny() -> list[str]:
    """Options of a training that takes seconds."""
    return TINY
