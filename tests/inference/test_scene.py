"""`predict_scene`: masks of files as masks of arrays, in bounded memory."""

import copy
import tracemalloc

import keras
import numpy as np
import pytest

import keras_seg
from keras_seg import unet
from keras_seg.data.decode import array_file
from keras_seg.inference.opened import as_net

tifffile = pytest.importorskip(
    "tifffile", reason="keras-seg[tiff] isn't installed: pip install 'keras-seg[tiff]'"
)
RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (150, 210, 3)).astype(np.uint8)
COLORS = [(10, 20, 30), (200, 0, 0), (0, 99, 0)]


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(3)
    return unet(num_classes=3, widths=(4, 6))


@pytest.fixture(scope="module")
def valid_model():
    keras.utils.set_random_seed(3)
    return unet(num_classes=3, widths=(4, 6), padding="valid")


@pytest.fixture
def write(tmp_path):
    """Function that writes a TIFF and returns its path, and that of the mask."""

    def path(image, **options):
        options = {"photometric": "rgb", "compression": "zlib"} | options
        tifffile.imwrite(tmp_path / "scene.tif", image, **options)
        return tmp_path / "scene.tif", tmp_path / "mask.tif"

    return path


@pytest.mark.parametrize(
    ("layout", "options"),
    [
        ({"tile": (32, 32)}, {"tile": 64}),
        ({"rowsperstrip": 7}, {"tile": (64, 96), "overlap": 0.5}),
        ({"rowsperstrip": 7}, {"tile": 96, "flips": True, "scales": (0.5, 1.0)}),
        ({"tile": (32, 32)}, {}),  # one tile
    ],
)
def test_the_mask_is_that_of_the_image_by_the_same_tiles(model, write, layout, options):
    path, out = write(IMAGE, **layout)
    keras_seg.predict_scene(model, path, out, **options)
    expected = keras_seg.predict_mask(model, IMAGE, **({"tile": 1024} | options))
    assert len(np.unique(expected)) > 1
    assert np.array_equal(tifffile.imread(out), expected)


def test_a_net_without_padding_sees_the_mirror_image_around_the_scene(
    valid_model, write
):
    path, out = write(IMAGE, tile=(16, 16))
    keras_seg.predict_scene(valid_model, path, out, tile=64)
    expected = keras_seg.predict_mask(valid_model, IMAGE, tile=64)
    assert np.array_equal(tifffile.imread(out), expected)


def test_the_file_is_tiled_compressed_and_coloured(model, write):
    path, out = write(IMAGE)
    keras_seg.predict_scene(model, path, out, tile=64, palette=COLORS)
    with tifffile.TiffFile(out) as file:
        (page,) = file.pages
        assert page.is_tiled
        assert page.compression.name == "ADOBE_DEFLATE"
        assert page.photometric.name == "PALETTE"
        assert page.dtype == np.uint8
        assert (page.colormap.T[:3] == np.array(COLORS) * 257).all()
        assert not file.is_bigtiff
        assert 33550 not in page.tags  # no coordinates
    ids = tifffile.imread(out)
    pixels = array_file.read_array(out)
    assert np.array_equal(pixels, np.uint8(COLORS)[ids])
    assert [x.name for x in out.parent.iterdir()].count("mask.tif") == 1
    assert len([*out.parent.iterdir()]) == 2  # nothing is left behind


def test_the_mask_has_the_coordinates_of_the_scene(model, tmp_path):
    rasterio = pytest.importorskip("rasterio", reason="rasterio isn't installed")
    path, out = tmp_path / "scene.tif", tmp_path / "mask.tif"
    for transform, crs in (
        (rasterio.Affine(10, 0, 300000, 0, -10, 5100000), "EPSG:32632"),
        (rasterio.Affine(0.1, 0.02, 7, 0.03, -0.1, 47), "EPSG:4326"),  # turned
    ):
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            count=3,
            height=150,
            width=210,
            dtype="uint8",
            crs=crs,
            transform=transform,
        ) as file:
            file.write(IMAGE.transpose(2, 0, 1))
        keras_seg.predict_scene(model, path, out, tile=64, palette=COLORS)
        with rasterio.open(path) as scene, rasterio.open(out) as mask:
            assert mask.crs == scene.crs
            assert mask.crs.to_string() == crs
            assert mask.transform == scene.transform
            assert mask.nodata == 255
            assert mask.block_shapes == [(256, 256)]
            assert mask.colormap(1)[1] == (200, 0, 0, 255)
            assert np.array_equal(mask.read(1), tifffile.imread(out))
        georeference = array_file.scene_facts(path).georeference
        assert georeference.transform == pytest.approx(transform[:6])
        assert f"EPSG:{georeference.epsg}" == crs
        assert georeference == array_file.scene_facts(out).georeference


