"""Masks of objects: two classes, or three with a border; and channels by number."""

import numpy as np
import pytest
from PIL import Image

from keras_seg import data
from keras_seg.data.readers.objects import labels_of_objects

SIZE = (12, 17)


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels)).save(path)


def read(root, **arguments):
    return data.folder(root / "images", root / "masks", **arguments)


def some_ids(ids, seed=0):
    return np.random.default_rng(seed).choice(ids, SIZE)


@pytest.fixture
def saved(tmp_path):
    """Function masks -> a root with an image for each mask."""

    def write(*masks):
        for k, mask in enumerate(masks):
            save(tmp_path / f"images/{k}.png", np.full((*SIZE, 3), k, np.uint8))
            save(tmp_path / f"masks/{k}.png", mask)
        return tmp_path

    return write


def border_by_hand(ids, border, *, touching=False, ignored=()):
    """Pixels of objects with another number in the square around, one by one."""
    found = np.zeros(ids.shape, bool)
    for y, x in np.argwhere(ids != 0):
        top, left = max(0, y - border), max(0, x - border)
        around = {*ids[top : y + border + 1, left : x + border + 1].flat}
        around -= {ids[y, x], *ignored} | ({0} if touching else set())
        found[y, x] = bool(around)
    return found


# -------------------------------------------------------------- binary


@pytest.mark.parametrize(
    ("ids", "dtype"),
    [
        ([0, 255], "uint8"),
        ([0, 1], "uint8"),
        ([0, 1, 2, 7, 255], "uint8"),
        ([0, 3, 255, 256, 65535], "uint16"),
    ],
)
def test_anything_but_zero_is_an_object(saved, ids, dtype):
    mask = some_ids(ids).astype(dtype)
    source = read(saved(mask), binary=True)
    assert source.class_names == ("background", "object")
    np.testing.assert_array_equal(source[0][1], mask != 0)
    inside = next(source.masks().as_numpy_iterator())  # in a graph, too
    np.testing.assert_array_equal(inside, mask != 0)


def test_masks_of_one_bit_and_in_rgb_are_read_alike(saved):
    wanted = some_ids([0, 1])
    in_red = wanted[..., None] * np.array([200, 0, 0])
    root = saved(
        wanted.astype(bool),
        255 * wanted[..., None].repeat(3, -1).astype("uint8"),
        in_red.astype("uint8"),
    )
    for _, mask in read(root, binary=True):
        np.testing.assert_array_equal(mask, wanted)


def test_indices_of_a_palette_count_not_its_colours(saved):
    wanted = some_ids([0, 1])
    root = saved(wanted.astype("uint8"))
    image = Image.fromarray(wanted.astype("uint8"))
    image.putpalette([255, 255, 255, 0, 0, 0])  # background is white
    image.save(root / "masks/0.png")
    np.testing.assert_array_equal(read(root, binary=True)[0][1], wanted)


def test_ignored_ids_are_said(saved):
    mask = some_ids([0, 1, 9, 255]).astype("uint8")
    source = read(saved(mask), binary=True, ignore=[9, 255])
    expected = np.where(np.isin(mask, [9, 255]), 255, mask != 0)
    np.testing.assert_array_equal(source[0][1], expected)


def test_classes_may_have_other_names(saved):
    source = read(
        saved(some_ids([0, 255]).astype("uint8")),
        binary=True,
        class_names=["land", "sea"],
    )
    assert source.class_names == ("land", "sea")


def test_a_set_that_was_prepared_is_read_as_binary(saved, tmp_path):
    source = read(saved(some_ids([0, 4]).astype("uint8")), binary=True)
    data.prepare(source, tmp_path / "prepared", verbose=False)
    again = read(tmp_path / "prepared")
    assert again.class_names == ("background", "object")
    np.testing.assert_array_equal(again[0][1], source[0][1])


# -------------------------------------------------------------- borders


