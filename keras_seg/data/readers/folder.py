"""Your own data: a folder of images, a folder of masks, paired by stem.

Masks are PNGs of class ids (palette or grey, 1 to 16 bits deep) or of colours; or
TIFFs, GIFs or BMPs of the same. Images are JPEGs or PNGs, of 8 or 16 bits and 1 to 4
channels; or TIFFs and other files that `decode/array_file.py` reads.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_seg.arguments import is_whole
from keras_seg.data.checks import naming
from keras_seg.data.decode.array_file import Page, is_array_file, scene_facts
from keras_seg.data.decode.bands import check_bands, pick_bands, require_bands
from keras_seg.data.decode.image import pixels_of, read_image
from keras_seg.data.decode.label_file import read_labels, read_labels_or_colors
from keras_seg.data.decode.png import UNKNOWN_COLOR
from keras_seg.data.decode.png_header import DEPTH, HEADER_END
from keras_seg.data.id_hints import IdCounts, cause_of_unknown_ids
from keras_seg.data.readers.class_hints import check_masks_have_ids, names_missing
from keras_seg.data.readers.color_files import read_colors
from keras_seg.data.readers.colors import (
    cause_of_unknown_colors,
    check_colors,
    first_colored,
    shown_color,
    table_of_colors,
    with_ignored_colors,
)
from keras_seg.data.readers.files import printable
from keras_seg.data.readers.id_tables import (
    Ids,
    IdTable,
    id_table,
    labels_of,
    shown_ids,
)
from keras_seg.data.readers.objects import check_objects
from keras_seg.data.readers.pairing import Pairs, pair_files
from keras_seg.data.readers.prepared import read_description
from keras_seg.data.readers.scenes import place_check
from keras_seg.data.readers.stacks import check_one_page
from keras_seg.data.source import Source
from keras_seg.labels import IGNORE, ValueRange


def folder(
    images: str | os.PathLike,
    masks: str | os.PathLike,
    *,
    class_names: Sequence[str] | None = None,
    ignore: Ids | str | Sequence[int | str] | None = None,
    palette: Any = None,
    split: str | os.PathLike | Sequence[str] | None = None,
    ids: Sequence[Ids] | Mapping[Ids, int] | None = None,
    binary: bool = False,
    instances: str | None = None,
    border: int | None = None,
    channels: int | None = None,
    bands: Sequence[int] | None = None,
    page: Page | None = None,
    value_range: ValueRange | None = None,
    outside: str = "error",
    nodata: float | None = None,
) -> Source:
    """Read images and masks that lie in two folders, or in one under two names.

    A folder is read with the folders in it, and an image goes with the mask of the
    same stem: `images/a/1.jpg` with `masks/a/1.png`. Where names differ, `*` stands for
    the stem: `folder("scans/*.jpg", "scans/*_mask.png", ...)`.

    Args:
        images: Folder of images, or with a `*` in the name of its files; or a TIFF,
            each page of which is an image.
        masks: Folder of masks, or with a `*` in the name of its files; or a TIFF with a
            mask for each of these pages.
        class_names: A name per class. None takes the names in the file `palette`, or
            those of a set that `data.prepare` wrote, which has a `dataset.json` beside
            the folder of masks.
        ignore: Id, or several, of ignored pixels in the files. They become 255. None
            means 255, unless `ids` gives it to a class. With a `palette` also colours,
            "#804000".
        palette: Colours of the ids, if masks are RGB or in a palette that says the
            same: row i is the colour of id i, also of ignored ones; or the path of a
            text file with `R G B name` in each line. Grey masks are ids all the same.
            It also gives the classes the colours of pictures.
        split: Text file of the stems to read, one a line, in this order, or a list of
            them; repeats are allowed, and in a file a line may also be the name or the
            path of the image. None for all, in order of stems.
        ids: The ids in the files: an entry per class, which is one id or several,
            `[0, (1, 2, 3)]`, or the class of each id, `{0: 0, range(1, 256): 1}`. None
            means 0, 1, 2, ...
        binary: Whether masks are 0 for background and anything else (255, or a number
            for each object, or in RGB a colour) for objects: two classes, "background"
            and "object", unless `class_names` has other names. 255 is an object like
            the others then; `ignore` has the ids of ignored pixels, if there are some.
        instances: For masks with 0 for background and a number, or colour, for each
            object: "border" makes three classes, "background", "inside" and "border",
            so that objects that touch stay apart. A pixel of an object is border where
            another object or background is at most `border` pixels away in both
            directions. With "touching" background doesn't count: there is border
            between objects only. 255 and `ignore` are as with `binary`.
        border: Width of the border in pixels; None means 2.
        channels: Channels of the images; None for those of the first one. With
            3, grey images become RGB and a fourth channel, alpha, is left out; with
            others, an image of another number is an error.
        bands: Bands (channels of a file) to take, numbered from 0, in the order that a
            model gets them: (3, 0, 1). None for all.
        page: Which page of TIFFs that have several, from 0; "all" for the channels of
            all pages, one after the other. None is the only page, and an error where
            the first image has several.
        value_range: (low, high) of the images, black and white: numbers, or one for
            each channel. None means what 8 and 16 bits hold, 0..255 and 0..65535. Of
            images of 12 bits it is (0, 4095).
        outside: What values outside of the range are: "error" or "keep".
        nodata: The value of pixels without data, as of `Source`: they become ignored.
            None takes the one that the first image, if it is a TIFF, has in its tag
            GDAL_NODATA.

    Returns:
        A Source, whose examples have the stems as names.

    Raises:
        FileNotFoundError: for a folder or files of a list that aren't there.
        ValueError: for images without a mask and masks without an image, two files of
            one stem, pictures of a format that isn't read, or arguments that don't fit
            each other. It names the likely remedy.

    Example:
        source = keras_seg.data.folder("photos", "masks", class_names=["land", "sea"])
        train, val = source.split(0.8, seed=0)
    """
    if channels is not None and not is_whole(channels, 1):
        raise ValueError(f"Expected `channels` to be 1 or more. Received: {channels!r}")
    pairs = pair_files(images, masks, split)
    objects = check_objects(
        binary,
        instances,
        border,
        names=class_names,
        ignore=ignore,
        ids=ids,
        palette=palette,
    )
    if objects is None:
        classes = _classes(pairs, class_names, ids, ignore, palette)
        read_mask = _mask_reader(pairs, classes)
    else:
        description = read_description(pairs.mask_root) or {}
        table = id_table(len(objects.names), None, None)  # of the labels
        classes = _Classes(objects.names, table, None, None, description)

        def read_mask(index: Any, window: Any) -> tf.Tensor:
            return objects.read(pairs.masks[index], window)

    if page is None and not pairs.are_pages:
        paths = (os.fsdecode(files[0].numpy()) for files in (pairs.images, pairs.masks))
        check_one_page(*paths, is_only_one=len(pairs.stems) == 1)
    page = page or 0
    first = pixels_of(pairs.images[0], page=page)
    are_photos = not any(map(is_array_file, pairs.image_suffixes))
    if nodata is None and is_array_file(pairs.images[0].numpy()):
        nodata = scene_facts(pairs.images[0].numpy()).nodata
    about = classes.description
    channels = channels or about.get("channels") or first.channels
    if value_range is None and "value_range" in about:
        value_range, outside = about["value_range"], about["outside"]
    if bands is not None:
        bands = check_bands(bands)
        require_bands(bands, channels, printable(pairs.images[0].numpy()))

    def image(index: Any, window: Any = None, mask_size: Any = None) -> tf.Tensor:
        pixels = read_image(
            pairs.images[index],
            channels=channels,
            dtype=first.dtype,
            window=window,
            mask_size=mask_size,
            page=page,
            are_photos=are_photos,
        )
        return pixels if bands is None else pick_bands(pixels, bands)

    are_whole = bands is None and not pairs.are_pages
    check_place = place_check(pairs.image_suffixes, pairs.mask_suffixes)

    def mask(index: Any, window: Any = None) -> tf.Tensor:
        if check_place is not None:
            image_path, mask_path = pairs.images[index], pairs.masks[index]
            with naming(mask_path):
                index = tf.cast(index, tf.int64) + check_place(image_path, mask_path)
        return read_mask(index, window)

    return Source(
        len(pairs.stems),
        image,
        mask,
        class_names=classes.names,
        names=list(map(printable, pairs.stems)),
        palette=classes.palette,
        # With `bands`, and of pages, images are no whole files, which could be copied.
        image_path=pairs.images.__getitem__ if are_whole else None,
        mask_path=pairs.masks.__getitem__,
        origin=f"folder({images!r}, {masks!r})",
        value_range=value_range,
        outside=outside,
        nodata=nodata,
    )


class _Classes(NamedTuple):
    """What the pixels of a folder's files mean."""

    names: Sequence[str]
    ids: IdTable
    #: Colour of each id in the masks; None if these hold ids.
    colors_of_ids: np.ndarray | None
    #: Colour of each class; None for the default ones.
    palette: Any
    #: What the description of a prepared set says of it.
    description: Mapping[str, Any] = {}


