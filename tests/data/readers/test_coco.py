"""COCO's masks against the formats' definitions, written out in NumPy."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from pycocotools import mask as coco_mask

from keras_seg import data
from keras_seg.inference import evaluate

HEIGHT, WIDTH = 40, 60
# Categories of VOC's classes, in VOC's order, as torchvision's reference scripts have
# them, and two that VOC hasn't.
VOC_IDS = (5, 2, 16, 9, 44, 6, 3, 17, 62, 21, 67, 18, 19, 4, 1, 64, 20, 63, 7, 72)
VOC_NAMES = (
    "airplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, dining table, "
    "dog, horse, motorcycle, person, potted plant, sheep, couch, train, tv"
).split(", ")
OTHERS = {38: "kite", 90: "toothbrush"}
CATEGORIES = [
    {"id": number, "name": name}
    for number, name in [*zip(VOC_IDS, VOC_NAMES, strict=True), *OTHERS.items()]
]


def pixels_of(shape, height, width):
    """Pixels of one object, as torchvision's reference asks COCO's tool for them."""
    if isinstance(shape, dict) and isinstance(shape["counts"], str):
        return coco_mask.decode(shape).astype(bool)
    parts = coco_mask.decode(coco_mask.frPyObjects(shape, height, width))
    return parts.reshape(height, width, -1).any(-1)


def expected_mask(annotations, label_of, height, width, overlap, crowd):
    """Labels by the definitions; overlap and crowd "torchvision" is its reference."""
    masks, labels = [], []
    for annotation in annotations:
        if annotation["category_id"] in label_of:
            masks.append(pixels_of(annotation["segmentation"], height, width))
            is_crowd = annotation["iscrowd"] and crowd == "ignore"
            labels.append(255 if is_crowd else label_of[annotation["category_id"]])
    if not masks:
        return np.zeros((height, width), int)
    masks, labels = np.stack(masks), np.array(labels)
    if overlap == "ignore":
        target = (masks * labels[:, None, None]).max(0)
        target[masks.sum(0) > 1] = 255
        return target
    # The object with the fewest pixels, the first of several: argmin takes the first.
    sizes = masks.sum((1, 2))[:, None, None]
    owner = np.where(masks, sizes, np.inf).argmin(0)
    return np.where(masks.any(0), labels[owner], 0)


def runs_of(pixels):
    """Uncompressed runs of a mask."""
    flat = pixels.T.ravel()
    ends = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *ends, flat.size]).tolist()
    return {"counts": [0, *runs] if flat[0] else runs, "size": list(pixels.shape)}


def some_shape(rng, height, width):
    """Polygons of one to three parts, or runs, compressed or not."""
    kind = rng.integers(6)
    if kind < 4:
        parts = rng.integers(1, 4)
        return [
            (rng.random((rng.integers(3, 8), 2)) * [width, height]).ravel().tolist()
            for _ in range(parts)
        ]
    pixels = rng.random((height, width)) < 0.3
    pixels[: rng.integers(height)] = False
    if kind == 4:
        return runs_of(pixels)
    runs = coco_mask.encode(np.asfortranarray(pixels, np.uint8))
    return {"counts": runs["counts"].decode(), "size": runs["size"]}


def some_annotations(image_ids, rng, height=HEIGHT, width=WIDTH):
    annotations = []
    for image_id in image_ids:
        for _ in range(rng.integers(1, 7)):
            shape = some_shape(rng, height, width)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": int(rng.choice([*VOC_IDS, *OTHERS])),
                    "iscrowd": int(isinstance(shape, dict) and rng.random() < 0.7),
                    "area": float(rng.integers(1, 1000)),
                    "segmentation": shape,
                }
            )
    return annotations


@pytest.fixture
def coco_set(tmp_path):
    """Function -> folder of images and file of annotations, with what is changed."""

    def write(annotations=None, image_ids=(30, 7, 100), **changed):
        folder = tmp_path / "images"
        folder.mkdir(exist_ok=True)
        images = []
        for number in image_ids:
            # Names in another order than ids.
            name = f"{1000 - number}.jpg"
            images.append(
                {"id": number, "file_name": name, "height": HEIGHT, "width": WIDTH}
            )
            pixels = np.full((HEIGHT, WIDTH, 3), number, np.uint8)
            Image.fromarray(pixels).save(folder / name)
        if annotations is None:
            annotations = some_annotations(image_ids, np.random.default_rng(0))
        content = {"images": images, "annotations": annotations}
        content |= {"categories": CATEGORIES} | changed
        path = tmp_path / "instances.json"
        path.write_text(json.dumps(content))
        return folder, path

    return write


def an_object(segmentation, **changed):
    return {
        "id": 5,
        "image_id": 7,
        "category_id": 17,
        "iscrowd": 0,
        "area": 9.0,
        "segmentation": segmentation,
    } | changed


def box(left, top, right, bottom):
    return [left, top, right, top, right, bottom, left, bottom]


LABELS = {
    "voc": {number: label for label, number in enumerate(VOC_IDS, start=1)},
    "coco": {
        number: label for label, number in enumerate(sorted([*VOC_IDS, *OTHERS]), 1)
    },
    ("kite", "dog", "tv"): {38: 1, 18: 2, 72: 3},
}


@pytest.mark.parametrize("overlap", ["ignore", "smallest"])
@pytest.mark.parametrize("crowd", ["ignore", "object"])
@pytest.mark.parametrize("classes", LABELS)
def test_masks_equal_the_definition(coco_set, classes, crowd, overlap):
    ids = range(1, 13)
    annotations = some_annotations(ids, np.random.default_rng(1))
    files = coco_set(annotations, ids)
    source = data.coco(*files, classes=classes, crowd=crowd, overlap=overlap)
    assert source.names == [str(1000 - number) for number in ids]
    seen, masks = set(), []
    for number, (image, mask) in zip(ids, source, strict=True):
        masks.append(mask)
        assert abs(int(image[0, 0, 0]) - number) <= 1  # JPEG
        of_image = [a for a in annotations if a["image_id"] == number]
        expected = expected_mask(
            of_image, LABELS[classes], HEIGHT, WIDTH, overlap, crowd
        )
        np.testing.assert_array_equal(mask, expected, err_msg=str(number))
        seen |= {*np.unique(mask)}
    assert len(seen) > len(LABELS[classes]) // 2
    if classes == "voc":  # batches know nothing of classes
        in_batches = np.concatenate([some for _, some in source.batches(5)])
        for mask, padded in zip(masks, in_batches, strict=True):
            np.testing.assert_array_equal(padded[:HEIGHT, :WIDTH], mask)


def test_classes_are_named_in_the_order_of_their_labels(coco_set):
    files = coco_set()
    own = {"airplane": "aeroplane", "dining table": "diningtable", "couch": "sofa"}
    own |= {"motorcycle": "motorbike", "potted plant": "pottedplant", "tv": "tvmonitor"}
    vocs = [own.get(name, name) for name in VOC_NAMES]
    assert data.coco(*files).class_names == ("background", *vocs)
    by_id = [c["name"] for c in sorted(CATEGORIES, key=lambda c: c["id"])]
    in_order = data.coco(*files, classes="coco").class_names
    assert in_order == ("background", *by_id)
    for chosen in (["tv", "dog"], ("background", "tv", "dog")):
        source = data.coco(*files, classes=chosen)
        assert source.class_names == ("background", "tv", "dog")


def test_a_box_is_its_pixels(coco_set):
    """By hand: columns 2..5 and rows 1..2."""
    files = coco_set([an_object([box(2, 1, 6, 3)])])
    source = data.coco(*files, classes=["cat"])
    expected = np.zeros((HEIGHT, WIDTH), int)
    expected[1:3, 2:6] = 1
    (index,) = [i for i, name in enumerate(source.names) if name == "993"]
    np.testing.assert_array_equal(source[index][1], expected)


def test_all_pixels_that_a_bare_box_touches_are_ignored(coco_set):
    """By hand: columns 2.5..6.25 and rows 1.75..3.25 are in pixels 2..6 and 1..3."""
    bare = an_object([], bbox=[2.5, 1.75, 3.75, 1.5])
    mask = data.coco(*coco_set([bare], [7]), boxes="ignore")[0][1]
    expected = np.zeros((HEIGHT, WIDTH), int)
    expected[1:4, 2:7] = 255
    np.testing.assert_array_equal(mask, expected)


def test_of_two_alike_the_first_in_the_file_is_on_top(coco_set):
    pair = [an_object([box(2, 1, 6, 3)], id=c, category_id=c) for c in (18, 17)]
    files = coco_set(pair, [7])
    for order, label in ((["cat", "dog"], 2), (["dog", "cat"], 1)):
        mask = data.coco(*files, classes=order, overlap="smallest")[0][1]
        assert mask[2, 3] == label  # the dog's


@pytest.mark.parametrize("area", [None, 999, 1000, 1001, 10_000])
def test_images_of_little_area_are_left_out(coco_set, area):
    """The areas of the chosen objects are summed; as much as `min_area` is too few."""
    shape = [box(1, 1, 5, 5)]
    annotations = [
        an_object(shape, id=1, image_id=30, area=600),
        an_object(shape, id=2, image_id=30, area=401),
        an_object(shape, id=3, image_id=7, area=1000),
        an_object(shape, id=4, image_id=7, area=9000, category_id=38),
    ]
    files = coco_set(annotations, [30, 7, 100])
    kept = {None: [7, 30, 100], 999: [7, 30], 1000: [30]}.get(area, [])
    names = data.coco(*files, min_area=area).names if kept else []
    assert names == [str(1000 - number) for number in kept]
    if not kept:
        with pytest.raises(ValueError, match=r"instances\.json.*`min_area`"):
            data.coco(*files, min_area=area)


def test_an_image_without_objects_is_background(coco_set):
    files = coco_set([an_object([box(1, 1, 5, 5)], image_id=100)])
    masks = [mask for _, mask in data.coco(*files)]
    assert [mask.max() for mask in masks] == [0, 0, 8]


def test_images_may_be_pngs_and_lie_in_folders(coco_set):
    folder, path = coco_set()
    content = json.loads(path.read_text())
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    for k, image in enumerate(content["images"]):
        image["file_name"] = f"part{k}/photo.png"
        (folder / f"part{k}").mkdir()
        Image.fromarray(pixels + k).save(folder / f"part{k}/photo.png")
    path.write_text(json.dumps(content))
    source = data.coco(folder, path)
    assert source.names == ["part1/photo", "part0/photo", "part2/photo"]
    np.testing.assert_array_equal(source[2][0], pixels + 2)
    window = source._image(tf.constant(0), (3, 4, 20, 30))
    np.testing.assert_array_equal(window, (pixels + 1)[3:23, 4:34])


NAN, INFINITY = float("nan"), float("inf")
# What is wrong with an outline: found when the image is read, or in the whole file.
BAD_OUTLINES = {
    "runs of another size": (
        {"counts": [2400], "size": [WIDTH, HEIGHT]},
        r"runs of an image of 40 x 60. Received: \[60, 40\]",
    ),
    "too few runs": (
        {"counts": [100, 20], "size": [HEIGHT, WIDTH]},
        "2400 pixels in all.* Received: 120",
    ),
    "no runs": ({"counts": [], "size": [HEIGHT, WIDTH]}, "Received: 0"),
    "damaged compressed runs": ({"counts": "bug", "size": [40, 60]}, "Expected"),
    "too many compressed runs": ({"counts": "o" * 400, "size": [40, 60]}, "Expected"),
    "compressed runs, cut": ({"counts": "PPP", "size": [40, 60]}, "Expected"),
    "compressed runs of none": ({"counts": "", "size": [40, 60]}, "Expected"),
    "runs in other letters": ({"counts": "\u00e9", "size": [40, 60]}, "Expected"),
    "not a number": ([[1, 1, 9, NAN, 5, 5]], "finite"),
    "infinite": ([[1, 1, 9, INFINITY, 5, 5]], "finite"),
    "far outside": ([[1, 1, 9, 1e12, 5, 5]], "near the image"),
}
OUTLINES_OF_NO_TYPE = {
    "negative runs": (
        {"counts": [2500, -100], "size": [HEIGHT, WIDTH]},
        r"\.counts\[1\]: Expected int >= 0. Received: -100",
    ),
    "words as runs": (
        {"counts": ["many"], "size": [HEIGHT, WIDTH]},
        r'\.counts\[0\]: Expected int. Received: "many"',
    ),
    "fractions as runs": (
        {"counts": [2399.5, 0.5], "size": [40, 60]},
        r"\.counts\[0\]: Expected int. Received: 2399\.5",
    ),
    "huge runs": (
        {"counts": [2**70], "size": [40, 60]},
        r"\.counts\[0\]: .*1180591620",
    ),
    "runs without counts": (
        {"size": [HEIGHT, WIDTH]},
        r': Expected `counts`. Received: \{"size": \[40, 60\]\}',
    ),
    "runs without a size": ({"counts": [2400]}, ": Expected `size`"),
    "a size of one side": ({"counts": [40], "size": 40}, r"\.size: Expected array"),
    "a size of three": ({"counts": [1], "size": [1, 1, 1]}, r"\.size: .*length 2"),
    "a polygon of odd length": ([[1, 1, 9, 9, 5, 5, 2]], r"\[0\]: .*x1, y1, .* 7"),
    "points in pairs": (
        [[[1, 1], [9, 9], [5, 5]]],
        r"\[0\]\[0\]: Expected float. Received: \[1, 1\]",
    ),
    "a polygon not in a list": (
        box(1, 1, 9, 9),
        r"\[0\]: Expected array. Received: 1",
    ),
    "words": ([["a", 1, 9, 9, 5, 5]], r'\[0\]\[0\]: Expected float. Received: "a"'),
    "nothing as a number": ([[1, None, 9, 9, 5, 5]], r"\[0\]\[1\]: .*Received: null"),
    "a truth": ([[True, 1, 9, 9, 5, 5]], r"\[0\]\[0\]: .*Received: true"),
    "too large a number": ("[[1e999, 1, 9, 9, 5, 5]]", r"\[0\]\[0\]: .*1e999"),
    "a word": ("1 1 9 9 5 5", r': Expected .*Received: "1 1 9 9 5 5"'),
    "a number": (7, ": Expected .*Received: 7"),
}


@pytest.mark.parametrize(("shape", "message"), BAD_OUTLINES.values(), ids=BAD_OUTLINES)
def test_an_outline_that_cannot_be_drawn_is_an_error_by_name(coco_set, shape, message):
    good = an_object([box(1, 1, 9, 9)], id=4, image_id=100)
    files = coco_set([good, an_object(shape)])
    named = rf"instances\.json: 993\.jpg: annotations\[1\] \(id 5\): .*{message}"
    source = data.coco(*files)
    with pytest.raises(ValueError, match=named) as error:
        source[0]
    assert "992" not in str(error.value)
    np.testing.assert_array_equal(source[1][1], np.zeros((HEIGHT, WIDTH)))


@pytest.mark.parametrize(
    ("shape", "message"), OUTLINES_OF_NO_TYPE.values(), ids=OUTLINES_OF_NO_TYPE
)
def test_an_outline_of_another_type_is_an_error_with_its_place(
    coco_set, shape, message
):
    folder, path = coco_set([an_object([box(1, 1, 9, 9)], id=4), an_object(shape)])
    if "1e999" in str(shape):
        path.write_text(path.read_text().replace(f'"{shape}"', shape))
    named = rf"instances\.json: annotations\[1\]\.segmentation{message}"
    with pytest.raises(ValueError, match=named):
        data.coco(folder, path)
    # Of other classes nothing is drawn, so nothing of them is in the way.
    with pytest.raises(ValueError, match="Expected objects of dog"):
        data.coco(folder, path, classes=["dog"])


def test_a_polygon_partly_outside_is_cut_off(coco_set):
    files = coco_set([an_object([box(-20, -30, 6, 3)])], [7])
    expected = np.zeros((HEIGHT, WIDTH), int)
    expected[:3, :6] = 8
    np.testing.assert_array_equal(data.coco(*files)[0][1], expected)


def without(key, items):
    return [{k: v for k, v in item.items() if k != key} for item in items]


IMAGE = {"id": 7, "file_name": "993.jpg", "height": HEIGHT, "width": WIDTH}
OBJECT = an_object([box(1, 1, 9, 9)])
OTHERS_IMAGE = OBJECT | {"id": 6, "image_id": 99}
BAD_FILES = {
    "category missing": (
        {"annotations": [OBJECT, OBJECT | {"id": 6, "category_id": 12}]},
        r"categories that the file lists. Received: 1 of 2 .*\[1\] \(id 6\) "
        r"with category_id 12",
    ),
    "image missing": (
        {"annotations": [OBJECT, OTHERS_IMAGE]},
        r"images that the file lists. Received: 1 of 2 .*\[1\] \(id 6\) with "
        r"image_id 99, where ids of images are like 7",
    ),
    "another category's image missing": (
        {"annotations": [OBJECT, OTHERS_IMAGE | {"category_id": 90}]},
        "with image_id 99",
    ),
    "ids of images that are names": (
        {"annotations": [OBJECT | {"image_id": "993.jpg"}]},
        "image_id '993.jpg', where ids of images are like 7",
    ),
    "no annotations": ({"annotations": []}, "Received: none. .*test images"),
    "no images": ({"images": []}, "Expected images. Received: none"),
    "no categories": ({"categories": []}, "Expected categories. Received: none"),
    "annotations of others": (
        {"annotations": [an_object([box(1, 1, 9, 9)], category_id=90)]},
        "Expected objects of .*aeroplane",
    ),
    "two categories of an id": (
        {"categories": [*CATEGORIES, {"id": 17, "name": "tiger"}]},
        r"once: 17, the first in categories\[7\] and categories\[22\]",
    ),
    "two images of an id": (
        {"images": [IMAGE, IMAGE]},
        r"once: 7, the first in images\[0\] and images\[1\]",
    ),
    "two annotations of an id": (
        {"annotations": [OBJECT, OBJECT]},
        r"once: 5, the first in annotations\[0\] and annotations\[1\]",
    ),
    "a file under two ids": (
        {"images": [IMAGE, IMAGE | {"id": 8}]},
        "image under one id. Received: 993.jpg under two",
    ),
    "a file under two names": (
        {"images": [IMAGE, IMAGE | {"id": 8, "file_name": "./993.jpg"}]},
        r"Received: \./993.jpg under two, called 993.jpg too",
    ),
    "an image that isn't there": (
        {"images": [IMAGE, IMAGE | {"id": 8, "file_name": "none.jpg"}]},
        r"none\.jpg.*0 more of 2.*In the folder are: 900.jpg, 970.jpg",
    ),
    "an image too large to be decoded": (
        {"images": [IMAGE | {"height": 10**6, "width": 10**6}]},
        r"images\[0\]: Expected .*1000000 x 1000000",
    ),
    "an area that is no number": (
        {"annotations": [OBJECT | {"area": NAN}]},
        r"annotations\[0\]\.area: .*Received: nan",
    ),
    "an infinite area": (
        {"annotations": [OBJECT | {"area": INFINITY}]},
        r"annotations\[0\]\.area: .*Received: inf",
    ),
}


@pytest.mark.parametrize(("changed", "message"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_an_error_that_names_it(coco_set, changed, message):
    folder, path = coco_set(**{"annotations": [OBJECT], "images": [IMAGE]} | changed)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        data.coco(folder, path)
    assert "instances.json" in str(error.value)


# Part, key, and values that can't be what the key should have.
NO_VALUES = {
    ("images", "id"): [None, [7], {}, True, 7.5],
    ("images", "file_name"): [None, 7, ["a"], ""],
    ("images", "height"): [None, 0, -1, 40.5, "tall", [40]],
    ("images", "width"): [None, 0, "", "6O", False],
    ("annotations", "image_id"): [None, [7], 7.5, {"id": 7}],
    ("annotations", "category_id"): [None, [17], 17.5],
    ("annotations", "iscrowd"): [2, -1, "maybe", [0]],
    ("annotations", "area"): ["much", [9], True],
    ("categories", "id"): [None, [17], 0.5],
    ("categories", "name"): [None, 3, ["cat"], ""],
}


@pytest.mark.parametrize(("part", "key"), NO_VALUES)
def test_a_value_of_another_type_is_an_error_with_its_place(coco_set, part, key):
    folder, path = coco_set([OBJECT], [7])
    good = json.loads(path.read_text())
    for value in NO_VALUES[part, key]:
        bad = json.loads(json.dumps(good))
        bad[part][-1][key] = value
        path.write_text(json.dumps(bad))
        place = f"{part}[{len(bad[part]) - 1}].{key}: "
        with pytest.raises(ValueError, match=r"instances\.json: ") as error:
            data.coco(folder, path)
        assert place in str(error.value)
        assert str(error.value).endswith(f"Received: {json.dumps(value)}")
    if key not in ("iscrowd", "area"):
        del bad[part][-1][key]
        path.write_text(json.dumps(bad))
        with pytest.raises(ValueError, match=rf"{part}\[\d+\]: Expected `{key}`"):
            data.coco(folder, path)


@pytest.mark.parametrize("part", ["images", "annotations", "categories"])
@pytest.mark.parametrize("value", [None, 3, "none", {"1": {}}, [3], [None], [[]]])
def test_a_part_of_another_type_is_an_error_with_its_place(coco_set, part, value):
    folder, path = coco_set([OBJECT])
    path.write_text(json.dumps(json.loads(path.read_text()) | {part: value}))
    with pytest.raises(ValueError, match=rf"instances\.json: {part}.*Received"):
        data.coco(folder, path)


def test_numbers_in_other_words_are_read(coco_set):
    """Whole floats, numbers in strings, truths as flags, and what isn't needed."""
    folder, path = coco_set([OBJECT], [7])
    expected = data.coco(folder, path)[0][1]
    content = json.loads(path.read_text())
    content["images"][0] |= {"id": "7", "height": 40.0, "width": "60", "extra": NAN}
    content["annotations"][0] |= {"category_id": "17", "iscrowd": False, "area": "9"}
    content["annotations"][0] |= {"segmentation": [["1", 1, 9, "1.0", 9, 9, 1, 9.0]]}
    content["annotations"][0] |= {"score": INFINITY, "bbox": "none"}
    content["categories"][7] |= {"id": "17"}
    content["info"] = None
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        path.write_text(json.dumps(content), encoding=encoding)
        np.testing.assert_array_equal(data.coco(folder, path)[0][1], expected)