@pytest.mark.parametrize("instances", ["border", "touching"])
@pytest.mark.parametrize("border", [1, 2, 3])
def test_the_border_is_what_is_near_another_number(instances, border):
    rng = np.random.default_rng(border)
    ids = np.kron(rng.choice([0, 1, 2, 300, 65535], (4, 5)), np.ones((6, 7), int))
    labels = labels_of_objects(ids, instances=instances, border=border).numpy()
    is_border = border_by_hand(ids, border, touching=instances == "touching")
    assert is_border.any()
    assert (is_border != (ids != 0)).any()
    np.testing.assert_array_equal(labels, np.where(is_border, 2, ids != 0))


def test_the_border_is_what_erosion_takes_off_each_object():
    ndimage = pytest.importorskip("scipy.ndimage", reason="the extra scipy")
    y, x = np.mgrid[:40, :60]
    ids = np.zeros((40, 60), int)
    ids[(y - 18) ** 2 + (x - 20) ** 2 < 150] = 1
    ids[(y - 20) ** 2 + (x - 43) ** 2 < 130] = 2
    labels = labels_of_objects(ids, instances="border", border=2).numpy()
    inside = np.zeros(ids.shape, bool)
    for k in (1, 2):
        inside |= ndimage.binary_erosion(ids == k, np.ones((5, 5)), border_value=1)
    np.testing.assert_array_equal(labels == 1, inside)
    np.testing.assert_array_equal(labels != 0, ids != 0)


def test_the_edge_of_the_image_is_no_border():
    ids = np.full((5, 6), 3)
    assert (labels_of_objects(ids, instances="border", border=2).numpy() == 1).all()


@pytest.mark.parametrize("instances", ["border", "touching"])
def test_ignored_pixels_are_no_other_object(instances):
    ids = np.array([[1, 1, 1, 9, 9, 2, 2, 2, 0, 3]])
    labels = labels_of_objects(ids, ignored=[9], instances=instances, border=1)
    expected = [1, 1, 1, 255, 255, 1, 1, 2, 0, 2]
    if instances == "touching":
        expected = [1, 1, 1, 255, 255, 1, 1, 1, 0, 1]
    assert labels.numpy()[0].tolist() == expected


def test_colours_tell_objects_apart():
    ids = np.array([[0, 255 << 16, 255 << 16, (255 << 16) + 1, 0]])
    labels = labels_of_objects(ids, instances="touching", border=1)
    assert labels.numpy()[0].tolist() == [0, 1, 2, 2, 0]


@pytest.mark.parametrize("instances", ["border", "touching"])
def test_three_classes_are_read_from_a_folder(saved, instances):
    mask = np.kron(some_ids([0, 1, 2, 700]), np.ones((3, 3))).astype("uint16")
    root = saved(mask)
    save(root / "images/0.png", np.zeros((*mask.shape, 3), np.uint8))
    source = read(root, instances=instances, border=1)
    assert source.class_names == ("background", "inside", "border")
    expected = border_by_hand(mask, 1, touching=instances == "touching")
    expected = np.where(expected, 2, mask != 0)
    np.testing.assert_array_equal(source[0][1], expected)
    np.testing.assert_array_equal(next(source.masks().as_numpy_iterator()), expected)
    wide = read(root, instances=instances)[0][1]
    assert (wide == 2).sum() > (expected == 2).sum()  # two pixels, unless said


