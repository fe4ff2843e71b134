"""BMP, GIF, WebP and JPEG 2000, without loss: what was written comes back."""

import sys

import numpy as np
import pytest
from PIL import Image

from keras_seg.data.decode.array_file import array_head, read_array

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (21, 34, 1)).astype(np.uint8)
RGB = RNG.integers(0, 256, (21, 34, 3)).astype(np.uint8)
RGBA = RNG.integers(1, 256, (21, 34, 4)).astype(np.uint8)
LOSSLESS = {
    ".bmp": {},
    ".gif": {},
    ".webp": {"lossless": True, "exact": True},
    ".jp2": {"irreversible": False},
    ".j2k": {"irreversible": False},
}


def check(path, expected):
    found = read_array(path)
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected)
    assert np.array_equal(read_array(path, (3, 5, 7, 11)), expected[3:10, 5:16])
    head = array_head(path)
    assert head == (*expected.shape, expected.dtype.name, 1, None)


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_pixels_are_read_as_they_were_written(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    for pixels in (GREY, RGB, RGBA):
        expected = pixels
        if suffix == ".gif":
            if pixels is not GREY:
                continue  # has 256 colours only; below
            expected = GREY.repeat(3, -1)  # all GIFs have a palette
        elif suffix == ".webp" and pixels is GREY:
            expected = GREY.repeat(3, -1)  # has no grey
        elif suffix == ".bmp" and pixels is RGBA:
            expected = RGBA[..., :3]  # the fourth byte has no meaning
        Image.fromarray(np.squeeze(pixels)).save(path, **LOSSLESS[suffix])
        check(path, expected)


@pytest.mark.parametrize("suffix", [".bmp", ".gif"])
def test_palettes_become_their_colours_and_single_bits_black_and_white(
    tmp_path, suffix
):
    path = tmp_path / f"a{suffix}"
    indices = GREY[..., 0] % 9
    colors = RNG.integers(0, 256, (256, 3)).astype(np.uint8)
    image = Image.fromarray(indices)
    image.putpalette(colors.tobytes())
    image.save(path)
    check(path, colors[indices])
    bits = indices > 4
    Image.fromarray(bits).save(path)
    expected = bits[..., None].astype(np.uint8) * np.uint8(255)
    check(path, expected if suffix == ".bmp" else expected.repeat(3, -1))


def test_of_a_gif_the_first_frame_is_read(tmp_path):
    path = tmp_path / "a.gif"
    frames = [Image.fromarray(GREY[..., 0] // k) for k in (1, 2, 3)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    check(path, GREY.repeat(3, -1))
    with pytest.raises(ValueError, match=r"a\.gif: Expected page=0, .*page=1"):
        read_array(path, page=1)


@pytest.mark.parametrize("codec", ["jp2", "j2k"])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_jpeg_2000_keeps_16_bits_and_more_than_4_channels(tmp_path, codec, channels):
    codecs = pytest.importorskip("imagecodecs", reason="keras-seg[tiff]")
    path = tmp_path / f"a.{codec}"
    for dtype, bits in (("uint16", 16), ("uint16", 12), ("uint8", 8)):
        pixels = RNG.integers(0, 2**bits, (21, 34, channels)).astype(dtype)
        codestream = codecs.jpeg2k_encode(
            np.squeeze(pixels),
            codecformat=codec,
            bitspersample=bits,
            reversible=True,
        )
        path.write_bytes(codestream)
        check(path, pixels)


def test_deep_jpeg_2000_without_imagecodecs_says_what_to_install(tmp_path, monkeypatch):
    codecs = pytest.importorskip("imagecodecs", reason="keras-seg[tiff]")
    path = tmp_path / "a.jp2"
    path.write_bytes(codecs.jpeg2k_encode(RGB.astype(np.uint16) * 200))
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    assert array_head(path).dtype == "uint16"
    with pytest.raises(ImportError, match=r"pip install 'keras-seg\[tiff\]'"):
        read_array(path)


@pytest.mark.parametrize("suffix", [*LOSSLESS, "16.jp2"])
def test_a_file_that_is_cut_off_is_one_error_that_names_it(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    if suffix == "16.jp2":
        codecs = pytest.importorskip("imagecodecs", reason="keras-seg[tiff]")
        whole = codecs.jpeg2k_encode(RGB.astype(np.uint16) * 200)
    else:
        Image.fromarray(RGB).save(path, **LOSSLESS[suffix])
        whole = path.read_bytes()
    for length in (16, 60, len(whole) // 2):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=rf"a{suffix}: Expected a whole image"):
            read_array(path)
