import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_seg import data
from keras_seg.data.decode.image import read_image
from keras_seg.data.decode.png import read_color_png, read_label_png

GREY, PALETTE = 0, 3
# First row and column, and steps, of the seven passes of an interlaced PNG.
ADAM7 = (
    (0, 0, 8, 8),
    (0, 4, 8, 8),
    (4, 0, 8, 4),
    (0, 2, 4, 4),
    (2, 0, 4, 2),
    (0, 1, 2, 2),
    (1, 0, 2, 1),
)


def encode_png(ids, depth, color, *, interlaced=False, chunks=(), colors=None):
    """A PNG written from the specification: ids as they are, no filter."""
    passes = [ids]
    if interlaced:
        passes = [ids[top::down, left::right] for top, left, down, right in ADAM7]
    rows = [row for part in passes if part.size for row in part]
    shifts = np.arange(depth - 1, -1, -1)
    pixels = b"".join(
        b"\0" + np.packbits(row[:, None] >> shifts & 1).tobytes() for row in rows
    )
    if colors is None and color == PALETTE:
        colors = np.random.default_rng(0).bytes(3 * 2**depth)
    height, width = ids.shape
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlaced)
    chunks = [
        (b"IHDR", header),
        *([(b"PLTE", colors)] if color == PALETTE else []),
        *chunks,
        (b"IDAT", zlib.compress(pixels)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body))
        + name
        + body
        + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def every_id(depth, size=(9, 13)):
    """Ids of a depth in any order, the lowest and the highest among them."""
    ids = np.random.default_rng(depth).integers(0, 2**depth, size)
    ids.flat[:2] = 0, 2**depth - 1
    return ids


def read(path):
    return read_label_png(tf.constant(str(path))).numpy()


def read_or_error(path):
    try:
        return read(path), None
    except ValueError as error:
        return None, str(error)


KINDS = [
    *[(depth, PALETTE) for depth in (1, 2, 4, 8)],
    *[(depth, GREY) for depth in (1, 2, 4, 8, 16)],
]


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("depth", "color"), KINDS)
def test_ids_are_read_as_they_are_stored(tmp_path, depth, color, interlaced):
    path, ids = tmp_path / "mask.png", every_id(depth)
    path.write_bytes(encode_png(ids, depth, color, interlaced=interlaced))
    with Image.open(path) as image:  # the encoder above is right
        scale = 255 // (2**depth - 1) if color == GREY and depth < 8 else 1
        stored = np.asarray(image).astype(int) * (255 if image.mode == "1" else 1)
        np.testing.assert_array_equal(stored, ids * scale)

    mask = read(path)
    assert mask.dtype == np.int32
    np.testing.assert_array_equal(mask, ids)


def test_ids_are_read_in_tf_data_as_they_are_outside(tmp_path):
    paths = [str(tmp_path / f"{k}.png") for k in range(2 * len(KINDS))]
    for path, (depth, color) in zip(paths, 2 * KINDS, strict=True):
        interlaced = path in paths[len(KINDS) :]
        content = encode_png(every_id(depth), depth, color, interlaced=interlaced)
        Path(path).write_bytes(content)
    masks = tf.data.Dataset.from_tensor_slices(paths).map(read_label_png)
    for path, mask in zip(paths, masks, strict=True):
        np.testing.assert_array_equal(mask, read(path))


@pytest.mark.parametrize("mode", ["L", "P", "1", "I;16"])
@pytest.mark.parametrize("optimize", [False, True])
def test_ids_that_pillow_wrote_are_read(tmp_path, mode, optimize):
    depth = {"1": 1, "I;16": 16}.get(mode, 8)
    ids, path = every_id(depth, (40, 30)), tmp_path / "mask.png"
    dtype = {"1": bool, "I;16": np.uint16}.get(mode, np.uint8)
    image = Image.fromarray(ids.astype(dtype))
    if mode == "P":
        image.putpalette(np.random.default_rng(0).bytes(768))
    assert image.mode == mode
    image.save(path, optimize=optimize)
    np.testing.assert_array_equal(read(path), ids)


def test_a_mask_of_one_pixel_is_read(tmp_path):
    path = tmp_path / "mask.png"
    path.write_bytes(encode_png(np.array([[3]]), 2, PALETTE))
    assert read(path).tolist() == [[3]]


def test_a_palette_shorter_than_its_depth_is_read(tmp_path):
    path, ids = tmp_path / "mask.png", np.arange(20).reshape(4, 5)
    path.write_bytes(encode_png(ids, 8, PALETTE, colors=bytes(3 * 20)))
    np.testing.assert_array_equal(read(path), ids)


def test_pixels_beyond_the_palette_are_ids_but_have_no_colour(tmp_path):
    """An id needs no colour. But who asks for a colour must not get black."""
    path, ids = tmp_path / "mask.png", np.arange(20).reshape(4, 5)
    path.write_bytes(encode_png(ids, 8, PALETTE, colors=bytes(range(3 * 18))))
    np.testing.assert_array_equal(read(path), ids)
    for read_colors in (read_color_png, read_image):
        with pytest.raises(ValueError, match=r"mask\.png: .*palette, 0\.\.17.*: 19"):
            read_colors(tf.constant(str(path)))
        dataset = tf.data.Dataset.from_tensors(str(path)).map(read_colors)
        with pytest.raises(tf.errors.InvalidArgumentError):
            list(dataset)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_colours_of_a_palette_equal_pillows(tmp_path, depth, interlaced):
    path = tmp_path / "mask.png"
    path.write_bytes(encode_png(every_id(depth), depth, PALETTE, interlaced=interlaced))
    with Image.open(path) as image:
        expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(read_image(tf.constant(str(path))), expected)
    numbers = read_color_png(tf.constant(str(path)))
    np.testing.assert_array_equal(numbers, expected.astype(int) @ [1, 256, 65536])


