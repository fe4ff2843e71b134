"""What is in a data set: each example is read once, and counted.

Everything is read in parallel, by the same code that training reads with. What fails
there is read again alone, for the reason. Scenes are read one after the other, by
windows, so that they needn't fit into memory.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image

from keras_seg.data.checks import reason
from keras_seg.data.decode.png import UNKNOWN_COLOR
from keras_seg.data.id_hints import IdCounts
from keras_seg.data.parallel import READY, calls_at_once, without_autotune
from keras_seg.data.readers.id_tables import is_translated, unknown_id
from keras_seg.data.source import Source
from keras_seg.data.tools.inspect_values import (
    PER_IMAGE,
    ImageValues,
    measured_values,
)
from keras_seg.data.tools.inspect_windows import merged, size_of, windows_of
from keras_seg.data.tracing import unconverted
from keras_seg.labels import IGNORE
from keras_seg.terminal import progress

# Images of each class that a contact sheet may show.
_SHOWN = 2
# Unknown ids of one mask that are counted one by one, those with the most pixels.
_UNKNOWN_PER_MASK = 4096
_EXIF_ORIENTATION = 274
_CHANNELS = {"1": 1, "L": 1, "I;16": 1, "LA": 2, "RGBA": 4}


class ImageFile(NamedTuple):
    """What the head of an image's file tells that its pixels don't."""

    #: Pillow's name of the channels: "RGB", "CMYK", ...; "" if Pillow can't read it.
    mode: str = ""
    #: EXIF orientation; 1 is upright.
    orientation: int = 1
    #: Whether it keeps its size when a viewer rotates it as EXIF says.
    keeps_size: bool = False

    @property
    def channels(self) -> int:
        """Channels that it would be read with."""
        return _CHANNELS.get(self.mode, 3)


@dataclass(frozen=True)
class Example:
    """What was found in one example."""

    index: int
    name: str
    file: ImageFile
    #: Why it can't be read; nothing below is known then.
    error: str = ""
    image_size: tuple[int, ...] = ()
    mask_size: tuple[int, ...] = ()
    #: Pixels of each class, and ignored ones.
    pixels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    ignored: int = 0
    #: Pixels of each id that is no class, and of each unknown colour.
    unknown: dict[int, int] = field(default_factory=dict)
    unknown_colors: dict[int, int] = field(default_factory=dict)
    #: Whether ids in the file were looked up, so that labels aren't they.
    translated: bool = False
    #: Equal for equal images; None for images of one colour.
    fingerprint: bytes | None = None
    #: Channels of the image as it was read, and whether the last is 255 everywhere.
    channels: int = 0
    opaque: bool = False
    #: What `measured_values` found, without `gaps`; and how many pixels have no data.
    values: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
    gaps: int = 0


@dataclass
class Findings:
    """What is in one split."""

    #: How many examples there are, and how many were looked at.
    examples: int
    looked_at: int = 0
    #: How many images there are of each (height, width).
    sizes: Counter = field(default_factory=Counter)
    #: Pixels of each class, and images where it occurs.
    pixels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    images: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    #: Ignored pixels, and images that have some.
    ignored: int = 0
    images_with_ignored: int = 0
    #: Pixels of ids and colours that are no class, and images where they occur.
    unknown: Counter = field(default_factory=Counter)
    images_with_unknown: Counter = field(default_factory=Counter)
    #: The same by colour.
    unknown_colors: Counter = field(default_factory=Counter)
    images_with_color: Counter = field(default_factory=Counter)
    #: All ids by mask, for likely causes.
    ids: IdCounts = field(default_factory=IdCounts)
    #: Whether ids in the files were looked up, so that labels aren't they.
    translated: bool = False
    #: The numbers of the images.
    values: ImageValues = field(default_factory=ImageValues)
    #: Numbers of examples for a contact sheet: every class is in one of them.
    sample: list[int] = field(default_factory=list)
    #: More examples for it, if there is room.
    spare: list[int] = field(default_factory=list)

    def add(self, example: Example) -> None:
        """Count an example that was read."""
        self.sizes[example.image_size] += 1
        self.pixels += example.pixels
        self.images += example.pixels > 0
        self.ignored += example.ignored
        self.images_with_ignored += example.ignored > 0
        self.unknown.update(example.unknown)
        self.images_with_unknown.update(example.unknown.keys())
        self.unknown_colors.update(example.unknown_colors)
        self.images_with_color.update(example.unknown_colors.keys())
        self.translated |= example.translated
        if example.values is not None:
            self.values.add(*example.values, gaps=example.gaps)
        ids = {int(i): int(example.pixels[i]) for i in np.flatnonzero(example.pixels)}
        ids |= example.unknown
        if example.ignored:
            ids[IGNORE] = example.ignored
        self.ids.add(ids)

    def show(self, example: Example, shown: Counter) -> None:
        """Take an example for the contact sheet if it has a class that needs one."""
        present = np.flatnonzero(example.pixels).tolist()
        if example.image_size != example.mask_size or example.unknown_colors:
            return
        if any(shown[c] < _SHOWN for c in present) and not example.unknown:
            new = any(not shown[c] for c in present)
            (self.sample if new else self.spare).append(example.index)
            shown.update(present)

    @property
    def total(self) -> int:
        """All pixels that were counted."""
        unknown = self.unknown.total() + self.unknown_colors.total()
        return int(self.pixels.sum()) + self.ignored + unknown


def read_examples(
    source: Source, indices: np.ndarray, split: str, *, verbose: bool
) -> Iterator[Example]:
    """Read examples of a Source: first those that can be read, then the others.

    Args:
        source: What to read.
        indices: Which examples.
        split: What the progress bar calls them.
        verbose: Whether to show a progress bar.

    Yields:
        What was found in each.
    """
    windows = {int(index): windows_of(source, int(index)) for index in indices}
    at_once = np.array([index for index in indices if not windows[index]], np.int64)
    data = without_autotune(tf.data.Dataset.from_tensor_slices(at_once))
    data = data.map(unconverted(lambda index: _measure(source, index)), calls_at_once())
    data = data.ignore_errors().prefetch(READY)
    bar = progress(len(indices), "image", f"Reading {split}", verbose=verbose)
    readable = set()
    for measured in data.as_numpy_iterator():
        example = _example(source, measured)
        readable.add(example.index)
        bar.add(1)
        yield example
    for index in map(int, indices):
        if index not in readable:
            yield _read_alone(source, index, windows[index])
            bar.add(1)


def _read_alone(source: Source, index: int, windows: list[np.ndarray]) -> Example:
    """Read an example window by window; or say why it can't be read."""
    if windows:
        step, size = tf.constant(index, tf.int64), size_of(windows)
        data = without_autotune(tf.data.Dataset.from_tensor_slices(windows))
        data = data.map(
            unconverted(lambda window: _measure(source, step, window, size))
        )
        parts = [*data.ignore_errors().as_numpy_iterator()]
        if len(parts) == len(windows):
            return _example(source, merged(parts, windows, PER_IMAGE))
    name, file = str(source.names[index]), _image_file(source, index)
    return Example(index, name, file, error=_why(source, index, windows))


