"""MS COCO's instances: objects, as polygons or runs of pixels, as masks of classes.

Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014,
https://arxiv.org/abs/1405.0312; the format is that of https://cocodataset.org.
Labelling tools (CVAT, Label Studio, Roboflow) export it too.

coco/
    train2017/*.jpg, val2017/*.jpg
    annotations/instances_val2017.json
"""

import math
import os
import warnings
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from keras_seg.data.checks import naming
from keras_seg.data.decode.numpy_op import numpy_op
from keras_seg.data.readers.coco.annotations import (
    Id,
    Instance,
    Instances,
    Shape,
    box,
    outline,
    read,
)
from keras_seg.data.readers.coco.classes import Classes, by_number
from keras_seg.data.readers.coco.drawing import Thing, draw
from keras_seg.data.readers.coco.image_files import find_images, image_reader
from keras_seg.data.readers.files import Paths
from keras_seg.data.source import Source
from keras_seg.data.suggestions import Hint, SuggestionError, spelled
from keras_seg.labels import IGNORE

_WORDS = {
    "overlap": ("ignore", "smallest"),
    "crowd": ("ignore", "object"),
    "boxes": ("error", "ignore"),
}

_CROWDS = Hint(
    "Likely cause: masks from CVAT, which marks all that its brush drew as crowds. To "
    "take them for objects: `crowd='object'`.",
    {"crowd": "object"},
)


def coco(
    images: str | os.PathLike,
    annotations: str | os.PathLike,
    *,
    classes: str | Sequence[str | int] = "voc",
    overlap: str = "ignore",
    crowd: str = "ignore",
    boxes: str = "error",
    min_area: float | None = None,
) -> Source:
    """Read COCO's objects as masks of classes.

    With `classes="voc"`, `crowd="object"` and `min_area=1000` the masks are those of
    torchvision's reference scripts, pixel by pixel.

    Args:
        images: Folder of the images. Where a name in the annotations begins with other
            folders, as labelling tools write them, these are left out.
        annotations: File `instances_*.json`, or COCO export of a labelling tool.
        classes: "voc" for VOC's 20 classes, in VOC's order; "coco" for all of the
            file, in order of their ids; or a list of categories of the file, by name,
            or by id where names are alike. Class 0 is the background: all pixels that
            are in no object of these classes. A category called "background" is never
            drawn, and Roboflow's category that stands above all others is no class.
        overlap: What pixels under two or more objects become: "ignore" (255), or
            "smallest": they belong to the object with the fewest pixels (of two alike,
            the first in the file).
        crowd: What a group of objects in one annotation is (`iscrowd`): "ignore", an
            object whose label is 255, or "object", one like others. CVAT marks all
            masks that were drawn with its brush as crowds: take "object" for them.
        boxes: What an object is that has a box and no outline: an "error", or "ignore":
            the label of the box's pixels is 255.
        min_area: Leave out images whose objects of these classes have an area (the
            file's `area`, summed) of no more than this. None leaves out none.

    Returns:
        A Source of the file's images, in order of their ids.

    Raises:
        FileNotFoundError: for files that aren't there, naming them.
        ValueError: for a file that isn't such a one, naming the place in it; for
            unknown classes, or words. While reading, for outlines that can't be drawn,
            and images of another size than the file says.

    A file whose objects are all ignored, as crowds or boxes, can be looked at, but not
    trained on: its Source has a `problem`.

    Example:
        source = keras_seg.data.coco(
            "coco/train2017", "coco/annotations/instances_train2017.json"
        )
    """
    given = {"overlap": overlap, "crowd": crowd, "boxes": boxes}
    for name, words in _WORDS.items():
        if given[name] not in words:
            raise ValueError(
                f"Expected `{name}` to be one of {words}. Received: {given[name]!r}"
            )
    if min_area is not None and not min_area >= 0:
        raise ValueError(f"Expected `min_area` >= 0. Received: {min_area!r}")
    path = os.fspath(annotations)
    file = read(path, Instances)
    used = {annotation.category_id for annotation in file.annotations}
    class_names, labels = Classes(file.categories, used, path).choose(classes)
    _check_links(file, path)

    things: dict[Id, list[Thing]] = defaultdict(list)
    area: dict[Id, float] = defaultdict(float)
    crowds = 0
    for index, instance in enumerate(file.annotations):
        if instance.category_id not in labels:
            continue
        name = f"annotations[{index}] (id {instance.id})"
        shape: Shape = outline(instance, index, path)
        if isinstance(shape, list) and not shape:
            found = box(instance, index, path)
            if found is None or boxes == "error":
                raise _no_outline(file, labels, index, path)
            shape = found
        crowds += bool(instance.iscrowd)
        is_ignored = isinstance(shape, tuple) or (
            instance.iscrowd and crowd == "ignore"
        )
        label = IGNORE if is_ignored else labels[instance.category_id]
        things[instance.image_id].append(Thing(label, shape, name))
        area[instance.image_id] += _area(instance, index, min_area, path)
    number = sum(map(len, things.values()))
    if not number:
        raise ValueError(
            f"{path}: Expected objects of {', '.join(class_names[1:])}. Received: none."
        )
    ignored = sum(thing.label == IGNORE for of in things.values() for thing in of)
    problem = _problem(ignored, crowds, number, path, crowd)
    if problem is None and crowd == "ignore" and crowds > number / 2:
        warnings.warn(
            f"{path}: {crowds} of {number} objects are crowds, whose pixels are "
            f"ignored. {_CROWDS.text}",
            stacklevel=2,
        )

    chosen = sorted(file.images, key=lambda image: by_number(image.id))
    if min_area is not None:
        chosen = [image for image in chosen if area[image.id] > min_area]
        if not chosen:
            raise ValueError(
                f"{path}: Expected images with objects of more than `min_area` = "
                f"{min_area}. Received: none."
            )
    sizes = [(image.height, image.width) for image in chosen]
    things_of = [things[image.id] for image in chosen]
    names = find_images(os.fspath(images), [i.file_name for i in chosen], path)
    files = Paths(names, (f"{os.fspath(images)}/", ""))

    def mask_of(index: int) -> np.ndarray:
        with naming(tf.constant(f"{path}: {names[index]}")):
            return draw(things_of[index], *sizes[index], overlap)

    return Source(
        len(chosen),
        image_reader(files, sizes, path),
        lambda index: numpy_op(mask_of, index, tf.uint8, (None, None)),
        class_names=class_names,
        names=[os.path.splitext(name)[0] for name in names],
        image_path=files.__getitem__,
        origin=f"coco({path!r})",
        problem=problem,
    )


