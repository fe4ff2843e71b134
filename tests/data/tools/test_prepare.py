import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_seg import data
from keras_seg.data.tools import prepare as prepare_module


def read_back(path, **arguments):
    return data.folder(path / "images", path / "masks", **arguments)


def contents(path):
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in path.rglob("*")
        if file.is_file()
    }


def assert_equal(one, other):
    assert len(one) == len(other)
    assert one.class_names == other.class_names
    np.testing.assert_array_equal(one.palette, other.palette)
    for (image, mask), (image_too, mask_too) in zip(one, other, strict=True):
        np.testing.assert_array_equal(image, image_too)
        np.testing.assert_array_equal(mask, mask_too)


def own(count=7, channels=3, ids=(0, 1, 2, 255), **arguments):
    """Examples of several sizes, with ignored pixels."""
    rng = np.random.default_rng(0)
    masks = [rng.choice(ids, (5 + k, 9)).astype(np.int32) for k in range(count)]
    images = [
        rng.integers(0, 256, (5 + k, 9, channels), np.uint8) for k in range(count)
    ]
    return data.Source(
        count,
        lambda index: tf.numpy_function(lambda k: images[k], [index], tf.uint8),
        lambda index: tf.numpy_function(lambda k: masks[k], [index], tf.int32),
        class_names=["land", "sea", "ice"],
        palette=[(9, 8, 7), (0, 0, 200), (250, 250, 255)],
        **arguments,
    )


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_what_is_prepared_is_read_back_equal(tmp_path, channels):
    source = own(channels=channels)
    data.prepare(source, tmp_path / "set")
    assert_equal(read_back(tmp_path / "set"), source)


@pytest.mark.parametrize(
    "names",
    [
        ["b", "a", "c"],
        ["a", "b", "a"],
        ["x/a", "y/a", "y/b"],
        [".a", "b", "c"],
        ["a", "b", "c"],
    ],
)
def test_the_order_stays_whatever_the_names_are(tmp_path, names):
    source = own(3, names=names)
    data.prepare(source, tmp_path / "set")
    again = read_back(tmp_path / "set")
    assert_equal(again, source)
    for name, stem in zip(names, again.names, strict=True):
        assert stem.endswith(name.rsplit("/", 1)[-1])
    assert names != ["a", "b", "c"] or again.names == names


def test_files_of_images_are_copied_as_they_are(voc_tree, tmp_path):
    root = voc_tree([(8, 9), (12, 7), (5, 5)])
    source = data.voc(root)
    part = source[::-1][:2]
    data.prepare(part, tmp_path / "set")
    for name in part.names:
        copied = tmp_path / f"set/images/{name}.jpg"
        assert copied.read_bytes() == (root / f"JPEGImages/{name}.jpg").read_bytes()
    assert_equal(read_back(tmp_path / "set"), part)


def test_a_set_whose_first_image_is_grey_is_read_back_in_rgb(voc_tree, tmp_path):
    root = voc_tree([(8, 9), (12, 7)])
    Image.new("L", (7, 12), 77).save(root / "JPEGImages/stem1x.jpg")
    source = data.voc(root)  # stem1x comes first in its list
    data.prepare(source, tmp_path / "set")
    assert_equal(read_back(tmp_path / "set"), source)


def test_masks_have_the_colors_of_the_classes(tmp_path):
    data.prepare(own(), tmp_path / "set")
    with Image.open(next((tmp_path / "set/masks").iterdir())) as image:
        assert image.mode == "P"
        assert image.getpalette()[:9] == [9, 8, 7, 0, 0, 200, 250, 250, 255]


def test_the_description_says_what_classes_there_are(tmp_path):
    data.prepare(own(), tmp_path / "set")
    described = json.loads((tmp_path / "set/dataset.json").read_text())
    assert described["class_names"] == ["land", "sea", "ice"]
    assert described["ignore"] == 255


class Killed(BaseException):
    """What no code but the test catches."""


@pytest.mark.slow
def test_stopped_at_any_file_it_goes_on_to_the_same_bytes(tmp_path, monkeypatch):
    source = own(3)
    data.prepare(source, tmp_path / "whole")
    expected = contents(tmp_path / "whole")

    replace = os.replace
    for stop in range(len(expected) + 1):
        path, renamed = tmp_path / f"stopped{stop}", []

        def replace_some(one, other, stop=stop, renamed=renamed):
            if len(renamed) >= stop:
                raise Killed
            renamed.append(other)
            replace(one, other)

        monkeypatch.setattr(os, "replace", replace_some)
        with pytest.raises(Killed):
            data.prepare(source, path)
        monkeypatch.setattr(os, "replace", replace)
        # What has its name is whole, and the set doesn't look finished.
        for name, written in contents(path).items():
            assert expected.get(name, written) == written
        assert not (path / "dataset.json").exists()

        if (path / "masks").exists():
            (path / "masks/.half.writing.png").write_bytes(b"half")
        data.prepare(source, path)
        assert contents(path) == expected


def test_a_set_that_is_not_whole_says_so(tmp_path, monkeypatch):
    def fail(*_):
        raise Killed

    monkeypatch.setattr(prepare_module, "save_mask", fail)
    with pytest.raises(Killed):
        data.prepare(own(), tmp_path / "set")
    for folder in ("images", "masks"):
        Image.new("L", (4, 4)).save(tmp_path / f"set/{folder}/a.png")
    for names in (None, ["land", "sea", "ice"]):
        with pytest.raises(ValueError, match=r"whole.*`prepare` again"):
            read_back(tmp_path / "set", class_names=names)


