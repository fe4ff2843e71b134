import numpy as np
import pytest
import tensorflow as tf

from keras_seg import data
from keras_seg.data.color import color_map

IDS = [f"class {label}" for label in range(200)]
SEEDS = [(0, step) for step in range(12)]
SIDE = 100


def coordinate(axis):
    """An example whose mask, and whose image, say where each pixel is."""
    mask = np.indices((SIDE, SIDE))[axis]
    return mask.astype(np.uint8), data.arrays(
        [np.repeat(mask[..., None], 3, -1).astype(np.uint8)], [mask], class_names=IDS
    )


def coordinates():
    """A source of two such examples: rows, and columns."""
    return coordinate(0)[1] + coordinate(1)[1]


def many(source, count, **arguments):
    """The examples again and again, each time with another seed."""
    batches = source.batches(1, repeat=True, **arguments).take(count)
    return [(image[0], mask[0]) for image, mask in batches.as_numpy_iterator()]


@pytest.mark.parametrize(
    ("size", "flip"), [(None, True), ((40, 60), True), ((130, 70), True), (None, False)]
)
def test_a_mask_used_as_its_own_image_stays_equal_to_it(size, flip):
    mask = np.random.default_rng(0).integers(0, 200, (SIDE, SIDE))
    image = np.repeat(mask[..., None], 3, -1).astype(np.uint8)
    source = data.arrays([image], [mask], class_names=IDS)
    augment = data.standard_augmentation(scale=(1, 1), flip=flip, color=0)
    height, width = np.minimum((SIDE, SIDE), size or (SIDE, SIDE))
    flips = set()
    for image, ids in many(source, 12, size=size, augment=augment):
        np.testing.assert_array_equal(image[..., 0], np.where(ids == 255, 0, ids))
        np.testing.assert_array_equal(image[..., 1], image[..., 0])
        flips.add(is_mirrored(ids[:height, :width], mask))
        assert (ids != 255).sum() == height * width  # the rest is padding
    assert flips == {False, flip}


def is_mirrored(part, whole):
    """Whether a part occurs in the whole as it is, or left to right."""
    windows = np.lib.stride_tricks.sliding_window_view(whole, part.shape)
    for mirrored, wanted in [(False, part), (True, part[:, ::-1])]:
        places = np.argwhere(windows[..., 0, 0] == wanted[0, 0])
        if any(np.array_equal(windows[y, x], wanted) for y, x in places):
            return mirrored
    raise AssertionError("The augmented mask is no window of the mask.")


@pytest.mark.parametrize("bent", [{}, {"rotation": 40, "elastic": 6}])
def test_no_id_of_a_mask_is_a_mean_of_its_neighbours(bent):
    # The mean of 0 and 2 would be 1.
    mask = np.random.default_rng(0).choice([0, 2], (SIDE, SIDE))
    source = data.arrays([np.zeros((SIDE, SIDE, 3))], [mask], class_names=IDS)
    augment = data.standard_augmentation(scale=(0.5, 2), flip="both", **bent)
    for _, ids in many(source, 6, size=(64, 96), augment=augment):
        assert {0, 2} <= {*np.unique(ids)} <= {0, 2, 255}


@pytest.mark.parametrize("seed", SEEDS[:3])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("scale", [(0.4, 0.4), (0.75, 1.5), (2, 2), (3.7, 3.7)])
def test_image_and_mask_go_to_the_same_place(scale, axis, seed):
    mask, _ = coordinate(axis)
    augment = data.standard_augmentation(scale=scale, flip="both")
    geometry = augment.geometry(SIDE, SIDE, (60, 50), seed)
    window, size = geometry.window.numpy(), geometry.size.numpy()

    # Centres of the new pixels, in pixels of the file.
    at = window[axis] + (np.arange(size[axis]) + 0.5) * window[2 + axis] / size[axis]
    if geometry.flip[axis]:
        at = at[::-1]
    at = at[:, None] if axis == 0 else at[None]

    moved = geometry.mask(tf.constant(mask)).numpy()
    assert moved.shape == tuple(size)
    np.testing.assert_array_equal(moved, np.broadcast_to(np.floor(at + 1e-4), size))

    top, left, height, width = window
    cut = mask[top : top + height, left : left + width, None]
    image = geometry.image(tf.constant(cut)).numpy()[..., 0]
    # Bilinear: the coordinate itself, but no farther out than the window's pixels.
    expected = np.clip(at - 0.5, window[axis], window[axis] + window[2 + axis] - 1)
    np.testing.assert_allclose(image, np.broadcast_to(expected, size), atol=1e-3)