@pytest.mark.parametrize("color", [GREY, PALETTE])
@pytest.mark.parametrize(
    "chunk",
    [
        (b"tRNS", b"\0\xff"),
        (b"tEXt", b"Comment\0an IDAT chunk: \0\0\0\x04IDAT"),
        (b"pHYs", struct.pack(">IIB", 2835, 2835, 1)),
        (b"gAMA", struct.pack(">I", 45455)),
        (b"sBIT", b"\x04" * 3),
        (b"tIME", struct.pack(">HBBBBB", 2012, 5, 1, 0, 0, 0)),
    ],
    ids=lambda chunk: chunk[0].decode(),
)
def test_chunks_before_the_pixels_change_no_id(tmp_path, color, chunk):
    if color == GREY and chunk[0] == b"sBIT":
        chunk = (b"sBIT", b"\x04")
    path, ids = tmp_path / "mask.png", every_id(8)
    path.write_bytes(encode_png(ids, 8, color, chunks=[chunk, chunk]))
    np.testing.assert_array_equal(read(path), ids)


def test_a_palette_with_the_bytes_idat_changes_no_id(tmp_path):
    path, ids = tmp_path / "mask.png", every_id(8)
    path.write_bytes(encode_png(ids, 8, PALETTE, colors=b"IDAT" * 192))
    np.testing.assert_array_equal(read(path), ids)


def test_pixels_in_many_chunks_are_read(tmp_path):
    """Pillow splits what is long into several IDAT chunks."""
    path, ids = tmp_path / "mask.png", every_id(8, (400, 400))
    image = Image.fromarray(ids.astype(np.uint8))
    image.putpalette(bytes(768))
    image.save(path, compress_level=0)
    assert path.read_bytes().count(b"IDAT") > 1
    np.testing.assert_array_equal(read(path), ids)


def save_color(path, mode):
    Image.new(mode, (4, 3)).save(path, format="PNG")


def save_jpeg(path):
    Image.new("L", (4, 3)).save(path, format="JPEG")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: save_color(path, "RGB"), "RGB.*Save class ids"),
        (lambda path: save_color(path, "RGBA"), "RGB with alpha"),
        (lambda path: save_color(path, "LA"), "grey with alpha"),
        (save_jpeg, "Expected a label PNG. Received: a JPEG"),
        (lambda path: path.write_bytes(b""), "an empty file"),
        (
            lambda path: path.write_text("version https://git-lfs"),
            "begins with b'version",
        ),
        (lambda path: None, "No such file"),
    ],
    ids=["RGB", "RGBA", "LA", "JPEG", "empty", "text", "missing"],
)
def test_what_is_no_label_png_is_refused_by_name(tmp_path, write, message):
    path = tmp_path / "mask_17.png"
    write(path)
    with pytest.raises(ValueError, match=rf"mask_17\.png.*{message}"):
        read(path)


@pytest.mark.parametrize(("depth", "color"), [(8, PALETTE), (4, PALETTE), (16, GREY)])
def test_a_cut_file_is_an_error_by_name_or_complete(tmp_path, depth, color):
    path, ids = tmp_path / "mask_17.png", every_id(depth, (3, 5))
    text = (b"tEXt", b"A\0IDAT")
    whole = encode_png(ids, depth, color, chunks=[text], colors=bytes(range(12)))
    pixels = whole.rindex(b"IDAT") + 4
    end_of_pixels = len(whole) - 16  # before the checksum and IEND
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        mask, error = read_or_error(path)
        if error:
            assert "mask_17.png" in error
            assert length >= pixels or "Received: a" in error  # in our words
        else:
            assert length >= end_of_pixels
            np.testing.assert_array_equal(mask, ids)


@pytest.mark.parametrize("flip", [0x01, 0x80])
def test_a_damaged_byte_is_an_error_by_name_or_changes_no_id(tmp_path, flip):
    path, ids = tmp_path / "mask_17.png", every_id(2, (3, 5))
    whole = encode_png(ids, 2, PALETTE, chunks=[(b"tEXt", b"A\0IDAT")])
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= flip
        path.write_bytes(damaged)
        mask, error = read_or_error(path)
        if error:
            assert "mask_17.png" in error
        else:
            np.testing.assert_array_equal(mask, ids)


@pytest.mark.real_data
@pytest.mark.parametrize(("split", "length"), [("train", 440), ("val", 446)])
def test_every_mask_of_voc_equals_pillows_palette_indices(real_voc, split, length):
    source = data.voc(real_voc, split)
    masks = [mask for _, mask in source.dataset().as_numpy_iterator()]
    assert len(masks) == length
    for name, mask in zip(source.names, masks, strict=True):
        with Image.open(real_voc / f"SegmentationClass/{name}.png") as image:
            assert image.mode == "P"
            np.testing.assert_array_equal(mask, np.asarray(image), err_msg=name)
