import numpy as np
import pytest
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont

from keras_seg.visualize import contact_sheet, overlay, samples, visible
from keras_seg.visualize.legend import LINE, legend

PALETTE = np.array([(0, 0, 0), (200, 10, 30), (7, 250, 90)], "uint8")
CREAM = (224, 224, 192)  # of pixels without a label, in VOC
RNG = np.random.default_rng(0)
MASK = RNG.choice([0, 1, 2, 255], (9, 13))
NAMES = ["ground", "cat", "dog"]


def colors_of(mask):
    return np.where(
        mask[..., None] == 255, CREAM, PALETTE[np.where(mask == 255, 0, mask)]
    )


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("background", [0, 2, None])
def test_an_overlay_is_a_mean_of_image_and_colors_but_for_the_background(
    alpha, channels, dtype, background
):
    image = RNG.integers(0, 256, (9, 13, channels)).astype(dtype)
    laid = overlay(image, MASK, PALETTE, alpha, background=background)
    assert (laid.dtype, laid.shape) == (np.uint8, (9, 13, 3))
    expected = (1 - alpha) * image.astype(float) + alpha * colors_of(MASK)
    if background is not None:
        expected = np.where(MASK[..., None] == background, image, expected)
    assert np.abs(laid - expected).max() <= 0.5 + 1e-4


def test_an_overlay_shows_both_alike_by_default_and_class_0_as_the_image_is():
    image = np.full((1, 2, 3), 100, "uint8")
    laid = overlay(image, [[2, 0]], PALETTE)
    assert laid.tolist() == [[[54, 175, 95], [100, 100, 100]]]


@pytest.mark.parametrize("shape", [(9, 12, 3), (9, 13), (9, 13, 4), (1, 9, 13, 3)])
def test_an_overlay_of_another_size_raises(shape):
    with pytest.raises(ValueError, match=r"Expected an image .*Received: "):
        overlay(np.zeros(shape, "uint8"), MASK, PALETTE)


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_an_overlay_beyond_0_1_raises(alpha):
    with pytest.raises(ValueError, match="Expected `alpha`"):
        overlay(np.zeros((9, 13, 3), "uint8"), MASK, PALETTE, alpha)


def places(sheet, panel):
    """(top, left) of each place where a picture is in another, pixel by pixel."""
    line = max(range(len(panel)), key=lambda y: len(np.unique(panel[y], axis=0)))
    wanted, found = panel[line].tobytes(), []
    for y in range(line, len(sheet) - len(panel) + line + 1):
        row, at = sheet[y].tobytes(), -1
        while (at := row.find(wanted, at + 1)) >= 0:
            top, left = y - line, at // 3
            part = sheet[top : top + len(panel), left : left + panel.shape[1]]
            if at % 3 == 0 and np.array_equal(part, panel):
                found.append((top, left))
    return found


def place(sheet, panel):
    (found,) = places(sheet, np.asarray(panel, np.uint8))
    return found


def square(color):
    return np.broadcast_to(np.uint8(color), (10, 10, 3))


def ink(text):
    """A text as Pillow writes it, cut at its edges."""
    font = ImageFont.truetype(findfont("DejaVu Sans"), 13)
    picture = Image.new("RGB", (400, 30), "white")
    ImageDraw.Draw(picture).text((5, 20), text, "black", font, anchor="ls")
    dark = np.argwhere((np.asarray(picture) < 255).any(-1))
    (top, left), (bottom, right) = dark.min(0), dark.max(0) + 1
    return np.asarray(picture)[top:bottom, left:right]


def row(size, channels=3, classes=3):
    image = RNG.integers(0, 256, (*size, channels), np.uint8)
    return image, *RNG.integers(0, classes, (2, *size))


@pytest.mark.parametrize("channels", [1, 3])
def test_samples_show_image_truth_and_prediction_under_their_titles(channels):
    rows = [row((90, 83), channels), row((97, 81), channels)]
    sheet = samples(rows, PALETTE, NAMES)
    assert sheet.dtype == np.uint8
    titles = [place(sheet, ink(t)) for t in ("image", "truth", "prediction")]
    above = 0
    for image, truth, prediction in rows:
        panels = [
            place(sheet, np.broadcast_to(image, (*truth.shape, 3))),
            place(sheet, colors_of(truth)),
            place(sheet, colors_of(prediction)),
        ]
        (top,) = {y for y, _ in panels}
        assert top > above
        above = top
        for (_, left), (y, x) in zip(panels, titles, strict=True):
            assert y < top
            assert left <= x < left + 20


def test_small_samples_are_enlarged_and_large_ones_shrunk_with_their_ids():
    image, truth, prediction = row((9, 13))
    sheet = samples([(image, truth, prediction)], PALETTE, NAMES)
    for panel in (image, colors_of(truth), colors_of(prediction)):
        place(sheet, panel.repeat(9, 0).repeat(9, 1))  # 128 // 13

    image, truth, prediction = row((170, 201))
    sheet = samples([(image, truth, prediction)], PALETTE, NAMES, side=100)
    for mask in (truth, prediction):
        place(sheet, colors_of(mask[::3, ::3]))
    blocks = image[:168].reshape(56, 3, 67, 3, 3).mean((1, 3))
    top, left = place(sheet, colors_of(truth[::3, ::3]))
    (_, titled), (_, first) = (place(sheet, ink(t)) for t in ("truth", "image"))
    left -= titled - first  # by a column
    close = [
        np.abs(sheet[top : top + 56, x : x + 67] - blocks).max() <= 1
        for x in range(left - 2, left + 3)  # letters begin a little beside the column
    ]
    assert sum(close) == 1