def test_a_finished_set_is_left_alone(tmp_path):
    data.prepare(own(), tmp_path / "set")
    before = {f: f.stat().st_mtime_ns for f in (tmp_path / "set").rglob("*.png")}
    data.prepare(own(), tmp_path / "set")
    assert before == {
        f: f.stat().st_mtime_ns for f in (tmp_path / "set").rglob("*.png")
    }


def test_another_set_is_not_mixed_in(tmp_path):
    data.prepare(own(5), tmp_path / "set")
    with pytest.raises(FileExistsError, match=r"another set.*dataset\.json"):
        data.prepare(own(6), tmp_path / "set")
    with pytest.raises(FileExistsError, match=r"begun from other data"):
        data.prepare(own(5, ids=[0]), tmp_path / "set")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="empty folder"):
        data.prepare(own(), tmp_path / "full")
    file = tmp_path / "full/thesis.txt"
    with pytest.raises(NotADirectoryError, match=r"thesis\.txt is a file\. Choose"):
        data.prepare(own(), file / "set")
    assert file.read_text() == "mine"


def test_a_full_disk_ends_with_what_to_do_and_no_half_files(tmp_path, monkeypatch):
    write = prepare_module.save_mask

    def write_some(path, mask, palette):
        write(path, mask, palette)
        if len(list((tmp_path / "set/masks").glob("*.png"))) >= 3:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(prepare_module, "save_mask", write_some)
    with pytest.raises(OSError, match=r"disk is full.*start again"):
        data.prepare(own(), tmp_path / "set")
    assert not list((tmp_path / "set").rglob("*.writing*"))
    monkeypatch.undo()
    data.prepare(own(), tmp_path / "set")
    assert_equal(read_back(tmp_path / "set"), own())


def test_a_disk_that_an_image_fills_is_full_too(voc_tree, tmp_path, monkeypatch):
    def copy(source, target, overwrite):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(tf.io.gfile, "copy", copy)
    with pytest.raises(OSError, match=r"disk is full: 0 of 2.*start again"):
        data.prepare(data.voc(voc_tree([(8, 9), (12, 7)])), tmp_path / "set")


def test_a_file_that_is_empty_is_written_again(tmp_path):
    data.prepare(own(), tmp_path / "set")
    for folder, place in (("images", 2), ("masks", 5)):
        sorted((tmp_path / "set" / folder).iterdir())[place].write_bytes(b"")
    data.prepare(own(), tmp_path / "set")
    assert_equal(read_back(tmp_path / "set"), own())


def test_images_of_other_formats_become_pngs(tmp_path):
    path = tmp_path / "a.tif"
    Image.new("RGB", (9, 5)).save(path)
    source = own(3, image_path=lambda index: tf.constant(str(path)))
    data.prepare(source, tmp_path / "set")
    assert_equal(read_back(tmp_path / "set"), own(3))


def test_a_path_elsewhere_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"on a disk.*gs://bucket"):
        data.prepare(own(), "gs://bucket/set")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "file", ["SegmentationClass/stem1x.png", "JPEGImages/stem1x.jpg"]
)
def test_an_example_that_cannot_be_read_is_named(file, voc_tree, tmp_path):
    root = voc_tree([(8, 9), (12, 7), (5, 5)])
    (root / file).write_bytes(b"")
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=rf"{file}: .*an empty file"
    ):
        data.prepare(data.voc(root), tmp_path / "set")
    assert not (tmp_path / "set/dataset.json").exists()


@pytest.mark.parametrize(
    ("shape", "dtype", "suffix"),
    [
        ((6, 8, 5), np.uint8, ".tif"),
        ((6, 8, 1), np.uint16, ".png"),
        ((6, 8, 3), np.uint16, ".tif"),
        ((6, 8, 2), np.float32, ".tif"),
    ],
)
def test_all_images_come_back_in_their_range(tmp_path, shape, dtype, suffix):
    image = np.random.default_rng(0).uniform(0, 200, shape).astype(dtype)
    mask = np.zeros(shape[:2], int)
    source = data.arrays(
        [image], [mask], class_names=["ground", "cat"], value_range=(0, 210)
    )
    data.prepare(source, tmp_path / "set")
    assert [p.suffix for p in (tmp_path / "set/images").iterdir()] == [suffix]
    again = data.folder(tmp_path / "set/images", tmp_path / "set/masks")
    assert (again.value_range, again.dtype) == ((0, 210), source.dtype)
    np.testing.assert_array_equal(again[0][0], image)


SCRIPT = """
import sys
from keras_seg import data
from keras_seg.data.tools import prepare as prepare_module
data.prepare(data.shapes(150, size=(100, 120)), sys.argv[1])
"""


@pytest.mark.slow
def test_killed_ten_times_it_ends_with_the_same_bytes(tmp_path):
    data.prepare(data.shapes(150, size=(100, 120)), tmp_path / "whole")
    killed, path = 0, tmp_path / "killed"
    while killed < 10:
        process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(path)])
        before = len(list(path.rglob("*.png")))
        while process.poll() is None and len(list(path.rglob("*.png"))) < before + 9:
            time.sleep(0.001)
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed += 1
    assert killed == 10
    assert not Path(path / "dataset.json").exists()
    subprocess.run([sys.executable, "-c", SCRIPT, str(path)], check=True)
    assert contents(path) == contents(tmp_path / "whole")


@pytest.mark.real_data
def test_coco_is_prepared_equal(real_voc, tmp_path):
    root = real_voc.parent.parent / "coco"
    source = data.coco(root / "val2017", root / "annotations/instances_val2017.json")
    data.prepare(source, tmp_path / "set")
    assert_equal(read_back(tmp_path / "set"), source)
