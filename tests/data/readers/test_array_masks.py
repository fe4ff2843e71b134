"""Masks that are TIFFs, GIFs or BMPs, and what TIFF images say of their masks."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_seg import data
from keras_seg.data.suggestions import SuggestionError

tifffile = pytest.importorskip(
    "tifffile", reason="keras-seg[tiff] isn't installed: pip install 'keras-seg[tiff]'"
)
CLASSES = ["land", "sea", "ice"]
SIZE = (40, 30)
IDS = np.random.default_rng(0).choice([0, 1, 2, 255], SIZE).astype(np.uint8)
# East of the 9th meridian, 10 m a pixel: scale, tiepoint, and the key of UTM zone 32N.
PLACE = [
    (33550, 12, 3, (10.0, 10.0, 0.0)),
    (33922, 12, 6, (0.0, 0.0, 0.0, 300000.0, 5100000.0, 0.0)),
    (34735, 3, 8, (1, 1, 0, 1, 3072, 0, 1, 32632)),
]


@pytest.fixture
def write(tmp_path):
    """Function that writes a pair, and returns the Source of the folders."""
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    Image.new("RGB", SIZE[::-1]).save(tmp_path / "images/a.png")

    def source(name, ids, image=None, image_options=(), *, arguments=(), **options):
        path = tmp_path / "masks" / name
        if name.endswith(".tif"):
            tifffile.imwrite(path, ids, **({"photometric": "minisblack"} | options))
        else:
            ids.save(path) if isinstance(ids, Image.Image) else Image.fromarray(
                ids
            ).save(path)
        if image is not None:
            (tmp_path / "images/a.png").unlink()
            tifffile.imwrite(tmp_path / "images/a.tif", image, **dict(image_options))
        arguments = {"class_names": CLASSES, "channels": 3} | dict(arguments)
        return data.folder(tmp_path / "images", tmp_path / "masks", **arguments)

    return source


def mask_of(source):
    """The mask, the same by tf.data and in parts."""
    whole = source._ids(tf.constant(0)).numpy()
    (by_pipeline,) = source.masks().as_numpy_iterator()
    assert np.array_equal(by_pipeline, whole)
    window = tf.constant([5, 7, 21, 13])
    assert np.array_equal(source._ids(tf.constant(0), window), whole[5:26, 7:20])
    return whole


@pytest.mark.parametrize(
    ("dtype", "options"),
    [
        ("uint8", {}),
        ("uint16", {"compression": "lzw"}),
        ("int16", {"compression": "zlib", "tile": (16, 16)}),
        ("int32", {"byteorder": ">"}),
        ("uint32", {}),
        ("int64", {}),
        ("float32", {}),
        ("float64", {}),
    ],
)
def test_a_tiff_of_ids_is_a_mask(write, dtype, options):
    assert np.array_equal(mask_of(write("a.tif", IDS.astype(dtype), **options)), IDS)


def test_an_id_that_no_byte_holds_is_no_other_one(write, tmp_path):
    Image.new("RGB", SIZE[::-1]).save(tmp_path / "images/0.png")
    Image.fromarray(np.minimum(IDS, 2)).save(tmp_path / "masks/0.png")
    source = write("a.tif", np.full(SIZE, 258, np.uint16))  # 258 % 256 is a class
    with pytest.raises(ValueError, match=r"a\.tif: .*Received: 258"):
        source._ids(tf.constant(1))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"a\.tif: .*258"):
        list(source.masks())


def test_of_a_palette_the_indices_are_ids(write, tmp_path):
    ids = np.minimum(IDS, 3) % 3
    colors = np.random.default_rng(1).integers(0, 256, (256, 3), np.uint8)
    image = Image.fromarray(ids)
    image.putpalette(colors.tobytes())
    for name in ("a.gif", "a.bmp"):
        assert np.array_equal(mask_of(write(name, image)), ids)
        (tmp_path / "masks" / name).unlink()
    colormap = colors.T.astype(np.uint16) * 257
    options = {"photometric": "palette", "colormap": colormap}
    assert np.array_equal(mask_of(write("a.tif", ids, **options)), ids)


@pytest.mark.parametrize("present", [[0, 2], [2], [0, 1, 2, 255], [0, 255]])
def test_of_a_grey_gif_the_greys_are_ids(write, present):
    ids = np.resize(np.uint8(present), SIZE)
    # Pillow writes indices of those greys only that occur: other ones in each file.
    source = write("a.gif", Image.fromarray(ids))
    assert np.array_equal(mask_of(source), ids)


def test_greys_that_stand_twice_in_a_gif_lose_no_id(write):
    ids = np.minimum(IDS, 2)
    image = Image.fromarray(ids)
    image.putpalette([0, 0, 0, 9, 9, 9, 9, 9, 9])
    assert np.array_equal(mask_of(write("a.gif", image)), ids)


def test_single_bits_are_0_and_1(write, tmp_path):
    bits = IDS > 0
    for name in ("a.tif", "a.bmp"):
        assert np.array_equal(mask_of(write(name, bits)), bits)
        (tmp_path / "masks" / name).unlink()


def test_ids_of_other_tools_are_translated(write):
    source = write(
        "a.tif",
        np.uint16([[0, 700], [9, 65535]] * 2),
        arguments={
            "ids": [0, 700, 9],
            "ignore": 65535,
        },
    )
    assert source._ids(tf.constant(0)).numpy().tolist() == [[0, 1], [2, 255]] * 2


def test_colours_stand_for_ids_where_a_palette_says_so(write, tmp_path):
    palette = np.uint8([[0, 0, 0], [0, 0, 255], [255, 255, 255]])
    ids = np.minimum(IDS, 2)
    path = tmp_path / "names.txt"
    path.write_text("0 0 0 land\n0 0 255 sea\n255 255 255 ice\n")
    arguments = {"palette": path, "class_names": None}
    for name, options in (("a.tif", {"photometric": "rgb"}), ("a.bmp", {})):
        source = write(name, palette[ids], arguments=arguments, **options)
        assert np.array_equal(mask_of(source), ids)
        (tmp_path / "masks" / name).unlink()
    source = write("a.tif", ids, arguments=arguments)  # grey: ids all the same
    assert np.array_equal(mask_of(source), ids)
    stray = palette[ids]
    stray[3, 4] = 7, 8, 9
    source = write("a.tif", stray, arguments=arguments, photometric="rgb")
    with pytest.raises(ValueError, match=r"a\.tif: .*colours.*#070809"):
        source._ids(tf.constant(0))


def test_colours_without_a_palette_are_an_error_that_lists_them(write):
    rgb = np.uint8([[0, 0, 0], [0, 0, 255], [255, 255, 255]])[np.minimum(IDS, 2)]
    with pytest.raises(ValueError, match=r"Expected `palette`.*\(0, 0, 255\)"):
        write("a.tif", rgb, photometric="rgb")


def test_missing_class_names_are_suggested_from_tiffs(write):
    with pytest.raises(SuggestionError, match=r"Ids in 1 masks: 0 \(") as raised:
        write("a.tif", np.minimum(IDS, 2), arguments={"class_names": None})
    assert len(raised.value.arguments["class_names"]) == 3


def both_ways(source, message):
    """The error is the same in tf.data."""
    with pytest.raises(ValueError, match=message):
        source._ids(tf.constant(0))
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        list(source.masks())


@pytest.mark.parametrize(
    ("value", "shown"), [(0.5, "0.5"), (np.nan, "nan"), (np.inf, "inf")]
)
def test_a_mask_of_fractions_is_an_error_with_a_remedy(write, value, shown):
    ids = np.minimum(IDS, 2).astype(np.float32)
    ids[3, 4] = value
    both_ways(
        write("a.tif", ids),
        rf"a\.tif: Expected a mask of whole numbers\. Received: float32 with {shown}\. "
        r".*Try: save class ids as uint8",
    )


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "float32"])
def test_ids_below_0_are_an_error_that_names_them(write, dtype):
    ids = np.minimum(IDS, 2).astype(dtype)
    ids[3, 4], ids[9, 9] = -1, -9
    both_ways(write("a.tif", ids), r"a\.tif: .*Received: -9, -1\. Try: save 255")


def test_an_unknown_id_and_a_broken_mask_are_named(write, tmp_path):
    ids = np.minimum(IDS, 2)
    ids[0, 0] = 77
    both_ways(write("a.tif", ids), r"a\.tif: .*Received: 77")
    source = write("a.tif", np.minimum(IDS, 2), rowsperstrip=8, compression="zlib")
    path = tmp_path / "masks/a.tif"
    with tifffile.TiffFile(path) as file:
        end = file.pages[0].dataoffsets[-1]
    path.write_bytes(path.read_bytes()[: end + 2])
    both_ways(source, r"a\.tif: .*strip 5 of 5, which ends after 2")


def test_no_data_of_a_mask_that_no_class_can_have_is_ignored(write):
    ids = np.minimum(IDS, 2).astype(np.int8)
    ids[3, 4] = -1
    for nodata, expected in ((b"-1", 255), (b"0", None)):
        tag = [(42113, 2, None, nodata)]
        if expected is None:  # 0 is a class
            ids = np.abs(ids)
            expected = 1
        found = mask_of(write("a.tif", ids, extratags=tag))
        assert found[3, 4] == expected
        np.testing.assert_array_equal(np.delete(found, 3, 0), np.delete(ids, 3, 0))


@pytest.mark.parametrize("by", ["tag", "argument"])
@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [("uint8", 0), ("int16", -32768), ("float32", -9999), ("float32", np.nan)],
)
def test_pixels_without_data_are_ignored_and_black(write, dtype, nodata, by):
    image = np.random.default_rng(2).integers(2, 99, (*SIZE, 3)).astype(dtype)
    image[3:9, 4:11] = nodata
    if dtype == "uint8":
        image[20, 20, 0] = nodata  # has data in other bands
    options = {"photometric": "rgb", "compression": "zlib", "tile": (16, 16)}
    arguments = {"value_range": (1, 99) if nodata else (0, 255)}
    if by == "tag":
        options["extratags"] = [(42113, 2, None, str(nodata).encode())]
    else:
        arguments["nodata"] = nodata
    source = write("a.tif", IDS, image, options, arguments=arguments)
    missing = np.zeros(SIZE, bool)
    missing[3:9, 4:11] = True
    assert np.array_equal(mask_of(source), np.where(missing, 255, IDS))
    pixels, _ = source[0]
    assert np.array_equal(pixels[~missing], image[~missing])
    assert (pixels[missing] == (1 if nodata else 0)).all()
    (part, mask), *_ = data.tiles(source, 16)
    assert np.array_equal(part, pixels[:16, :16])
    assert np.array_equal(mask, np.where(missing, 255, IDS)[:16, :16])


def moved(place, **changes):
    """The tags with other values, by their numbers."""
    return [
        (tag, kind, count, changes.get(f"_{tag}", value))
        for tag, kind, count, value in place
    ]


@pytest.mark.parametrize(
    ("tags", "shown"),
    [
        (
            moved(PLACE, _33922=(0.0, 0.0, 0.0, 300010.0, 5100000.0, 0.0)),
            r"\(300000, 5100000\) in EPSG:32632.*mask has.*\(300010, 5100000\)",
        ),
        (
            moved(PLACE, _33550=(20.0, 20.0, 0.0)),
            r"pixels of 10 x -10; the mask.*pixels of 20 x -20",
        ),
        (
            moved(PLACE, _34735=(1, 1, 0, 1, 3072, 0, 1, 32633)),
            r"EPSG:32632.*EPSG:32633",
        ),
    ],
)
def test_an_image_and_a_mask_of_different_places_are_an_error(write, tags, shown):
    image = np.zeros((*SIZE, 3), np.uint8)
    options = {"photometric": "rgb", "extratags": PLACE}
    source = write("a.tif", IDS, image, options, extratags=tags)
    both_ways(source, rf"a\.tif: Expected .* same place.*{shown}.*Try: warp the mask")


def test_an_image_and_a_mask_of_one_place_agree(write):
    image = np.full((*SIZE, 3), 9, np.uint8)
    options = {"photometric": "rgb", "extratags": PLACE}
    # The same place by another tiepoint, with the rounding errors of other software.
    other = (30.0, 40.0, 0.0, 300300.00001, 5099600.0, 0.0)
    for tags in (PLACE, moved(PLACE, _33922=other), PLACE[:2], []):
        source = write("a.tif", IDS, image, options, extratags=tags)
        assert np.array_equal(mask_of(source), IDS)
        image = None


def test_slices_map_ids_and_sums_read_parts_of_masks(write):
    source = write("a.tif", np.minimum(IDS, 2))
    mapped = (source + source)[1:].map_ids([0, (1, 2)], ["land", "water"])
    window = tf.constant([5, 7, 21, 13])
    expected = np.minimum(IDS, 1)[5:26, 7:20]
    assert np.array_equal(mapped._ids(tf.constant(0), window), expected)


def numbered(count, first=1):
    """A mask of so many objects of a pixel each, and its largest numbers."""
    ids = np.zeros(SIZE, np.uint32)
    ids.ravel()[:count] = np.arange(first, first + count)
    return ids


@pytest.mark.parametrize(
    ("ids", "ending"), [(numbered(700), "tif"), (numbered(3, 65533), "png")]
)
def test_ids_up_to_65535_are_ids_of_a_class_or_ignored(write, ids, ending):
    two = {"class_names": ["land", "cell"], "ids": [0, range(1, 65536)]}
    name = f"a.{ending}"
    assert np.array_equal(
        mask_of(write(name, ids.astype(np.uint16), arguments=two)), ids > 0
    )
    last = int(ids.max())
    one = {"class_names": ["land", "cell"], "ids": [0, range(1, last)], "ignore": last}
    expected = np.where(ids == last, 255, ids > 0)
    source = write(name, ids.astype(np.uint16), arguments=one)
    assert np.array_equal(mask_of(source), expected)
    swapped = source.map_ids([1, 0], ["cell", "land"])
    assert np.array_equal(
        mask_of(swapped), np.where(expected == 255, 255, 1 - expected)
    )


@pytest.mark.parametrize("ids", [None, [0, range(1, 256)]])
def test_numbers_of_16_bits_are_no_blur_but_objects(write, ids):
    arguments = {"class_names": ["land", "cell"], "ids": ids}
    source = write("a.tif", numbered(700).astype(np.uint16), arguments=arguments)
    remedy = "So many ids, up to 700, mean that masks number objects: "
    remedy += r"`ids=\[0, range\(1, 65"
    with pytest.raises(ValueError, match=rf"a\.tif: Expected .*{remedy}"):
        source[0]
    (problem,) = data.inspect(source, verbose=False).problems
    assert (problem.kind, problem.serious) == ("unknown_ids", True)
    assert problem.arguments == {"ids": [0, range(1, 65536)]}
    source = write(
        "a.tif",
        numbered(700).astype(np.uint16),
        arguments=problem.arguments | {"class_names": ["land", "cell"]},
    )
    assert not data.inspect(source, verbose=False).serious


@pytest.mark.parametrize("ids", [None, [0, 7]])
@pytest.mark.parametrize("large", [70_000, 2**24 + 5, 2**32 - 1])
def test_ids_of_32_bits_are_told_as_ids_not_colors(write, large, ids):
    mask = np.zeros(SIZE, np.uint32)
    mask[:3] = large
    arguments = {"class_names": ["land", "cell"], "ids": ids}
    source = write("a.tif", mask, arguments=arguments)
    shown = min(large, 2**30 - 2**24 - 1)  # the largest that is told
    with pytest.raises(
        ValueError, match=rf"a\.tif: Expected a mask of.*Received: {shown}"
    ):
        source[0]
    (problem,) = data.inspect(source, verbose=False).problems
    assert problem.kind == "unknown_ids"
    assert str(shown) in problem.message
    palette = {"class_names": None, "palette": [(0, 0, 0), (1, 2, 3)]}
    with pytest.raises(ValueError, match=rf"Received: {shown}"):
        write("a.tif", mask, arguments=palette | {"class_names": ["a", "b"]})[0]
    objects = write("a.tif", mask, arguments={"class_names": None, "binary": True})
    assert np.array_equal(mask_of(objects), mask > 0)
