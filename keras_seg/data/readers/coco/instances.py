"""MS COCO: masks of classes from instances and from panoptic annotations.

Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014,
https://arxiv.org/abs/1405.0312; the formats are those of https://cocodataset.org.

coco/
    train2017/*.jpg, val2017/*.jpg
    annotations/instances_val2017.json: objects as polygons or runs of pixels
    annotations/panoptic_val2017.json and panoptic_val2017/*.png: a segment per pixel
"""

import contextlib
import difflib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from pycocotools import mask as coco_mask

from keras_seg.data.checks import naming, require
from keras_seg.data.decode.image import read_image
from keras_seg.data.decode.numpy_op import numpy_op
from keras_seg.data.decode.png import read_color_png
from keras_seg.data.readers.files import Paths, check_exist, listed
from keras_seg.data.readers.voc import CLASS_NAMES as VOC
from keras_seg.data.source import Source
from keras_seg.labels import IGNORE

#: What COCO calls the classes of VOC that have another name there.
_AS_COCO = {
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
}


# Numbers that three bytes hold; 0 are pixels of no segment.
_SEGMENTS = range(1, 2**24)
# What `isthing` is of the categories of "things", "stuff" and "all".
_KINDS = {"things": (1,), "stuff": (0,), "all": (0, 1)}


def coco(
    images: str | os.PathLike,
    annotations: str | os.PathLike,
    *,
    classes: str | Sequence[str] = "voc",
    overlap: str = "ignore",
    crowd: str = "ignore",
    min_area: float | None = None,
) -> Source:
    """Read COCO's objects as masks of classes.

    With `classes="voc"`, `crowd="object"` and `min_area=1000` the masks are those of
    torchvision's reference scripts, pixel by pixel.

    Args:
        images: Folder of the images.
        annotations: File `instances_*.json`.
        classes: "voc" for VOC's 20 classes, in VOC's order; "coco" for all of the
            file, in order of their ids; or names of the file's categories. Class 0 is
            the background: all pixels that are in no object of these classes.
        overlap: What pixels under two or more objects become: "ignore" (255), or
            "smallest": they belong to the object with the fewest pixels (of two alike,
            the first in the file).
        crowd: What a group of objects in one annotation is (`iscrowd`): "ignore", an
            object whose label is 255, or "object", one like others.
        min_area: Leave out images whose objects of these classes have an area (the
            file's `area`, summed) of no more than this. None leaves out none.

    Returns:
        A Source of the file's images, in order of their ids.

    Raises:
        FileNotFoundError: for files that aren't there, naming them.
        ValueError: for a file that isn't such a one, naming what is wrong; for unknown
            classes, or words.

    Example:
        source = keras_seg.data.coco(
            "coco/train2017", "coco/annotations/instances_train2017.json"
        )
    """
    for name, word, words in (
        ("overlap", overlap, ("ignore", "smallest")),
        ("crowd", crowd, ("ignore", "object")),
    ):
        if word not in words:
            raise ValueError(f"Expected `{name}` to be {words}. Received: {word!r}")
    path = os.fspath(annotations)
    content = _read_json(path)
    _check_parts(
        content,
        path,
        images=("id", "file_name", "height", "width"),
        annotations=("image_id", "category_id"),
    )
    names = {c["id"]: c["name"] for c in content["categories"]}
    class_names, labels = _choose(classes, names, path)

    objects: dict[int, list[_Object]] = defaultdict(list)
    area: dict[int, float] = defaultdict(float)
    for annotation in content["annotations"]:
        category, image_id = annotation["category_id"], annotation["image_id"]
        if category not in names:
            raise ValueError(
                f"{path}: Expected categories that the file lists. Received: "
                f"annotation {annotation.get('id')} with category {category}."
            )
        if category in labels:
            objects[image_id].append(_Object(annotation, labels[category], crowd))
            area[image_id] += annotation.get("area") or 0
    if not objects:
        raise ValueError(
            f"{path}: Expected objects of {', '.join(class_names[1:])}. Received: none."
        )

    chosen = sorted(content["images"], key=lambda image: image["id"])
    if objects.keys().isdisjoint(image["id"] for image in chosen):
        raise ValueError(
            f"{path}: Expected annotations of images that the file lists. Received: "
            f"others, the first of image {next(iter(objects))!r}, where ids of images "
            f"are like {chosen[0]['id']!r}."
        )
    if min_area is not None:
        chosen = [image for image in chosen if area[image["id"]] > min_area]
        if not chosen:
            raise ValueError(
                f"{path}: Expected images with objects of more than `min_area` = "
                f"{min_area}. Received: none."
            )
    sizes = [(image["height"], image["width"]) for image in chosen]
    of_image = [objects[image["id"]] for image in chosen]
    names_of = [image["file_name"] for image in chosen]
    files = _image_paths(images, chosen, path)

    def draw(index: int) -> np.ndarray:
        with naming(tf.constant(f"{path}: {names_of[index]}")):
            return _draw(of_image[index], *sizes[index], overlap)

    return Source(
        len(chosen),
        _reader(files),
        lambda index: numpy_op(draw, index, tf.uint8, (None, None)),
        class_names=class_names,
        names=[os.path.splitext(name)[0] for name in names_of],
        image_path=files.__getitem__,
        origin=f"coco({path!r})",
    )