def test_ids_may_be_names_of_files(coco_set):
    annotations = [OBJECT | {"image_id": "007"}, OBJECT | {"id": 6, "image_id": "b"}]
    images = [IMAGE | {"id": "b"}, IMAGE | {"id": "7", "file_name": "970.jpg"}]
    source = data.coco(*coco_set(annotations, images=images))
    assert source.names == ["970", "993"]  # numbers first
    np.testing.assert_array_equal(source[0][1], source[1][1])


def test_a_part_that_is_there_twice_is_an_error(coco_set):
    folder, path = coco_set([OBJECT])
    path.write_text('{"annotations": [], ' + path.read_text()[1:])
    with pytest.raises(
        ValueError, match=r"instances\.json: Expected `annotations` once"
    ):
        data.coco(folder, path)


def test_a_part_of_two_points_encloses_nothing(coco_set):
    files = coco_set([an_object([[1, 1, 9, 9], box(2, 1, 6, 3), []])], [7])
    mask = data.coco(*files, classes=["cat"])[0][1]
    assert mask.sum() == mask[1:3, 2:6].sum() == 8


@pytest.mark.parametrize("area", [None, -9.0])
def test_an_area_is_needed_where_there_is_a_least_one(coco_set, area):
    files = coco_set([OBJECT | {"area": area}])
    assert len(data.coco(*files)) == 3
    with pytest.raises(ValueError, match=rf"annotations\[0\]\.area: .*{area}"):
        data.coco(*files, min_area=1)


