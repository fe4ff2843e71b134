"""What 16 bits are for: the recipe of docs/images.md with classes 40 levels apart."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_seg.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "images.md"
SMALL = ["--widths", "8,16,32", "--size", "64", "--scale", "0.8,1.25"]
SMALL += ["--learning-rate", "0.003", "--steps-per-epoch", "100"]


@pytest.fixture(scope="module")
def faint(tmp_path_factory):
    """The set that the page draws: discs 40 levels above a background, in noise."""
    root = tmp_path_factory.mktemp("drawn")
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (code,) = (block for block in blocks if "faint/images" in block)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        exec(code, {})
    for path in (root / "faint/bytes").iterdir():
        # No noise carries a class over to the next level.
        assert {*np.unique(Image.open(path))} == {8}
    return root / "faint"


@pytest.mark.slow
@pytest.mark.parametrize(("images", "epochs"), [("images", 4), ("bytes", 1)])
def test_classes_of_16_bits_are_learned_and_their_8_bits_are_not(
    faint, images, epochs, tmp_path, capsys
):
    paths = ["--images", f"{faint}/{images}", "--masks", f"{faint}/masks", "--binary"]
    assert main(["inspect", "--data", "folder", *paths]) == 0
    (line,) = re.findall(r"^To train: keras-seg (.*)$", capsys.readouterr().out, re.M)
    is_measured = line.endswith(" --value-range percentiles")
    assert is_measured == (images == "images")
    out = ["--out", str(tmp_path / "run"), "--quiet"]
    assert main([*line.split(), *SMALL, "--epochs", str(epochs), *out]) == 0
    score = json.loads((tmp_path / "run/metrics.json").read_text())["mean_iou"]
    assert score > 0.95 if images == "images" else score < 0.6