@pytest.mark.parametrize("by", ["tag", "argument"])
@pytest.mark.parametrize("nodata", [0, np.nan, -9999])
def test_pixels_without_data_are_255(model, write, nodata, by):
    image = IMAGE.astype(np.uint8 if nodata == 0 else np.float32)
    image[:30, 20:80] = nodata
    image[100:, 90] = nodata
    image[5, 5, 0] = 0  # has data in the other channels
    options, arguments = {"photometric": "rgb"}, {}
    if by == "tag":
        options["extratags"] = [(42113, 2, None, str(nodata).encode())]
    else:
        arguments["nodata"] = nodata
    path, out = write(image, **options)
    keras_seg.predict_scene(model, path, out, tile=64, **arguments)
    missing = np.zeros(IMAGE.shape[:2], bool)
    missing[:30, 20:80] = missing[100:, 90] = True
    found = tifffile.imread(out)
    assert ((found == 255) == missing).all()
    black = np.where(missing[..., None], 0, image).astype(image.dtype)
    expected = keras_seg.predict_mask(model, black, tile=64)
    assert np.array_equal(found[~missing], expected[~missing])


def test_channels_are_those_of_the_model_as_for_other_files(model, write):
    grey = IMAGE[..., 0]
    path, out = write(grey, photometric="minisblack")
    keras_seg.predict_scene(model, path, out, tile=64)
    expected = keras_seg.predict_mask(model, np.stack([grey] * 3, -1), tile=64)
    assert np.array_equal(tifffile.imread(out), expected)
    stack = IMAGE.transpose(2, 0, 1)
    path, out = write(stack, photometric="minisblack", planarconfig=None)
    keras_seg.predict_scene(model, path, out, tile=64, page="all")
    expected = keras_seg.predict_mask(model, IMAGE, tile=64)
    assert np.array_equal(tifffile.imread(out), expected)
    path, out = write(np.dstack([IMAGE, grey]), extrasamples=["unassalpha"])
    keras_seg.predict_scene(model, path, out, tile=64)
    assert np.array_equal(tifffile.imread(out), expected)
    path, out = write(np.dstack([IMAGE, IMAGE[..., :2]]))
    with pytest.raises(ValueError, match=r"scene\.tif: Expected .* 3 channels.*: 5"):
        keras_seg.predict_scene(model, path, out, tile=64)


def test_bands_and_grey_are_those_of_the_model(model, write):
    path, out = write(np.dstack([IMAGE, IMAGE[::-1, :, :2]]))
    keras_seg.predict_scene(model, path, out, tile=64, bands=(4, 0, 2))
    image = np.dstack([IMAGE[::-1, :, 1], IMAGE[..., 0], IMAGE[..., 2]])
    assert np.array_equal(
        tifffile.imread(out), keras_seg.predict_mask(model, image, tile=64)
    )
    out.unlink()
    net = copy.copy(as_net(model))
    net.bands = (4, 0, 2)  # as an export says
    keras_seg.predict_scene(net, path, out, tile=64)
    assert np.array_equal(
        tifffile.imread(out), keras_seg.predict_mask(model, image, tile=64)
    )
    with pytest.raises(ValueError, match=r"scene\.tif: Expected .* channel 5"):
        keras_seg.predict_scene(model, path, out, tile=64, bands=(4, 0, 5))
    keras.utils.set_random_seed(3)
    of_grey = unet(num_classes=3, widths=(4, 6), input_shape=(None, None, 1))
    path, out = write(IMAGE)
    keras_seg.predict_scene(of_grey, path, out, tile=64)
    grey = np.rint(IMAGE @ [0.2989, 0.587, 0.114])[..., None]  # as TensorFlow has it
    expected = keras_seg.predict_mask(of_grey, grey.astype(np.uint8), tile=64)
    assert (tifffile.imread(out) == expected).mean() > 0.98  # but for rounding


