"""Sets laid out as ISBI 2012, DRIVE and Penn-Fudan: `inspect` says how to train."""

import json
import re
import shlex

import numpy as np
import pytest
from PIL import Image

from keras_seg.cli import main

tifffile = pytest.importorskip(
    "tifffile", reason="keras-seg[tiff] isn't installed: pip install 'keras-seg[tiff]'"
)
SMALL = ["--widths", "8,16", "--size", "48", "--scale", "1,1", "--batch-size", "4"]
SMALL += ["--epochs", "1", "--steps-per-epoch", "60", "--learning-rate", "0.02"]


def drawn(rng, height, width, objects=3):
    """Discs, numbered from 1; one lies on another that was drawn before."""
    rows, columns = np.mgrid[:height, :width]
    mask = np.zeros((height, width), np.uint8)
    for k in range(objects):
        y, x, radius = *rng.integers(0, (height, width)), rng.integers(8, 16)
        mask[(rows - y) ** 2 + (columns - x) ** 2 < radius**2] = k + 1
    return mask


def photo_of(rng, mask, channels):
    noise = rng.normal(90, 12, (*mask.shape, channels)) + 60 * (mask > 0)[..., None]
    return noise.clip(0, 255).astype(np.uint8).squeeze()


def isbi(root, rng):
    """Two files of 30 pages; membranes are 0, cells 255."""
    masks = [drawn(rng, 64, 64) for _ in range(30)]
    for name, pages in (
        ("train-volume", [photo_of(rng, mask, 1) for mask in masks]),
        ("train-labels", [(mask > 0).astype(np.uint8) * 255 for mask in masks]),
    ):
        tifffile.imwrite(
            root / f"{name}.tif", np.stack(pages), photometric="minisblack"
        )
    return "train-volume.tif", "train-labels.tif"


def drive(root, rng):
    """TIFFs, and GIFs of 0 and 255; beside them GIFs of the field of view."""
    for folder in ("images", "1st_manual", "mask"):
        (root / folder).mkdir()
    for k in range(21, 41):
        mask = drawn(rng, 73, 71)
        tifffile.imwrite(
            root / f"images/{k}_training.tif",
            photo_of(rng, mask, 3),
            photometric="rgb",
            compression="lzw",
        )
        for name, pixels in (("1st_manual/{}_manual1", mask), ("mask/{}_mask", 1)):
            drawing = np.broadcast_to(255 * (pixels > np.uint8(0)), mask.shape)
            Image.fromarray(drawing.astype(np.uint8)).save(
                root / f"{name.format(k)}.gif"
            )
    return "images", "1st_manual"


def penn_fudan(root, rng):
    """PNGs, and palette PNGs that number the persons of each photo."""
    for folder in ("PNGImages", "PedMasks", "Annotation"):
        (root / folder).mkdir()
    (root / "readme.txt").write_text("Pedestrians")
    for k in range(20):
        name = f"{'Fudan' if k < 12 else 'Penn'}Ped{k + 1:05}"
        mask = drawn(rng, *rng.integers(60, 80, 2), objects=1 + k % 4)
        Image.fromarray(photo_of(rng, mask, 3)).save(root / f"PNGImages/{name}.png")
        persons = Image.fromarray(mask, "L")
        persons.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0, 0, 0, 200, 90, 90, 0])
        persons.save(root / f"PedMasks/{name}_mask.png")
        (root / f"Annotation/{name}.txt").write_text("# PASCAL Annotation 1.00")
    return "PNGImages", "PedMasks"


@pytest.mark.slow
@pytest.mark.parametrize("layout", [isbi, drive, penn_fudan])
def test_the_line_that_inspect_ends_with_is_learned_from(layout, tmp_path, capsys):
    images, masks = layout(tmp_path, np.random.default_rng(0))
    paths = f"--images {tmp_path}/{images} --masks {tmp_path}/{masks}"
    command = f"keras-seg inspect --data folder {paths}"
    for _ in range(4):
        main(shlex.split(command)[1:])
        printed = "".join(capsys.readouterr())
        (command,) = re.findall(r"^(?:Try|To train): (keras-seg .*)$", printed, re.M)
        if command.startswith("keras-seg train"):
            break
    assert "WRONG" not in printed
    out = tmp_path / "run"
    words = shlex.split(command)[1:]
    assert main([*words, *SMALL, "--out", str(out), "--quiet"]) == 0
    scores = json.loads((out / "metrics.json").read_text())
    assert list(scores["iou"]) == ["background", "object"]
    assert scores["mean_iou"] > 0.8
