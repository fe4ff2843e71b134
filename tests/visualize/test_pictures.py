import numpy as np
import pytest
from PIL import Image

from keras_seg.visualize import colorize, curves, overlay, samples

PALETTE = np.array([(0, 0, 0), (200, 10, 30), (7, 250, 90)], "uint8")
CREAM = (224, 224, 192)  # of pixels without a label, in VOC
RNG = np.random.default_rng(0)
MASK = RNG.choice([0, 1, 2, 255], (9, 13))
NAMES = ["ground", "cat", "dog"]


def colors_of(mask):
    return np.where(
        mask[..., None] == 255, CREAM, PALETTE[np.where(mask == 255, 0, mask)]
    )


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_each_id_gets_its_color_and_no_label_gets_cream(dtype):
    colored = colorize(MASK.astype(dtype), PALETTE)
    assert colored.dtype == np.uint8
    np.testing.assert_array_equal(colored, colors_of(MASK))


def test_palettes_of_255_colors_are_fine():
    palette = RNG.integers(0, 256, (255, 3))
    mask = np.arange(255).reshape(15, 17)
    np.testing.assert_array_equal(colorize(mask, palette), palette[mask])


@pytest.mark.parametrize("stray", [3, 254, -1, 256])
def test_an_id_without_a_color_raises_and_is_named(stray):
    mask = MASK.astype("int32")
    mask[0, 0] = stray
    with pytest.raises(ValueError, match=rf"Expected ids 0\.\.2 or 255.*\[{stray}\]"):
        colorize(mask, PALETTE)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_an_overlay_is_a_mean_of_image_and_colors(alpha, channels, dtype):
    image = RNG.integers(0, 256, (9, 13, channels)).astype(dtype)
    laid = overlay(image, MASK, PALETTE, alpha)
    assert (laid.dtype, laid.shape) == (np.uint8, (9, 13, 3))
    expected = (1 - alpha) * image.astype(float) + alpha * colors_of(MASK)
    assert np.abs(laid - expected).max() <= 0.5 + 1e-4


def test_an_overlay_shows_both_alike_by_default():
    image = np.full((1, 1, 3), 100, "uint8")
    assert overlay(image, [[2]], PALETTE).tolist() == [[[54, 175, 95]]]


@pytest.mark.parametrize("shape", [(9, 12, 3), (9, 13), (9, 13, 4), (1, 9, 13, 3)])
def test_an_overlay_of_another_size_raises(shape):
    with pytest.raises(ValueError, match=r"Expected an image .*Received: "):
        overlay(np.zeros(shape, "uint8"), MASK, PALETTE)


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_an_overlay_beyond_0_1_raises(alpha):
    with pytest.raises(ValueError, match="Expected `alpha`"):
        overlay(np.zeros((9, 13, 3), "uint8"), MASK, PALETTE, alpha)


def contains(sheet, panel):
    """Whether a picture is somewhere in another, pixel by pixel."""
    windows = np.lib.stride_tricks.sliding_window_view(sheet, panel.shape)
    return (windows == panel).all((-3, -2, -1)).any()


@pytest.mark.parametrize("channels", [1, 3])
def test_samples_show_image_truth_and_prediction_in_exact_colors(channels):
    rows = [
        (
            RNG.integers(0, 256, (*size, channels), np.uint8),
            *RNG.integers(0, 3, (2, *size)),
        )
        for size in [(9, 13), (17, 8)]
    ]
    sheet = samples(rows, PALETTE, NAMES)
    assert sheet.dtype == np.uint8
    for image, truth, prediction in rows:
        assert contains(sheet, np.broadcast_to(image, (*truth.shape, 3)))
        assert contains(sheet, colors_of(truth))
        assert contains(sheet, colors_of(prediction))


def test_the_legend_has_the_classes_that_occur():
    image = np.full((4, 4, 3), 255, "uint8")
    cat = np.ones((4, 4), int)
    sheet = samples([(image, cat, cat)], PALETTE, NAMES)
    with_void = samples([(image, cat, np.full((4, 4), 255))], PALETTE, NAMES)

    def squares(sheet, color):
        return contains(sheet, np.broadcast_to(np.uint8(color), (8, 8, 3)))

    assert squares(sheet, PALETTE[1])
    assert not squares(sheet, PALETTE[2])
    assert squares(with_void, CREAM)
    assert not squares(sheet, CREAM)


def test_a_long_legend_takes_more_lines():
    palette = RNG.integers(0, 256, (40, 3))
    names = [f"class number {k}" for k in range(40)]
    image, few = np.zeros((10, 40, 3), "uint8"), np.zeros((10, 40), int)
    many = np.arange(400).reshape(10, 40) % 40
    short, long = (samples([(image, m, m)], palette, names) for m in (few, many))
    assert long.shape[0] > short.shape[0] + 10 * 22
    assert long.shape[1] == short.shape[1]


HISTORY = """epoch,loss,mean_iou,val_loss,val_mean_iou,learning_rate
0,1.5,0.1,1.6,0.05,0.001
1,1.0,0.3,,,0.001
2,0.8,0.4,1.1,0.2,0.0005
"""


def test_curves_are_a_picture_with_a_panel_per_number(tmp_path):
    (tmp_path / "history.csv").write_text(HISTORY)
    curves(tmp_path / "history.csv", tmp_path / "curves.png")
    (tmp_path / "loss.csv").write_text("epoch,loss\n0,1.5\n1,1.0\n")
    curves(str(tmp_path / "loss.csv"), str(tmp_path / "loss.png"))
    with (
        Image.open(tmp_path / "curves.png") as two,
        Image.open(tmp_path / "loss.png") as one,
    ):
        assert two.format == one.format == "PNG"
        assert two.width == 2 * one.width
        assert len(np.unique(np.asarray(two.convert("RGB")).reshape(-1, 3), axis=0)) > 9


def test_curves_of_no_epochs_raise(tmp_path):
    (tmp_path / "history.csv").write_text("epoch,loss\n")
    with pytest.raises(ValueError, match="Expected at least one epoch"):
        curves(tmp_path / "history.csv", tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()
