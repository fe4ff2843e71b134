"""Each example's main runs for one step."""

import importlib.util
import os
from pathlib import Path

import keras_seg

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_train_voc(tmp_path):
    root = tmp_path / "VOC2012"
    for split in ("train", "val"):
        source = keras_seg.data.shapes(2, size=(40, 48))
        keras_seg.data.write_voc(source, root, split)
    spec = importlib.util.spec_from_file_location(
        "train_voc", EXAMPLES / "train_voc.py"
    )
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)

    out = tmp_path / "out"
    example.main(str(root), str(out), size=32, batch_size=2, epochs=1, widths=(4, 8))
    assert sorted(os.listdir(out)) == [
        "curves.png",
        "history.csv",
        "model.keras",
        "overlay.png",
        "saved_model",
    ]
