"""Tiles, mirror images and scales, against what is written out in NumPy."""

import itertools
import tracemalloc
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_seg
from keras_seg import predict, predict_mask, unet
from keras_seg.inference import blocks, memory, nets
from keras_seg.inference.passes import check_passes
from keras_seg.inference.sides import Side, mirrored, sides_of
from keras_seg.inference.tiles import joined, spans, weights

CLASSES = 3
# Farther than this from a pixel, nothing has a part in its logits: two convolutions of
# 3 x 3, two at half of the resolution, an up-convolution of 2 x 2, two of 3 x 3.
REACH = 2 + 2 * 2 + 1 + 2 + 1


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return unet(CLASSES, widths=(4, 8))


@pytest.fixture(scope="module")
def unpadded():
    """Sides 4 k + 44, of which 40 pixels less come out."""
    keras.utils.set_random_seed(0)
    return unet(2, widths=(3, 4, 5), padding="valid")


def image(*size, channels=3):
    return np.random.default_rng(0).integers(0, 256, (*size, channels), np.uint8)


def pointwise(classes=CLASSES, input_shape=(None, None, 3)):
    """Each pixel by itself."""
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input(input_shape), layers.Conv2D(classes, 1)])


def softmax(z):
    exp = np.exp(z.astype("float64") - z.max(-1, keepdims=True))
    return exp / exp.sum(-1, keepdims=True)


def blended(model, image, rows, columns):
    """The mean over tiles of what they give, by weights that fall to their edges."""
    total = np.zeros((*image.shape[:2], CLASSES))
    shares = np.zeros(image.shape[:2])
    for (top, bottom), (left, right) in itertools.product(rows, columns):
        y, x = np.mgrid[1 : bottom - top + 1, 1 : right - left + 1]
        from_edge = np.minimum(y, bottom - top + 1 - y) * np.minimum(
            x, right - left + 1 - x
        )
        tile = softmax(np.asarray(model(image[None, top:bottom, left:right]))[0])
        total[top:bottom, left:right] += from_edge[..., None] * tile
        shares[top:bottom, left:right] += from_edge
    return total / shares[..., None]


def test_tiles_of_a_side_overlap_by_the_share_and_end_with_the_image():
    any_side = Side()
    assert spans(512, any_side, 512, 0.25) == [(0, 512)]
    # A quarter of 512 pixels; the last tile begins at a multiple of 32 too.
    assert spans(1000, any_side, 512, 0.25) == [(0, 512), (384, 896), (512, 1000)]
    assert spans(128, any_side, 64, 0.0) == [(0, 64), (64, 128)]
    assert spans(5, any_side, 2, 0.0) == [(0, 2), (2, 4), (4, 5)]
    # A net of one size: the last tile has it too.
    assert spans(40, Side(16, 0), 16, 0.25) == [(0, 16), (12, 28), (24, 40)]
    # The paper's U-Net: of 572 pixels it gives 388, and begins at multiples of 16.
    valid = Side(188, 16, 92)
    assert spans(800, valid, 580, 0.5) == [(0, 388), (384, 772), (416, 800)]


@pytest.mark.parametrize("side", [Side(), Side(16, 0), Side(8, 8), Side(188, 16, 92)])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.6, 0.95])
def test_every_pixel_is_in_a_tile_that_the_net_takes(side, overlap):
    for tile, length in itertools.product((190, 224, 300), (1, 99, 388, 389, 700)):
        found = spans(length, side, tile, overlap)
        covered = np.zeros(length, int)
        for start, stop in found:
            covered[start:stop] += 1
            assert 0 < side.for_output(stop - start) <= tile
        assert covered.min() >= 1
        assert [*found] == sorted(set(found))
        sums = np.zeros(length)
        for (start, stop), weight in zip(found, weights(found, length), strict=True):
            assert weight.min() > 0
            sums[start:stop] += weight
        np.testing.assert_allclose(sums, 1, rtol=1e-6)


def test_many_small_tiles_are_said_to_be_slow():
    net = nets.KerasNet(pointwise())
    small, larger = (check_passes(n, 0.25, False, [1.0]) for n in (1, 64))
    said = r"Images of 100 x 90 go by 9,000 tiles of 1 x 1.*slow.*larger `tile`"
    with pytest.warns(UserWarning, match=said):
        rows, columns = blocks.tiles_of(net, 1, (100, 90), small)
    assert len(rows) * len(columns) == 9000
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net = nets.KerasNet(pointwise())
        blocks.tiles_of(net, 1, (20, 20), small)  # few tiles
        blocks.tiles_of(net, 1, (4000, 4000), larger)  # 6,889 tiles, but not small ones


