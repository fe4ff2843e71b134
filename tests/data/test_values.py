"""Images of 16 bits and of floats: nothing is rounded to bytes on the way."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_seg import data

NAMES = ("ground", "cell")
RNG = np.random.default_rng(0)
MASK = RNG.integers(0, 2, (6, 8))


def of_12_bits(channels=1):
    return RNG.integers(0, 4096, (6, 8, channels)).astype(np.uint16)


def one(image, mask=MASK, **arguments):
    return data.arrays([image], [mask], class_names=NAMES, **arguments)


@pytest.mark.parametrize(
    ("dtype", "value_range", "expected"),
    [
        ("uint8", None, ("uint8", (0, 255))),
        ("uint16", None, ("uint16", (0, 65535))),
        ("uint16", (0, 4095), ("uint16", (0, 4095))),
        ("float64", (0, 1), ("float32", (0, 1))),
        ("int16", (-1000, 3000), ("float32", (-1000, 3000))),
        ("uint32", (0.0, 9.5), ("float32", (0, 9.5))),
        ("float32", (-1e30, 1e30), ("float32", (-1e30, 1e30))),
    ],
)
def test_values_come_as_they_are_in_their_range(dtype, value_range, expected):
    image = np.array([[[0], [1]]], dtype)
    source = one(image, np.zeros((1, 2), int), value_range=value_range)
    assert (source.dtype, source.value_range) == expected
    assert (source[0][0].dtype, source[0][0].tolist()) == (expected[0], image.tolist())
    for form in (source.dataset(), source.whole_images(), source.batches(1)):
        assert form.element_spec[0].dtype == expected[0]


def test_16_bits_keep_every_level_through_batches_and_cache():
    image = of_12_bits(3)
    source = one(image, value_range=(0, 4095))
    still = data.standard_augmentation(scale=(1, 1), flip=False, color=0)
    for batches in (
        source.batches(1, size=(6, 8)),
        source.batches(1, size=(6, 8), augment=still),
        data.cached(source, verbose=False).batches(1, size=(6, 8)),
    ):
        images, _ = next(iter(batches))
        np.testing.assert_array_equal(images[0], image)
    assert data.cached(source, verbose=False).value_range == (0, 4095)


def test_colors_of_a_range_are_those_of_bytes_in_its_units():
    """A range of 4 times as many levels from 100 on: the same picture, rescaled."""
    image = RNG.integers(0, 256, (6, 8, 3)).astype(np.float32)
    augment = data.standard_augmentation()
    seed = (0, 3)
    expected = augment.recolor(tf.constant(image), seed).numpy()
    assert np.abs(expected - image).max() > 5
    wide = augment.recolor(tf.constant(4 * image + 100), seed, (100, 1120))
    np.testing.assert_allclose((wide - 100) / 4, expected, atol=1e-3)
    low, high = np.array([0, 10, 20]), np.array([255, 265, 530])
    image_of_ranges = image * (high - low) / 255 + low
    each = augment.recolor(
        tf.constant(image_of_ranges, tf.float32), seed, (low.tolist(), high.tolist())
    )
    np.testing.assert_allclose((each - low) / (high - low) * 255, expected, atol=1e-3)


def test_augmented_values_end_at_the_range_and_at_the_dtype_where_they_may_leave_it():
    bright = np.full((6, 8, 3), 4000, np.uint16)
    augment = data.standard_augmentation(color=0.9)

    def most(**arguments):
        batches = one(bright, value_range=(0, 4095), **arguments).batches(
            1, size=(6, 8), augment=augment, repeat=True
        )
        return max(int(images.numpy().max()) for images, _ in batches.take(16))

    assert most() == 4095
    assert 4095 < most(outside="keep") <= 4000 * 1.9 * 1.9


@pytest.mark.parametrize("size", [None, (9, 11)])
@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        ("float32", -10.25, 5),
        ("uint16", 7, 70),
        ("float32", (-1.5, 0), (1, 2)),
        ("uint16", (3, 0), (80, 90)),
        ("uint8", 0, 255),
    ],
)
def test_padding_is_black_and_pixels_stay_exact(dtype, low, high, size):
    channels = 2
    image = np.broadcast_to(np.asarray(high, dtype), (3, 5, channels)) / 2
    image = (image + np.asarray(low) / 2).astype(dtype)
    source = data.arrays(
        [image, image[:2]],
        [np.zeros((3, 5), int), np.zeros((2, 5), int)],
        class_names=NAMES,
        value_range=(low, high),
    )
    images, masks = next(iter(source.batches(2, size=size)))
    assert images.dtype == dtype
    for k, height in enumerate((3, 2)):
        np.testing.assert_array_equal(images[k, :height, :5], image[:height])
        padding = images[k].numpy()[masks[k] == 255]
        assert len(padding) == images.shape[1] * images.shape[2] - 5 * height
        np.testing.assert_array_equal(padding, np.broadcast_to(low, padding.shape))


def test_what_comes_from_outside_of_a_rotated_image_is_black():
    image = np.full((20, 20, 1), 50.0)
    source = one(image, np.zeros((20, 20), int), value_range=(-100, 100))
    augment = data.standard_augmentation(scale=(1, 1), rotation=45)
    batches = source.batches(1, size=(20, 20), augment=augment, repeat=True)
    images, masks = (np.concatenate(x) for x in zip(*batches.take(8), strict=True))
    assert (masks == 255).sum() > 100
    assert (images[masks == 255] == -100).all()
    assert (images[masks != 255] > -100).all()


@pytest.mark.parametrize(
    ("image", "arguments", "message"),
    [
        (of_12_bits(), {"value_range": (0, 1000)}, r"in 0\.\.1000. Received: uint16"),
        (of_12_bits() / 4095, {}, r"float64.*say which range.*`value_range=\(0, 1\)`"),
        (of_12_bits().astype("int32"), {}, "int32.*measure one: `value_range='percent"),
        (of_12_bits() - 4096.0, {"value_range": (0, 4095)}, r"float64 in -4"),
        (of_12_bits(2), {"value_range": ((0, 0, 0), (9, 9, 9))}, "3 channels.*2"),
        (of_12_bits(), {"value_range": (9, 0)}, r"low below high.*\(9, 0\)"),
        (of_12_bits(), {"value_range": "12 bits"}, "low below high"),
        (of_12_bits(), {"value_range": (0, np.inf)}, "low below high"),
        (of_12_bits(), {"outside": "wrap"}, "one of 'error', 'keep'"),
        (of_12_bits(), {"nodata": "none"}, "Expected `nodata`"),
    ],
)
def test_a_range_that_images_have_not_is_an_error(image, arguments, message):
    with pytest.raises(ValueError, match=message):
        one(image, **arguments)


def test_a_measured_range_may_be_left():
    source = one(of_12_bits()).with_value_range((1000, 3000), outside="keep")
    assert source.value_range == (1000, 3000)
    assert source[0][0].min() < 1000
    with pytest.raises(ValueError, match=r"example 0: Expected images in 1000..3000"):
        one(of_12_bits()).with_value_range((1000, 3000))[0]


def with_gaps(kind):
    """An image of two channels with three pixels without data, and its `nodata`."""
    image = RNG.uniform(1, 2, (6, 8, 2)).astype(np.float32)
    if kind == "nan":
        image[0, 0], image[0, 1, 1], image[0, 2, 0] = np.nan, np.inf, -np.inf
        return image, np.nan
    if kind == "in the range":  # only where all channels have it
        image[0, :3], image[3, 3, 0] = 0, 0
        return image, 0
    image[0, 0], image[0, 1, 1], image[0, 2, 0] = -9999, -9999, -9999
    return image, -9999


@pytest.mark.parametrize("kind", ["nan", "in the range", "outside of it"])
def test_pixels_without_data_are_ignored_and_black(kind):
    image, nodata = with_gaps(kind)
    source = one(image, nodata=nodata, value_range=(0, 2))
    expected = MASK.copy()
    expected[0, :3] = 255
    pixels, mask = source[0]
    np.testing.assert_array_equal(mask, expected)
    np.testing.assert_array_equal(pixels[mask == 255], 0)
    np.testing.assert_array_equal(pixels[mask != 255], image[expected != 255])
    np.testing.assert_array_equal(next(iter(source.masks())), expected)
    still = data.standard_augmentation(scale=(1, 1), flip=False)
    (images, masks), *_ = source.batches(1, size=(6, 8), augment=still)
    np.testing.assert_array_equal(masks[0], expected)
    assert np.isfinite(images).all()


def test_numbers_that_are_none_are_an_error_that_names_the_remedy():
    image, _ = with_gaps("nan")
    with pytest.raises(ValueError, match=r"4 values.*NaN or infinite.*`nodata=nan`"):
        one(image, value_range=(0, 2))


def test_sources_of_two_ranges_are_not_joined():
    one_range = one(of_12_bits(), value_range=(0, 4095))
    both = one_range + one(of_12_bits(), value_range=(0, 4095))
    assert (len(both), both.value_range, both.dtype) == (2, (0, 4095), "uint16")
    with pytest.raises(ValueError, match=r"same value range.*\(0, 4095\) and"):
        one_range + one(of_12_bits())
    with pytest.raises(ValueError, match=r"same dtype. Received: uint16 and float32"):
        one_range + one(of_12_bits() * 1.0, value_range=(0, 4095))


@pytest.fixture
def deep_folder(tmp_path):
    """Two grey PNGs of 16 bits with their masks, and what is in them."""
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    images = [of_12_bits()[..., 0] for _ in range(2)]
    for k, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"images/{k}.png")
        Image.fromarray(MASK.astype(np.uint8)).save(tmp_path / f"masks/{k}.png")
    return tmp_path, images


def read_folder(path, **arguments):
    return data.folder(path / "images", path / "masks", class_names=NAMES, **arguments)


def test_a_folder_of_16_bits_is_read_to_the_level(deep_folder):
    path, images = deep_folder
    source = read_folder(path, value_range=(0, 4095))
    assert (source.dtype, source.channels) == ("uint16", 1)
    for k, image in enumerate(images):
        np.testing.assert_array_equal(source[k][0][..., 0], image)
    repeated = read_folder(path, channels=3)[0][0]
    np.testing.assert_array_equal(repeated, images[0][..., None].repeat(3, -1))


@pytest.mark.parametrize("first", [0, 1])
def test_files_of_another_depth_than_the_first_are_named(deep_folder, first):
    path, _ = deep_folder
    shallow = Image.fromarray(np.zeros((6, 8), np.uint8))
    shallow.save(path / f"images/{first}.png")
    source = read_folder(path)
    dtype, bits = ("uint8", 16) if first == 0 else ("uint16", 8)
    message = rf"images/1.png: Expected an image of {dtype}.*PNG of {bits} bits"
    with pytest.raises(ValueError, match=message):
        source[1]
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        list(source.batches(1))


def test_inspect_tells_values_and_proposes_their_range(deep_folder):
    path, images = deep_folder
    report = data.inspect(read_folder(path), verbose=False)
    (problem,) = report.problems
    assert (problem.kind, problem.serious) == ("small_range", False)
    assert problem.arguments == {"value_range": (0, 4095)}
    values = report.as_dict()["splits"]["all"]["image_values"]
    assert (values["dtype"], values["value_range"]) == ("uint16", [0, 65535])
    assert values["low"] == [np.min(images)]
    assert values["high"] == [np.max(images)]
    assert values["percentiles"]["50"] == np.percentile(images, 50)
    text = f"uint16, 1 channel, values {np.min(images)} to {np.max(images)} of 0..65535"
    assert text in str(report)
    again = data.inspect(read_folder(path, value_range=(0, 4095)), verbose=False)
    assert not again.problems


def test_inspect_tells_images_whose_16_bits_were_cut_to_8():
    faint = RNG.integers(2060, 2290, (3, 20, 30, 1)).astype(np.uint16)
    masks = np.zeros((3, 20, 30), np.uint8)
    masks[:, :9] = 1

    def problems(images):
        source = data.arrays(images, masks, class_names=["a", "b"])
        return data.inspect(source, verbose=False).problems

    (problem,) = problems((faint >> 8).astype(np.uint8))
    assert (problem.kind, problem.serious) == ("few_levels", False)
    assert "values from 8 to 8 only" in problem.message
    assert problems((faint - 2048).astype(np.uint8)) == []