@pytest.mark.parametrize("key", ["images", "annotations", "categories"])
def test_a_file_without_a_part_is_an_error_that_names_both(coco_set, key):
    folder, path = coco_set()
    content = json.loads(path.read_text())
    del content[key]
    path.write_text(json.dumps(content))
    for reader in (data.coco, data.coco_panoptic):
        with pytest.raises(ValueError, match=rf"instances\.json.*Missing: {key}"):
            reader(folder, path)


@pytest.mark.parametrize("contents", [b"", b"{", b"[1]", b"3", b"\xff\xd8\xff", None])
def test_what_is_no_such_json_is_an_error_that_names_it(tmp_path, contents):
    path = tmp_path / "instances.json"
    if contents is not None:
        path.write_bytes(contents)
    for reader in (data.coco, data.coco_panoptic):
        with pytest.raises((ValueError, FileNotFoundError), match=r"instances\.json"):
            reader(tmp_path, path)


def test_a_cut_json_is_an_error_that_names_it(coco_set):
    folder, path = coco_set()
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match=r"instances\.json: Expected a whole JSON"):
        data.coco(folder, path)


def test_a_folder_that_is_missing_is_named(coco_set):
    _, path = coco_set()
    with pytest.raises(FileNotFoundError, match="nowhere"):
        data.coco(path.parent / "nowhere", path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": ["cat", "motorbike"]}, "named motorbike.*Like them: .*motorcycle"),
        ({"classes": ["xyz"]}, "named xyz.*Like them: none"),
        ({"classes": "cat"}, "'voc', 'coco' or names.*'cat'"),
        ({"classes": None}, "'voc', 'coco' or names.*None"),
        ({"classes": 17}, "'voc', 'coco' or names.*17"),
        ({"classes": [["cat"]]}, "'voc', 'coco' or names.*cat"),
        ({"classes": ["background"]}, "Expected names of `classes`"),
        ({"classes": [17, "cat"]}, "names that differ.*'cat' twice"),
        ({"classes": [16, 1000]}, "named 1000"),
        ({"classes": []}, "Expected .*classes"),
        ({"classes": ["cat", "cat"]}, "names that differ"),
        ({"overlap": "largest"}, r"`overlap`.*'largest'"),
        ({"crowd": "drop"}, r"`crowd`.*'drop'"),
        ({"crowd": None}, r"`crowd`.*None"),
        ({"boxes": "object"}, r"`boxes`.*'object'"),
        ({"min_area": -1}, "`min_area` >= 0. Received: -1"),
        ({"min_area": NAN}, "`min_area` >= 0. Received: nan"),
    ],
)
def test_a_bad_argument_is_an_error_that_says_so(coco_set, arguments, message):
    with pytest.raises(ValueError, match=message):
        data.coco(*coco_set(), **arguments)


