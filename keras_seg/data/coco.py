"""MS COCO: masks of classes from instances and from panoptic annotations.

Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014,
https://arxiv.org/abs/1405.0312; the formats are those of https://cocodataset.org.

coco/
    train2017/*.jpg, val2017/*.jpg
    annotations/instances_val2017.json: objects as polygons or runs of pixels
    annotations/panoptic_val2017.json and panoptic_val2017/*.png: a segment per pixel
"""

import difflib
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from pycocotools import mask as coco_mask

from keras_seg.data.arrays import numpy_op
from keras_seg.data.checks import naming, require
from keras_seg.data.files import Paths, check_exist
from keras_seg.data.image import read_jpeg
from keras_seg.data.png import read_color_png
from keras_seg.data.source import Source
from keras_seg.data.voc import CLASS_NAMES as VOC
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
    content = _read_json(path, ("images", "annotations", "categories"))
    names = {c["id"]: c["name"] for c in content["categories"]}
    class_names, labels = _choose(classes, names, path)

    objects: dict[int, list[_Object]] = defaultdict(list)
    area: dict[int, float] = defaultdict(float)
    for annotation in content["annotations"]:
        if annotation.get("category_id") not in names:
            raise ValueError(
                f"{path}: Expected categories that the file lists. Received: "
                f"annotation {annotation.get('id')} with category "
                f"{annotation.get('category_id')}."
            )
        label = labels.get(annotation["category_id"])
        if label is not None:
            objects[annotation["image_id"]].append(_Object(annotation, label, crowd))
            area[annotation["image_id"]] += annotation.get("area", 0)
    if not objects:
        raise ValueError(
            f"{path}: Expected objects of {', '.join(class_names[1:])}. Received: none."
        )

    chosen = sorted(content["images"], key=lambda image: image["id"])
    if min_area is not None:
        chosen = [image for image in chosen if area[image["id"]] > min_area]
    sizes = [(image["height"], image["width"]) for image in chosen]
    of_image = [objects[image["id"]] for image in chosen]
    names_of = [image["file_name"] for image in chosen]
    files = _image_paths(images, chosen, path)

    def draw(index: int) -> np.ndarray:
        with naming(tf.constant(f"{path}: {names_of[index]}")):
            return _draw(of_image[index], *sizes[index], overlap)

    return Source(
        len(chosen),
        _jpeg_reader(files),
        lambda index: numpy_op(draw, index, tf.uint8, (None, None)),
        class_names=class_names,
        names=[os.path.splitext(name)[0] for name in names_of],
        image_path=files.__getitem__,
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
    content = _read_json(path, ("images", "annotations", "categories"))
    categories = content["categories"]
    if not all("segments_info" in a for a in content["annotations"]):
        raise ValueError(
            f"{path}: Expected panoptic annotations, which have `segments_info`. "
            "Received others. Is it a file of instances, for `data.coco`?"
        )
    if classes in ("all", "things", "stuff"):
        kinds = {"things": (1,), "stuff": (0,), "all": (0, 1)}[str(classes)]
        named = sorted(
            (c["id"], c["name"]) for c in categories if c.get("isthing", 1) in kinds
        )
        class_names = [name for _, name in named]
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
        for segment in annotation["segments_info"]:
            if segment["category_id"] not in known:
                raise ValueError(
                    f"{path}: Expected categories that the file lists. Received: "
                    f"segment {segment['id']} of {annotation['file_name']} with "
                    f"category {segment['category_id']}."
                )
            label = labels.get(segment["category_id"], other)
            if segment.get("iscrowd") and segment["category_id"] in labels:
                label = IGNORE
            keys.append(index << 24 | segment["id"])
            values.append(label)
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
    pngs = Paths(stems, f"{folder}/", ".png")

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
        _jpeg_reader(files),
        mask,
        class_names=class_names,
        names=stems,
        image_path=files.__getitem__,
    )


