"""PASCAL VOC 2012 segmentation, http://host.robots.ox.ac.uk/pascal/VOC/.

VOCdevkit/VOC2012/
    ImageSets/Segmentation/train.txt, val.txt, trainval.txt, ...: stems, one a line
    JPEGImages/STEM.jpg
    SegmentationClass/STEM.png: palette PNGs, ids 0..20, 255 on borders
    SegmentationClassAug/STEM.png: the same for SBD's images, without borders

SBD is Hariharan et al., "Semantic Contours from Inverse Detectors", ICCV 2011; with its
masks the list train_aug.txt has 10,582 images.
"""

import os
from typing import Any

import numpy as np
import tensorflow as tf

from keras_seg.data.checks import naming
from keras_seg.data.decode.image import read_jpeg
from keras_seg.data.decode.numpy_op import numpy_op
from keras_seg.data.decode.png import read_label_png
from keras_seg.data.readers.files import (
    Paths,
    check_exist,
    list_folder,
    listed,
    read_lines,
    without_file,
)
from keras_seg.data.source import Source
from keras_seg.data.suggestions import MissingFilesError, spelled
from keras_seg.palette import color_map, save_mask

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


def voc(
    root: str | os.PathLike,
    split: str = "train",
    *,
    sbd: str | os.PathLike | None = None,
) -> Source:
    """Read VOC images and masks, in the order of the split file.

    A mask is that of `SegmentationClass`. Where there is none, as for most of
    "train_aug", it is that of `SegmentationClassAug` or of `sbd`, which have no ignored
    boundaries.

    Args:
        root: The folder `.../VOCdevkit/VOC2012`, on a disk or wherever `tf.io.gfile`
            reaches.
        split: Name of a file in `ImageSets/Segmentation`, without `.txt`: "train",
            "val", "trainval", "train_aug", or one of your own. Repeats are allowed.
            Where there is no list for "train_aug", it is made of VOC's and SBD's.
        sbd: Folder of SBD's own `.mat` files, `.../benchmark_RELEASE/dataset/cls`, for
            masks that are nowhere else; needs SciPy, `pip install 'keras-seg[scipy]'`.

    Returns:
        A Source of RGB images and masks of ids 0..20, or 255 on the boundaries of
        objects. Its names are the stems.

    Raises:
        FileNotFoundError: for a root, a split file, images or masks that aren't there,
            naming them and what to do.
        ValueError: for a split file without stems, or a "train_aug" that has images of
            "val".
        ImportError: if there are `.mat` files to read and no SciPy.

    Example:
        source = keras_seg.data.voc("VOCdevkit/VOC2012", "train")
        image, mask = source[0]
    """
    root = os.fspath(root)
    names = _stems(root, split, sbd)
    check_exist(f"{root}/JPEGImages", names, ".jpg", "the split file")
    images = Paths(names, (f"{root}/JPEGImages/", ".jpg"))
    masks, is_mat = _mask_paths(root, names, images.stems, sbd)

    def image(index: Any, window: Any = None, mask_size: Any = None) -> tf.Tensor:
        return read_jpeg(images[index], window, mask_size=mask_size)

    def read_png(index: Any) -> tf.Tensor:
        return read_label_png(masks[index], tf.uint8)

    def read_mat(index: int) -> np.ndarray:
        return _read_mat(masks[index].numpy().decode())

    def read_either(index: Any) -> tf.Tensor:
        return tf.cond(
            tf.gather(is_mat, index),
            lambda: numpy_op(read_mat, index, tf.int32, (None, None)),
            lambda: tf.cast(read_png(index), tf.int32),
        )

    return Source(
        len(names),
        image,
        read_png if is_mat is None else read_either,
        class_names=CLASS_NAMES,
        names=names,
        image_path=images.__getitem__,
        mask_path=masks.__getitem__,
        origin=f"voc({root!r}, {split!r})",
    )


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
        save_mask(f"{root}/SegmentationClass/{stem}.png", mask, color_map(255))
    with open(f"{root}/ImageSets/Segmentation/{split}.txt", "w") as file:
        file.writelines(f"{stem}\n" for stem in stems)


