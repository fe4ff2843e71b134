"""Curves: their lines are the numbers of the history."""

import numpy as np
import pytest
from PIL import Image

from keras_seg.visualize import curves
from keras_seg.visualize.history import draw_curves, read_history

HISTORY = """epoch,loss,mean_iou,val_loss,val_mean_iou,learning_rate
1,1.5,0.1,1.6,0.05,0.001
2,1.0,0.3,,,0.001
3,0.8,0.4,1.1,0.2,0.0005
"""


@pytest.fixture
def history(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text(HISTORY)
    return path


def lines(figure):
    """Title of each panel, and its lines by their labels."""
    return {
        axes.get_title(): {
            line.get_label(): np.transpose(line.get_data()).tolist()
            for line in axes.get_lines()
        }
        for axes in figure.axes
    }


def test_each_number_has_a_panel_with_its_curve_and_that_of_validation(history):
    assert lines(draw_curves(read_history(history))) == {
        "loss": {
            "training": [[1, 1.5], [2, 1.0], [3, 0.8]],
            "validation": [[1, 1.6], [3, 1.1]],
        },
        "mean_iou": {
            "training": [[1, 0.1], [2, 0.3], [3, 0.4]],
            "validation": [[1, 0.05], [3, 0.2]],
        },
    }


def test_the_legend_and_the_axis_say_what_is_drawn(history):
    for axes in draw_curves(read_history(history)).axes:
        labels = [text.get_text() for text in axes.get_legend().get_texts()]
        assert labels == ["training", "validation"]
        assert axes.get_xlabel() == "epoch"


def test_epochs_of_kerass_own_logger_are_counted_from_1(tmp_path):
    (tmp_path / "log.csv").write_text("epoch,loss,val_loss\n0,3,NA\n1,2,4\n")
    drawn = lines(draw_curves(read_history(tmp_path / "log.csv")))
    assert drawn["loss"] == {"training": [[1, 3], [2, 2]], "validation": [[2, 4]]}


def test_a_resumed_history_keeps_its_epochs(tmp_path):
    (tmp_path / "log.csv").write_text("epoch,loss\n7,3\n8,2\n")
    assert read_history(tmp_path / "log.csv")["epoch"] == [7, 8]


def test_curves_are_a_picture_with_a_panel_per_number(history, tmp_path):
    curves(history, tmp_path / "curves.png")
    (tmp_path / "loss.csv").write_text("epoch,loss\n1,1.5\n2,1.0\n")
    curves(str(tmp_path / "loss.csv"), str(tmp_path / "loss.png"))
    with (
        Image.open(tmp_path / "curves.png") as two,
        Image.open(tmp_path / "loss.png") as one,
    ):
        assert two.format == one.format == "PNG"
        assert two.width == 2 * one.width
        # The two colours of the lines.
        for color in ((31, 119, 180), (255, 127, 14)):
            assert (np.asarray(two.convert("RGB")) == color).all(-1).sum() > 50


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"epoch,loss\n",
        b"\n\n",
        b"\x00\x01\xff",
        "epoch,loss\n1,2\n".encode("utf-16"),
        b"loss\n1\n",
        b"epoch,loss\n1,two\n",
        b"epoch,loss\n1\n",
        b"epoch,loss\n1,2,3\n",
        b"null",
        b"[1, 2]",
        b'epoch,loss\n1,"2\n',
    ],
)
def test_another_file_is_named_and_no_picture_is_written(content, history, tmp_path):
    history.write_bytes(content)
    with pytest.raises(ValueError, match=r"history\.csv: Expected a CSV file"):
        curves(history, tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()
