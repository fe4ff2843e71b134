"""`tiles`: windows of large images as examples."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_seg import data
from keras_seg.data.decode import tiff_segments
from keras_seg.data.decode.array_file import read_array
from keras_seg.data.decode.numpy_op import file_op

RNG = np.random.default_rng(0)
CLASSES = ["land", "sea", "ice"]
SIZES = [(50, 70), (33, 20), (64, 64)]
IMAGES = [RNG.integers(0, 256, (*size, 3)).astype(np.uint8) for size in SIZES]
MASKS = [RNG.choice([0, 1, 2, 255], size).astype(np.uint8) for size in SIZES]


@pytest.fixture(scope="module")
def source():
    return data.arrays(IMAGES, MASKS, class_names=CLASSES)


def test_tiles_lie_in_a_grid_and_the_last_ones_are_moved_inside(source):
    parts = data.tiles(source, (32, 40))
    assert list(parts.names) == [
        *[
            "example 0/r0-c0",
            "example 0/r0-c30",
            "example 0/r18-c0",
            "example 0/r18-c30",
        ],
        *["example 1/r0-c0", "example 1/r1-c0"],  # narrower than a tile
        *[
            "example 2/r0-c0",
            "example 2/r0-c24",
            "example 2/r32-c0",
            "example 2/r32-c24",
        ],
    ]
    for index, name in enumerate(parts.names):
        scene, place = name.split("/")
        top, left = (int(n[1:]) for n in place.split("-"))
        image, mask = parts[index]
        scene = int(scene.removeprefix("example "))
        assert image.shape[:2] == (32, 20 if scene == 1 else 40)
        assert np.array_equal(image, IMAGES[scene][top : top + 32, left : left + 40])
        assert np.array_equal(mask, MASKS[scene][top : top + 32, left : left + 40])
        assert parts.size(index) == mask.shape


@pytest.mark.parametrize("overlap", [0, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("size", [1, 7, 16, 33, 100])
def test_every_pixel_is_in_a_tile_and_neighbours_share_what_was_asked(overlap, size):
    lengths = (50, 23)
    one = data.arrays(
        [np.zeros((*lengths, 1), np.uint8)],
        [np.zeros(lengths, np.uint8)],
        class_names=CLASSES,
    )
    parts = data.tiles(one, size, overlap)
    places = [[int(n[1:]) for n in x.split("/")[1].split("-")] for x in parts.names]
    for side, length in enumerate(lengths):
        tile = min(size, length)
        starts = sorted({place[side] for place in places})
        covered = {p for start in starts for p in range(start, start + tile)}
        assert covered == {*range(length)}
        steps = np.diff(starts)
        assert (steps[:-1] == max(1, round(tile * (1 - overlap)))).all()
    assert len({*parts.names}) == len(parts) == len(places)


def test_it_is_a_source_as_its_source_is(source):
    parts = data.tiles(source[[2, 0]], 32)
    assert repr(parts) == (
        "Source(10 examples, 3 classes (land, sea, ice), tiles of 32 x 32 of part of "
        "arrays)"
    )
    assert parts.names[4] == "example 0/r0-c0"
    first, second = parts.split(0.5, seed=1)
    assert len(first) == len(second) == 5
    assert np.array_equal(parts[[9, 4]][1][1], MASKS[0][:32, :32])
    assert np.array_equal(data.tiles(parts[4:], 8)[1][0], IMAGES[0][:8, 8:16])
    mapped = parts.map_ids([0, (1, 2)], ["land", "water"])
    expected = np.where(MASKS[2] == 2, 1, MASKS[2])[:32, :32]
    assert np.array_equal(mapped[0][1], expected)
    images, masks = next(
        iter(
            parts.batches(
                4, size=(16, 16), shuffle=True, augment=(data.standard_augmentation())
            )
        )
    )
    assert images.shape == (4, 16, 16, 3)
    assert masks.shape == (4, 16, 16)
    both = parts + source
    assert np.array_equal(both[9][0], parts[9][0])
    assert np.array_equal(both[10][0], IMAGES[0])


def test_crops_of_tiles_are_where_their_pixels_are(source):
    """A mask as its own image: both move together."""
    own = data.arrays(
        [mask[..., None] for mask in MASKS],
        [np.minimum(mask, 2) for mask in MASKS],
        class_names=CLASSES,
    )
    parts = data.tiles(own, 32)
    crop = data.standard_augmentation(scale=(1, 1), color=0, flip="both")
    for images, masks in parts.batches(4, size=(16, 16), augment=crop, seed=3):
        inside = masks.numpy() != 255
        pixels = np.minimum(images.numpy()[..., 0], 2)
        assert np.array_equal(pixels[inside], masks.numpy()[inside])


@pytest.mark.parametrize("size", [0, -1, 1.5, "8", (8, 0), (8,), (8, 8, 8), True, None])
def test_a_size_that_is_none_is_refused(source, size):
    with pytest.raises(ValueError, match="Expected `size` to be pixels"):
        data.tiles(source, size)


@pytest.mark.parametrize("overlap", [-0.1, 1, 2, "0", None, float("nan")])
def test_an_overlap_that_is_none_is_refused(source, overlap):
    with pytest.raises(ValueError, match="Expected `overlap` to be the share"):
        data.tiles(source, 8, overlap)


@pytest.fixture
def scene(tmp_path):
    """Source of one tiled TIFF, made by hand, whose windows are read alone."""
    tifffile = pytest.importorskip("tifffile", reason="keras-seg[tiff]")
    pixels = RNG.integers(0, 256, (200, 300, 3)).astype(np.uint8)
    ids = RNG.choice([0, 1, 2, 255], (200, 300)).astype(np.uint8)
    options = {"tile": (16, 16), "compression": "zlib"}
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", **options)
    tifffile.imwrite(tmp_path / "m.tif", ids, photometric="minisblack", **options)

    def image(index, window=None):
        path = tf.constant(str(tmp_path / "a.tif"))
        return file_op(read_array, [path], window, tf.uint8, (None, None, 3))

    def mask(index, window=None):
        path = tf.constant(str(tmp_path / "m.tif"))
        pixels = file_op(read_array, [path], window, tf.uint8, (None, None, 1))
        return pixels[..., 0]

    source = data.Source(
        1,
        image,
        mask,
        class_names=CLASSES,
        image_path=lambda index: tf.constant(str(tmp_path / "a.tif")),
        mask_path=lambda index: tf.constant(str(tmp_path / "m.tif")),
    )
    return source, pixels, ids


def test_only_the_tiles_that_a_window_touches_are_read(scene, monkeypatch):
    source, pixels, ids = scene
    read = []
    bytes_at = tiff_segments._bytes_at

    def counted(page, index, start, count):
        read.append(index)
        return bytes_at(page, index, start, count)

    monkeypatch.setattr(tiff_segments, "_bytes_at", counted)
    parts = data.tiles(source, 32)
    assert len(parts) == 7 * 10
    assert not read  # sizes are in the heads
    image, mask = parts[25]
    assert len(read) == 8  # four of the image, four of the mask
    assert np.array_equal(image, pixels[64:96, 160:192])
    assert np.array_equal(mask, ids[64:96, 160:192])
    read.clear()
    for k, (image, mask) in enumerate(parts.dataset()):
        top, left, height, width = (
            min(k // 10 * 32, 168),
            min(k % 10 * 32, 268),
            32,
            32,
        )
        part = slice(top, top + height), slice(left, left + width)
        assert np.array_equal(image, pixels[part])
        assert np.array_equal(mask, ids[part])
    assert len(read) < 70 * 2 * 10


def test_sizes_of_files_are_read_from_their_heads_and_must_agree(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for k in range(3):
        suffix = "jpg" if k else "png"
        Image.fromarray(IMAGES[k]).save(tmp_path / f"images/{k}.{suffix}")
        Image.fromarray(MASKS[k]).save(tmp_path / f"masks/{k}.png")
    arguments = {"class_names": CLASSES}
    source = data.folder(tmp_path / "images", tmp_path / "masks", **arguments)
    parts = data.tiles(source, 32)
    assert len(parts) == 6 + 2 + 4
    assert np.array_equal(parts[5][1], MASKS[0][18:, 38:])
    Image.fromarray(MASKS[1].T.copy()).save(tmp_path / "masks/1.png")
    with pytest.raises(
        ValueError, match=r"1\.png: Expected image and mask of the same"
    ):
        data.tiles(source, 32)
    (tmp_path / "images/2.jpg").write_bytes(b"?")
    with pytest.raises(ValueError, match=r"2\.jpg: Expected an image"):
        data.tiles(source[2:], 32)


def test_a_broken_scene_is_named_by_its_file(scene, tmp_path):
    source, *_ = scene
    parts = data.tiles(source, 32)
    whole = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(whole[: len(whole) // 2])
    parts[0]
    with pytest.raises(ValueError, match=r"a\.tif: Expected strips or tiles"):
        parts[69]
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"a\.tif: Expected"):
        list(parts.dataset())
