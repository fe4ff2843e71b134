"""`inspect` of scenes: they are read by windows, and found is what is in the whole."""

import numpy as np
import pytest
from PIL import Image

from keras_seg import data
from keras_seg.data.decode import tiff
from keras_seg.data.tools import inspect_windows

tifffile = pytest.importorskip(
    "tifffile", reason="keras-seg[tiff] isn't installed: pip install 'keras-seg[tiff]'"
)
HEIGHT, WIDTH, SIDE = 80, 53, 16


@pytest.fixture
def scenes(tmp_path, monkeypatch):
    """Three scenes of 16 bits in tiles; half of them has no data, 0.

    A window of a PNG, which the last mask is, is cut from the whole.
    """
    monkeypatch.setattr(inspect_windows, "_SIDE", SIDE)
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for k in range(3):
        image = rng.integers(1000, 3000, (HEIGHT, WIDTH, 2)).astype(np.uint16)
        image[:, : WIDTH // 2] = 0
        write_image(tmp_path / f"images/s{k}.tif", image)
        mask = rng.choice([0, 1, 255], (HEIGHT, WIDTH)).astype(np.uint8)
        mask[20:] = k % 2
        mask[70, 50] = 9 + k
        if k < 2:
            tifffile.imwrite(tmp_path / f"masks/s{k}.tif", mask, tile=(16, 16))
        else:
            Image.fromarray(mask).save(tmp_path / f"masks/s{k}.png")
    return tmp_path


def write_image(path, image):
    tifffile.imwrite(path, image, tile=(16, 16), planarconfig="contig")


def pixels_of(path):
    return (
        tifffile.imread(path) if path.suffix == ".tif" else np.array(Image.open(path))
    )


def look(root, **arguments):
    arguments = {"class_names": ["a", "b"], "nodata": 0} | arguments
    source = data.folder(root / "images", root / "masks", **arguments)
    return data.inspect(source, verbose=False)


def test_what_is_in_windows_is_what_is_in_the_whole(scenes):
    found = look(scenes).splits["all"]
    images = np.stack([pixels_of(p) for p in sorted((scenes / "images").iterdir())])
    masks = np.stack([pixels_of(p) for p in sorted((scenes / "masks").iterdir())])
    gaps = (images == 0).all(-1)
    masks[gaps] = 255
    assert found.sizes == {(HEIGHT, WIDTH): 3}
    assert found.pixels.tolist() == [(masks == c).sum() for c in (0, 1)]
    assert found.images.tolist() == [
        (masks == c).any((1, 2)).sum().item() for c in (0, 1)
    ]
    assert found.ignored == (masks == 255).sum()
    assert found.unknown == {9: 1, 10: 1, 11: 1}
    known = images[~gaps]
    assert found.values.low.tolist() == known.min(0).tolist()
    assert found.values.high.tolist() == known.max(0).tolist()
    assert found.values.gaps == gaps.sum()
    # Windows without data are in no percentile.
    assert found.values.percentiles[1] >= 1000
    for sample in found.values.sample:
        assert 512 < len(sample) <= 1024


@pytest.mark.parametrize("arguments", [{}, {"bands": (1, 0)}])
def test_no_more_than_a_window_is_read_at_once(scenes, monkeypatch, arguments):
    read, sizes = tiff.read_rectangle, []

    def seen(page, rows, columns, offset):
        sizes.append((rows.stop - rows.start, columns.stop - columns.start))
        return read(page, rows, columns, offset)

    monkeypatch.setattr(tiff, "read_rectangle", seen)
    assert look(scenes, **arguments).splits["all"].sizes == {(HEIGHT, WIDTH): 3}
    assert max(height * width for height, width in sizes) == SIDE**2


def test_equal_scenes_and_broken_ones_are_named(scenes):
    first = (scenes / "images/s0.tif").read_bytes()
    (scenes / "images/s1.tif").write_bytes(first)
    with tifffile.TiffFile(scenes / "images/s2.tif") as file:
        start = file.pages[0].dataoffsets[7]
    broken = (scenes / "images/s2.tif").read_bytes()[: start + 100]
    with tifffile.TiffWriter(scenes / "images/s2.tif"):
        pass
    (scenes / "images/s2.tif").write_bytes(broken)
    problems = {p.kind: p for p in look(scenes).problems}
    assert problems["duplicate"].example == "s0"
    assert problems["unreadable"].example == "s2"


def test_a_mask_of_another_size_is_told(scenes):
    image = np.full((HEIGHT, WIDTH + 1, 2), 2000, np.uint16)
    write_image(scenes / "images/s1.tif", image)
    (problem,) = (p for p in look(scenes).problems if p.kind == "sizes_differ")
    assert problem.example == "s1"
    problems = look(scenes, bands=(1, 0)).problems
    (problem,) = (p for p in problems if p.kind == "unreadable")
    assert problem.example == "s1"
    assert f"{HEIGHT} x {WIDTH + 1}" in problem.message


def test_scenes_of_one_colour_are_no_twins(scenes):
    for k in range(3):
        image = np.full((HEIGHT, WIDTH, 2), 2000, np.uint16)
        write_image(scenes / f"images/s{k}.tif", image)
    assert "duplicate" not in {p.kind for p in look(scenes).problems}