def swatches(sheet, names, palette):
    """Where each name is in a legend; a square of its color is left of it."""
    found = {}
    for number, name in names.items():
        y, x = place(sheet, ink(name))
        found[number] = y, x
        assert (sheet[y + 4, x - 10] == palette[number]).all(), name
    return found


def test_the_legend_has_the_names_of_the_classes_that_occur_beside_their_colors():
    image = np.full((90, 90, 3), 255, "uint8")
    dog, both = np.full((90, 90), 2), np.full((90, 90), 1)
    both[0] = 2
    swatches(
        samples([(image, both, both)], PALETTE, NAMES), {1: "cat", 2: "dog"}, PALETTE
    )
    sheet = samples([(image, dog, np.full((90, 90), 255))], PALETTE, NAMES)
    swatches(sheet, {2: "dog", 255: "ignored"}, {2: PALETTE[2], 255: CREAM})
    assert not places(sheet, ink("cat"))
    assert not places(sheet, square(PALETTE[1]))


def test_a_long_legend_has_every_name_beside_its_color():
    palette = RNG.permutation(np.arange(20, 200))[:120].reshape(40, 3)
    names = {k: f"class number {k} of 40" for k in range(40)}
    image, many = np.zeros((100, 120, 3), "uint8"), np.arange(12000).reshape(100, 120)
    sheet = samples([(image, many % 40, many % 40)], palette, names)
    at = swatches(sheet, names, palette)
    assert len({x // 20 for _, x in at.values()}) == 2  # columns
    assert sheet.shape[1] < 440


def test_names_that_no_font_can_write_are_ids_and_long_ones_are_cut():
    names = ["ground", "\U0010fffd", "a name that goes on " * 9, "_$x_1$", "two\nlines"]
    entries = [(k, name, (0, 9 * k, 99)) for k, name in enumerate(names)]
    sheet = legend(entries, 300)
    assert sheet.shape[1] == 300
    expected = {0: "ground", 1: "class 1", 3: "_$x_1$", 4: "two lines"}
    swatches(sheet, expected, [color for *_, color in entries])
    place(sheet, ink("a name that goes on"))
    assert (sheet[:, 290:] == 255).all()


def test_a_contact_sheet_has_each_title_under_its_picture_in_rows():
    pictures = [(f"tile {k}", *row((80 + k, 85 - k))[:2]) for k in range(5)]
    sheet = contact_sheet(pictures, PALETTE, NAMES, columns=3, side=90)
    places_ = []
    for title, image, mask in pictures:
        top, left = place(sheet, overlay(image, mask, PALETTE))
        y, x = place(sheet, ink(title))
        assert 0 <= y - (top + len(mask)) < 20
        assert left <= x < left + 5
        places_.append((top, left))
    assert places_ == sorted(places_)
    assert [len({top for top, _ in places_}), len({x for _, x in places_})] == [2, 3]
    swatches(sheet, dict(enumerate(NAMES)), PALETTE)


def test_a_contact_sheet_shrinks_large_pictures():
    mask = np.zeros((300, 500), int)
    mask[100:200] = 1
    image = np.full((300, 500, 1), 100, "uint8")
    sheet = contact_sheet([("large", image, mask)], PALETTE, NAMES, side=100)
    small = np.full((60, 100, 3), 100)
    small[20:40] = (100 + PALETTE[1].astype(int)) // 2
    place(sheet, small)


def test_bytes_are_shown_as_they_are_and_other_numbers_stretched():
    image = np.random.default_rng(0).integers(0, 90, (6, 8, 4)).astype(np.uint8)
    np.testing.assert_array_equal(visible(image), image[..., :3])
    np.testing.assert_array_equal(visible(image[..., :2]), image[..., :1])
    wide = np.linspace(-1, 1, 101).reshape(1, 101, 1)
    shown = visible(wide).ravel()
    assert shown[:2].tolist() == [0, 0]
    assert shown[-2:].tolist() == [255, 255]
    middle = np.linspace(0, 255, 99)  # from the 1st to the 99th percentile
    np.testing.assert_allclose(shown[1:-1], middle, atol=0.51)
    wide[0, 50] = np.nan
    assert visible(wide)[0, 50] == 0
    flat = np.full((2, 2, 1), 5, np.uint16)
    assert visible(flat).max() == 0


def test_titles_say_that_images_were_stretched():
    """The titles differ in nothing else than what is added at their ends."""
    ids = np.zeros((90, 90), int)
    both = [np.full((90, 90, 1), 9, dtype) for dtype in (np.uint8, np.uint16)]
    plain, stretched = (samples([(image, ids, ids)], PALETTE, NAMES) for image in both)
    title = slice(0, LINE)
    assert (plain[title] < 128).sum() < (stretched[title] < 128).sum()
    plain, stretched = (
        contact_sheet([("a", image, ids)], PALETTE, NAMES) for image in both
    )
    assert (plain < 128).all(-1).sum() < (stretched < 128).all(-1).sum()