def _classes(
    pairs: Pairs,
    names: Sequence[str] | None,
    ids: Sequence[Ids] | Mapping[Ids, int] | None,
    ignore: Any,
    palette: Any,
) -> _Classes:
    """Bring together what arguments and files beside the masks say of the classes."""
    colors, color_names = palette, None
    if isinstance(palette, str | os.PathLike):
        colors, color_names = read_colors(palette)
    if colors is not None:
        colors = check_colors(colors)
    own_rows = 0 if colors is None else len(colors)
    colors, ignore = with_ignored_colors(colors, ignore)
    if colors is not None:
        if names is None and color_names is not None:
            if ids is None:  # every colour is a class, but for the ignored ones
                rows = range(own_rows)
                ids = [i for i in rows if i not in id_table(0, [], ignore).ignored]
            table = id_table(len(ids), ids, ignore)
            names = [color_names[i] for i in first_colored(table, colors)]
        elif names is None:
            raise names_missing(pairs, colors)
        table = id_table(len(names), ids, ignore)
        return _Classes(names, table, colors, colors[first_colored(table, colors)])
    description = read_description(pairs.mask_root)
    if names is None and description is None:
        raise names_missing(pairs)
    check_masks_have_ids(pairs)
    if names is not None:
        return _Classes(names, id_table(len(names), ids, ignore), None, None)
    assert description is not None
    names = description["class_names"]
    table = id_table(len(names), ids, ignore)
    return _Classes(names, table, None, description["palette"], description)