@pytest.mark.parametrize(
    "arguments",
    [
        {"flip": "both", "rotation": "quarter"},
        {"rotation": 40},
        {"flip": "both", "rotation": "quarter", "elastic": 6},
    ],
)
def test_image_and_mask_go_to_the_same_place_in_batches(arguments):
    augment = data.standard_augmentation(scale=(0.5, 2), color=0, **arguments)
    for image, mask in many(coordinates(), 24, size=(64, 96), augment=augment):
        labelled = mask != 255
        assert labelled.sum() > 30 * 30
        distance = np.abs(image[..., 0].astype(int) - mask)[labelled]
        assert distance.max() <= 1  # half a pixel, and rounding
        assert image[~labelled].sum() == 0


@pytest.mark.parametrize("scale", [0.5, 1.0, 4.0])
def test_a_crop_shows_as_much_of_the_image_as_the_scale_says(scale):
    augment = data.standard_augmentation(scale=(scale, scale), color=0)
    for image, mask in many(coordinates(), 6, size=(20, 20), augment=augment):
        assert (mask != 255).all()
        shown = int(mask.max()) - int(mask.min())  # from the first pixel to the last
        assert abs(shown - 20 / scale) <= 1.5 / min(scale, 1)
        assert abs(np.ptp(image[..., 0].astype(int)) - shown) <= 2 / min(scale, 1)


def test_scales_of_crops_fill_their_range():
    _, source = coordinate(0)
    augment = data.standard_augmentation(scale=(0.5, 2), color=0)
    crops = many(source, 60, size=(20, 20), augment=augment)
    shown = [np.ptp(mask[mask != 255].astype(int)) + 1 for _, mask in crops]
    assert 9 <= min(shown) < 13
    assert 32 < max(shown) <= 41


def test_geometry_is_the_same_alone_and_in_tf_data():
    augment = data.standard_augmentation()
    seeds = tf.data.Dataset.from_tensor_slices(SEEDS)
    inside = seeds.map(lambda seed: augment.geometry(30, 40, (24, 24), seed))
    for seed, geometry in zip(SEEDS, inside, strict=True):
        for there, here in zip(
            geometry, augment.geometry(30, 40, (24, 24), seed), strict=True
        ):
            np.testing.assert_array_equal(there, here)


def draw(sides, sizes, **arguments):
    """Many geometries, one for each of the sides, drawn inside tf.data."""
    augment = data.standard_augmentation(**arguments)
    steps = tf.range(len(sides), dtype=tf.int32)
    numbers = tf.data.Dataset.from_tensor_slices((sides, sizes, steps))
    geometries = numbers.map(
        lambda side, size, step: augment.geometry(side[0], side[1], size, (7, step))
    )
    drawn = geometries.batch(len(sides)).get_single_element()
    window, size, flip, transpose = tf.nest.map_structure(lambda x: x.numpy(), drawn)
    return window, size, np.stack(flip, axis=-1), transpose


def test_windows_lie_within_the_image_and_crops_within_the_size():
    rng = np.random.default_rng(0)
    sides = rng.integers(1, 60, (3000, 2)).astype(np.int32)
    sides[:200] = 1
    sides[200:400, 0] = 1
    sizes = rng.integers(1, 60, (3000, 2)).astype(np.int32)
    window, size, _, _ = draw(sides, sizes, scale=(0.1, 10))
    corner, extent = window[:, :2], window[:, 2:]
    assert (corner >= 0).all()
    assert (extent >= 1).all()
    assert (corner + extent <= sides).all()
    assert (size >= 1).all()
    assert (size <= sizes).all()