def _stems(root: str, split: str, sbd: str | os.PathLike | None) -> list[str]:
    folder = f"{root}/ImageSets/Segmentation"
    if not tf.io.gfile.isdir(folder):
        inside = ("VOC2012", "VOCdevkit/VOC2012")
        found = [
            f"{root}/{name}"
            for name in inside
            if tf.io.gfile.isdir(f"{root}/{name}/ImageSets/Segmentation")
        ]
        arguments = {"root": found[0]} if found else {}
        hint = (
            f"It is in a folder further down: {spelled(arguments)}."
            if found
            else "Give the folder that holds JPEGImages, usually .../VOCdevkit/VOC2012."
        )
        raise MissingFilesError(
            f"Expected the folder {folder}, as in a VOC tree. It isn't there. {hint}",
            arguments,
        )
    path = f"{folder}/{split}.txt"
    there = list_folder(folder)
    if f"{split}.txt" not in there and split == "train_aug" and sbd is not None:
        return _union(folder, os.path.dirname(os.fspath(sbd).rstrip("/")))
    if f"{split}.txt" not in there:
        splits = sorted(name[:-4] for name in there if name.endswith(".txt"))
        raise FileNotFoundError(
            f"Expected the split file {path}. It isn't there. There are splits "
            f"{', '.join(splits) or '(none)'}."
        )
    stems = read_lines(path)
    pairs = [line for line in stems if " " in line or line.startswith("/")]
    if pairs:
        raise ValueError(
            f"Expected stems in {path}, one a line. Received: {pairs[0]!r}. Of a list "
            "of pairs of files keep the names, without folder and suffix."
        )
    if not stems:
        raise ValueError(f"Expected stems in {path}, one a line. Received: none.")
    if split == "train_aug" and "val.txt" in there:
        # SBD has masks of VOC's validation images too.
        both = sorted({*stems} & {*read_lines(f"{folder}/val.txt")})
        if both:
            raise ValueError(
                f"Expected no image of val.txt in {path}. Received: {listed(both, 8)}. "
                "Remove them: validation would be done on training images."
            )
    return stems


def _union(lists: str, sbd: str) -> list[str]:
    """Stems of all images with masks but VOC's validation images: 10,582 of them."""
    paths = [f"{lists}/train.txt", f"{sbd}/train.txt", f"{sbd}/val.txt"]
    for path in paths:
        if not tf.io.gfile.exists(path):
            raise FileNotFoundError(
                f"Expected {path}, to make the list of train_aug. It isn't there. "
                "SBD's lists lie beside its folder cls. Or write train_aug.txt."
            )
    val = {*read_lines(f"{lists}/val.txt")}
    return sorted({stem for path in paths for stem in read_lines(path)} - val)


def _mask_paths(
    root: str, stems: list[str], as_tensor: tf.Tensor, sbd: str | os.PathLike | None
) -> tuple[Paths, tf.Tensor | None]:
    """The files of masks, and which of them are SBD's own; None if none is."""
    official, augmented = f"{root}/SegmentationClass", f"{root}/SegmentationClassAug"
    rest = without_file(official, stems, ".png")
    if not rest:
        return Paths(as_tensor, (f"{official}/", ".png")), None
    own = rest
    if tf.io.gfile.isdir(augmented):
        own = without_file(augmented, rest, ".png")
    missing = own if sbd is None else without_file(os.fspath(sbd), own, ".mat")
    if missing:
        raise FileNotFoundError(
            f"Expected {official}/{missing[0]}.png, which the split file names, or the "
            f"same in {augmented}. It isn't there, and {len(missing) - 1} more aren't. "
            "Unpack the data set again, take them out of the split file, or give the "
            "folder of SBD's .mat files as `sbd`."
        )
    not_official, not_augmented = set(rest), set(own)
    which = [(s in not_official) + (s in not_augmented) for s in stems]
    paths = Paths(
        as_tensor,
        (f"{official}/", ".png"),
        (f"{augmented}/", ".png"),
        (f"{sbd}/", ".mat"),
        which=which,
    )
    if own:
        _read_mat(f"{sbd}/{own[0]}.mat")
    return paths, tf.equal(which, 2) if own else None


def _read_mat(path: str) -> np.ndarray:
    """Class ids of one of SBD's own files, int32 `[height, width]`."""
    try:
        from scipy.io import loadmat
    except ImportError:
        raise ImportError(
            "SBD's .mat files need SciPy: pip install 'keras-seg[scipy]'"
        ) from None
    with naming(tf.constant(path)):
        try:
            with tf.io.gfile.GFile(path, "rb") as file:
                ids = loadmat(file)["GTcls"][0]["Segmentation"][0]
        except Exception as error:  # a damaged file fails in many ways
            raise ValueError(f"Expected one of SBD's .mat files. {error}") from None
        if ids.ndim != 2 or ids.dtype.kind not in "iu":
            raise ValueError(
                "Expected a mask of integers [height, width]. Received: "
                f"{ids.dtype}, shape {ids.shape}"
            )
    # No id becomes a valid one: those that don't fit become -1 or 2**31 - 1.
    return np.clip(ids, -1, 2**31 - 1).astype(np.int32)
