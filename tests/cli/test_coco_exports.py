"""COCO's format from labelling tools, in their own layouts, on the command line."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from keras_seg import data
from keras_seg.cli import main

SIZE = HEIGHT, WIDTH = 30, 40
#: Where the one object of image k is.
OBJECTS = [(5 + k, 4, 20 + k, 16) for k in range(10)]


def expected_mask(k):
    """By hand: 1 in the object of image k."""
    left, top, right, bottom = OBJECTS[k]
    mask = np.zeros(SIZE, int)
    mask[top:bottom, left:right] = 1
    return mask


def polygon(k):
    left, top, right, bottom = OBJECTS[k]
    return [[left, top, right, top, right, bottom, left, bottom]]


def runs(k):
    """Uncompressed, as CVAT writes masks."""
    flat = expected_mask(k).T.ravel()
    ends = np.flatnonzero(np.diff(flat)) + 1
    return {"counts": np.diff([0, *ends, flat.size]).tolist(), "size": list(SIZE)}


def write_image(path, k):
    """Image k, which has its object in white."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(k).integers(0, 90, (*SIZE, 3), np.uint8)
    pixels[expected_mask(k) == 1] = 250
    Image.fromarray(pixels).save(path)


def write_json(path, names, shapes, categories, *, first_id=0, **more):
    """Annotations whose category is the last one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [
        {"id": i, "file_name": name, "height": HEIGHT, "width": WIDTH}
        for i, name in enumerate(names, first_id)
    ]
    annotations = [
        {"id": i, "image_id": i, "category_id": categories[-1]["id"], "area": 180.0}
        | {"segmentation": shape, "bbox": [5, 4, 15, 12], "iscrowd": 0}
        | more
        for i, shape in enumerate(shapes, first_id)
    ]
    content = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(content))


def write_roboflow(root):
    """Folders train, valid and test of images with _annotations.coco.json in each.

    The first category stands above the others, here by the name of the only one.
    """
    for split, numbers in (("train", range(6)), ("valid", range(6, 9)), ("test", [9])):
        names = [f"photo{k}_jpg.rf.0e5d1c2b{k}.png" for k in numbers]
        for k, name in zip(numbers, names, strict=True):
            write_image(root / split / name, k)
        categories = [
            {"id": 0, "name": "cell", "supercategory": "none"},
            {"id": 1, "name": "cell", "supercategory": "cell"},
        ]
        path = root / split / "_annotations.coco.json"
        write_json(path, names, map(polygon, numbers), categories)


def write_label_studio(root):
    """A file result.json beside images, which it calls by the paths of a server."""
    names = [f"{k}f3-photo one.png" for k in range(10)]
    for k, name in enumerate(names):
        write_image(root / "images" / name, k)
    told = [f"images\\{name}" for name in names]  # from Windows
    told[1] = f"images\\1/{names[1]}"
    told[2] = f"..\\..\\label-studio\\media\\upload\\4\\{names[2]}"
    told[3] = f"/data/local-files/?d=photos/{names[3].replace(' ', '%20')}"
    told[4] = f"images/{names[4]}"
    categories = [{"id": 0, "name": "cell"}]
    shapes = map(polygon, range(10))
    write_json(root / "result.json", told, shapes, categories, ignore=0)


def write_cvat(root):
    """A folder of annotations and one of images/default; masks, which are crowds."""
    names = [f"clip/frame{k}.png" for k in range(10)]
    for k, name in enumerate(names):
        write_image(root / "images/default" / name, k)
    categories = [{"id": 1, "name": "cell", "supercategory": ""}]
    write_json(
        root / "annotations/instances_default.json",
        names,
        map(runs, range(10)),
        categories,
        first_id=1,
        iscrowd=1,
        attributes={"occluded": False},
    )


def write_coco_2017(root):
    for split, numbers in (("train", range(6)), ("val", range(6, 10))):
        names = [f"{k:012}.png" for k in numbers]
        for k, name in zip(numbers, names, strict=True):
            write_image(root / f"{split}2017" / name, k)
        categories = [{"id": 3, "name": "car"}, {"id": 17, "name": "cat"}]
        path = root / f"annotations/instances_{split}2017.json"
        write_json(path, names, map(polygon, numbers), categories)


def options_of(tool, root):
    """What one would say of an export."""
    images, annotations = {
        "Roboflow": ("{split}", "{split}/_annotations.coco.json"),
        "Label Studio": ("images", "result.json"),
        "CVAT": ("images/default", "annotations/instances_default.json"),
    }[tool]
    return [
        *("--data", "coco", "--images", f"{root}/{images}"),
        *("--annotations", f"{root}/{annotations}"),
    ]


@pytest.fixture
def inspected(capsys, tmp_path):
    """Function -> (exit status, what inspect prints, its errors)."""

    def inspect(*options):
        sheet = str(tmp_path / "sheet.png")
        status = main(["inspect", *options, "--sheet", sheet])
        out, error = capsys.readouterr()
        return status, out, error

    return inspect


def test_label_studio_export_is_read(tmp_path, inspected):
    write_label_studio(tmp_path)
    status, said, _ = inspected(*options_of("Label Studio", tmp_path))
    assert status == 0
    assert "all: 10 examples" in said
    assert "No problems found" in said
    path = tmp_path / "result.json"
    source = data.coco(tmp_path / "images", path, classes="coco")
    assert source.class_names == ("background", "cell")
    for k, (image, mask) in enumerate(source):
        np.testing.assert_array_equal(mask, expected_mask(k))
        assert (image[mask == 1] == 250).all()
    with pytest.raises(FileNotFoundError, match=r"1f3-photo one.*It is in .*images"):
        data.coco(tmp_path, path, classes="coco")  # in which the others are


@pytest.mark.slow
def test_roboflow_export_says_what_its_splits_are_called(tmp_path, inspected):
    write_roboflow(tmp_path)
    options = options_of("Roboflow", tmp_path)
    status, said, _ = inspected(*options)
    assert status == 1
    assert "There are test, train, valid: say which, --val-split valid" in said
    status, said, _ = inspected(*options, "--val-split", "valid")
    assert status == 0
    assert "train: 6 examples" in said
    assert "val: 3 examples" in said
    images = tmp_path / "train"
    source = data.coco(images, images / "_annotations.coco.json", classes="coco")
    assert source.class_names == ("background", "cell")
    np.testing.assert_array_equal(source[3][1], expected_mask(3))


@pytest.mark.slow
def test_masks_of_cvat_are_objects_when_asked(tmp_path, inspected, capsys):
    write_cvat(tmp_path)
    options = options_of("CVAT", tmp_path)
    status, said, _ = inspected(*options)
    assert status == 1
    assert "WRONG  all: " in said
    assert "all 10 are (`iscrowd` is 1)" in said
    assert re.search("^Try: keras-seg inspect .* --crowd object$", said, re.MULTILINE)
    # Pixels of objects and ignored ones are counted all the same.
    assert re.search(r"\(ignored\) +15.00% +10\b", said)
    for command in ("train", "prepare"):
        assert main([command, *options, "--out", str(tmp_path / command)]) == 1
        error = capsys.readouterr().err
        assert "all 10 are (`iscrowd` is 1)" in error
        assert re.search(f"^Try: keras-seg {command} .* --crowd object$", error, re.M)
        assert not list(tmp_path.glob(f"{command}/*/*"))
    status, said, _ = inspected(*options, "--crowd", "object")
    assert status == 0
    assert "all: 10 examples" in said
    json_file = tmp_path / "annotations/instances_default.json"
    source = data.coco(
        tmp_path / "images/default", json_file, classes="coco", crowd="object"
    )
    assert source.names[0] == "clip/frame0"
    np.testing.assert_array_equal(source[7][1], expected_mask(7))


def test_coco_in_its_own_layout_is_found_by_its_root(tmp_path, inspected):
    write_coco_2017(tmp_path)
    root = ["--data", "coco", "--root", str(tmp_path)]
    status, said, _ = inspected(*root, "--classes", "car, cat")
    assert status == 0
    assert "train: 6 examples" in said
    assert "val: 4 examples" in said
    assert "Classes without a pixel: car" in said
    status, _, error = inspected(*root)  # VOC's classes
    assert status == 1
    assert "It has: car, cat. All of them: --classes coco" in error


@pytest.mark.slow
def test_every_option_of_coco_changes_the_data(tmp_path, inspected):
    """Two objects over each other, one of which is a crowd, and a box alone."""
    write_image(tmp_path / "a.png", 0)
    write_image(tmp_path / "b.png", 1)
    path = tmp_path / "a.json"
    categories = [{"id": 1, "name": "cell"}]
    write_json(path, ["a.png", "b.png"], [polygon(0), polygon(1)], categories)
    content = json.loads(path.read_text())
    a, b = content["annotations"]
    content["annotations"] += [
        a | {"id": 5, "segmentation": runs(1), "iscrowd": 1, "area": 900},
        b | {"id": 6, "segmentation": [], "bbox": [0, 0, 2, 3], "area": 0},
    ]
    path.write_text(json.dumps(content))
    options = ["--data", "coco", "--images", str(tmp_path), "--annotations", str(path)]
    status, _, error = inspected(*options)
    assert status == 1
    assert "1 of 4 objects without one, the first is annotations[3]" in error

    def pixels(*more):
        _, said, _ = inspected(*options, *more, "--json")
        found = json.loads(said)["splits"]["all"]
        classes = found["classes"]
        return found["looked_at"], classes["cell"]["pixels"], found["ignored_pixels"]

    # Of a.png: 15 columns of 12 rows, of which the crowd covers all but one; the crowd
    # has a column more. Of b.png: 180 pixels, and the 6 of the box.
    ignore = ["--boxes", "ignore"]
    assert pixels(*ignore) == (2, 12 + 180, 14 * 12 + 12 + 6)
    assert pixels(*ignore, "--crowd", "object") == (2, 24 + 180, 14 * 12 + 6)
    smallest = [*ignore, "--crowd", "object", "--overlap", "smallest"]
    assert pixels(*smallest) == (2, 16 * 12 + 180, 6)
    assert pixels(*ignore, "--min-area", "1000") == (1, 12, 14 * 12 + 12)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--data coco", "--root, a folder in COCO's own layout, or both --images"),
        ("--data coco --images a", "both --images and --annotations"),
        ("--data coco --annotations a", "both --images and --annotations"),
        ("--data coco --root a --images a --annotations a", "--root, .* or both"),
        ("--data coco --images a --annotations a --masks b", "--masks with --data fol"),
        ("--data voc --root a --images b", "--images with --data coco or folder only"),
        ("--data voc --root a --min-area 0", "--min-area with --data coco only"),
        ("--data coco --images a --annotations none", "annotations at none"),
        (
            "--data coco --images a --annotations {split}",
            "train. There is no file. .*any",
        ),
        ("--data coco --images a --annotations a --val-split b", "{split} in --annot"),
    ],
)
def test_options_of_coco_that_do_not_fit_say_so(options, says, inspected, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        status, _, error = inspected(*options.split())
    assert status == 1
    assert re.search(says, error), error


def test_an_export_is_trained_on_and_evaluated_on_any_split(
    tmp_path, tiny, given_to_fit
):
    write_roboflow(tmp_path / "set")
    options = options_of("Roboflow", tmp_path / "set")
    options += ["--val-split", "valid", "--crowd", "object", "--min-area", "170"]
    out = given_to_fit(*options, *tiny).out
    assert main(["evaluate", str(out)]) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    assert list(metrics["iou"]) == ["background", "cell"]
    assert metrics["images"] == 3
    run = json.loads((out / "run.json").read_text())
    assert (run["crowd"], run["min_area"]) == ("object", 170)
    moved = tmp_path / "moved"
    (tmp_path / "set").rename(moved)
    there = options_of("Roboflow", moved)[2:]
    assert main(["evaluate", str(out), "--split", "test", *there]) == 0
