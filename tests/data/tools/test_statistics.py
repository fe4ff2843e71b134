"""Statistics of pixels, beside NumPy's over all of them in float64."""

import numpy as np
import pytest
import tensorflow as tf

from keras_seg import data
from keras_seg.data.tools import pixel_sums
from keras_seg.data.tools.pixel_sums import PART, sums_of
from keras_seg.data.tools.statistics import Statistics

NAMES = ["ground", "cat"]
SIZES = [(5, 8), (9, 4), (30, 33)]


def source_of(images, masks=None):
    masks = [np.zeros(x.shape[:2], int) for x in images] if masks is None else masks
    return data.arrays(images, masks, class_names=NAMES)


def measured(*parts):
    """Statistics of pixels `[n, channels]`, which arrive in these parts."""
    sums = sums_of(parts[0].dtype, parts[0].shape[1])
    for part in parts:
        sums.add(part)
    return Statistics(parts[0].dtype.name, len(parts), **sums.result())


def check(found, pixels):
    """Against NumPy, over the finite numbers of `[n, channels]`."""
    for channel, numbers in enumerate(pixels.astype(np.float64).T):
        x = numbers[np.isfinite(numbers)]
        assert found.mean[channel] == pytest.approx(x.mean(), rel=1e-12)
        assert found.deviation[channel] == pytest.approx(x.std(), rel=1e-10)
        assert found.minimum[channel] == x.min()
        assert found.maximum[channel] == x.max()
        for percent in (0, 0.5, 33.3, 50, 99.5, 100):
            expected = np.percentile(x, percent)
            assert found.percentile(percent)[channel] == pytest.approx(expected)
    assert found.pixels == len(pixels)
    assert found.nan.tolist() == np.isnan(pixels).sum(0).tolist()
    assert found.infinite.tolist() == np.isinf(pixels).sum(0).tolist()


# -------------------------------------------------------------- of a Source


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return [rng.integers(0, [256, 100, 3], (*s, 3)).astype("uint8") for s in SIZES]


def test_statistics_are_those_of_all_pixels(images):
    found = data.statistics(source_of(images), verbose=False)
    check(found, np.concatenate([x.reshape(-1, 3) for x in images]))
    assert (found.images, found.dtype) == (3, "uint8")


def test_ignored_pixels_are_left_out_on_request(images):
    rng = np.random.default_rng(1)
    masks = [rng.choice([0, 1, 255], x.shape[:2]) for x in images]
    source = source_of(images, masks)
    found = data.statistics(source, labelled=True, verbose=False)
    pixels = np.concatenate(
        [x[mask != 255] for x, mask in zip(images, masks, strict=True)]
    )
    check(found, pixels)
    assert data.statistics(source, verbose=False).pixels > len(pixels)


def test_progress_is_shown(images, capsys):
    data.statistics(source_of(images))
    assert "3/3" in capsys.readouterr().out


def test_an_image_that_can_not_be_read_is_named(images):
    source = source_of([*images, np.zeros((3, 3, 2), "uint8")])
    with pytest.raises(tf.errors.OpError, match=r"example 3: .*Received: \(3, 3, 2\)"):
        data.statistics(source, verbose=False)


def test_no_examples_are_refused(images):
    with pytest.raises(ValueError, match=r"with examples\. Received: none"):
        data.statistics(source_of(images)[:0], verbose=False)


# -------------------------------------------------------------- types


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32"])
def test_integers_are_summed_exactly(dtype):
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    rng = np.random.default_rng(0)
    pixels = rng.integers(low, high, (5000, 2), dtype=dtype, endpoint=True)
    check(measured(pixels[:123], pixels[123:]), pixels)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_floats_are_summed_without_nan_and_infinity(dtype):
    rng = np.random.default_rng(0)
    pixels = (1000 + rng.normal(size=(5000, 3))).astype(dtype)
    pixels[:7, 0], pixels[3:5, 1], pixels[9, 2] = np.nan, np.inf, -np.inf
    check(measured(pixels[:123], pixels[123:124], pixels[124:]), pixels)