@pytest.mark.parametrize(("size", "overlap"), [((100, 70), 0.25), ((70, 60), 0.7)])
def test_tiles_are_blended_by_weights_that_fall_to_their_edges(model, size, overlap):
    pixels = image(*size)
    tiles = [spans(n, Side(), 48, overlap) for n in size]
    assert min(map(len, tiles)) > 1
    expected = blended(model, pixels, *tiles)
    found = predict(model, pixels, tile=48, overlap=overlap)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-5)
    mask = predict_mask(model, pixels, tile=48, overlap=overlap)
    np.testing.assert_array_equal(mask, found.argmax(-1))


def test_no_pixel_is_left_out_or_counted_twice():
    model = pointwise()
    for size in ((33, 77), (64, 64), (1, 50), (50, 1)):
        pixels = image(*size)
        np.testing.assert_allclose(
            predict(model, pixels, tile=(20, 32)), predict(model, pixels), atol=1e-6
        )


@pytest.mark.parametrize("size", [(17, 31), (64, 64), (1, 1)])
def test_inside_one_tile_the_result_is_that_of_the_whole_image(model, size):
    pixels = image(*size)
    np.testing.assert_array_equal(
        predict(model, pixels, tile=64), predict(model, pixels)
    )
    np.testing.assert_array_equal(
        predict_mask(model, pixels, tile=64), predict_mask(model, pixels)
    )


def test_far_from_edges_of_tiles_the_result_is_that_of_the_whole_image(model):
    pixels = image(150, 64)
    whole, tiled = (
        predict(model, pixels, **options)
        for options in ({}, {"tile": 64, "overlap": 0})
    )
    edges = [64, 96]  # tiles from 0 and from 64, and the last one, from 96
    far = [y for y in range(150) if all(abs(y - e + 0.5) > REACH for e in edges)]
    # From 96 to 128 two tiles are blended, which see enough in its middle.
    assert {20, 80, 112, 140} <= set(far)
    far = [y for y in far if abs(y - 127.5) > REACH]
    np.testing.assert_allclose(tiled[far], whole[far], atol=1e-5)
    assert np.abs(tiled - whole).max() > 1e-4  # else the reach isn't needed


@pytest.mark.parametrize(
    ("size", "tile"),
    [((50, 61), None), ((50, 61), (48, 52)), ((3, 90), 60), ((1, 1), 60)],
)
def test_an_unpadded_u_net_gives_what_it_gives_for_the_mirrored_image(
    unpadded, size, tile
):
    pixels = image(*size)
    margin = 20
    # As many more pixels at the bottom and right as make the net take them.
    more = [margin + -n % 4 for n in size]
    padded = np.pad(
        pixels, [(margin, more[0]), (margin, more[1]), (0, 0)], mode="reflect"
    )
    logits = np.asarray(unpadded(padded[None]))[0]
    expected = softmax(logits)[: size[0], : size[1]]
    found = predict(unpadded, pixels, tile=tile)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    mask = predict_mask(unpadded, pixels, tile=tile)
    np.testing.assert_array_equal(mask, found.argmax(-1))


def test_mirrored_lines_are_those_of_numpy():
    for length in (1, 2, 5):
        expected = np.pad(np.arange(length), (7, 9), mode="reflect")
        np.testing.assert_array_equal(mirrored(length, -7, length + 9), expected)


def test_a_model_of_one_size_predicts_any_image_by_tiles_of_it():
    keras.utils.set_random_seed(0)
    model = unet(CLASSES, widths=(4, 8), input_shape=(32, 48, 3))
    pixels = image(50, 100)
    expected = blended(
        model, pixels, [(0, 32), (18, 50)], [(0, 48), (36, 84), (52, 100)]
    )
    found = predict(model, pixels, tile=(32, 48))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    small = np.pad(pixels[:20, :30], [(0, 12), (0, 18), (0, 0)], mode="reflect")
    found = predict(model, pixels[:20, :30], tile=(32, 48))
    np.testing.assert_allclose(found, predict(model, small)[:20, :30], atol=1e-6)
    with pytest.raises(ValueError, match=r"tile=\(32, 48\)"):
        predict(model, pixels)


def halving(times=3):
    """A net of stock layers that takes multiples of 8 only."""
    keras.utils.set_random_seed(0)
    given = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, strides=2**times, padding="same")(given)
    x = layers.UpSampling2D(2**times)(x)
    x = layers.Concatenate()([given, x])
    return keras.Model(given, layers.Conv2D(CLASSES, 1)(x))