# -------------------------------------------------------------- what doesn't fit


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"binary": "yes"}, "Expected `binary` to be True or False. Received: 'yes'"),
        ({"instances": "edges"}, "Expected `instances` to be one of 'border'"),
        ({"instances": "border", "binary": True}, r"two classes.*three.*not both"),
        ({"border": 2}, "Expected `border`.*with `instances='border'`.*Received: 2"),
        ({"instances": "border", "border": 0}, "`border`.*1 or more. Received: 0"),
        ({"instances": "border", "border": 1.5}, "`border`.*Received: 1.5"),
        ({"binary": True, "ids": [0, 255]}, r"no `ids` with `binary`.*\[0, 255\]"),
        ({"instances": "border", "palette": [(0, 0, 0)]}, "no `palette` with `inst"),
        (
            {"binary": True, "class_names": ["a", "b", "c"]},
            r"2 names with `binary`: background, object.*Received: 3 \(a, b, c\)",
        ),
        ({"binary": True, "ignore": 0}, r"aren't the background's.*Received: 0"),
        ({"binary": True, "ignore": "#ffffff"}, "`ignore` to be whole numbers"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(saved, arguments, said):
    root = saved(some_ids([0, 255]).astype("uint8"))
    with pytest.raises(ValueError, match=said):
        read(root, **arguments)


def test_a_mask_that_can_not_be_read_is_named(saved):
    root = saved(some_ids([0, 255]).astype("uint8"))
    (root / "masks/0.png").write_bytes(b"no png")
    with pytest.raises(ValueError, match=r"masks/0\.png: Expected a label PNG"):
        read(root, binary=True)[0]


def test_masks_of_0_and_255_are_advised_to_be_binary(saved):
    root = saved(*(some_ids([0, 255], k).astype("uint8") for k in range(3)))
    with pytest.raises(ValueError, match=r"two classes.*`binary=True`") as caught:
        read(root)
    assert caught.value.arguments == {"binary": True}


# -------------------------------------------------------------- bands


@pytest.fixture
def four_bands(tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (2, *SIZE, 4)).astype("uint8")
    for k in range(2):
        save(tmp_path / f"images/{k}.png", pixels[k])
        save(tmp_path / f"masks/{k}.png", some_ids([0, 1]).astype("uint8"))
    return tmp_path, pixels


@pytest.mark.parametrize("bands", [(3, 0, 1), [2], np.array([0, 1, 2, 3]), (3, 2)])
def test_bands_are_picked_in_order(four_bands, bands):
    root, pixels = four_bands
    source = read(root, binary=True, bands=bands)
    np.testing.assert_array_equal(source[1][0], pixels[1][..., list(bands)])
    batches = source.batches(2, size=(32, 32))
    assert batches.element_spec[0].shape[-1] == len(bands)
    image, _ = next(source.dataset().as_numpy_iterator())
    np.testing.assert_array_equal(image, pixels[0][..., list(bands)])


def test_windows_have_the_bands_too(four_bands):
    root, pixels = four_bands
    source = read(root, binary=True, bands=(3, 0))
    window = source._pixels(np.int64(0), np.array([2, 3, 4, 5], np.int32))
    np.testing.assert_array_equal(window, pixels[0][2:6, 3:8][..., [3, 0]])


def test_bands_are_those_of_the_channels_that_are_read(four_bands):
    root, pixels = four_bands
    source = read(root, binary=True, channels=3, bands=(1,))
    np.testing.assert_array_equal(source[0][0], pixels[0][..., 1:2])
    with pytest.raises(ValueError, match=r"0\.png: .*channel 3.*Received: 3 channels"):
        read(root, binary=True, channels=3, bands=(3,))


def test_an_image_without_the_band_is_named(four_bands):
    root, _ = four_bands
    with pytest.raises(
        ValueError,
        match=r"images/0\.png: .*channel 4.*4 channels, number 0 to 3:.*from 0",
    ):
        read(root, binary=True, bands=(0, 4))
    save(root / "images/1.png", np.zeros((*SIZE, 3), np.uint8))
    with pytest.raises(ValueError, match=r"images/1\.png: .*4 channels. Received: 3"):
        read(root, binary=True, bands=(0, 3))[1]


@pytest.mark.parametrize(
    ("bands", "said"),
    [
        ((), r"numbers of channels from 0 on.*Received: \(\)"),
        ((-1,), r"numbers of channels.*Received: \(-1,\)"),
        ((0.0, 1), "numbers of channels.*Received"),
        ((True, False), "numbers of channels.*Received"),
        ("3,0", "numbers of channels.*Received: '3,0'"),
        (3, "numbers of channels.*Received: 3"),
        ((0, 1, 0), "each channel once. Received twice: 0.*channels=3"),
    ],
)
def test_what_are_no_bands_is_refused(four_bands, bands, said):
    with pytest.raises(ValueError, match=said):
        read(four_bands[0], binary=True, bands=bands)


def test_a_prepared_set_has_the_bands_that_were_picked(four_bands, tmp_path):
    root, pixels = four_bands
    source = read(root, binary=True, bands=(3, 0, 1))
    data.prepare(source, tmp_path / "prepared", verbose=False)
    image, _ = read(tmp_path / "prepared")[0]
    np.testing.assert_array_equal(image, pixels[0][..., [3, 0, 1]])
