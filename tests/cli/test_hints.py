"""Messages of the command line lead to the next command that works."""

import json
import re
import shlex
import shutil

import numpy as np
import pytest
from PIL import Image

from keras_seg.cli import main
from keras_seg.cli.data_options import data_source
from keras_seg.cli.options import parser


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write_coco(path, names, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    objects = {"segmentation": [[1, 1, 9, 1, 9, 9, 1, 9]], "bbox": [1, 1, 8, 8]} | more
    content = {
        "images": [
            {"id": i, "file_name": name, "height": 16, "width": 20}
            for i, name in enumerate(names)
        ],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1, "iscrowd": 0} | objects
            for i in range(len(names))
        ],
        "categories": [{"id": 1, "name": "cell"}],
    }
    path.write_text(json.dumps(content))


def write_images(folder, names, channels=3):
    for k, name in enumerate(names):
        shape = (16, 20, channels) if channels > 1 else (16, 20)
        write(folder / name, np.random.default_rng(k).integers(0, 200, shape, np.uint8))


def write_masks(folder, names):
    for k, name in enumerate(names):
        mask = np.zeros((16, 20), np.uint8)
        mask[: k + 3] = 1
        write(folder / name, mask)


@pytest.fixture
def said(capsys):
    """Function from words of a command to (status, all that it says)."""

    def run(*words):
        status = main([*map(str, words)])
        return status, "".join(capsys.readouterr())

    return run


def proposed(text):
    """The words of the command that a message ends with."""
    line = re.search(r"^(?:Try|To train): keras-seg (.*)$", text, re.M)
    assert line is not None, text
    return shlex.split(line[1])


def test_crowds_of_cvat_are_told_with_the_command_that_takes_them(tmp_path, said):
    names = [f"frame{k}.png" for k in range(3)]
    write_images(tmp_path / "images/default", names)
    write_coco(tmp_path / "annotations/a.json", names, iscrowd=1)
    annotations = tmp_path / "annotations/a.json"
    options = ["--data", "coco", "--annotations", annotations]
    # The folder of images is one further down, too.
    status, text = said("inspect", *options, "--images", f"{tmp_path}/images/")
    assert status == 1
    assert "'object'" not in text
    status, text = said(*proposed(text))
    assert status == 1
    assert "//" not in text
    status, text = said(*proposed(text))
    assert status == 0, text


def test_boxes_are_told_with_the_command_that_ignores_them(tmp_path, said):
    names = ["a.png", "b.png"]
    write_images(tmp_path, names)
    write_coco(tmp_path / "a.json", names, segmentation=[])
    files = ["--images", tmp_path, "--annotations", tmp_path / "a.json"]
    status, text = said("inspect", "--data", "coco", *files)
    assert status == 1
    assert proposed(text)[-2:] == ["--boxes", "ignore"]


def test_another_layout_than_cocos_is_told_with_the_options_for_it(tmp_path, said):
    write_images(tmp_path / "train", ["a.png"])
    write_coco(tmp_path / "train/_annotations.coco.json", ["a.png"])
    status, text = said("inspect", "--data", "coco", "--root", tmp_path)
    assert status == 1
    assert "--images and --annotations" in text
    assert "train/_annotations.coco.json" in text


@pytest.mark.parametrize("split", ["train", "val"])
def test_the_name_of_a_split_that_is_called_otherwise_is_proposed(
    tmp_path, said, split
):
    other = {"train": "training", "val": "valid"}
    there = ["train" if split == "val" else "val", other[split], "test"]
    for name in there:
        write_images(tmp_path / name, ["a.png"])
        write_coco(tmp_path / name / "a.json", ["a.png"])
    status, text = said(
        *("inspect", "--data", "coco", "--images", f"{tmp_path}/{{split}}"),
        *("--annotations", f"{tmp_path}/{{split}}/a.json"),
    )
    assert status == 1
    assert proposed(text)[-2:] == [f"--{split}-split", other[split]]
    options = {
        "data": "coco",
        "root": None,
        "images": f"{tmp_path}/{{split}}",
        "annotations": f"{tmp_path}/{{split}}/a.json",
        "classes": None,
    }
    with pytest.raises(FileNotFoundError, match="There are") as error:
        data_source(options, "nix")  # of `evaluate --split nix`
    assert "--nix-split" not in str(error.value)


