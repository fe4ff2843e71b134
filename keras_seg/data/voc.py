"""PASCAL VOC 2012 segmentation, http://host.robots.ox.ac.uk/pascal/VOC/.

VOCdevkit/VOC2012/
    ImageSets/Segmentation/train.txt, val.txt, trainval.txt, ...: stems, one a line
    JPEGImages/STEM.jpg
    SegmentationClass/STEM.png: palette PNGs, ids 0..20, 255 on borders
"""

import os
from typing import Any

import tensorflow as tf

from keras_seg.data.checks import check_ids, naming
from keras_seg.data.image import read_jpeg
from keras_seg.data.png import label_png_size, read_label_png, write_label_png
from keras_seg.data.source import Source, color_map

CLASS_NAMES = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)


def voc(root: str | os.PathLike, split: str = "train") -> Source:
    """Read VOC's images and masks, in the order of the split file.

    Args:
        root: The folder `.../VOCdevkit/VOC2012`, on a disk or wherever `tf.io.gfile`
            reaches.
        split: Name of a file in `ImageSets/Segmentation`, without `.txt`: "train",
            "val", "trainval", or one of your own.

    Returns:
        A Source of RGB images and masks of ids 0..20, or 255 on the borders of
        objects. Its names are the stems.

    Raises:
        FileNotFoundError: for a root, a split file, images or masks that aren't there,
            naming them and what to do.
        ValueError: for a split file without stems.

    Example:
        source = keras_seg.data.voc("VOCdevkit/VOC2012", "train")
        image, mask = source[0]
    """
    root = os.fspath(root)
    names = _stems(root, split)
    images, masks = f"{root}/JPEGImages", f"{root}/SegmentationClass"
    _check_exist(images, names, ".jpg")
    _check_exist(masks, names, ".png")
    stems = tf.constant(names)

    def image(index: Any, window: Any = None) -> tf.Tensor:
        path = tf.strings.join([images, "/", stems[index], ".jpg"])
        if window is None:
            return read_jpeg(path)
        # A window of an image that is larger than its mask would be the wrong one.
        return read_jpeg(path, window, mask_size=label_png_size(mask_path(index)))

    def mask(index: Any) -> tf.Tensor:
        path = mask_path(index)
        ids = read_label_png(path)
        if tf.executing_eagerly():
            # The Source checks ids anyway, but can't name the file.
            with naming(path):
                check_ids(ids, len(CLASS_NAMES))
        return ids

    def mask_path(index: Any) -> tf.Tensor:
        return tf.strings.join([masks, "/", stems[index], ".png"])

    return Source(len(names), image, mask, class_names=CLASS_NAMES, names=names)


def write_voc(source: Source, root: str | os.PathLike, split: str = "train") -> None:
    """Write a Source as a VOC tree, which `voc` and other people's readers read.

    Masks are palette PNGs and come back equal; images are JPEGs and nearly do.

    Args:
        source: RGB images, at most 21 classes.
        root: The folder to write to, made if it isn't there. Other splits in it stay.
        split: Name of the split file. Stems are the split and a number.

    Raises:
        ValueError: for a Source that VOC's layout can't hold.
    """
    if source.num_classes > len(CLASS_NAMES):
        raise ValueError(
            f"Expected at most {len(CLASS_NAMES)} classes. Received: "
            f"{source.num_classes}"
        )
    root = os.fspath(root)
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        os.makedirs(f"{root}/{folder}", exist_ok=True)
    stems = [f"{split}_{index:06d}" for index in range(len(source))]
    for index, stem in enumerate(stems):
        image, mask = source[index]
        if image.shape[-1] != 3:
            raise ValueError(f"Expected RGB images. Received: {image.shape}")
        jpeg = tf.io.encode_jpeg(image, quality=95, chroma_downsampling=False)
        tf.io.write_file(f"{root}/JPEGImages/{stem}.jpg", jpeg)
        write_label_png(f"{root}/SegmentationClass/{stem}.png", mask, color_map(256))
    with open(f"{root}/ImageSets/Segmentation/{split}.txt", "w") as file:
        file.writelines(f"{stem}\n" for stem in stems)


def _stems(root: str, split: str) -> list[str]:
    folder = f"{root}/ImageSets/Segmentation"
    if not tf.io.gfile.isdir(folder):
        raise FileNotFoundError(
            f"Expected a VOC tree with {folder}. Received: root={root!r}. Give the "
            "folder that holds JPEGImages, usually .../VOCdevkit/VOC2012."
        )
    path = f"{folder}/{split}.txt"
    if not tf.io.gfile.exists(path):
        there = sorted(
            name.removesuffix(".txt")
            for name in tf.io.gfile.listdir(folder)
            if name.endswith(".txt")
        )
        raise FileNotFoundError(
            f"Expected the split file {path}. Received: split={split!r}. There are "
            f"{there}."
        )
    with tf.io.gfile.GFile(path) as file:
        stems = file.read().split()
    if not stems:
        raise ValueError(f"Expected stems in {path}, one a line. Received: none.")
    return stems


def _check_exist(folder: str, stems: list[str], suffix: str) -> None:
    """Raise if files are missing; lists the folder once."""
    if not tf.io.gfile.isdir(folder):
        raise FileNotFoundError(f"Expected the folder {folder}. It isn't there.")
    there = set(tf.io.gfile.listdir(folder))
    missing = [stem for stem in stems if stem + suffix not in there]
    if missing:
        raise FileNotFoundError(
            f"Expected {folder}/{missing[0]}{suffix}, which the split file names. It "
            f"isn't there, and {len(missing) - 1} more of {len(stems)} aren't. "
            "Unpack the data set again, or take them out of the split file."
        )