def _measure(
    source: Source,
    index: tf.Tensor,
    window: tf.Tensor | None = None,
    mask_size: np.ndarray | None = None,
) -> dict[str, tf.Tensor]:
    """Read one example, or a window of it; ids that are no class are no error here."""
    options = {} if window is None else {"window": window}
    of_image = dict(options)
    if window is not None and mask_size is not None and source._takes_mask_size:
        of_image["mask_size"] = mask_size
    image, gaps = source._pixels_and_gaps(index, **of_image)
    whole = window is None or not source._mask_takes_window
    mask = source._mask(source._reader_index(index), **({} if whole else options))
    mask = tf.cast(mask, tf.int32)
    if window is not None and whole:
        top, left, height, width = tf.unstack(window)
        mask = mask[top : top + height, left : left + width]
    if gaps is not None:
        # Of another size than the mask, they say nothing; the sizes are reported.
        fits = tf.reduce_all(tf.shape(gaps) == tf.shape(mask))
        mask = tf.cond(fits, lambda: tf.where(gaps, IGNORE, mask), lambda: mask)
    is_class = (mask >= 0) & (mask < source.num_classes)
    known = is_class | (mask == IGNORE)
    unknown, _, counts = tf.unique_with_counts(tf.boolean_mask(mask, ~known))
    most = tf.argsort(counts, direction="DESCENDING", stable=True)[:_UNKNOWN_PER_MASK]
    return {
        "index": index,
        "image_size": tf.shape(image)[:2],
        "mask_size": tf.shape(mask),
        # A last count of all that is unknown takes less memory than to leave it out.
        "pixels": tf.math.bincount(
            tf.where(known, mask, IGNORE + 1),
            minlength=IGNORE + 2,
            maxlength=IGNORE + 2,
        )[: IGNORE + 1],
        "unknown": tf.gather(unknown, most),
        "unknown_pixels": tf.gather(counts, most),
        "fingerprint": tf.strings.to_hash_bucket_strong(
            tf.io.serialize_tensor(image), 2**62, [1, 2]
        ),
        "least": tf.reduce_min(image),
        "most": tf.reduce_max(image),
        "channels": tf.shape(image)[2],
        "opaque": tf.reduce_all(
            image[..., -1] == tf.cast(image.dtype.max, image.dtype)
        ),
        **measured_values(image, gaps),
    }


