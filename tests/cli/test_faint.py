"""What 16 bits are for: classes that differ by 40 of 4,096 levels."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from keras_seg.cli import main

SMALL = ["--widths", "8,16", "--size", "48", "--scale", "1,1", "--batch-size", "8"]
SMALL += ["--epochs", "1", "--steps-per-epoch", "120", "--learning-rate", "0.01"]


@pytest.fixture(scope="module")
def faint(tmp_path_factory):
    """Discs 40 levels above a background, in noise of 15, at another level each.

    All values are from 2048 to 2303: in the upper eight of sixteen bits they are 8, so
    that no noise carries a class over to the next level.
    """
    root = tmp_path_factory.mktemp("faint")
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:64, :64]
    for folder in ("deep", "cut", "masks"):
        (root / folder).mkdir()
    for k in range(30):
        mask = np.zeros((64, 64), bool)
        for y, x, radius in zip(*rng.integers(0, 64, (2, 3)), (8, 11, 14), strict=True):
            mask |= (rows - y) ** 2 + (columns - x) ** 2 < radius**2
        noise = rng.normal(0, 15, mask.shape).clip(-60, 60)
        image = (rng.uniform(2120, 2190) + 40 * mask + noise).astype(np.uint16)
        assert {*np.unique(image >> 8)} == {8}
        for folder, pixels in {
            "deep": image,
            "cut": (image >> 8).astype(np.uint8),
            "masks": mask.astype(np.uint8) * 255,
        }.items():
            Image.fromarray(pixels).save(root / f"{folder}/{k:02}.png")
    return root


@pytest.mark.slow
@pytest.mark.parametrize("images", ["deep", "cut"])
def test_classes_of_16_bits_are_learned_and_their_8_bits_are_not(
    faint, images, tmp_path, capsys
):
    paths = ["--images", f"{faint}/{images}", "--masks", f"{faint}/masks", "--binary"]
    assert main(["inspect", "--data", "folder", *paths]) == 0
    (line,) = re.findall(r"^To train: keras-seg (.*)$", capsys.readouterr().out, re.M)
    assert line.endswith(" --value-range percentiles") == (images == "deep")
    out = tmp_path / "run"
    assert main([*line.split(), *SMALL, "--out", str(out), "--quiet"]) == 0
    score = json.loads((out / "metrics.json").read_text())["mean_iou"]
    assert score > 0.95 if images == "deep" else score < 0.6