def coco_panoptic(
    images: str | os.PathLike,
    annotations: str | os.PathLike,
    *,
    classes: str | Sequence[str] = "all",
) -> Source:
    """Read COCO's panoptic segments as masks of classes, stuff and things.

    Args:
        images: Folder of the images.
        annotations: File `panoptic_*.json`; its PNGs are in the folder of that name.
        classes: "all" of the file, "things" or "stuff", in order of their ids; or names
            of the file's categories. With "things" and names, class 0 is the
            background: all pixels of no such class. With "all" and "stuff" these have
            no label, 255.

    Returns:
        A Source of the images that the file has segments of, in order of their ids.
        Segments that are a crowd have label 255.

    Raises:
        FileNotFoundError: for files that aren't there, naming them.
        ValueError: for a file that isn't such a one, naming what is wrong, or for
            unknown classes. While reading, for segments that the file doesn't list.

    Example:
        source = keras_seg.data.coco_panoptic(
            "coco/val2017", "coco/annotations/panoptic_val2017.json"
        )
    """
    path = os.fspath(annotations)
    content = _read_json(path)
    _check_parts(
        content,
        path,
        images=("id", "file_name"),
        annotations=("image_id", "file_name", "segments_info"),
    )
    categories = content["categories"]
    if isinstance(classes, str) and classes in _KINDS:
        named = sorted(
            (c["id"], c["name"])
            for c in categories
            if c.get("isthing", 1) in _KINDS[classes]
        )
        class_names = [name for _, name in named]
        if not named:
            raise ValueError(f"{path}: Expected categories of {classes}. It has none.")
        labels = {category: label for label, (category, _) in enumerate(named)}
        if classes == "things":
            class_names = ["background", *class_names]
            labels = {category: label + 1 for category, label in labels.items()}
    else:
        names = {c["id"]: c["name"] for c in categories}
        class_names, labels = _choose(classes, names, path)
    other = 0 if class_names[0] == "background" else IGNORE

    by_id = {image["id"]: image for image in content["images"]}
    chosen = sorted(content["annotations"], key=lambda a: a["image_id"])
    known = {c["id"] for c in categories}
    keys, values = [], []
    for index, annotation in enumerate(chosen):
        if annotation["image_id"] not in by_id:
            raise ValueError(
                f"{path}: Expected annotations of images that the file lists. "
                f"Received: one of image {annotation['image_id']}."
            )
        keys.append(index << 24)  # pixels of no segment
        values.append(other)
        of_segment = _labels_of_segments(annotation, labels, known, other, path)
        keys += [index << 24 | segment for segment in of_segment]
        values += of_segment.values()
    # One table for all images: from image and segment to label.
    table = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(
            tf.constant(keys, tf.int64), tf.constant(values, tf.int32)
        ),
        -1,
    )
    folder = path.removesuffix(".json")
    stems = [os.path.splitext(a["file_name"])[0] for a in chosen]
    check_exist(folder, stems, ".png", path)
    pngs = Paths(stems, (f"{folder}/", ".png"))

    def mask(index: Any) -> tf.Tensor:
        index = tf.cast(index, tf.int64)
        segments = read_color_png(pngs[index])
        label = table.lookup(index * 2**24 + tf.cast(segments, tf.int64))
        with naming(pngs[index]):
            require(
                tf.reduce_all(label >= 0), lambda: _unknown_segments(segments, label)
            )
        return label

    files = _image_paths(images, (by_id[a["image_id"]] for a in chosen), path)
    return Source(
        len(chosen),
        _reader(files),
        mask,
        class_names=class_names,
        names=stems,
        image_path=files.__getitem__,
        origin=f"coco_panoptic({path!r})",
    )


class _Object:
    """One annotation: the label of its pixels, and where they are."""

    __slots__ = ("label", "name", "shape")

    def __init__(self, annotation: dict, label: int, crowd: str):
        self.name = annotation.get("id")
        is_crowd = annotation.get("iscrowd") and crowd == "ignore"
        self.label = IGNORE if is_crowd else label
        self.shape = annotation.get("segmentation")
        if isinstance(self.shape, list):  # a fifth of the room of Python's floats
            with contextlib.suppress(TypeError, ValueError):  # `draw` says what's wrong
                self.shape = [np.asarray(part, np.float64) for part in self.shape]

    def draw(self, height: int, width: int) -> np.ndarray:
        """Pixels of the object, bool `[height, width]`."""
        try:
            if isinstance(self.shape, dict):
                return _pixels_of_runs(self.shape, height, width)
            return _pixels_of_polygons(self.shape, height, width)
        except ValueError as error:
            raise ValueError(f"annotation {self.name}: {error}") from None