def _example(source: Source, measured: dict[str, np.ndarray]) -> Example:
    index = int(measured["index"])
    unknown: dict[int, int] = {}
    unknown_colors: dict[int, int] = {}
    # Tiles of one colour are alike, and nothing is wrong with that.
    is_blank = measured["least"] == measured["most"]
    labels = measured["unknown"].tolist()
    for label, count in zip(labels, measured["unknown_pixels"].tolist(), strict=True):
        number = unknown_id(label)
        if is_translated(label) and number >= UNKNOWN_COLOR:
            unknown_colors[number - UNKNOWN_COLOR] = count
        else:
            unknown[number] = count
    return Example(
        index,
        str(source.names[index]),
        _image_file(source, index),
        image_size=tuple(measured["image_size"].tolist()),
        mask_size=tuple(measured["mask_size"].tolist()),
        pixels=measured["pixels"][: source.num_classes].astype(np.int64),
        ignored=int(measured["pixels"][IGNORE]),
        unknown=unknown,
        unknown_colors=unknown_colors,
        translated=any(map(is_translated, labels)),
        fingerprint=None if is_blank else measured["fingerprint"].tobytes(),
        channels=int(measured["channels"]),
        opaque=bool(measured["opaque"]),
        values=(measured["low"], measured["high"], measured["sample"]),
        gaps=int(measured["gaps"]),
    )


def _image_file(source: Source, index: int) -> ImageFile:
    path = source.image_file(index)
    # What TensorFlow could read is fine, even where Pillow fails, in whatever way.
    with contextlib.suppress(Exception):
        if path is None:
            return ImageFile()
        opened = tf.io.gfile.GFile(path, "rb") if "://" in path else open(path, "rb")
        with opened as file, Image.open(file) as image:
            orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
            # Mirrored or upside down it has the same size, and so has a square.
            keeps_size = orientation in (2, 3, 4) or image.width == image.height
            return ImageFile(image.mode, orientation, keeps_size)
    return ImageFile()


def _why(source: Source, index: int, windows: list[np.ndarray]) -> str:
    """Why an example can't be read: the errors of image and mask."""
    step = tf.constant(index, tf.int64)
    reasons = []
    parts: Sequence[Any] = windows if windows else (None,)
    size = size_of(windows) if windows else None
    for read in (
        lambda part: source._pixels(step, part, size),
        lambda part: source._ids(step, part),
    ):
        try:
            for part in parts:
                read(part)
        except Exception as error:  # whatever it is, the others are looked at too
            reasons.append(reason(error))
    return " ".join(dict.fromkeys(reasons)) or (
        "Reading failed once and then succeeded: the file may be changing, or the "
        "storage is unreliable."
    )