def test_every_place_of_the_window_occurs():
    sides, sizes = np.full((500, 2), 9, np.int32), np.full((500, 2), 5, np.int32)
    window, _, flip, _ = draw(sides, sizes, scale=(1, 1), flip="both")
    for axis in (0, 1):
        places, counts = np.unique(window[:, axis], return_counts=True)
        assert places.tolist() == [0, 1, 2, 3, 4]
        assert counts.min() > 60  # of 100 that are expected
    assert (np.abs(flip.sum(0) - 250) < 50).all()
    assert 75 < (flip[:, 0] & flip[:, 1]).sum() < 175


def test_enlarging_is_as_likely_as_shrinking():
    augment = data.standard_augmentation(scale=(0.5, 2))
    sizes = tf.data.Dataset.range(1000).map(
        lambda step: augment.geometry(1000, 1000, None, (0, step)).size
    )
    scale = np.array(list(sizes.as_numpy_iterator()))[:, 0] / 1000
    assert scale.min() >= 0.5
    assert scale.max() <= 2
    # Uniform in the logarithm: quarters of -1..1 are equally likely.
    quarters, _ = np.histogram(np.log2(scale), bins=4, range=(-1, 1))
    assert quarters.min() > 200


@pytest.mark.parametrize("flip", [False, True])
def test_without_flip_none_is_mirrored(flip):
    augment = data.standard_augmentation(flip=flip)
    flips = np.array([augment.geometry(8, 8, None, seed).flip for seed in SEEDS])
    assert flips.any(0).tolist() == [False, flip]


def laid_down(**arguments):
    """All results of one small picture, over many seeds."""
    picture = np.arange(6, dtype=np.uint8).reshape(2, 3)
    augment = data.standard_augmentation(scale=(1, 1), color=0, **arguments)
    found = set()
    for step in range(50):
        geometry = augment.geometry(2, 3, None, (3, step))
        mask = geometry.mask(tf.constant(picture)).numpy()
        image = augment.image(tf.constant(picture[..., None]), geometry, (3, step))
        np.testing.assert_array_equal(image[..., 0], mask)
        assert mask.shape == tuple(geometry.size.numpy())
        found.add((mask.shape, mask.tobytes()))
    return found


def turned(picture):
    return {(p.shape, p.tobytes()) for p in (np.rot90(picture, k) for k in range(4))}


def test_quarter_turns_are_all_four_and_no_mirror():
    picture = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert laid_down(flip=False, rotation="quarter") == turned(picture)


@pytest.mark.parametrize("flip", [True, "both"])
def test_mirrors_and_quarter_turns_make_all_eight_ways(flip):
    picture = np.arange(6, dtype=np.uint8).reshape(2, 3)
    expected = turned(picture) | turned(picture[:, ::-1])
    assert laid_down(flip=flip, rotation="quarter") == expected
    assert len(expected) == 8


@pytest.mark.parametrize("seed", SEEDS[:3])
def test_a_rotation_keeps_distances_and_angles(seed):
    augment = data.standard_augmentation(scale=(0.5, 0.5), flip=False, rotation=30)
    warp = augment.geometry(SIDE, SIDE, (40, 30), seed)
    assert warp.size.numpy().tolist() == [40, 30]
    points = warp.points.numpy()
    down, right = points[1, 0] - points[0, 0], points[0, 1] - points[0, 0]
    np.testing.assert_allclose(
        points[39, 29], points[0, 0] + 39 * down + 29 * right, 1e-4
    )
    for step in (down, right):  # at half the size, a pixel is two of the file's
        assert np.hypot(*step) == pytest.approx(2, rel=1e-3)
    assert np.dot(down, right) == pytest.approx(0, abs=1e-3)
    assert down[0] * right[1] - down[1] * right[0] > 0  # no mirror
    assert abs(np.degrees(np.arctan2(right[0], right[1]))) <= 30.01
    # The middle is that of the window without a rotation.
    straight = data.standard_augmentation(scale=(0.5, 0.5), flip=False)
    window = straight.geometry(SIDE, SIDE, (40, 30), seed).window.numpy()
    top, left, height, width = window
    middle = [top + height / 2 - 0.5, left + width / 2 - 0.5]
    np.testing.assert_allclose(points.mean((0, 1)), middle, atol=1e-3)