def test_a_file_of_crowds_alone_is_read_but_not_trained_on(coco_set, tmp_path):
    square = [[2, 3, 12, 3, 12, 13, 2, 13]]
    crowds = [an_object(square, id=i, image_id=7, iscrowd=1) for i in (5, 6)]
    files = coco_set(crowds, [7])
    source = data.coco(*files, classes=["cat"])
    assert sorted({*source[0][1].flat}) == [0, 255]
    assert source.problem.arguments == {"crowd": "object"}
    report = data.inspect({"val": source[:1]}, verbose=False)
    (problem,) = report.problems
    assert (problem.kind, problem.split, problem.serious) == (
        "not_trainable",
        "val",
        True,
    )
    assert "all 2 are (`iscrowd` is 1)" in problem.message
    message = r"instances\.json: Expected objects that aren't crowds.*`crowd='object'`"
    model = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(2, 1)])
    for use in (
        lambda: source.batches(1),
        source.whole_images,
        lambda: data.prepare(source, tmp_path / "prepared", verbose=False),
        lambda: evaluate(model, source),
    ):
        with pytest.raises(ValueError, match=message):
            use()
    objects = data.coco(*files, classes=["cat"], crowd="object")
    assert objects.problem is None
    assert (source + objects).problem is None  # half of them can be learned from
    assert (source + source).problem == source.problem


