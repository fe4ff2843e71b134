"""Colours in masks that `palette` lacks: what is said, and the remedy that it names."""

import re
import shlex

import numpy as np
import pytest
from PIL import Image

from keras_seg import data
from keras_seg.cli import main

COLORS = np.array([(0, 0, 0), (128, 64, 128), (64, 0, 128)], np.uint8)
VOID, OTHER = (10, 200, 7), (255, 1, 0)
SIZE = (12, 16)


@pytest.fixture
def folders(tmp_path):
    """Function: colours of the stripes of each mask -> a folder of images and masks."""

    def write(*masks):
        for folder in ("images", "masks"):
            (tmp_path / folder).mkdir()
        for k, colors in enumerate(masks):
            pixels = np.zeros((*SIZE, 3), np.uint8)
            for row, color in enumerate(colors):
                pixels[2 * row : 2 * row + 2] = color
            Image.fromarray(pixels).save(tmp_path / f"masks/{k}.png")
            image = np.random.default_rng(k).integers(0, 256, (*SIZE, 3), np.uint8)
            Image.fromarray(image).save(tmp_path / f"images/{k}.png")
        lines = (
            f"{' '.join(map(str, c))} {n}\n" for c, n in zip(COLORS, "abc", strict=True)
        )
        (tmp_path / "colors.txt").write_text("".join(lines))
        return tmp_path

    return write


def read(root, **arguments):
    arguments = {"palette": root / "colors.txt"} | arguments
    return data.folder(root / "images", root / "masks", **arguments)


def test_ignored_colors_are_255_and_no_class(folders):
    root = folders([COLORS[1], VOID, COLORS[2], OTHER])
    source = read(root, ignore=["#0ac807", "#FF0100"])
    assert source.class_names == ("a", "b", "c")
    np.testing.assert_array_equal(source.palette, COLORS)
    expected = np.zeros(SIZE, int)
    expected[:8] = np.repeat([1, 255, 2, 255], 2)[:, None]
    np.testing.assert_array_equal(source[0][1], expected)


def test_a_color_with_an_id_is_ignored_by_either(folders):
    root = folders([COLORS[1], VOID, COLORS[2]])
    by_color = read(root, ignore=["#0ac807", "#804080"])
    by_id = read(root, ignore=["#0ac807", 1])
    for source in (by_color, by_id):
        assert source.class_names == ("a", "c")
        rows = source[0][1][::2, 0].tolist()
        assert rows == [255, 255, 1, 0, 0, 0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"ignore": "#12345"}, "`ignore` to be ids, or .* colours.*'#12345'"),
        ({"ignore": ["red"]}, "'red'"),
        (
            {"ignore": "#123456", "palette": None, "class_names": ["a", "b"]},
            "'#123456'",
        ),
    ],
)
def test_what_is_no_color_is_refused(folders, arguments, said):
    with pytest.raises(ValueError, match=said):
        read(folders([COLORS[0]]), **arguments)


@pytest.mark.parametrize(
    "already",
    [
        "",
        *(
            pytest.param(x, marks=pytest.mark.slow)
            for x in ("--ignore 2", "--ignore=0")
        ),
    ],
)
def test_a_color_that_many_masks_share_is_ignored_by_what_is_proposed(
    folders, already, capsys
):
    root = folders(*[[COLORS[1], COLORS[2], VOID]] * 4)
    words = ["--data", "folder", "--images", str(root / "images"), *already.split()]
    words += ["--masks", str(root / "masks"), "--colors", str(root / "colors.txt")]
    assert main(["inspect", *words]) == 1
    said = capsys.readouterr().out
    assert "Received: (10, 200, 7)" in said
    assert "--ignore '#0ac807'" in said
    assert "a line '10 200 7 name' more in the file of --colors" in said
    (command,) = re.findall(r"^Try: keras-seg (.*)$", said, re.MULTILINE)
    assert main(shlex.split(command)) == 0, capsys.readouterr().out
    kept = {"": "#0ac807", "--ignore 2": "2,#0ac807", "--ignore=0": "0,#0ac807"}
    assert kept[already] in shlex.split(command)
    # The remedy in Python, which a mask's own error names too.
    with pytest.raises(ValueError, match=r"`ignore=\['#0ac807'\]`"):
        read(root)[0]


def test_a_color_of_one_mask_is_told_with_both_remedies_and_none_is_proposed(folders):
    masks = [[COLORS[1], COLORS[2]]] * 19
    report = data.inspect(read(folders(*masks, [OTHER])), verbose=False)
    (problem,) = report.problems
    assert problem.arguments == {}
    assert "`ignore=['#ff0100']`" in problem.message
    assert "255 1 0 name" in problem.message


def test_many_colors_come_from_blur(folders):
    blurred = [(k, 2 * k, 3) for k in range(5)], [(k, 2 * k, 9) for k in range(6)]
    report = data.inspect(read(folders(*blurred)), verbose=False)
    for problem in report.problems:
        assert "resized smoothly" in problem.message
        assert problem.arguments == {}
        assert "ignore" not in problem.message