def test_a_voc_tree_further_down_is_proposed(voc_tree, said):
    status, text = said("inspect", "--data", "voc", "--root", voc_tree.parent)
    assert status == 1
    assert said(*proposed(text))[0] == 0


def test_ids_of_the_last_masks_are_among_the_names_that_are_proposed(tmp_path, said):
    """Of 60 masks three, which lie anywhere, have the third class."""
    names = [f"{k:03}.png" for k in range(60)]
    write_images(tmp_path / "images", names)
    write_masks(tmp_path / "masks", names)
    for k in (7, 31, 58):
        write(tmp_path / "masks" / names[k], np.full((16, 20), 2, np.uint8))
    folders = ["--images", tmp_path / "images", "--masks", tmp_path / "masks"]
    status, text = said("inspect", "--data", "folder", *folders)
    assert status == 1
    assert said(*proposed(text))[0] == 0


@pytest.mark.parametrize("alpha", [255, 100])
def test_constant_alpha_is_left_out_of_the_training_that_is_proposed(
    tmp_path, said, alpha
):
    names = [f"{k}.png" for k in range(5)]
    write_images(tmp_path / "images", names, channels=4)
    for name in names:
        pixels = np.array(Image.open(tmp_path / "images" / name))
        pixels[..., 3] = 255
        pixels[0, 0, 3] = alpha
        write(tmp_path / "images" / name, pixels)
    write_masks(tmp_path / "masks", names)
    status, text = said(
        *("inspect", "--data", "folder", "--images", tmp_path / "images"),
        *("--masks", tmp_path / "masks", "--names", "a,b"),
    )
    assert status == 0
    assert ("--channels" in proposed(text)) == (alpha == 255)


def test_one_folder_for_images_and_masks_is_told(tmp_path, said):
    write_masks(tmp_path, ["a.png", "b.png"])
    folders = ["--images", tmp_path, "--masks", tmp_path, "--names", "a,b"]
    status, text = said("inspect", "--data", "folder", *folders)
    assert status == 1
    assert "--images and --masks to be two folders" in text


def test_one_missing_mask_is_told_with_both_lists_that_leave_it_out(tmp_path, said):
    write_images(tmp_path / "images", ["a.png", "b.png", "c.png"])
    write_masks(tmp_path / "masks", ["a.png", "c.png"])
    folders = ["--images", tmp_path / "images", "--masks", tmp_path / "masks"]
    names = ["--names", "a,b", "--out", tmp_path / "run"]
    status, text = said("train", "--data", "folder", *folders, *names)
    assert status == 1
    assert "Images without a mask: b." in text
    assert "--train-split and --val-split" in text


def test_a_file_in_place_of_a_folder_is_called_a_file(tmp_path, said):
    (tmp_path / "photo.jpg").write_bytes(b"x")
    folders = ["--images", tmp_path / "photo.jpg", "--masks", tmp_path]
    status, text = said("inspect", "--data", "folder", *folders, "--names", "a,b")
    assert status == 1
    assert "It is a file" in text


def test_a_folder_of_runs_is_told_with_the_runs_in_it(run, said, tmp_path):
    status, text = said("evaluate", run.parent)
    assert status == 1
    assert f"Runs in it: {run}" in text


def test_training_ends_with_how_to_use_the_model(run):
    last = (run.parent / "said.txt").read_text().splitlines()[-1]
    assert last == f"To use it: keras-seg predict {run} IMAGE --out DIR"


def test_images_left_out_are_a_list_that_fits_a_screen(run, said, tmp_path):
    for k in range(30):
        (tmp_path / f"{k}.jpg").write_bytes(b"no image")
    status, text = said("predict", run, tmp_path, "--out", tmp_path / "out")
    assert status == 1
    assert text.count("left out") == 10
    assert "and 20 more" in text