def test_tiles_of_a_net_that_takes_multiples_only_are_mirrored_up_to_one():
    model = halving()
    pixels = image(52, 40)
    found = predict(model, pixels, tile=32, overlap=0)
    # The last row of tiles begins at 24, the multiple of 8 next to 52 - 32 = 20.
    wide = np.pad(pixels, [(0, 4), (0, 0), (0, 0)], mode="reflect")
    expected = predict(model, wide[24:56, 8:40])
    np.testing.assert_allclose(found[32:, 32:], expected[8:28, 24:], atol=1e-5)


def test_sides_that_models_take_are_found_out():
    assert sides_of(unet(2, widths=(2, 2))) == (Side(), Side())
    paper = unet(2, widths=(2,) * 5, padding="valid", input_shape=(None, 572, 1))
    assert sides_of(paper) == (Side(188, 16, 92), Side(572, 0, 92))
    assert sides_of(halving(), memory.takes) == (Side(8, 8), Side(8, 8))
    plain = keras.Sequential([keras.Input((None, None, 1)), layers.Conv2D(2, 5)])
    assert sides_of(plain) == (Side(5, 1, 2), Side(5, 1, 2))


def test_a_model_whose_logits_are_small_is_refused():
    small = keras.Sequential(
        [keras.Input((None, None, 3)), layers.Conv2D(2, 3, strides=4, padding="same")]
    )
    with pytest.raises(ValueError, match=r"65 x 65 for images of 257 x 257.*upsampled"):
        predict(small, image(16, 16))


def bilinear(maps, size):
    """Resize by half-pixel centres, an axis after the other."""
    for axis, length in enumerate(size):
        n = maps.shape[axis]
        place = np.clip((np.arange(length) + 0.5) * n / length - 0.5, 0, n - 1)
        low = np.floor(place).astype(int)
        share = (place - low).reshape([-1 if k == axis else 1 for k in range(3)])
        first, second = (
            maps.take(np.minimum(low + k, n - 1), axis).astype(float) for k in (0, 1)
        )
        maps = (1 - share) * first + share * second
    return maps


def test_flips_and_scales_are_means_of_probabilities(model):
    pixels = image(24, 36)

    def both(pixels):
        mirrored = predict(model, pixels[:, ::-1])[:, ::-1]
        return (predict(model, pixels) + mirrored) / 2

    np.testing.assert_allclose(
        predict(model, pixels, flips=True), both(pixels), atol=1e-6
    )
    small, large = bilinear(pixels, (12, 18)), bilinear(pixels, (36, 54))
    expected = (
        bilinear(both(small), (24, 36)) + both(pixels) + bilinear(both(large), (24, 36))
    ) / 3
    found = predict(model, pixels, flips=True, scales=(0.5, 1, 1.5))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    mask = predict_mask(model, pixels, flips=True, scales=(0.5, 1, 1.5))
    np.testing.assert_array_equal(mask, found.argmax(-1))


def test_scales_of_a_net_with_a_margin_see_what_is_around_a_tile(unpadded):
    pixels = image(70, 70)
    whole, tiled = (
        predict(unpadded, pixels, tile=tile, scales=(2.0,)) for tile in (None, 60)
    )
    # Mirror images at the edges of tiles would be 0.03 off.
    np.testing.assert_allclose(tiled, whole, atol=1e-3)