def test_angles_fill_their_range():
    augment = data.standard_augmentation(scale=(1, 1), flip=False, rotation=30)
    steps = tf.data.Dataset.range(100).map(
        lambda step: augment.geometry(9, 9, None, (0, step)).points
    )
    angles = [
        np.degrees(np.arctan2(*(p[0, 1] - p[0, 0]))) for p in steps.as_numpy_iterator()
    ]
    counts, _ = np.histogram(angles, bins=4, range=(-30, 30))
    assert counts.sum() == 100
    assert counts.min() > 10


@pytest.mark.parametrize("rotation", [0.0, "quarter"])
@pytest.mark.parametrize("seed", SEEDS[:5])
def test_a_warp_that_does_not_bend_is_the_straight_geometry(rotation, seed):
    image = np.random.default_rng(0).integers(0, 256, (70, 90, 3)).astype(np.uint8)
    arguments = {"scale": (0.5, 2), "flip": "both", "rotation": rotation}
    straight, warp = (
        data.standard_augmentation(**arguments, elastic=elastic).geometry(
            70, 90, (64, 48), seed
        )
        for elastic in (0.0, 1e-4)
    )
    # One pixel more is needed at an edge, for what lies between pixels.
    assert (np.abs(warp.window.numpy() - straight.window) <= [1, 1, 2, 2]).all()
    results = []
    for geometry in (straight, warp):
        top, left, height, width = geometry.window.numpy()
        cut = image[top : top + height, left : left + width]
        results.append(geometry.image(tf.constant(cut)).numpy())
    # Within: at the window's edge a resize has no neighbours.
    np.testing.assert_allclose(*(r[4:-4, 4:-4] for r in results), atol=0.5)


def test_displacements_of_an_elastic_deformation_are_normal_at_the_grid():
    augment = data.standard_augmentation(scale=(1, 1), flip=False, elastic=10)
    seeds = tf.data.Dataset.range(200).map(
        lambda step: augment.geometry(151, 151, None, (0, step)).points
    )
    drawn = list(seeds.as_numpy_iterator())
    moved = np.array(drawn) - np.moveaxis(np.indices((151, 151)), 0, -1)
    middle = moved[:, 75, 75]  # where the middle of the 3 x 3 grid is
    assert np.abs(middle.mean(0)).max() < 2.5
    np.testing.assert_allclose(middle.std(0), 10, rtol=0.2)
    # Smooth: of knots 50 pixels apart, neighbouring pixels move nearly alike.
    assert np.abs(np.diff(moved, axis=1)).max() < 3


def test_what_comes_from_outside_of_the_image_is_no_class():
    image, mask = np.full((20, 20, 3), 200, np.uint8), np.ones((20, 20), np.uint8)
    source = data.arrays([image], [mask], class_names=["ground", "cat"])
    augment = data.standard_augmentation(scale=(1, 1), rotation=45)
    for image, mask in many(source, 6, size=(20, 20), augment=augment):
        assert set(np.unique(mask)) <= {1, 255}
        assert image[mask == 255].sum() == 0  # with colours changed too
        assert image[mask == 1].min() > 0


def grey(rgb):
    """ITU-R BT.601."""
    return rgb @ np.array([0.299, 0.587, 0.114])


def factors(augment, seed):
    """Brightness, contrast and saturation, found from what three pixels become."""
    pixels = np.array([[[100, 100, 100], [140, 140, 140], [150, 100, 100]]], np.float32)
    (a, _, _), (b, _, _), (red, green, _) = augment.recolor(tf.constant(pixels), seed)[
        0
    ]
    slope = float(b - a) / 40  # brightness times contrast
    # On grey, x' = slope x + brightness 127.5 - slope 127.5.
    brightness = (float(a) - slope * 100) / 127.5 + slope
    saturation = float(red - green) / (slope * 50)
    return brightness, slope / brightness, saturation