def test_a_file_that_is_no_keras_file_is_not_called_missing(run, said, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run/model.keras").write_bytes(b"x" * 1234)
    status, text = said("export", tmp_path / "run", "--out", tmp_path / "out")
    assert status == 1
    assert "not found" not in text
    assert "1,234 bytes" in text


@pytest.mark.parametrize("number", ["-1", "nan", "1e400", "text", ""])
def test_an_area_out_of_range_is_a_usage_error(number, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["inspect", f"--min-area={number}"])
    assert ended.value.code == 2
    assert "expected a number of pixels" in capsys.readouterr().err


@pytest.mark.filterwarnings("default")
def test_a_warning_is_a_sentence_without_a_place_in_the_code(tmp_path, said):
    names = [f"{k}.png" for k in range(4)]
    write_images(tmp_path, names)
    write_coco(tmp_path / "a.json", names, iscrowd=1)
    content = json.loads((tmp_path / "a.json").read_text())
    content["annotations"][0]["iscrowd"] = 0
    (tmp_path / "a.json").write_text(json.dumps(content))
    files = ["--images", tmp_path, "--annotations", tmp_path / "a.json"]
    _, text = said("inspect", "--data", "coco", *files)
    assert "Note: " in text
    assert "--crowd object" in text
    assert "UserWarning" not in text


@pytest.mark.slow
def test_the_layout_of_drive_leads_to_a_training(tmp_path, said):
    tifffile = pytest.importorskip("tifffile", reason="writes the images")
    pytest.importorskip("imagecodecs", reason="decodes LZW")
    images, masks = tmp_path / "training/images", tmp_path / "training/1st_manual"
    images.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for k in range(21, 25):
        pixels = rng.integers(0, 256, (16, 20, 3), np.uint8)
        options = {"photometric": "rgb", "compression": "lzw"}
        tifffile.imwrite(images / f"{k}_training.tif", pixels, **options)
        vessels = np.where(pixels[..., 0] > 99, 255, 0).astype(np.uint8)
        write(masks / f"{k}_manual1.gif", vessels)
    words = ["inspect", "--data", "folder", "--images", images, "--masks", masks]
    for _ in range(2):
        status, text = said(*words)
        assert status == 1
        words = proposed(text)
    status, text = said(*words)
    assert status == 0
    words = proposed(text)
    assert words[0] == "train"
    assert "--binary" in words
    source = data_source(vars(parser().parse_args(words)), "train")
    image, mask = source[0]
    assert np.array_equal(image, tifffile.imread(images / "21_training.tif"))
    assert np.array_equal(mask, image[..., 0] > 99)


def test_images_of_16_bits_with_a_sign_are_told_which_option_they_need(tmp_path, said):
    tifffile = pytest.importorskip("tifffile", reason="writes the images")
    (tmp_path / "images").mkdir()
    for k in range(3):
        pixels = np.arange(-100, 220, dtype=np.int16).reshape(16, 20)
        tifffile.imwrite(tmp_path / f"images/{k}.tif", pixels)
    write_masks(tmp_path / "masks", [f"{k}.png" for k in range(3)])
    folders = ["--images", tmp_path / "images", "--masks", tmp_path / "masks"]
    words = ["inspect", "--data", "folder", *folders, "--names", "land,sea"]
    status, text = said(*words)
    assert status == 1
    assert "--value-range" in text
    assert "value_range" not in text
    status, text = said(*words, "--value-range", "-100,219")
    assert status == 0
    assert proposed(text)[0] == "train"


@pytest.mark.slow
def test_floats_with_holes_lead_to_their_range_and_no_data_value(tmp_path, said):
    tifffile = pytest.importorskip("tifffile", reason="writes the images")
    (tmp_path / "images").mkdir()
    for k in range(3):
        pixels = np.random.default_rng(k).random((16, 20), np.float32)
        pixels[:3] = np.nan
        tifffile.imwrite(tmp_path / f"images/{k}.tif", pixels)
    write_masks(tmp_path / "masks", [f"{k}.png" for k in range(3)])
    folders = ["--images", tmp_path / "images", "--masks", tmp_path / "masks"]
    words = ["inspect", "--data", "folder", *folders, "--names", "land,sea"]
    added = [["--nodata", "nan"], ["--value-range", "0,1"]]
    for option in added:
        status, text = said(*words)
        assert status == 1
        assert proposed(text) == [*map(str, words), *option]
        words = proposed(text)
    status, text = said(*words)
    assert status == 0
    assert sorted(proposed(text)) == sorted(["train", *words[1:]])
    # What a run writes down of it can be read again.
    options = vars(parser().parse_args(proposed(text)))
    assert json.loads(json.dumps(options, allow_nan=False, default=str)) is not None
    image, mask = data_source(options, "train")[0]
    assert np.isfinite(image).all()
    assert (mask[:3] == 255).all()