@pytest.mark.parametrize(
    ("objects", "arguments", "said"),
    [
        # One object is enough; a crowd of another class is none.
        ([{}, {"iscrowd": 1}], {}, ""),
        ([{}, {"iscrowd": 1, "category_id": 16}], {}, ""),
        ([{"iscrowd": 1}, {"category_id": 16}], {}, "all 1 are"),
        ([{"iscrowd": True}], {}, "all 1 are"),
        # With boxes that are ignored, other arguments don't help.
        ([{"segmentation": []}], {"boxes": "ignore"}, "all 1 are boxes without"),
        (
            [{"segmentation": []}, {"iscrowd": 1, "segmentation": []}],
            {"boxes": "ignore", "crowd": "object"},
            "all 2 are boxes without",
        ),
    ],
)
def test_only_what_is_ignored_whole_is_a_problem(coco_set, objects, arguments, said):
    square = [[2, 3, 12, 3, 12, 13, 2, 13]]
    annotations = [
        an_object(square, id=i, bbox=[2, 3, 10, 10]) | object_
        for i, object_ in enumerate(objects)
    ]
    source = data.coco(*coco_set(annotations, [7]), classes=["cat"], **arguments)
    if said:
        assert said in source.problem.text
    else:
        assert source.problem is None


def test_an_image_of_another_size_is_an_error_by_name(coco_set):
    folder, path = coco_set([OBJECT])
    Image.new("RGB", (HEIGHT, WIDTH)).save(folder / "993.jpg")
    source = data.coco(folder, path)
    message = r"993\.jpg: .*image 60 x 40, mask 40 x 60.*instances\.json says so"
    with pytest.raises(ValueError, match=message):
        source[0]
    augment = data.standard_augmentation()
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        list(source.batches(1, size=(16, 16), augment=augment))