def _pixels_of_runs(shape: dict, height: int, width: int) -> np.ndarray:
    """Runs of pixels outside and inside in turn, down the columns."""
    if list(shape.get("size") or ()) != [height, width]:
        raise ValueError(
            f"Expected runs of an image of {height} x {width}. Received: "
            f"{shape.get('size')}"
        )
    counts = shape.get("counts")
    runs = _uncompressed(counts) if isinstance(counts, str) else np.asarray(counts)
    if runs.dtype.kind != "i" or runs.ndim != 1 or runs.min() < 0:
        raise ValueError("Expected `counts` of runs: integers, none below 0.")
    if runs.sum() != height * width:
        raise ValueError(
            f"Expected runs of {height * width} pixels in all. Received: {runs.sum()}"
        )
    inside = np.arange(len(runs)) % 2 == 1
    return np.repeat(inside, runs).reshape(width, height).T


def _uncompressed(counts: str) -> np.ndarray:
    """Runs from COCO's compressed ones.

    A character, less 48, holds five bits of a number, the lowest first, and whether
    more follow; the last one's highest bit is the sign. From the fourth on, numbers
    are differences to the last but one.
    """
    codes = np.frombuffer(counts.encode(), np.uint8).astype(np.int64) - 48
    is_last = codes & 32 == 0
    if not codes.size or codes.min() < 0 or codes.max() > 63 or not is_last[-1]:
        raise ValueError("Expected whole compressed `counts` of runs.")
    first = np.flatnonzero(np.r_[True, is_last[:-1]])
    lengths = np.diff([*first, codes.size])
    place = np.arange(codes.size) - np.repeat(first, lengths)
    if place.max() > 6:
        raise ValueError("Expected whole compressed `counts` of runs.")
    runs = np.add.reduceat((codes & 31) << 5 * place, first)
    runs -= np.where(codes[is_last] & 16, 1 << 5 * lengths, 0)
    runs[1::2] = runs[1::2].cumsum()
    runs[2::2] = runs[2::2].cumsum()
    return runs


def _pixels_of_polygons(shape: Any, height: int, width: int) -> np.ndarray:
    """All that is in one of the polygons, as COCO's own tool draws them."""
    if not isinstance(shape, list) or not shape:
        raise ValueError(
            f"Expected polygons or runs of pixels as `segmentation`. Received: {shape}"
        )
    # Far points would take all memory, and the interpreter down.
    far = 100 * max(height, width)
    for polygon in shape:
        if not isinstance(polygon, np.ndarray):
            raise ValueError(f"Expected polygons of numbers. Received: {polygon}")
        if polygon.ndim != 1 or len(polygon) < 6 or len(polygon) % 2:
            raise ValueError(
                "Expected polygons x1, y1, x2, y2, ... of three points or more. "
                f"Received: {polygon.tolist()}"
            )
        if not np.isfinite(polygon).all() or abs(polygon).max() > far:
            raise ValueError(
                "Expected points in or near the image, all finite. Received: "
                f"{polygon.tolist()}"
            )
    runs = coco_mask.merge(coco_mask.frPyObjects(shape, height, width))
    return coco_mask.decode(runs).astype(bool)


def _draw(
    objects: Sequence[_Object], height: int, width: int, overlap: str
) -> np.ndarray:
    """Labels of the objects of one image, uint8 `[height, width]`."""
    mask = np.zeros((height, width), np.uint8)
    drawn = [(thing.label, thing.draw(height, width)) for thing in objects]
    if overlap == "smallest":
        # The largest first; the sort is stable, so of two alike the first is on top.
        drawn = sorted(drawn[::-1], key=lambda pair: -int(pair[1].sum()))
    covered = np.zeros((height, width), bool)
    twice = np.zeros((height, width), bool)
    for label, pixels in drawn:
        mask[pixels] = label
        twice |= covered & pixels
        covered |= pixels
    if overlap == "ignore":
        mask[twice] = IGNORE
    return mask