class _Object:
    """One annotation: the label of its pixels, and where they are."""

    __slots__ = ("label", "name", "shape")

    def __init__(self, annotation: dict, label: int, crowd: str):
        self.name = annotation.get("id")
        is_crowd = annotation.get("iscrowd") and crowd == "ignore"
        self.label = IGNORE if is_crowd else label
        shape = annotation.get("segmentation")
        if isinstance(shape, list):  # a fifth of the room of Python's floats
            shape = [np.asarray(polygon, np.float64) for polygon in shape]
        self.shape = shape

    def draw(self, height: int, width: int) -> np.ndarray:
        """Pixels of the object, bool `[height, width]`."""
        shape = self.shape
        if isinstance(shape, dict):
            if list(shape.get("size", ())) != [height, width]:
                raise ValueError(
                    f"annotation {self.name}: Expected runs of an image of {height} x "
                    f"{width}. Received: {shape.get('size')}"
                )
            runs = shape.get("counts")
            if isinstance(runs, list):
                if sum(runs) != height * width or min(runs, default=0) < 0:
                    raise ValueError(
                        f"annotation {self.name}: Expected runs of {height * width} "
                        f"pixels in all. Received: {sum(runs)}"
                    )
                shape = coco_mask.frPyObjects(shape, height, width)
            return coco_mask.decode(shape).astype(bool)
        if not shape:
            raise ValueError(
                f"annotation {self.name}: Expected polygons or runs of pixels as "
                f"`segmentation`. Received: {shape!r}"
            )
        for polygon in shape:
            if polygon.ndim != 1 or len(polygon) < 6 or len(polygon) % 2:
                raise ValueError(
                    f"annotation {self.name}: Expected polygons x1, y1, x2, y2, ... of "
                    f"three points or more. Received: {polygon.tolist()}"
                )
            if not np.isfinite(polygon).all():
                raise ValueError(f"annotation {self.name}: Expected finite numbers.")
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
    wanted = [name for name in (VOC if classes == "voc" else classes)]
    if wanted[:1] == ["background"]:
        del wanted[0]
    ids = {name: category for category, name in names.items()}
    if classes == "voc":
        ids |= {voc: ids[name] for voc, name in _AS_COCO.items() if name in ids}
    missing = [name for name in wanted if name not in ids]
    if missing or not wanted:
        near = {n for m in missing for n in difflib.get_close_matches(m, ids)}
        raise ValueError(
            f"{path}: Expected categories named {', '.join(missing) or '...'}. The "
            f"file has none. Like them: {', '.join(sorted(near)) or 'none'}."
        )
    labels = {ids[name]: label for label, name in enumerate(wanted, start=1)}
    return ["background", *wanted], labels


def _image_paths(folder: str | os.PathLike, images: Iterable[dict], path: str) -> Paths:
    """The files of images that the annotations at `path` name."""
    folder = os.fspath(folder)
    names = [image["file_name"] for image in images]
    check_exist(folder, names, "", path)
    return Paths(names, f"{folder}/", "")


def _jpeg_reader(paths: Paths) -> Any:
    """The function of a Source that reads images by index."""

    def image(index: Any, window: Any = None, mask_size: Any = None) -> tf.Tensor:
        return read_jpeg(paths[index], window, mask_size=mask_size)

    return image


def _unknown_segments(segments: tf.Tensor, label: tf.Tensor) -> str:
    missing = sorted(set(segments.numpy()[label.numpy() < 0].tolist()))
    return (
        "Expected segments that the JSON file lists for this image. Received: "
        f"{missing[:8]}."
    )


def _read_json(path: str, keys: Sequence[str]) -> dict[str, Any]:
    if not tf.io.gfile.exists(path):
        raise FileNotFoundError(f"Expected annotations at {path}. There is no file.")
    with tf.io.gfile.GFile(path, "rb") as file:
        try:
            content = json.loads(file.read())
        except ValueError as error:
            raise ValueError(f"{path}: Expected a whole JSON file. {error}") from None
    missing = [
        key for key in keys if not isinstance(content, dict) or key not in content
    ]
    if missing or not content["annotations"]:
        raise ValueError(
            f"{path}: Expected COCO's format with images, annotations and categories. "
            f"Missing: {', '.join(missing) or 'any annotation'}. The files of test "
            "images have none."
        )
    return content
