"""Each example's main runs for a step or two."""

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

import keras_seg

EXAMPLES = Path(__file__).parent.parent / "examples"


def example(name):
    """The module of an example."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_train_voc(tmp_path):
    root = tmp_path / "VOC2012"
    for split in ("train", "val"):
        source = keras_seg.data.shapes(2, size=(40, 48))
        keras_seg.data.write_voc(source, root, split)

    out = tmp_path / "out"
    example("train_voc").main(
        str(root), str(out), size=32, batch_size=2, epochs=1, widths=(4, 8)
    )
    assert sorted(os.listdir(out)) == [
        "curves.png",
        "history.csv",
        "model.keras",
        "overlay.png",
        "saved_model",
    ]


@pytest.mark.slow
def test_train_membranes_on_stacks(tmp_path):
    pytest.importorskip("scipy", reason="border_weights needs it")
    tifffile = pytest.importorskip("tifffile", reason="writes the stacks")
    membranes = example("train_membranes")
    pages = [membranes.drawn(5, side=48)[i] for i in range(5)]
    images, masks = str(tmp_path / "volume.tif"), str(tmp_path / "labels.tif")
    tifffile.imwrite(images, np.stack([image[..., 0] for image, _ in pages]))
    tifffile.imwrite(masks, np.stack([255 * mask for _, mask in pages]))

    out = tmp_path / "out"
    membranes.main(
        str(out),
        images,
        masks,
        size=36,
        batch_size=2,
        epochs=1,
        steps_per_epoch=1,
        widths=(4, 8),
    )
    assert sorted(os.listdir(out)) == ["history.csv", "model.keras", "overlay.png"]


def test_membranes_are_continued_by_their_mirror_images():
    membranes = example("train_membranes")
    image = np.arange(6, dtype="uint8").reshape(2, 3, 1)
    mask = np.array([[0, 1, 1], [1, 0, 1]], "uint8")
    source = keras_seg.data.arrays([image], [mask], class_names=["a", "b"])
    image, mask = membranes.mirrored(source, 1)[0]
    assert image[..., 0].tolist() == [
        [4, 3, 4, 5, 4],
        [1, 0, 1, 2, 1],
        [4, 3, 4, 5, 4],
        [1, 0, 1, 2, 1],
    ]
    assert mask.tolist() == [
        [0, 1, 0, 1, 0],
        [1, 0, 1, 1, 1],
        [0, 1, 0, 1, 0],
        [1, 0, 1, 1, 1],
    ]