def _check_links(file: Instances, path: str) -> None:
    """Raise for annotations of an image or a category that the file doesn't list."""
    for key, part, ids in (
        ("image_id", "images", {image.id for image in file.images}),
        ("category_id", "categories", {kind.id for kind in file.categories}),
    ):
        strays = [
            index
            for index, instance in enumerate(file.annotations)
            if getattr(instance, key) not in ids
        ]
        if strays:
            first = file.annotations[strays[0]]
            raise ValueError(
                f"{path}: Expected annotations of {part} that the file lists. "
                f"Received: {len(strays)} of {len(file.annotations)} of others, the "
                f"first is annotations[{strays[0]}] (id {first.id}) with {key} "
                f"{getattr(first, key)!r}, where ids of {part} are like "
                f"{next(iter(ids))!r}. Likely cause: {part} were taken out of the file "
                "or numbered anew, and their annotations weren't."
            )


def _area(instance: Instance, index: int, min_area: float | None, path: str) -> float:
    """The area of an annotation, checked; 0 if it has none and none is needed."""
    area = instance.area
    if area is None and min_area is None:
        return 0.0
    if area is None or not math.isfinite(area) or (area < 0 and min_area is not None):
        raise ValueError(
            f"{path}: annotations[{index}].area: Expected the object's number of "
            f"pixels. Received: {area}"
        )
    return area


def _no_outline(
    file: Instances, labels: dict[Id, int], index: int, path: str
) -> ValueError:
    """The error of objects that are no polygons and no runs, the first at `index`."""
    chosen = [i for i, a in enumerate(file.annotations) if a.category_id in labels]
    empty = [i for i in chosen if not outline(file.annotations[i], i, path)]
    first = file.annotations[index]
    image = next(i.file_name for i in file.images if i.id == first.image_id)
    has_box = box(first, index, path) is not None
    arguments = {"boxes": "ignore"} if has_box else {}
    remedy = (
        f"or ignore the pixels of these boxes: {spelled(arguments)}."
        if has_box
        else "or take out the annotation, which has no box either."
    )
    return SuggestionError(
        f"{path}: Expected an outline (`segmentation`) of each object. Received: "
        f"{len(empty)} of {len(chosen)} objects without one, the first is "
        f"annotations[{index}] (id {first.id}) of {image}. Likely cause: boxes were "
        f"drawn instead of polygons or masks. Draw outlines, {remedy}",
        arguments,
    )


def _problem(
    ignored: int, crowds: int, number: int, path: str, crowd: str
) -> Hint | None:
    """What is wrong if all objects are ignored: only the background would be learned.

    Args:
        ignored: Number of objects whose pixels are ignored.
        crowds: Number of objects that are crowds.
        number: Number of all objects.
        path: The file.
        crowd: The argument of `coco`.
    """
    if ignored < number:
        return None
    if crowds == number and crowd == "ignore":
        return Hint(
            f"{path}: Expected objects that aren't crowds. Received: all {number} are "
            f"(`iscrowd` is 1), and the pixels of crowds are ignored. {_CROWDS.text}",
            _CROWDS.arguments,
        )
    return Hint(
        f"{path}: Expected objects with outlines. Received: all {number} are boxes "
        "without one, or crowds, and their pixels are ignored. Draw outlines, or "
        "choose other classes.",
        {},
    )
