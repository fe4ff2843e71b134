"""Sets of TensorFlow Datasets, by index.

TFDS keeps a set in one of several file formats. Of these array_record has random
access, which a Source needs. TFRecord, the default, which `tfds.load` reads, has none.
"""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_seg.data.checks import naming, require
from keras_seg.data.decode.formats import kind
from keras_seg.data.decode.image import decode_image
from keras_seg.data.decode.numpy_op import numpy_op
from keras_seg.data.decode.png import decode_color_png, decode_label_png
from keras_seg.data.decode.png_header import COLOR, RGB, RGBA
from keras_seg.data.source import Source
from keras_seg.labels import IGNORE

_FORMAT = "array_record"
#: Features that some sets name their examples with.
_NAMES = ("file_name", "image/filename", "image_id")
#: Where coco/2017_panoptic has its masks, and what the colours in them mean.
_PANOPTIC, _SEGMENTS = "panoptic_image", "panoptic_objects"


def tfds(
    name: str,
    split: str,
    *,
    image: str = "image",
    mask: str = "segmentation_mask",
    shift: int = 0,
    class_names: Sequence[str] | None = None,
    ignore: int | Sequence[int] = IGNORE,
    channel: int | None = None,
    data_dir: str | os.PathLike | None = None,
    download: bool = True,
) -> Source:
    """Read a set of TensorFlow Datasets that has images and masks.

    The builders of `keras_seg.data.builders`, voc_segmentation and coco_segmentation,
    are among the sets. Others with masks:

        oxford_iiit_pet      shift=-1, for its ids are 1..3
        coco/2017_panoptic   mask="panoptic_image"
        cityscapes           image="image_left", mask="segmentation_label"; its 34 ids
        scene_parse150       mask="annotation", channel=0; 100 objects, 0 is none

    All but coco have no names for their ids: give them as `class_names`.

    Args:
        name: Of the set: "name", "name/config" or "name/config:version".
        split: Of the set: "train", or in TFDS's words a part of one, "train[:80%]".
        image: Feature with the images, JPEGs or PNGs.
        mask: Feature with the masks, PNGs of ids.
        shift: What is added to every id but 255.
        class_names: A name per class; None for those that the set has itself.
        ignore: Id, or several, of the ignored pixels in the files. They become
            255.
        channel: Which channel of a mask in RGB has the ids.
        data_dir: Folder of all sets; None for TFDS's own, `~/tensorflow_datasets`.
        download: Whether to download and prepare a set that isn't there.

    Returns:
        A Source, in TFDS's order.

    Raises:
        FileNotFoundError: for a set that isn't there, with `download=False`.
        ValueError: for a set in a format without random access, naming what to do; for
            features that it lacks, classes without names, or a split of no examples.

    Example:
        pets = keras_seg.data.tfds(
            "oxford_iiit_pet", "train", shift=-1,
            class_names=["pet", "background", "border"],
        )
    """
    builder = _prepared(name, data_dir, download)
    features = builder.info.features
    for feature in (image, mask):
        _check_is_image(feature, features, name)
    panoptic = mask == _PANOPTIC and _SEGMENTS in features
    if class_names is None:
        named = features[_SEGMENTS]["label"] if panoptic else features[mask]
        class_names = getattr(named, "names", None)
        if not class_names:
            raise ValueError(
                f"Expected `class_names`. Received: none, and {name} has no names for "
                f"the ids in {mask!r}."
            )
    records = _records(builder, split, name)
    if channel is None and not panoptic:
        _check_has_ids(records[0], mask, name)
    elif channel not in (None, 0, 1, 2):
        raise ValueError(f"Expected `channel` in 0..2. Received: {channel}")
    ignored = tf.constant(np.atleast_1d(ignore), tf.int32)
    channels = features[image].shape[-1] or 3
    name_feature = next((f for f in _NAMES if f in features), None)

    def read(index: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """The bytes of an example, and what errors call it."""
        record = numpy_op(records.__getitem__, index, tf.string, ())
        if name_feature is None:
            number = tf.strings.as_string(index)
            return record, tf.strings.join([f"{name} {split}, ", number])
        file = _bytes_of(record, name_feature)
        return record, tf.strings.join([f"{name} {split}, ", file])

    def load_image(index: Any, window: Any = None, mask_size: Any = None) -> tf.Tensor:
        record, label = read(index)
        with naming(label):
            return decode_image(
                _bytes_of(record, image),
                channels=channels,
                window=window,
                mask_size=mask_size,
            )

    def load_mask(index: Any) -> tf.Tensor:
        record, label = read(index)
        contents = _bytes_of(record, mask)
        with naming(label):
            if panoptic:
                ids = _labels_of_segments(decode_color_png(contents), record)
            elif channel is not None:
                ids = tf.cast(tf.io.decode_png(contents, 3)[..., channel], tf.int32)
            else:
                ids = decode_label_png(contents)
        stray = tf.reduce_any(ids[..., None] == ignored, axis=-1) | (ids == IGNORE)
        ids = tf.where(stray, IGNORE, ids + shift)
        return ids

    return Source(
        len(records),
        load_image,
        load_mask,
        class_names=class_names,
        mask_path=lambda index: read(index)[1],
        origin=f"tfds({name!r}, {split!r})",
    )


def _prepared(name: str, data_dir: str | os.PathLike | None, download: bool) -> Any:
    """The builder of a set that is there, in a format with random access."""
    import tensorflow_datasets

    import keras_seg.data.builders  # noqa: F401 - they become known to TFDS

    builder = tensorflow_datasets.builder(name, data_dir=data_dir)
    if not builder.is_prepared():
        if not download:
            raise FileNotFoundError(
                f"Expected {name} in {builder.data_dir}. It isn't there. Prepare it "
                f"with `tfds build {name} --file_format={_FORMAT}`, or let "
                "`download=True` do it."
            )
        builder = tensorflow_datasets.builder(
            name, data_dir=data_dir, file_format=_FORMAT
        )
        builder.download_and_prepare()
    # As it is on disk: a builder made from code overlooks formats that were added.
    builder = tensorflow_datasets.builder_from_directory(builder.data_path)
    formats = sorted(f.value for f in builder.info.available_file_formats())
    if _FORMAT not in formats:
        # With a relative path TFDS 4.9.10 writes the files but doesn't list them.
        folder = str(builder.data_dir)
        if "://" not in folder:
            folder = os.path.abspath(folder)
        raise ValueError(
            f"Expected {name} in the file format {_FORMAT}, which has random access. "
            f"Received: {', '.join(formats)} in {folder}. Convert it with "
            f"`tfds convert_format --dataset_version_dir={folder} "
            f"--out_file_format={_FORMAT}`, or build it anew in another folder with "
            f"`tfds build {name} --file_format={_FORMAT} --data_dir=...`. If you have "
            "the files that it was made of, `data.prepare` makes a folder of them."
        )
    return builder


def _records(builder: Any, split: str, name: str) -> Any:
    """The examples of a split as bytes, by index."""
    from tensorflow_datasets.core.decode import DeserializeMethod

    if not builder.info.splits[split].num_examples:
        raise ValueError(f"Expected examples in {split!r} of {name}. Received: none.")
    return builder.as_data_source(
        split, deserialize_method=DeserializeMethod.RAW_BYTES, file_format=_FORMAT
    )


def _check_is_image(feature: str, features: Any, name: str) -> None:
    from tensorflow_datasets import features as kinds

    images = [key for key in features if isinstance(features[key], kinds.Image)]
    if feature not in images:
        raise ValueError(
            f"Expected a feature of {name} with images or masks. Received: "
            f"{feature!r}. There are {', '.join(map(repr, images)) or 'none'}."
        )


def _check_has_ids(record: bytes, mask: str, name: str) -> None:
    """Raise if the first mask has colours."""
    contents = _bytes_of(tf.constant(record), mask)
    if kind(contents) == "a PNG" and contents.numpy()[COLOR : COLOR + 1] in (
        bytes([RGB]),
        bytes([RGBA]),
    ):
        raise ValueError(
            f"Expected masks of ids in {mask!r} of {name}. Received: PNGs in RGB. If a "
            "channel of them has the ids, give its number as `channel`."
        )


def _bytes_of(record: tf.Tensor, feature: str) -> tf.Tensor:
    spec = {feature: tf.io.FixedLenFeature((), tf.string)}
    return tf.io.parse_single_example(record, spec)[feature]


def _labels_of_segments(segments: tf.Tensor, record: tf.Tensor) -> tf.Tensor:
    """Labels of COCO's panoptic segments: 255 for none and for crowds.

    Args:
        segments: int32 `[height, width]`, the colour of each pixel as a number.
        record: The example, which lists each segment's number, class and `is_crowd`.
    """
    keys = {key: f"{_SEGMENTS}/{key}" for key in ("id", "label", "is_crowd")}
    spec = {path: tf.io.VarLenFeature(tf.int64) for path in keys.values()}
    parsed = tf.io.parse_single_example(record, spec)
    ids, labels, crowd = (tf.cast(parsed[p].values, tf.int32) for p in keys.values())
    order = tf.argsort(ids)
    # Pixels of no segment have number 0, which no segment has.
    known = tf.concat([[0], tf.gather(ids, order)], 0)
    label_of = tf.where(crowd > 0, IGNORE, labels)
    label_of = tf.concat([[IGNORE], tf.gather(label_of, order)], 0)

    place = tf.searchsorted(known, tf.reshape(segments, [-1]), side="right") - 1
    place = tf.reshape(place, tf.shape(segments))
    require(
        tf.reduce_all(tf.gather(known, place) == segments),
        lambda: "Expected segments that the example lists. Received: others.",
    )
    return tf.gather(label_of, place)