def test_images_too_large_for_the_memory_go_by_tiles_and_say_so_once(monkeypatch):
    keras.utils.set_random_seed(0)
    model = unet(CLASSES, widths=(4, 8))
    pixels = image(100, 150)
    whole = predict(model, pixels)
    # 64 x 64 pixels fit: the first layer of the path up has 8 channels to copy nine
    # times, 8 to read and 4 to write, and half of the free memory is for others.
    free = 2 * 64 * 64 * 4 * (9 * 8 + 8 + 4)
    for module in (blocks, nets):
        monkeypatch.setattr(module, "free_memory", lambda: free)
    with pytest.warns(UserWarning, match=r"100 x 150 are too large.*64 x 64"):
        found = predict(model, pixels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        predict_mask(model, pixels)
    np.testing.assert_array_equal(found, predict(model, pixels, tile=64))
    assert np.abs(found - whole).max() > 1e-4
    # What fits goes as it is.
    assert np.isfinite(predict(model, pixels[:64, :64])).all()


def test_a_device_that_runs_out_of_memory_gets_tiles(monkeypatch):
    model = pointwise()
    pixels = image(100, 150)
    expected = predict(model, pixels)
    predict_on_batch = nets.predict_on_batch

    def only_small(model, images):
        if images[..., 0].size > 100 * 149:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")
        return predict_on_batch(model, images)

    monkeypatch.setattr(nets, "predict_on_batch", only_small)
    with pytest.warns(UserWarning, match="100 x 150 are too large"):
        found = predict(model, pixels)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    with pytest.raises(MemoryError, match=r"`tile` that fits.*100 x 150.*OOM"):
        predict(model, image(100, 200), tile=(100, 150))


def test_memory_is_that_of_the_largest_layer():
    given = keras.Input((None, None, 5))
    x = layers.Conv2D(7, 3, padding="same")(given)
    needed = memory.PassMemory(keras.Model(given, x), [(64, 64), (128, 128)]).needed
    # Inputs, outputs, and the block of patches.
    assert needed(2, 1000) == pytest.approx(2 * 1000 * 4 * (5 + 7 + 9 * 5), rel=0.01)
    x = layers.Conv2DTranspose(6, 2, strides=2)(layers.MaxPooling2D()(given))
    needed = memory.PassMemory(keras.Model(given, x), [(64, 64), (128, 128)]).needed
    assert needed(1, 4000) == pytest.approx(4 * 1000 * (5 + 24 + 24), rel=0.01)


def test_memory_of_attention_grows_with_the_square():
    given = keras.Input((None, None, 2))
    x = layers.Reshape((-1, 2))(given)
    x = layers.Dot((2, 2))([x, x])
    needed = memory.PassMemory(keras.Model(given, x), [(16, 16), (32, 32)]).needed
    of_map = 4 * 10_000**2  # which a layer may read and write
    assert of_map <= needed(1, 10_000) <= 2.1 * of_map


def test_a_mask_needs_no_memory_for_all_probabilities():
    model, pixels = pointwise(40), image(400, 400)
    predict_mask(model, pixels[:64, :64])
    tracemalloc.start()
    try:
        mask = predict_mask(model, pixels, tile=64)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert mask.shape == (400, 400)
    of_rows, of_tile = 400 * 32 * 40 * 4, 64 * 64 * 40 * 4
    assert peak < 3 * of_rows + 6 * of_tile < 400 * 400 * 40 * 4 / 2


def test_joined_tiles_may_overlap_more_than_twice():
    rows, columns = [(0, 6), (2, 8), (4, 10)], [(0, 5), (1, 6), (2, 7), (5, 9)]
    truth = np.random.default_rng(0).random((2, 10, 9, 3)).astype("float32")
    found = np.full(truth.shape, np.nan)
    for top, left, block in joined(
        lambda y, x: truth[:, slice(*y), slice(*x)], rows, columns
    ):
        place = found[:, top : top + block.shape[1], left : left + block.shape[2]]
        assert np.isnan(place).all()
        place[...] = block
    np.testing.assert_allclose(found, truth, rtol=1e-5)


WRONG = [
    *({"tile": x} for x in (0, -1, 1.5, np.nan, "64", True, (64,), (64, 0), [1, 2, 3])),
    *({"overlap": x} for x in (-0.1, 1, 1.0, np.nan, np.inf, "0.5", None, True)),
    *({"flips": x} for x in (0, 1, "left", None)),
    *(
        {"scales": x}
        for x in ((), 1.0, None, (0,), (-1,), (np.nan,), (1e30,), "1", [True])
    ),
]


@pytest.mark.parametrize("function", [predict, predict_mask, keras_seg.evaluate])
def test_options_out_of_range_are_named(model, function):
    source = keras_seg.data.shapes(1, size=(16, 16))
    given = source if function is keras_seg.evaluate else image(16, 16)
    for options in WRONG:
        (name,) = options
        with pytest.raises(ValueError, match=rf"Expected `{name}` .*Received: "):
            function(model, given, **options)


def test_a_tile_that_is_too_small_for_the_net_is_refused(unpadded):
    with pytest.raises(ValueError, match=r"`tile` to be 44 or more.*Received: 43"):
        predict(unpadded, image(100, 100), tile=43)
    fixed = pointwise(input_shape=(32, 32, 3))
    with pytest.raises(ValueError, match=r"`tile` to be 32 or more.*Received: 16"):
        predict(fixed, image(100, 100), tile=(32, 16))
    with pytest.raises(ValueError, match=r"`scales` of at most 1"):
        predict(fixed, image(32, 32), scales=(1.0, 2.0))
