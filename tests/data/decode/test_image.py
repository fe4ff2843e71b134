import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_seg.data.decode.image import read_image, read_jpeg


def photo(height, width):
    """Smooth colours, which JPEG keeps better than noise, and some of that."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(y / a) + np.cos(x / b) for a, b in ((9, 5), (4, 11), (7, 7))]
    pixels = 127 + 50 * np.stack(waves, -1) + rng.normal(0, 9, (height, width, 3))
    return np.clip(pixels, 0, 255).astype(np.uint8)


def pillow(path, mode="RGB"):
    with Image.open(path) as image:
        return np.asarray(image.convert(mode))


JPEGS = {
    "4:4:4": {"subsampling": 0},
    "4:2:2": {"subsampling": 1},
    "4:2:0": {"subsampling": 2},
    "coarse": {"quality": 20},
    "progressive": {"progressive": True},
}


@pytest.mark.parametrize("options", JPEGS.values(), ids=JPEGS)
@pytest.mark.parametrize("size", [(1, 1), (33, 50)])
def test_pixels_of_a_jpeg_equal_pillows(tmp_path, options, size):
    path = tmp_path / "image.jpg"
    Image.fromarray(photo(*size)).save(path, **options)
    image = read_jpeg(tf.constant(str(path)))
    assert image.dtype == tf.uint8
    np.testing.assert_array_equal(image, pillow(path))


def test_a_grey_jpeg_becomes_rgb(tmp_path):
    path = tmp_path / "image.jpg"
    Image.fromarray(photo(20, 30)[..., 0]).save(path)
    np.testing.assert_array_equal(read_jpeg(tf.constant(str(path))), pillow(path))


@pytest.mark.parametrize("options", JPEGS.values(), ids=JPEGS)
@pytest.mark.parametrize(
    "window",
    [(0, 0, 61, 83), (0, 0, 1, 1), (17, 9, 20, 31), (60, 82, 1, 1), (33, 48, 28, 35)],
)
def test_a_window_is_the_slice_of_the_whole(tmp_path, options, window):
    path = tmp_path / "image.jpg"
    Image.fromarray(photo(61, 83)).save(path, **options)
    top, left, height, width = window
    expected = pillow(path)[top : top + height, left : left + width]
    image = read_jpeg(tf.constant(str(path)), window).numpy()
    assert image.shape == expected.shape
    np.testing.assert_array_equal(image[:, 1:-1], expected[:, 1:-1])
    # libjpeg smooths colours that are stored at half the width, and knows no
    # neighbours beyond the window's first and last column.
    tolerance = 0 if options.get("subsampling") == 0 else 20
    np.testing.assert_allclose(image.astype(int), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "Expected a JPEG file. Received: an empty file"),
        (b"\x89PNG\r\n\x1a\n", "Received: a PNG"),
        (b"GIF89a", "Received: a GIF"),
        (b"BM\0\0", "Received: a BMP"),
        (b"\xff\xd8\xff\xe0 and no more", ""),
        (None, "No such file"),
    ],
    ids=["empty", "PNG", "GIF", "BMP", "cut", "missing"],
)
@pytest.mark.parametrize("window", [None, (0, 0, 1, 1)])
def test_what_is_no_jpeg_is_refused_by_name(tmp_path, contents, message, window):
    path = tmp_path / "image_17.jpg"
    if contents is not None:
        path.write_bytes(contents)
    with pytest.raises(ValueError, match=rf"image_17\.jpg.*{message}"):
        read_jpeg(tf.constant(str(path)), window)


@pytest.mark.parametrize("window", [None, (3, 4, 20, 30), (40, 50, 21, 33)])
def test_a_cut_jpeg_is_an_error_by_name_or_the_window_is_complete(tmp_path, window):
    path = tmp_path / "image_17.jpg"
    Image.fromarray(photo(61, 83)).save(path)
    whole = path.read_bytes()
    expected = read_jpeg(tf.constant(str(path)), window).numpy()
    lengths = range(0, len(whole) - 2, 41)
    errors = 0
    for length in lengths:
        path.write_bytes(whole[:length])
        image, error = read_or_error(path, window)
        if error:
            assert "image_17.jpg" in error
            errors += 1
        else:
            np.testing.assert_array_equal(image, expected, err_msg=f"{length} bytes")
    # All of it is needed for the whole image.
    assert errors == len(lengths) if window is None else errors > len(lengths) // 4


def read_or_error(path, window):
    try:
        return read_jpeg(tf.constant(str(path)), window).numpy(), None
    except ValueError as error:
        return None, str(error)


def test_another_size_than_the_masks_is_refused_by_name(tmp_path):
    path = tmp_path / "image_17.jpg"
    Image.fromarray(photo(6, 8)).save(path)
    read_jpeg(tf.constant(str(path)), (0, 0, 2, 2), mask_size=(6, 8))
    with pytest.raises(ValueError, match=r"image_17\.jpg.*image 6 x 8, mask 8 x 6"):
        read_jpeg(tf.constant(str(path)), (0, 0, 2, 2), mask_size=(8, 6))


@pytest.mark.parametrize(
    ("mode", "channels", "suffix"),
    [
        ("RGB", 3, "jpg"),
        ("L", 1, "jpg"),
        ("RGB", 3, "png"),
        ("L", 1, "png"),
        ("RGBA", 4, "png"),
    ],
)
def test_an_image_of_any_kind_equals_pillows(tmp_path, mode, channels, suffix):
    path = tmp_path / f"image.{suffix}"
    pixels = np.concatenate([photo(6, 8), photo(6, 8)[..., :1]], -1)[..., :channels]
    Image.fromarray(pixels[..., 0] if channels == 1 else pixels, mode=mode).save(path)
    expected = pillow(path, mode).reshape(6, 8, channels)
    np.testing.assert_array_equal(read_image(str(path), channels=channels), expected)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", r"Expected a JPEG or PNG. Received: an empty file\..*copy it again"),
        (b"GIF89a", r"Received: a GIF\. Convert it to PNG"),
        (b"\x89PNG\r\n\x1a\n", "cut off.*: copy it again"),
        (b"\xff\xd8\xff\xe0", "cut off.*: copy it again"),
        (None, "No such file"),
    ],
    ids=["empty", "GIF", "cut PNG", "cut JPEG", "missing"],
)
def test_what_is_no_image_is_refused_by_name(tmp_path, contents, message):
    path = tmp_path / "image_17.jpg"
    if contents is not None:
        path.write_bytes(contents)
    with pytest.raises(ValueError, match=rf"image_17\.jpg.*{message}"):
        read_image(str(path))


@pytest.mark.real_data
def test_photos_of_voc_equal_pillows(real_voc):
    paths = sorted((real_voc / "JPEGImages").glob("*.jpg"))[::20]
    assert len(paths) > 40
    for path in paths:
        image = read_jpeg(tf.constant(str(path)))
        np.testing.assert_array_equal(image, pillow(path), err_msg=path.name)