SEGMENTS = [
    # number in the PNG, category, whether a crowd
    [(1, 17, 0), (300, 200, 0), (70_000, 90, 1)],
    [(2**24 - 1, 17, 0), (256, 100, 0), (65_536, 90, 0)],
    # The same numbers as before, with other categories.
    [(1, 100, 0), (300, 17, 0), (70_000, 200, 0)],
]
PANOPTIC = [
    {"id": 200, "name": "grass", "isthing": 0},
    {"id": 17, "name": "cat", "isthing": 1},
    {"id": 100, "name": "banner", "isthing": 0},
    {"id": 90, "name": "toothbrush", "isthing": 1},
]
PANOPTIC_IDS = (12, 5, 9)


def some_segments(segments, seed):
    """Segment of each pixel; 0 is none."""
    numbers = [0, *(number for number, _, _ in segments)]
    return np.random.default_rng(seed).choice(numbers, (HEIGHT, WIDTH))


@pytest.fixture
def panoptic_set(tmp_path):
    """Function -> folder of images and file of panoptic annotations."""

    def write(change=lambda content: None):
        folder, pngs = tmp_path / "images", tmp_path / "panoptic"
        folder.mkdir(exist_ok=True)
        pngs.mkdir()
        images, annotations = [], []
        for k, (number, segments) in enumerate(
            zip(PANOPTIC_IDS, SEGMENTS, strict=True)
        ):
            pixels = np.full((HEIGHT, WIDTH, 3), number, np.uint8)
            Image.fromarray(pixels).save(folder / f"photo{number}.jpg")
            images.append({"id": number, "file_name": f"photo{number}.jpg"})
            found = some_segments(segments, k)
            colors = np.stack([found % 256, found // 256 % 256, found // 65536], -1)
            Image.fromarray(colors.astype(np.uint8)).save(pngs / f"seg{number}.png")
            annotations.append(
                {
                    "image_id": number,
                    "file_name": f"seg{number}.png",
                    "segments_info": [
                        {"id": i, "category_id": c, "iscrowd": crowd}
                        for i, c, crowd in segments
                    ],
                }
            )
        content = {"images": images, "annotations": annotations}
        content["categories"] = json.loads(json.dumps(PANOPTIC))
        change(content)
        path = tmp_path / "panoptic.json"
        path.write_text(json.dumps(content))
        return folder, path

    return write


# Labels by category, and that of what has none.
PANOPTIC_LABELS = {
    "all": ({17: 0, 90: 1, 100: 2, 200: 3}, 255, "cat toothbrush banner grass"),
    "things": ({17: 1, 90: 2}, 0, "background cat toothbrush"),
    "stuff": ({100: 0, 200: 1}, 255, "banner grass"),
    ("grass", "toothbrush"): ({200: 1, 90: 2}, 0, "background grass toothbrush"),
}


@pytest.mark.parametrize("classes", PANOPTIC_LABELS)
def test_panoptic_masks_equal_the_definition(panoptic_set, classes):
    source = data.coco_panoptic(*panoptic_set(), classes=classes)
    label_of, other, names = PANOPTIC_LABELS[classes]
    assert source.class_names == tuple(names.split())
    order = np.argsort(PANOPTIC_IDS)
    assert source.names == [f"seg{PANOPTIC_IDS[k]}" for k in order]
    for k, (image, mask), alone in zip(order, source, source.masks(), strict=True):
        assert abs(int(image[0, 0, 0]) - PANOPTIC_IDS[k]) <= 1
        found = some_segments(SEGMENTS[k], k)
        expected = np.full(found.shape, other)
        for number, category, crowd in SEGMENTS[k]:
            label = label_of.get(category, other)
            if crowd and category in label_of:
                label = 255
            expected[found == number] = label
        np.testing.assert_array_equal(mask, expected)
        np.testing.assert_array_equal(alone, expected)


def test_a_file_of_the_other_kind_of_annotations_says_which_it_is(
    coco_set, panoptic_set
):
    with pytest.raises(ValueError, match=r"panoptic ones, which `data\.coco_panoptic`"):
        data.coco(*panoptic_set())
    with pytest.raises(ValueError, match=r"instances, which `data\.coco` reads"):
        data.coco_panoptic(*coco_set())


def test_stuff_called_background_is_a_class_like_others(panoptic_set):
    def change(content):
        content["categories"][2] |= {"id": 1, "name": "background"}
        for annotation in content["annotations"]:
            for segment in annotation["segments_info"]:
                if segment["category_id"] == 100:
                    segment["category_id"] = 1

    source = data.coco_panoptic(*panoptic_set(change), classes="all")
    assert source.class_names == ("background", "cat", "toothbrush", "grass")
    expected = some_segments(SEGMENTS[2], 2)  # image 9, the second
    numbers = [0, 1, 300, 70_000]  # none, background, cat, grass
    for number, label in zip(numbers, [255, 0, 1, 3], strict=True):
        assert (source[1][1][expected == number] == label).all()


def test_a_segment_that_the_json_lacks_is_an_error_by_name(panoptic_set):
    def drop(content):
        del content["annotations"][0]["segments_info"][1]

    source = data.coco_panoptic(*panoptic_set(drop))
    named = r"seg12\.png: Expected segments .*\[300\]"
    with pytest.raises(ValueError, match=named):
        source[2]
    augment = data.standard_augmentation()
    with pytest.raises(tf.errors.InvalidArgumentError, match=named):
        list(source.batches(1, size=(HEIGHT, WIDTH), augment=augment))


def of_first(**changed):
    def change(content):
        content["annotations"][0]["segments_info"][0] |= changed

    return change


def drop(part, key):
    def change(content):
        del content[part][0][key]

    return change


def renamed(name):
    def change(content):
        content["annotations"][0]["file_name"] = name

    return change


BAD_PANOPTIC = {
    "category missing": (of_first(category_id=3), "segment 1 of seg12.png with .* 3"),
    "a number too large": (of_first(id=2**24), "segment 16777216 of seg12.png"),
    "no stuff": (
        lambda content: [c.update(isthing=1) for c in content["categories"]],
        "categories of stuff",
    ),
    "number 0": (of_first(id=0), "segment 0 of seg12.png"),
    "a number twice": (of_first(id=300), "segment 300 of seg12.png"),
    "no number": (
        of_first(id=None),
        r"annotations\[0\]\.segments_info\[0\]\.id: Expected int. Received: null",
    ),
    "a number in words": (of_first(id="one"), r"\.id: Expected int. Received: \"one\""),
    "no segments": (
        drop("annotations", "segments_info"),
        r"annotations\[0\]: Expected `segments_info`",
    ),
    "an image twice": (
        lambda content: content["annotations"].append(content["annotations"][0]),
        r"`image_id` of annotations once.*: 12, .*\[0\] and annotations\[3\]",
    ),
    "image missing": (
        lambda content: content["images"].pop(0),
        "seg12.png, of image 12",
    ),
    "no names of images": (drop("images", "file_name"), "`file_name`"),
    "no names of PNGs": (drop("annotations", "file_name"), "`file_name`"),
    "PNG missing": (renamed("none.png"), "panoptic/none.png.*panoptic.json names"),
}


@pytest.mark.parametrize(("change", "message"), BAD_PANOPTIC.values(), ids=BAD_PANOPTIC)
def test_a_bad_panoptic_file_is_an_error_that_names_it(panoptic_set, change, message):
    classes = "stuff" if "stuff" in message else "all"
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        data.coco_panoptic(*panoptic_set(change), classes=classes)
    assert "panoptic.json" in str(error.value)


def test_a_panoptic_png_that_was_made_smaller_by_a_palette_is_read(panoptic_set):
    folder, path = panoptic_set()
    expected = data.coco_panoptic(folder, path)[0][1]
    png = path.parent / "panoptic/seg5.png"
    with Image.open(png) as image:
        smaller = image.quantize(256)
    np.testing.assert_array_equal(smaller.convert("RGB"), Image.open(png))
    smaller.save(png)
    np.testing.assert_array_equal(data.coco_panoptic(folder, path)[0][1], expected)


@pytest.mark.parametrize(("mode", "message"), [("L", "one grey"), ("I;16", "16 bits")])
def test_a_panoptic_png_that_is_not_rgb_is_an_error_by_name(
    panoptic_set, mode, message
):
    folder, path = panoptic_set()
    Image.new(mode, (WIDTH, HEIGHT)).save(path.parent / "panoptic/seg5.png")
    with pytest.raises(ValueError, match=rf"seg5\.png: Expected a PNG.*{message}"):
        data.coco_panoptic(folder, path)[0]


@pytest.mark.parametrize("classes", ["cats", ["kat"]])
def test_unknown_panoptic_classes_are_an_error(panoptic_set, classes):
    with pytest.raises(ValueError, match=r"'things'|It has: grass, cat"):
        data.coco_panoptic(*panoptic_set(), classes=classes)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("classes", "crowd", "overlap"),
    [
        ("voc", "object", "ignore"),
        ("voc", "ignore", "smallest"),
        ("coco", "ignore", "ignore"),
        ("coco", "object", "smallest"),
        (("dog", "person", "cat"), "ignore", "ignore"),
    ],
)
@pytest.mark.parametrize(("split", "length"), [("train2017", 100), ("val2017", 60)])
def test_every_mask_of_coco_equals_the_definition(
    real_coco, split, length, classes, crowd, overlap
):
    path = real_coco / f"annotations/instances_{split}.json"
    content = json.loads(path.read_text())
    category_of = {c["name"]: c["id"] for c in content["categories"]}
    if classes == "voc":
        chosen = VOC_IDS
    elif classes == "coco":
        chosen = sorted(category_of.values())
    else:
        chosen = [category_of[name] for name in classes]
    label_of = {category: label for label, category in enumerate(chosen, start=1)}
    options = {"classes": classes, "crowd": crowd, "overlap": overlap}
    source = data.coco(real_coco / split, path, **options)
    assert len(source) == length
    images = sorted(content["images"], key=lambda image: image["id"])
    masks = source.masks().as_numpy_iterator()
    for image, mask, name in zip(images, masks, source.names, strict=True):
        assert image["file_name"] == f"{name}.jpg"
        of_image = [a for a in content["annotations"] if a["image_id"] == image["id"]]
        sides = image["height"], image["width"]
        expected = expected_mask(of_image, label_of, *sides, overlap, crowd)
        np.testing.assert_array_equal(mask, expected, err_msg=name)

    large = data.coco(real_coco / split, path, **options, min_area=1000)
    area = {image["id"]: 0 for image in images}
    for annotation in content["annotations"]:
        if annotation["category_id"] in label_of:
            area[annotation["image_id"]] += annotation["area"]
    assert 0 < len(large) < length
    assert large.names == [f"{i:012}" for i in sorted(area) if area[i] > 1000]


@pytest.mark.real_data
@pytest.mark.parametrize("classes", ["all", "things", "stuff", ("sky", "dog", "cat")])
@pytest.mark.parametrize(("split", "length"), [("train2017", 16), ("val2017", 8)])
def test_every_panoptic_mask_equals_the_definition(real_coco, split, length, classes):
    path = real_coco / f"annotations/panoptic_{split}.json"
    content = json.loads(path.read_text())
    kinds = {"things": [1], "stuff": [0], "all": [0, 1]}
    if classes in kinds:
        chosen = [c for c in content["categories"] if c["isthing"] in kinds[classes]]
        chosen = sorted(c["id"] for c in chosen)
    else:
        by_name = {c["name"].split("-")[0]: c["id"] for c in content["categories"]}
        chosen = [by_name[name] for name in classes]
    names = {c["id"]: c["name"] for c in content["categories"]}
    source = data.coco_panoptic(
        real_coco / split,
        path,
        classes=classes if classes in kinds else [names[c] for c in chosen],
    )
    assert len(source) == length
    other, first = (255, 0) if classes in ("all", "stuff") else (0, 1)
    assert source.class_names[first:] == tuple(names[c] for c in chosen)
    of_image = {a["image_id"]: a for a in content["annotations"]}
    crowds = 0
    for image_id, (image, mask) in zip(sorted(of_image), source, strict=True):
        annotation = of_image[image_id]
        png = path.with_suffix("") / annotation["file_name"]
        with Image.open(png) as opened:
            colors = np.asarray(opened.convert("RGB")).astype(int)
        found = colors @ [1, 256, 65536]
        expected = np.full(found.shape, other)
        for segment in annotation["segments_info"]:
            if segment["category_id"] in chosen:
                label = chosen.index(segment["category_id"]) + first
                label = 255 if segment["iscrowd"] else label
                expected[found == segment["id"]] = label
            crowds += segment["iscrowd"]
        np.testing.assert_array_equal(mask, expected, err_msg=png.name)
        assert image.shape[:2] == mask.shape
    assert crowds == (1 if split == "val2017" else 0)