def test_a_small_deviation_beside_a_large_mean_is_kept():
    pixels = 1e9 + np.tile([[-0.5], [0.5]], (1000, 1))
    found = measured(*np.array_split(pixels, 7))
    assert found.deviation[0] == pytest.approx(0.5, rel=1e-6)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_64_megapixels_of_one_value_have_that_mean(dtype):
    # Added up in float32 they would stop growing at 2**24 times the value.
    part = np.full((PART, 1), 40_000, dtype)
    found = measured(*2**26 // PART * [part])
    assert found.pixels == 2**26
    assert (found.mean[0], found.deviation[0]) == (40_000, 0)
    assert found.percentile(50)[0] == 40_000


def test_a_channel_without_finite_numbers_has_no_statistics():
    pixels = np.array([[np.nan, 1.0], [np.inf, 3.0]])
    found = measured(pixels)
    assert np.isnan([found.mean[0], found.deviation[0], found.minimum[0]]).all()
    assert np.isnan(found.percentile(50)[0])
    assert found.mean[1] == 2
    with pytest.raises(ValueError, match="channel 0, which has no finite number"):
        found.standard_range()


# -------------------------------------------------------------- percentiles of floats


def test_percentiles_of_many_floats_are_those_of_a_sample(monkeypatch):
    monkeypatch.setattr(pixel_sums, "_SAMPLE", 2**12)
    pixels = np.random.default_rng(0).permutation(2**16)[:, None].astype("float32")
    found = measured(*np.split(pixels, 8))
    assert 2**11 <= len(found.sample[0]) <= 2**12
    # Four standard errors of the median of at least 2048 numbers.
    assert abs(found.percentile(50)[0] / 2**16 - 0.5) < 4 * 0.5 / np.sqrt(2**11)
    again = measured(*np.split(pixels, 4))
    np.testing.assert_array_equal(again.sample[0], found.sample[0])


def test_a_sample_is_of_all_columns_of_an_image(monkeypatch):
    monkeypatch.setattr(pixel_sums, "_SAMPLE", 2**10)
    columns = np.tile(np.arange(256.0), 1024)[:, None]  # 1024 rows of 256 pixels
    found = measured(*np.split(columns, 8))
    counts = np.bincount(found.sample[0].astype(int) // 32, minlength=8)
    assert counts.min() > len(found.sample[0]) / 8 / 2


@pytest.mark.parametrize("percent", [-1, 101, float("nan"), "50", None])
def test_other_percentiles_are_refused(percent):
    with pytest.raises(ValueError, match=r"Expected `percent`.*Received"):
        measured(np.zeros((4, 1), "uint8")).percentile(percent)


# -------------------------------------------------------------- ranges


def test_the_standard_range_standardises_what_is_mapped_to_minus_1_to_1():
    pixels = np.random.default_rng(0).integers(0, 4096, (500, 2)).astype("uint16")
    low, high = np.array(measured(pixels).standard_range())
    seen = 2 * (pixels - low) / (high - low) - 1
    expected = (pixels - pixels.mean(0)) / pixels.std(0)
    np.testing.assert_allclose(seen, expected, rtol=1e-9, atol=1e-9)
    wide = np.array(measured(pixels).standard_range(2.0))
    np.testing.assert_allclose(np.diff(wide, axis=0)[0], 2 * (high - low))


def test_percentile_ranges_are_per_channel():
    pixels = np.stack([np.arange(201), 2 * np.arange(201)], 1).astype("uint16")
    assert measured(pixels).percentile_range() == ((1, 2), (199, 398))
    assert measured(pixels).percentile_range(10, 50) == ((20, 40), (100, 200))


def test_a_constant_channel_has_no_range():
    found = measured(np.array([[1, 255], [2, 255]], "uint8"))
    for make in (found.standard_range, found.percentile_range):
        with pytest.raises(ValueError, match=r"channel 1, which has 255 everywhere\."):
            make()
    mostly = np.zeros((1000, 1), "uint8")
    mostly[0] = 1
    with pytest.raises(ValueError, match="channel 0, which has 0 between the percent"):
        measured(mostly).percentile_range()


def test_ranges_out_of_order_are_refused():
    found = measured(np.array([[1], [2]], "uint8"))
    with pytest.raises(
        ValueError, match=r"`low` to be below `high`. Received: 9 and 9"
    ):
        found.percentile_range(9, 9)
    with pytest.raises(ValueError, match=r"Expected `deviations`.*above 0"):
        found.standard_range(0)


# -------------------------------------------------------------- the table


def test_the_table_has_a_row_for_each_channel():
    pixels = np.array([[0.0, 1000.0], [2.0, np.nan], [4.0, 3000.0]], "float32")
    head, names, *rows = repr(measured(pixels)).splitlines()
    assert head == "1 image, 3 pixels, float32"
    assert names.split() == [
        *("channel", "mean", "deviation", "min", "0.5", "%", "median"),
        *("99.5", "%", "max", "NaN"),
    ]
    assert [row.split() for row in rows] == [
        ["0", "2", "1.63299", "0", "0.02", "2", "3.98", "4", "0"],
        ["1", "2000", "1000", "1000", "1010", "2000", "2990", "3000", "1"],
    ]
    assert len({len(line) for line in (names, *rows)}) == 1