@pytest.mark.parametrize("seed", SEEDS[:2])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_colors_follow_the_formula(seed, dtype):
    augment = data.standard_augmentation(color=0.3)
    b, c, s = factors(augment, seed)
    x = np.random.default_rng(0).integers(0, 256, (9, 11, 3)).astype(np.float64)
    mixed = s * x + (1 - s) * grey(x)[..., None]
    expected = np.clip(b * (c * mixed + (1 - c) * 127.5), 0, 255)

    image = augment.recolor(tf.constant(x.astype(dtype)), seed)
    assert image.dtype == dtype
    rounding = 0.5 if dtype == "uint8" else 0
    np.testing.assert_allclose(image, expected, atol=rounding + 0.02)


@pytest.mark.parametrize(
    ("factors", "expected"),
    [
        ((1.2, 1, 1), (240, 120, 0)),
        ((1, 0.5, 1), (163.75, 113.75, 63.75)),
        ((1, 1, 0.5), (159.25, 109.25, 59.25)),  # half way to its grey, 118.5
    ],
    ids=["brightness", "contrast", "saturation"],
)
def test_each_factor_of_color_does_what_its_name_says(factors, expected):
    matrix, offset = color_map(*factors)
    changed = np.array([200.0, 100.0, 0.0]) @ matrix + offset
    np.testing.assert_allclose(changed, expected, atol=1e-3)


def test_factors_of_color_fill_their_range():
    augment = data.standard_augmentation(color=0.3)
    drawn = np.array([factors(augment, (1, step)) for step in range(60)])
    assert drawn.min() > 0.7 - 1e-4
    assert drawn.max() < 1.3 + 1e-4
    assert (drawn.min(0) < 0.8).all()
    assert (drawn.max(0) > 1.2).all()
    # Three numbers, not one three times.
    assert np.abs(np.corrcoef(drawn.T) - np.eye(3)).max() < 0.5


def test_colors_are_the_same_alone_and_in_tf_data():
    augment = data.standard_augmentation()
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    inside = tf.data.Dataset.from_tensors(image).map(
        lambda x: augment.recolor(x, (0, 3))
    )
    expected = augment.recolor(tf.constant(image), (0, 3))
    # Sums in another order may round to the next level.
    there = next(iter(inside)).numpy().astype(int)
    np.testing.assert_allclose(there, expected, rtol=0, atol=1)


@pytest.mark.parametrize(("channels", "color"), [(1, 0.3), (4, 0.3), (3, 0)])
def test_images_that_have_no_colors_to_change_stay_as_they_are(channels, color):
    image = np.random.default_rng(0).integers(0, 256, (5, 7, channels)).astype(np.uint8)
    changed = data.standard_augmentation(color=color).recolor(
        tf.constant(image), (0, 1)
    )
    np.testing.assert_array_equal(changed, image)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": (0, 1)}, r"`scale`.*\(0, 1\)"),
        ({"scale": (2, 1)}, r"`scale`.*\(2, 1\)"),
        ({"scale": (-1, 1)}, "`scale`"),
        ({"color": 1}, "`color`.*Received: 1"),
        ({"color": -0.1}, "`color`"),
        ({"flip": "up"}, "`flip`.*'up'"),
        ({"rotation": -1}, "`rotation`.*-1"),
        ({"rotation": "half"}, "`rotation`.*'half'"),
        ({"elastic": -1}, "`elastic`.*-1"),
        ({"elastic": float("nan")}, "`elastic`.*nan"),
        ({"elastic": "much"}, "`elastic`.*'much'"),
        ({"color": "red"}, "`color`.*'red'"),
        ({"color": True}, "`color`.*True"),
        ({"rotation": True}, "`rotation`.*True"),
        ({"scale": 2}, "`scale`.*2"),
        ({"scale": (1, float("inf"))}, "`scale`.*inf"),
    ],
)
def test_a_range_that_is_none_is_an_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        data.standard_augmentation(**arguments)