def _choose(
    classes: str | Sequence[str], names: dict[int, str], path: str
) -> tuple[list[str], dict[int, int]]:
    """Names of the classes, the background first, and labels by category id."""
    if classes == "coco":
        order = sorted(names)
        return ["background", *(names[i] for i in order)], {
            category: label for label, category in enumerate(order, start=1)
        }
    if isinstance(classes, str) and classes != "voc":
        raise ValueError(
            "Expected `classes` to be 'voc', 'coco' or names (of panoptic annotations "
            f"'all', 'things', 'stuff' or names). Received: {classes!r}"
        )
    wanted = list(VOC if classes == "voc" else classes)
    if wanted[:1] == ["background"]:
        del wanted[0]
    ids = {name: category for category, name in names.items()}
    if classes == "voc":
        ids |= {voc: ids[name] for voc, name in _AS_COCO.items() if name in ids}
    missing = [name for name in wanted if name not in ids]
    if not wanted:
        raise ValueError("Expected names of `classes`. Received: none.")
    if missing:
        near = {n for m in missing for n in difflib.get_close_matches(m, ids)}
        raise ValueError(
            f"{path}: Expected categories named {', '.join(missing)}. The "
            f"file has none. Like them: {', '.join(sorted(near)) or 'none'}."
        )
    labels = {ids[name]: label for label, name in enumerate(wanted, start=1)}
    return ["background", *wanted], labels


def _image_paths(folder: str | os.PathLike, images: Iterable[dict], path: str) -> Paths:
    """The files of images that the annotations at `path` name."""
    folder = os.fspath(folder)
    names = [image["file_name"] for image in images]
    check_exist(folder, names, "", path)
    return Paths(names, (f"{folder}/", ""))


def _reader(paths: Paths) -> Any:
    """The function of a Source that reads images by index."""

    def image(index: Any, window: Any = None, mask_size: Any = None) -> tf.Tensor:
        return read_image(paths[index], window=window, mask_size=mask_size)

    return image


def _labels_of_segments(
    annotation: dict, labels: dict[int, int], known: set[int], other: int, path: str
) -> dict[int, int]:
    """Label of each segment of an image by its number in the PNG."""
    of_segment: dict[int, int] = {}
    for segment in annotation["segments_info"]:
        number, category = segment.get("id"), segment.get("category_id")
        what = f"segment {number} of {annotation['file_name']}"
        if category not in known:
            raise ValueError(
                f"{path}: Expected categories that the file lists. Received: {what} "
                f"with category {category}."
            )
        if number in of_segment or number not in _SEGMENTS:
            raise ValueError(
                f"{path}: Expected segments numbered from 1 to {_SEGMENTS[-1]}, none "
                f"twice in an image. Received: {what}."
            )
        is_crowd = segment.get("iscrowd") and category in labels
        of_segment[number] = IGNORE if is_crowd else labels.get(category, other)
    return of_segment


def _unknown_segments(segments: tf.Tensor, label: tf.Tensor) -> str:
    missing = sorted(set(segments.numpy()[label.numpy() < 0].tolist()))
    return (
        "Expected segments that the JSON file lists for this image. Received: "
        f"{missing[:8]}."
    )


def _read_json(path: str) -> dict[str, Any]:
    if not tf.io.gfile.exists(path):
        raise FileNotFoundError(f"Expected annotations at {path}. There is no file.")
    with tf.io.gfile.GFile(path, "rb") as file:
        try:
            content = json.loads(file.read())
        except ValueError as error:
            raise ValueError(f"{path}: Expected a whole JSON file. {error}") from None
    parts = ("images", "annotations", "categories")
    missing = [
        part
        for part in parts
        if not isinstance(content, dict) or not isinstance(content.get(part), list)
    ]
    if missing or not content["annotations"]:
        raise ValueError(
            f"{path}: Expected COCO's format: lists of images, annotations and "
            f"categories. Missing: {', '.join(missing) or 'any annotation'}. The files "
            "of test images have none."
        )
    return content


def _check_parts(
    content: dict, path: str, *, images: Sequence[str], annotations: Sequence[str]
) -> None:
    """Raise unless all items have these keys, and what should be unique is."""
    for part, keys in (
        ("images", images),
        ("annotations", annotations),
        ("categories", ("id", "name")),
    ):
        needed = frozenset(keys)
        for item in content[part]:
            if isinstance(item, dict) and needed <= item.keys():
                continue
            missing = [k for k in keys if not isinstance(item, dict) or k not in item]
            hint = ""
            if part == "annotations" and missing != ["image_id"]:
                hint = (
                    " Files of instances are read by `data.coco`, panoptic ones, which "
                    "have `segments_info`, by `data.coco_panoptic`."
                )
            raise ValueError(
                f"{path}: Expected `{missing[0]}` in all {part}. Received: "
                f"{str(item)[:200]}.{hint}"
            )
    for part, key in (("images", "id"), ("categories", "id"), ("categories", "name")):
        counts = Counter(item[key] for item in content[part])
        twice = [str(value) for value, count in counts.items() if count > 1]
        if twice:
            raise ValueError(
                f"{path}: Expected each `{key}` of {part} once. Received more than "
                f"once: {listed(twice, 8)}."
            )