def test_sixteen_bits_reach_the_model(write):
    keras.utils.set_random_seed(3)
    net = unet(num_classes=3, widths=(4, 6), value_range=(0, 4095))
    image = RNG.integers(0, 4096, IMAGE.shape).astype(np.uint16)
    path, out = write(image, tile=(32, 32))
    keras_seg.predict_scene(net, path, out, tile=64)
    expected = keras_seg.predict_mask(net, image, tile=64)
    assert len(np.unique(expected)) > 1
    assert np.array_equal(tifffile.imread(out), expected)
    path, out = write(IMAGE)
    with pytest.raises(ValueError, match=r"scene\.tif: Expected an image in 0\.\.4095"):
        keras_seg.predict_scene(net, path, out, tile=64)


def test_a_scene_that_is_broken_leaves_nothing_behind(model, write):
    path, out = write(IMAGE, rowsperstrip=16)
    with tifffile.TiffFile(path) as file:
        end = file.pages[0].dataoffsets[-1]
    path.write_bytes(path.read_bytes()[: end + 9])
    done = []
    with pytest.raises(ValueError, match=r"scene\.tif: .*strip 10 of 10"):
        keras_seg.predict_scene(
            model, path, out, tile=64, progress=lambda *rows: done.append(rows)
        )
    assert [x.name for x in out.parent.iterdir()] == ["scene.tif"]
    assert done
    assert all(rows < 150 == total for rows, total in done)


def test_bad_arguments_are_one_error(model, write, tmp_path):
    path, out = write(IMAGE)
    for place, said in (("mask.png", r"end in \.tif"), ("scene.tif", "another file")):
        with pytest.raises(ValueError, match=said):
            keras_seg.predict_scene(model, path, tmp_path / place)
    for tile in (0, None, "8"):
        with pytest.raises(ValueError, match="Expected `tile`"):
            keras_seg.predict_scene(model, path, out, tile=tile)
    with pytest.raises(FileNotFoundError, match=r"no\.tif"):
        keras_seg.predict_scene(model, tmp_path / "no.tif", out)
    path, out = write((IMAGE / 255).astype(np.float32))
    with pytest.raises(ValueError, match=r"scene\.tif: Expected an image in 0\.\.255"):
        keras_seg.predict_scene(model, path, out)


@pytest.mark.slow
def test_memory_is_that_of_a_row_of_tiles(write):
    """A net of single pixels: the class is the channel that is largest."""
    image = keras.Input((None, None, 3))
    layer = keras.layers.Conv2D(3, 1, use_bias=False, name="score")
    net = keras.Model(image, layer(image))
    layer.set_weights([np.eye(3, dtype=np.float32)[None, None]])
    pixels = np.zeros((2000, 3000, 3), np.uint8)
    y, x = np.ogrid[:2000, :3000]
    expected = ((y // 100 + x // 70) % 3).astype(np.uint8)
    np.put_along_axis(pixels, expected[..., None], 200, axis=-1)
    path, out = write(pixels, tile=(128, 128))
    del pixels
    seen = []
    tracemalloc.start()
    try:
        keras_seg.predict_scene(
            net, path, out, tile=256, progress=lambda *rows: seen.append(rows)
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert np.array_equal(tifffile.imread(out), expected)
    assert seen[-1] == (2000, 2000)
    assert len(seen) == 11  # rows of 192
    # The image has 18 MB, its probabilities 72 MB. By the formula it is 2.3 + 4.6 + 0.8
    # MB, and half as much again for copies that are made on the way.
    assert peak < 24e6