def _mask_reader(pairs: Pairs, classes: _Classes) -> Callable[..., tf.Tensor]:
    """Make the function that reads the labels of mask `index`, or a window of them."""
    paths = pairs.masks
    are_pngs = not any(map(is_array_file, pairs.mask_suffixes))
    table, colors = classes.ids, classes.colors_of_ids
    color_table = None if colors is None else table_of_colors(colors)
    lookup = None if table.is_identity and colors is None else table.lookup()
    # Single bytes are quicker, and hold all ids of most masks.
    are_bytes = lookup is None and are_pngs and _depth(paths[0]) <= 8
    dtype = tf.uint8 if are_bytes else tf.int32

    def mask(index: Any, window: Any = None) -> tf.Tensor:
        path = paths[index]
        if color_table is not None:
            ids = read_labels_or_colors(path, color_table, window, are_pngs=are_pngs)
        else:
            ids = read_labels(path, dtype, window, are_pngs=are_pngs)
            if not are_pngs:  # others may have ids of 32 bits
                ids = tf.minimum(ids, UNKNOWN_COLOR - 1)
        labels = ids if lookup is None else labels_of(ids, lookup)
        # In a graph the Source checks it, which knows no file.
        if tf.executing_eagerly():
            with naming(path):
                _check_labels(labels, ids, table)
        return labels

    return mask


def _depth(path: tf.Tensor) -> int:
    """Bits per channel of a PNG; 8 for what isn't one, which reading it will tell."""
    with naming(path):
        header = tf.io.read_file(path).numpy()[:HEADER_END]
    return header[DEPTH] if len(header) == HEADER_END else 8


def _check_labels(labels: tf.Tensor, ids: tf.Tensor, table: IdTable) -> None:
    """Raise in eager mode, with the likely cause, for pixels that are no class."""
    num_classes = len(table.ids_of_class)
    labels, ids = labels.numpy(), ids.numpy()
    strays = ids[(labels < 0) | ((labels >= num_classes) & (labels != IGNORE))]
    if not strays.size:
        return
    found, pixels = np.unique(strays, return_counts=True)
    if found[-1] >= UNKNOWN_COLOR:
        most = found[np.argsort(-pixels, kind="stable")][:8] - UNKNOWN_COLOR
        masks_with = dict.fromkeys((found - UNKNOWN_COLOR).tolist(), 1)
        cause = cause_of_unknown_colors(1, masks_with, all_seen=False)
        dots = ", ..." if len(found) > 8 else ""
        raise ValueError(
            "Expected colours that are in `palette`. Received: "
            f"{', '.join(map(shown_color, most.tolist()))}{dots}. {cause.text}"
        )
    counts = IdCounts()
    counts.add(dict(zip(*np.unique(ids, return_counts=True), strict=True)))
    cause = cause_of_unknown_ids(counts, found.tolist(), num_classes)
    identity = table.ids_of_class == [(i,) for i in range(num_classes)]
    known = f"class ids 0..{num_classes - 1}" if identity else "the ids in `ids`"
    ignored = f", or {shown_ids(table.ignored)} for ignored pixels"
    raise ValueError(
        f"Expected a mask of {known}{ignored if table.ignored else ''}. Received: "
        f"{shown_ids(found.tolist())}. {cause.text}"
    )
