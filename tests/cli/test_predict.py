"""`keras-seg predict`."""

import os
from pathlib import Path

import pytest
from PIL import Image

from keras_seg.cli import main


def test_predict_writes_palette_masks_and_overlays_of_the_image_size(
    run, voc_tree, tmp_path
):
    image = voc_tree / "JPEGImages" / "val_000000.jpg"
    assert main(["predict", str(run), str(image), "--out", str(tmp_path)]) == 0
    mask = Image.open(tmp_path / "val_000000.png")
    assert (mask.mode, mask.size) == ("P", (61, 37))
    assert mask.getpalette()[3:6] == [128, 0, 0]
    assert Image.open(tmp_path / "val_000000_overlay.png").size == (61, 37)


def test_predict_reads_png_images(run, tmp_path):
    Image.new("RGB", (9, 5), "red").save(tmp_path / "a.png")
    out = tmp_path / "out"
    assert main(["predict", str(run), str(tmp_path / "a.png"), "--out", str(out)]) == 0
    assert Image.open(out / "a.png").size == (9, 5)


@pytest.mark.parametrize("images", [["missing.jpg"], ["a/x.jpg", "b/x.jpg"]])
def test_predict_refuses_before_it_starts(run, images, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("a/x.jpg", "b/x.jpg"):
        Path(name).parent.mkdir()
        Image.new("RGB", (4, 4)).save(name)
    assert main(["predict", str(run), *images, "--out", "out"]) == 1
    assert Path(images[0]).stem in capsys.readouterr().err
    assert not Path("out").exists()


@pytest.mark.parametrize("names", [["a.png"], ["a.jpg", "a_overlay.jpg"]])
def test_predict_writes_over_nothing(run, names, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in names:
        Image.new("RGB", (4, 4), "red").save(name)
    assert main(["predict", str(run), *names, "--out", "."]) == 1
    assert "a_overlay.png" in (error := capsys.readouterr().err) or "a.png" in error
    assert sorted(os.listdir()) == sorted(names)
