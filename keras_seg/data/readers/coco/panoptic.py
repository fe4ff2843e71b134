"""COCO's panoptic annotations: a segment per pixel, of things and of stuff.

Kirillov et al., "Panoptic Segmentation", CVPR 2019, https://arxiv.org/abs/1801.00868;
the format is that of https://cocodataset.org.

coco/
    train2017/*.jpg, val2017/*.jpg
    annotations/panoptic_val2017.json, and panoptic_val2017/*.png
"""

import os
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_seg.data.checks import naming, require
from keras_seg.data.decode.png import read_color_png
from keras_seg.data.readers.coco.annotations import Id, Panoptic, Segments, read
from keras_seg.data.readers.coco.classes import Classes, by_number
from keras_seg.data.readers.coco.image_files import find_images, image_reader
from keras_seg.data.readers.files import Paths, check_exist
from keras_seg.data.source import Source
from keras_seg.labels import IGNORE

# Numbers that three bytes hold; 0 are pixels of no segment.
_SEGMENTS = range(1, 2**24)
# What `isthing` is of the categories of "things", "stuff" and "all".
_KINDS = {"things": (1,), "stuff": (0,), "all": (0, 1)}


def coco_panoptic(
    images: str | os.PathLike,
    annotations: str | os.PathLike,
    *,
    classes: str | Sequence[str | int] = "all",
) -> Source:
    """Read COCO's panoptic segments as masks of classes, stuff and things.

    Args:
        images: Folder of the images. Where a name in the annotations begins with other
            folders, these are left out.
        annotations: File `panoptic_*.json`; its PNGs are in the folder of that name.
        classes: "all" of the file, "things" or "stuff", in order of their ids; or a
            list of the file's categories, by name, or by id where names are alike. With
            "things" and lists, class 0 is the background: all pixels of no such class.
            With "all" and "stuff" these are ignored, 255.

    Returns:
        A Source of the images that the file has segments of, in order of their ids.
        Segments that are a crowd have label 255.

    Raises:
        FileNotFoundError: for files that aren't there, naming them.
        ValueError: for a file that isn't such a one, naming the place in it, or for
            unknown classes. While reading, for segments that the file doesn't list.

    Example:
        source = keras_seg.data.coco_panoptic(
            "coco/val2017", "coco/annotations/panoptic_val2017.json"
        )
    """
    path = os.fspath(annotations)
    file = read(path, Panoptic)
    class_names, labels, other = _choose(file, classes, path)

    by_id = {image.id: image for image in file.images}
    known = {category.id for category in file.categories}
    chosen = sorted(file.annotations, key=lambda a: by_number(a.image_id))
    keys, values = [], []
    for index, annotation in enumerate(chosen):
        if annotation.image_id not in by_id:
            raise ValueError(
                f"{path}: Expected annotations of images that the file lists. "
                f"Received: {annotation.file_name}, of image {annotation.image_id}."
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
    stems = [os.path.splitext(a.file_name)[0] for a in chosen]
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

    names = find_images(
        os.fspath(images), [by_id[a.image_id].file_name for a in chosen], path
    )
    files = Paths(names, (f"{os.fspath(images)}/", ""))
    return Source(
        len(chosen),
        image_reader(files, None, path),
        mask,
        class_names=class_names,
        names=stems,
        image_path=files.__getitem__,
        origin=f"coco_panoptic({path!r})",
    )


def _choose(
    file: Panoptic, classes: str | Sequence[str | int], path: str
) -> tuple[list[str], dict[Id, int], int]:
    """Names of the classes, labels by category id, and that of all other pixels."""
    used = {s.category_id for a in file.annotations for s in a.segments_info}
    categories = Classes(file.categories, used, path)
    if not isinstance(classes, str) or classes not in _KINDS:
        return *categories.choose(classes), 0
    kinds = _KINDS[classes]
    names = categories.names(c.id for c in file.categories if (c.isthing or 0) in kinds)
    if not names:
        raise ValueError(f"{path}: Expected categories of {classes}. It has none.")
    if classes == "things":
        return ["background", *names], categories.labels(names, 1), 0
    return names, categories.labels(names, 0), IGNORE


def _labels_of_segments(
    annotation: Segments, labels: dict[Id, int], known: set[Id], other: int, path: str
) -> dict[int, int]:
    """Label of each segment of an image by its number in the PNG."""
    of_segment: dict[int, int] = {}
    for segment in annotation.segments_info:
        category = segment.category_id
        what = f"segment {segment.id} of {annotation.file_name}"
        if category not in known:
            raise ValueError(
                f"{path}: Expected categories that the file lists. Received: {what} "
                f"with category {category}."
            )
        if segment.id in of_segment or segment.id not in _SEGMENTS:
            raise ValueError(
                f"{path}: Expected segments numbered from 1 to {_SEGMENTS[-1]}, none "
                f"twice in an image. Received: {what}."
            )
        is_crowd = segment.iscrowd and category in labels
        of_segment[segment.id] = IGNORE if is_crowd else labels.get(category, other)
    return of_segment


def _unknown_segments(segments: tf.Tensor, label: tf.Tensor) -> str:
    missing = sorted(set(segments.numpy()[label.numpy() < 0].tolist()))
    return (
        "Expected segments that the JSON file lists for this image. Received: "
        f"{missing[:8]}."
    )
