"""TIFFs of every kind against tifffile's and rasterio's own reading of them."""

import concurrent.futures
import logging
import os
import sys

import numpy as np
import pytest

from keras_seg.data.decode import tiff_segments
from keras_seg.data.decode.array_file import (
    ArrayHead,
    array_head,
    is_array_file,
    read_array,
)

pytestmark = pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
tifffile = pytest.importorskip(
    "tifffile", reason="keras-seg[tiff] isn't installed: pip install 'keras-seg[tiff]'"
)
RNG = np.random.default_rng(0)
HEIGHT, WIDTH = 70, 90
# Meets several strips and tiles of 16 and 32 pixels, and ends with none of them.
WINDOW = (13, 30, 37, 41)


def numbers(dtype, *shape):
    if np.issubdtype(dtype, np.floating):
        return RNG.normal(0, 1000, shape).astype(dtype)
    info = np.iinfo(dtype)
    return RNG.integers(info.min, info.max, shape, dtype, endpoint=True)


def smooth(*channels):
    """Pixels that JPEG changes little."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    planes = [(y * a + x * (3 - a)) % 256 for a in range(*channels)]
    return np.stack(planes, -1).astype(np.uint8)


def check(path, expected, window=WINDOW, **options):
    """The file has these pixels, as a whole and in a window; its head says so."""
    expected = expected if expected.ndim == 3 else expected[..., None]
    found = read_array(path, **options)
    assert found.dtype == expected.dtype
    assert found.dtype.isnative
    assert np.array_equal(found, expected, equal_nan=expected.dtype.kind == "f")
    top, left, height, width = window
    part = expected[top : top + height, left : left + width]
    assert np.array_equal(read_array(path, window, **options), part)
    head = array_head(path, **options)
    assert head[:4] == (*expected.shape, expected.dtype.name)
    return head


DTYPES = ["uint8", "uint16", "uint32", "int8", "int16", "int32", "float16"]
DTYPES += ["float32", "float64", "uint64"]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_of_every_dtype_and_byte_order_are_read_as_stored(
    tmp_path, dtype, order
):
    stored = numbers(dtype, HEIGHT, WIDTH, 2)
    for name, layout in (
        ("strips", {"rowsperstrip": 16}),
        ("one strip", {}),
        ("tiles", {"tile": (16, 32)}),
        ("deflate", {"compression": "zlib", "tile": (32, 16)}),
    ):
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(
            path,
            stored,
            byteorder=order,
            photometric="minisblack",
            planarconfig="contig",
            **layout,
        )
        assert np.array_equal(tifffile.imread(path), stored)
        assert check(path, stored).pages == 1


LOSSLESS = [None, "lzw", "zlib", "packbits", "zstd", "lzma"]


@pytest.mark.parametrize("compression", LOSSLESS)
@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_every_compression_and_arrangement_gives_the_same_numbers(
    tmp_path, compression, planes
):
    path = tmp_path / "a.tif"
    for dtype, predictor in (("uint8", False), ("uint16", True), ("float32", True)):
        stored = numbers(dtype, HEIGHT, WIDTH, 3)
        predictor = predictor and compression in ("lzw", "zlib", "zstd")
        for layout in ({"rowsperstrip": 11}, {"tile": (32, 16)}):
            tifffile.imwrite(
                path,
                stored if planes == "contig" else stored.transpose(2, 0, 1),
                planarconfig=planes,
                photometric="rgb",
                compression=compression,
                predictor=predictor,
                **layout,
            )
            expected = tifffile.imread(path)
            if planes == "separate":
                expected = expected.transpose(1, 2, 0)
            assert np.array_equal(expected, stored)
            check(path, expected)


@pytest.mark.parametrize("photometric", ["rgb", "ycbcr"])
def test_jpeg_in_a_tiff_is_rgb(tmp_path, photometric):
    path = tmp_path / "a.tif"
    stored = smooth(3)
    for layout in ({"rowsperstrip": 16}, {"tile": (32, 32)}):
        tifffile.imwrite(
            path,
            stored,
            photometric="rgb",
            compression="jpeg",
            compressionargs={"level": 95, "outcolorspace": photometric},
            **layout,
        )
        with tifffile.TiffFile(path) as file:
            assert file.pages[0].photometric.name == photometric.upper()
        expected = tifffile.imread(path)
        assert np.abs(expected.astype(int) - stored).mean() < 8  # RGB, not YCbCr
        check(path, expected)


def test_jpeg_that_rasterio_writes_is_rgb(tmp_path):
    rasterio = pytest.importorskip("rasterio", reason="rasterio isn't installed")
    path = tmp_path / "a.tif"
    options = {"compress": "jpeg", "photometric": "ycbcr", "jpeg_quality": 95}
    options |= {"count": 3, "height": HEIGHT, "width": WIDTH, "dtype": "uint8"}
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    stored = np.stack([y * 3, x * 2, 255 - y - x]).astype(np.uint8)
    with rasterio.open(path, "w", driver="GTiff", **options) as file:
        file.write(stored)
    with rasterio.open(path) as file:
        expected = file.read().transpose(1, 2, 0).astype(int)
    # Decoders interpolate the smaller chroma differently.
    assert np.abs(read_array(path).astype(int) - expected).max() <= 4
    assert np.array_equal(read_array(path), tifffile.imread(path))


@pytest.mark.parametrize("layout", [{}, {"tiled": True, "blockxsize": 32}])
def test_planes_of_rgb_in_jpeg_are_as_rasterio_reads_them(tmp_path, layout):
    rasterio = pytest.importorskip("rasterio", reason="rasterio isn't installed")
    path = tmp_path / "a.tif"
    options = {"compress": "jpeg", "photometric": "rgb", "interleave": "band"}
    options |= {"count": 3, "height": HEIGHT, "width": WIDTH, "dtype": "uint8"}
    with rasterio.open(
        path, "w", driver="GTiff", blockysize=32, **options, **layout
    ) as file:
        file.write(smooth(3).transpose(2, 0, 1))
    with rasterio.open(path) as file:
        check(path, file.read().transpose(1, 2, 0))


def test_pixels_of_one_and_twelve_bits_keep_their_values(tmp_path):
    path = tmp_path / "a.tif"
    bits = numbers("uint8", HEIGHT, 88) % 2
    tifffile.imwrite(path, bits.astype(bool), photometric="minisblack")
    assert check(path, bits).dtype == "uint8"
    twelve = numbers("uint16", HEIGHT, WIDTH, 3) % 4096
    for layout in ({"rowsperstrip": 16}, {}):
        tifffile.imwrite(path, twelve, bitspersample=12, photometric="rgb", **layout)
        assert check(path, twelve).dtype == "uint16"


def test_where_white_is_0_unsigned_numbers_are_inverted(tmp_path):
    path = tmp_path / "a.tif"
    for stored, largest in (
        (numbers("uint8", HEIGHT, 88) % 2 == 1, 1),
        (numbers("uint8", HEIGHT, WIDTH), 255),
        (numbers("uint16", HEIGHT, WIDTH), 65535),
    ):
        tifffile.imwrite(path, stored, photometric="miniswhite")
        raw = tifffile.imread(path).astype(int)
        assert np.array_equal(raw, stored)  # tifffile doesn't invert
        expected = (largest - raw).astype(np.uint16 if largest > 255 else np.uint8)
        check(path, expected)
    stored = numbers("float32", HEIGHT, WIDTH)  # has no white
    tifffile.imwrite(path, stored, photometric="miniswhite")
    check(path, stored)


def test_a_palette_becomes_its_colours(tmp_path):
    path = tmp_path / "a.tif"
    indices = numbers("uint8", HEIGHT, WIDTH) % 7
    colors = numbers("uint8", 256, 3)
    for scale in (257, 256, 1):  # of 16 bits, or of 8 bits as some writers have it
        colormap = colors.T.astype(np.uint16) * scale
        tifffile.imwrite(path, indices, photometric="palette", colormap=colormap)
        check(path, colors[indices])


def test_a_page_by_its_number_and_pages_as_channels(tmp_path):
    path = tmp_path / "a.tif"
    stack = numbers("uint16", 5, HEIGHT, WIDTH)
    tifffile.imwrite(path, stack, photometric="minisblack", compression="zlib")
    for page in range(5):
        assert check(path, stack[page], page=page).pages == 5
    check(path, stack.transpose(1, 2, 0), page="all")
    with pytest.raises(ValueError, match=r"a\.tif: Expected `page` to be below 5"):
        read_array(path, page=5)
    for page in (-1, 1.0, True, "ALL", None):
        with pytest.raises(ValueError, match="Expected `page` to be a number"):
            read_array(path, page=page)

    with tifffile.TiffWriter(path) as writer:
        writer.write(stack[0], photometric="minisblack")
        writer.write(stack[1, :50], photometric="minisblack")
    with pytest.raises(
        ValueError, match=r"a\.tif: .*Received: 70 x 90 uint16, 50 x 90"
    ):
        read_array(path, page="all")
    check(path, stack[1, :50], page=1, window=(1, 2, 3, 4))


def test_large_stacks_of_imagej_have_one_description(tmp_path):
    path = tmp_path / "a.tif"
    stack = numbers("uint16", 4, HEIGHT, WIDTH)
    tifffile.imwrite(path, stack, imagej=True, metadata={"axes": "ZYX"}, truncate=True)
    with tifffile.TiffFile(path) as file:
        assert len(file.pages) == 1
    for page in range(4):
        assert check(path, stack[page], page=page).pages == 4
    check(path, stack.transpose(1, 2, 0), page="all")


def test_reduced_copies_and_masks_of_a_page_are_no_pages(tmp_path):
    path = tmp_path / "a.tif"
    stack = numbers("uint8", 2, HEIGHT, WIDTH)
    with tifffile.TiffWriter(path) as writer:
        for page in stack:
            writer.write(page, photometric="minisblack")
            writer.write(page[::2, ::2], photometric="minisblack", subfiletype=1)
            writer.write(page > 9, photometric="minisblack", subfiletype=4)
    assert check(path, stack[1], page=1).pages == 2
    check(path, stack.transpose(1, 2, 0), page="all")


def test_bigtiff_and_files_at_an_address(tmp_path):
    path = tmp_path / "a.tif"
    stored = numbers("uint16", HEIGHT, WIDTH, 3)
    tifffile.imwrite(path, stored, bigtiff=True, photometric="rgb", tile=(16, 16))
    check(path, stored)
    check(f"file://{path}", stored)
    check(os.fsencode(path), stored)


@pytest.mark.parametrize("interleave", ["pixel", "band"])
def test_files_that_rasterio_writes_are_as_rasterio_reads_them(tmp_path, interleave):
    rasterio = pytest.importorskip("rasterio", reason="rasterio isn't installed")
    path = tmp_path / "a.tif"
    for dtype, options in (
        ("uint8", {"compress": "lzw", "predictor": 2}),
        ("uint16", {"compress": "deflate", "predictor": 2, "bigtiff": "yes"}),
        ("float32", {"compress": "zstd", "predictor": 3, "nodata": -9999}),
        ("float64", {"compress": "deflate", "nodata": float("nan")}),
        ("int16", {"compress": "packbits", "endianness": "big"}),
        ("uint16", {"nbits": 12, "compress": "deflate"}),
        ("uint8", {"nbits": 1}),
        ("uint8", {"nbits": 4, "compress": "lzw"}),
    ):
        stored = numbers(dtype, 3, HEIGHT, WIDTH)
        if "nbits" in options:
            stored %= 2 ** options["nbits"]
        for tiled in ({}, {"tiled": True, "blockxsize": 32, "blockysize": 16}):
            with rasterio.open(
                path,
                "w",
                driver="GTiff",
                count=3,
                height=HEIGHT,
                width=WIDTH,
                dtype=dtype,
                interleave=interleave,
                **options,
                **tiled,
            ) as file:
                file.write(stored)
            with rasterio.open(path) as file:
                expected = file.read().transpose(1, 2, 0)
            head = check(path, expected)
            nodata = options.get("nodata")
            assert head.nodata == nodata or np.isnan([head.nodata, nodata]).all()


def test_segments_that_gdal_left_out_hold_no_data(tmp_path):
    rasterio = pytest.importorskip("rasterio", reason="rasterio isn't installed")
    path = tmp_path / "a.tif"
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=1,
        height=64,
        width=64,
        dtype="int16",
        nodata=-7,
        sparse_ok=True,
        tiled=True,
        blockxsize=16,
        blockysize=16,
        compress="deflate",
    ) as file:
        ones = np.ones((16, 16), np.int16)
        file.write(ones, 1, window=((16, 32), (32, 48)))
    expected = np.full((64, 64), -7, np.int16)
    expected[16:32, 32:48] = 1
    assert check(path, expected, window=(10, 20, 30, 40)).nodata == -7


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("layout", [{"rowsperstrip": 10}, {"tile": (16, 16)}])
def test_a_window_reads_only_what_it_touches(
    tmp_path, compression, layout, monkeypatch
):
    path = tmp_path / "a.tif"
    stored = numbers("uint8", 100, 160, 3)
    tifffile.imwrite(path, stored, photometric="rgb", compression=compression, **layout)
    read = []
    bytes_at = tiff_segments._bytes_at

    def counted(page, index, start, count):
        read.append((index, count))
        return bytes_at(page, index, start, count)

    monkeypatch.setattr(tiff_segments, "_bytes_at", counted)
    found = read_array(path, (33, 50, 14, 20))
    assert np.array_equal(found, stored[33:47, 50:70])
    if "tile" in layout:  # rows 2 of tiles, columns 3 and 4, of 10 a row
        assert [index for index, _ in read] == [23, 24]
    elif compression:
        assert [index for index, _ in read] == [3, 4]
    else:  # rows 33 to 39 and 40 to 46 alone
        assert read == [(3, 7 * 160 * 3), (4, 7 * 160 * 3)]


@pytest.mark.parametrize("compression", [*LOSSLESS, "jpeg"])
@pytest.mark.parametrize("layout", [{"rowsperstrip": 16}, {"tile": (16, 16)}])
def test_a_file_that_is_cut_off_is_one_error_that_names_it(
    tmp_path, compression, layout, caplog
):
    path = tmp_path / "a.tif"
    stored = smooth(3)
    tifffile.imwrite(path, stored, photometric="rgb", compression=compression, **layout)
    expected = tifffile.imread(path)
    with tifffile.TiffFile(path) as file:
        end = max(file.pages[0].dataoffsets)
    whole = path.read_bytes()
    path.write_bytes(whole[: end + 3])
    with pytest.raises(ValueError, match=r"a\.tif: Expected strips.*copy it again"):
        read_array(path)
    # What is left can be read.
    found = read_array(path, (5, 7, 40, 50))
    assert np.array_equal(found, expected[5:45, 7:57])
    path.write_bytes(whole[:6])
    for function in (read_array, array_head):
        with pytest.raises(ValueError, match=r"a\.tif: Expected a whole TIFF"):
            function(path)
    assert not caplog.records


@pytest.mark.parametrize("compression", ["lzw", "zlib", "zstd", "lzma", "jpeg"])
def test_a_broken_strip_is_one_error_that_names_it(tmp_path, compression, caplog):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, smooth(3), photometric="rgb", compression=compression, rowsperstrip=16
    )
    with tifffile.TiffFile(path) as file:
        start, size = (
            file.pages[0].dataoffsets[1],
            file.pages[0].databytecounts[1],
        )
    contents = bytearray(path.read_bytes())
    contents[start : start + size] = bytes(size)
    path.write_bytes(contents)
    with pytest.raises(ValueError, match=r"a\.tif: .* strip 2 of 5, which isn't"):
        read_array(path)
    assert read_array(path, (32, 0, 38, 90)).shape == (38, 90, 3)
    assert not caplog.records


def test_tifffile_warns_others_as_before(caplog):
    logging.getLogger("tifffile").warning("of another file")
    assert caplog.messages == ["of another file"]


@pytest.mark.parametrize(
    ("window", "shown"),
    [
        ((0, 0, 71, 1), "71"),
        ((-1, 0, 2, 1), "-1"),
        ((0, 90, 1, 1), "90"),
        ((0, 0, 0, 1), "0"),
    ],
)
def test_a_window_beyond_the_image_is_an_error(tmp_path, window, shown):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, smooth(3), photometric="rgb")
    with pytest.raises(ValueError, match=rf"a\.tif: .*70 x 90.*{shown}"):
        read_array(path, window)


def test_what_has_no_meaning_here_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    volume = numbers("uint8", 4, HEIGHT, WIDTH)
    tifffile.imwrite(
        path, volume, photometric="minisblack", volumetric=True, tile=(4, 16, 16)
    )
    with pytest.raises(ValueError, match="volume of 4 slices"):
        read_array(path)
    tifffile.imwrite(path, np.ones((9, 9), np.complex64), photometric="minisblack")
    with pytest.raises(ValueError, match="complex64"):
        read_array(path)
    tifffile.imwrite(path, smooth(3), photometric="ycbcr")
    with pytest.raises(ValueError, match=r"YCbCr without\. Save it as RGB"):
        read_array(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"a\.tif: .*an empty file"):
        read_array(path)
    path.write_bytes(b"\x89PNG\r\n\x1a\n12345678")
    with pytest.raises(ValueError, match=r"a PNG\. Name it so"):
        array_head(path)
    with pytest.raises(FileNotFoundError, match=r"no\.tif"):
        read_array(tmp_path / "no.tif")


@pytest.mark.parametrize("name", ["tifffile", "imagecodecs"])
def test_a_package_that_is_missing_is_named(tmp_path, name, monkeypatch):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, smooth(3), photometric="rgb")
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        ImportError, match=rf"package {name}.*pip install 'keras-seg\[tiff\]'"
    ):
        read_array(path)


def test_several_threads_read_the_same_file(tmp_path):
    path = tmp_path / "a.tif"
    stored = numbers("uint16", HEIGHT, WIDTH, 3)
    tifffile.imwrite(path, stored, photometric="rgb", compression="lzw", tile=(16, 16))
    windows = [(t, 2 * t, 20, 9) for t in range(40)] * 5
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for (top, left, height, width), found in zip(
            windows, pool.map(lambda w: read_array(path, w), windows), strict=True
        ):
            part = stored[top : top + height, left : left + width]
            assert np.array_equal(found, part)


def test_heads_are_tuples_and_endings_are_of_any_case():
    assert ArrayHead(1, 2, 3, "uint8") == (1, 2, 3, "uint8", 1, None)
    names = ["a.tif", "a.TIFF", "b/a.bmp", "a.gif", "a.webp", "a.jp2", "a.J2K"]
    assert all(map(is_array_file, names))
    assert not any(map(is_array_file, ["a.png", "tif", "a.jpg", "a.tif.txt"]))
