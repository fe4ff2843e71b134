"""Source: images and masks by index. What every reader of data makes.

It is longer than other files because half of it is what `help(Source)` shows.
"""

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_seg.arguments import check_seed, is_number
from keras_seg.data import batches as _batches
from keras_seg.data import whole as _whole
from keras_seg.data.arguments import (
    Numbered,
    as_indices,
    as_position,
    check_class_names,
    check_length,
    check_palette,
    table_of_ids,
)
from keras_seg.data.checks import (
    check_ids,
    check_mask,
)
from keras_seg.data.errors import explanation
from keras_seg.data.folds import Groups, fold_indices
from keras_seg.data.joined import joined
from keras_seg.data.reading import Reading
from keras_seg.data.suggestions import Hint
from keras_seg.data.values import check_nodata
from keras_seg.labels import (
    IGNORE,
    Image,
    Index,
    Mask,
    ValueRange,
    Window,
    check_num_classes,
)


class Source(Reading):
    """Images and masks that can be read by index, and what their ids mean.

    Readers such as `voc` return one. To make your own, pass two functions, written in
    TensorFlow ops (or through `tf.numpy_function`), which run inside tf.data. The index
    is a scalar int64 tensor.

    Args:
        length: Number of examples.
        image: Function (index) -> `[height, width, channels]`, uint8, uint16 or floats;
            other integers, with a `value_range`, become float32. If decoding a part of
            a file is quicker, make it (index, window=None): with window = (top, left,
            height, width) it returns these pixels only. If it also takes
            `mask_size=None`, it gets the mask's (height, width) with a window, and
            should raise if the whole image has another size.
        mask: Function (index) -> integers `[height, width]`, class ids or 255. It may
            take a window too.
        class_names: A name per class id, the background among them; or {id: name}.
        names: What errors call the examples; the stems of their files, say.
        palette: (red, green, blue) per class, in 0..255; None for VOC's colours.
        image_path: Function (index) -> scalar string tensor, where each image is a
            whole file: `prepare` copies it, `inspect` looks into it, and errors about
            the image name it.
        mask_path: Function (index) -> scalar string tensor, where each mask is a whole
            file.
        size: Function (index: int) -> (height, width), where sizes are known without
            reading.
        origin: Where the examples are from, for `repr`: "voc('VOC2012', 'train')".
        value_range: (low, high) of the images, black and white: two numbers, or two
            lists of one number per channel. None means (0, 255) for 8 bits and
            floats, and (0, 65535) for 16 bits. Models get it as their `value_range`.
        outside: What values outside of the range are: "error", or "keep", for a range
            that was measured as percentiles, say.
        nodata: The value of pixels without data; they become ignored, and black in the
            image. A pixel has no data if all its channels have this value, or one of
            them where it isn't in the range. NaN stands for NaN and infinity; without,
            these are an error.
        problem: Why a model can't learn from these masks, and the arguments that would
            mend it; None if the reader knows of nothing. `inspect` reports it, and
            `batches`, `evaluate` and `prepare` refuse the examples.

    Attributes:
        class_names: Tuple of the names.
        num_classes: Number of the names.
        names: Sequence of what errors call the examples.
        palette: uint8 `[num_classes, 3]`.
        problem: Why a model can't learn from these masks, or None.
        value_range: The range of images, as numbers or tuples of one per channel.
        dtype: Type of the images in `batches`: "uint8", "uint16" or "float32".

    Raises:
        ValueError: for fewer than two classes or more than 255, names that repeat or
            aren't strings, a palette or names of another length, functions that can't
            be called with an index, or a range that isn't one.

    Example:
        >>> import numpy as np
        >>> import tensorflow as tf
        >>> source = Source(
        ...     3,
        ...     image=lambda index: tf.zeros((4, 6, 3), tf.uint8),
        ...     mask=lambda index: tf.fill((4, 6), index % 2),
        ...     class_names=["background", "cat"],
        ... )
        >>> source
        Source(3 examples, 2 classes (background, cat))
        >>> image, mask = source[1]
        >>> image.shape, mask.dtype, mask.max()
        ((4, 6, 3), dtype('int32'), np.int32(1))
        >>> source.batches(2).element_spec[0].shape
        TensorShape([None, 32, 32, 3])
    """

    # To tf.data; see the functions.
    batches = _batches.batches
    whole_images = _whole.whole_images
    dataset = _whole.pairs
    masks = _whole.masks

    def __init__(
        self,
        length: int,
        image: Callable[..., Image],
        mask: Callable[[Index], Mask],
        *,
        class_names: Sequence[str] | Mapping[int, str],
        names: Sequence[str] | None = None,
        palette: Any = None,
        image_path: Callable[[Index], Any] | None = None,
        mask_path: Callable[[Index], Any] | None = None,
        size: Callable[[int], tuple[int, int] | None] | None = None,
        origin: str | None = None,
        value_range: ValueRange | None = None,
        outside: str = "error",
        nodata: float | None = None,
        problem: Hint | None = None,
    ):
        self._length = check_length(length)
        self.class_names = check_class_names(class_names)
        self.num_classes = check_num_classes(len(self.class_names), ignore=IGNORE)
        self.palette = check_palette(palette, self.num_classes)
        if names is not None and (isinstance(names, str) or len(names) != length):
            raise ValueError(
                "Expected `names` to be a list, one per example. Received: "
                f"{len(names)} names for {length} examples."
            )
        self.names = names if names is not None else Numbered(self._length)
        self._size = size
        self._origin = origin
        self._set_functions(image, mask, image_path, mask_path)
        self._set_range(value_range, outside)
        self._nodata = check_nodata(nodata)
        self.problem = problem

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        names = list(self.class_names)
        if len(names) > 6:
            names[4:-1] = ["..."]
        origin = f", {self._origin}" if self._origin else ""
        return (
            f"Source({self._length:,} examples, {self.num_classes} classes "
            f"({', '.join(names)}){origin})"
        )

    def __getitem__(self, index: Any) -> Any:
        """Read one example as NumPy arrays, or take several as a Source.

        Args:
            index: An integer, for one example. A slice, a list or an array of integers,
                or an array of bools, one per example, for several.

        Returns:
            An image `[height, width, channels]` and its mask, int32 `[height, width]`;
            or a Source.

        Raises:
            IndexError: past the end.
            TypeError: for what is no index.
            ValueError: naming the file, if the example can't be read.
        """
        if isinstance(index, slice):
            return self._take(np.arange(self._length)[index])
        if isinstance(index, list | range) or (hasattr(index, "ndim") and index.ndim):
            return self._take(as_indices(index, self._length))
        position = as_position(index, self._length)
        try:
            image, mask = self._read(tf.constant(position, tf.int64))
        except (ValueError, tf.errors.OpError):
            name = self.names.__getitem__
            raise ValueError(explanation(self._read, position, name)) from None
        return image.numpy(), mask.numpy().astype(np.int32)

    def __add__(self, other: "Source") -> "Source":
        """Examples of this Source, followed by those of another one.

        Raises:
            ValueError: for other class names, or images of another number of channels,
            dtype or range.
        """
        if not isinstance(other, Source):
            return NotImplemented
        if self.class_names != other.class_names:
            raise ValueError(
                "Expected sources of the same classes. Received: "
                f"{', '.join(self.class_names)}; and {', '.join(other.class_names)}. "
                "`map_ids` changes classes."
            )
        if not len(self) or not len(other):
            return self if len(self) else other
        for what in ("channels", "dtype", "value_range"):
            ours, theirs = (getattr(source, what) for source in (self, other))
            if ours != theirs:
                raise ValueError(
                    f"Expected images of the same {what.replace('_', ' ')}. Received: "
                    f"{ours} and {theirs}"
                )
        return Source(**joined(self, other))

    def map_ids(
        self,
        ids: Mapping[Any, int] | Sequence[Any],
        class_names: Sequence[str] | Mapping[int, str],
        *,
        palette: Any = None,
    ) -> "Source":
        """Give the classes other ids: leave some out, or make one of several.

        Args:
            ids: New id of each id, {id: new}, where a tuple or range stands for several
                ids, and a name for its id; or a list with the id or ids of each new
                class. New id 255 makes pixels ignored; ignored ones stay so.
            class_names: A name per new id.
            palette: Colours of the new classes; None for VOC's.

        Returns:
            A Source of the same examples.

        Raises:
            ValueError: unless each id has one new id.

        Example:
            >>> from keras_seg.data import shapes
            >>> figures = shapes(5).map_ids([0, range(1, 6)], ["background", "figure"])
            >>> figures.num_classes, set(figures[0][1].flat) <= {0, 1, 255}
            (2, True)
        """
        class_names = check_class_names(class_names)
        table = tf.constant(table_of_ids(ids, self.class_names, class_names))
        mapped = copy.copy(self)

        def mask(index: Index, window: Window = None) -> tf.Tensor:
            options = {} if window is None else {"window": window}
            ids = tf.convert_to_tensor(self._mask(index, **options))
            check_mask(ids)
            check_ids(ids, self.num_classes)
            return tf.gather(table, tf.cast(ids, tf.int32))

        mapped._mask = mask
        mapped.class_names = class_names
        mapped.num_classes = check_num_classes(len(class_names), ignore=IGNORE)
        mapped.palette = check_palette(palette, mapped.num_classes)
        return mapped

    def split(self, fraction: float, *, seed: int = 0) -> tuple["Source", "Source"]:
        """Split at random into two Sources that share no example.

        Args:
            fraction: Share of the first one, in 0..1.
            seed: The same seed gives the same split.

        Returns:
            The two, each in the order of this one.

        Raises:
            ValueError: if one of them would be empty.
        """
        seed = check_seed(seed)
        share = fraction if is_number(fraction, 0, 1) else 0
        first = round(self._length * share)
        if not 0 < first < self._length:
            raise ValueError(
                "Expected `fraction` to leave examples on both sides. Received: "
                f"{fraction!r} of {self._length} examples"
            )
        order = np.random.default_rng(seed).permutation(self._length)
        return self._take(np.sort(order[:first])), self._take(np.sort(order[first:]))

    def folds(
        self, count: int, *, seed: int = 0, groups: Groups | None = None
    ) -> list[tuple["Source", "Source"]]:
        """Split at random for a cross-validation: each example is scored once.

        Args:
            count: Number of folds: of models to train.
            seed: The same seed gives the same folds.
            groups: What must not be on both sides, as images of one patient or scene: a
                label per example, or a function from the name of an example to its
                label. None for any example on either side. Where a list names examples
                twice, `lambda name: name` keeps these together.

        Returns:
            Pairs (train, val) of Sources, each in the order of this one. The parts to
            validate on have no example in common, hold all of them, and have as many as
            each other, as far as groups allow.

        Raises:
            ValueError: for more folds than examples or groups, or examples without a
                group.

        Example:
            >>> from keras_seg.data import shapes
            >>> pairs = shapes(10).folds(5)
            >>> [(len(train), len(val)) for train, val in pairs]
            [(8, 2), (8, 2), (8, 2), (8, 2), (8, 2)]
        """
        folds = fold_indices(self.names, count, seed=seed, groups=groups)
        return [(self._take(train), self._take(val)) for train, val in folds]

    def size(self, index: int) -> tuple[int, int] | None:
        """Return (height, width) of an example, or None if it has to be read."""
        if self._size is None:
            return None
        return self._size(index if self._indices is None else int(self._indices[index]))

    def image_file(self, index: int) -> str | None:
        """Path of the file of an image; None where images aren't files."""
        return self._file("image", index)

    def mask_file(self, index: int) -> str | None:
        """Path of the file of a mask; None where masks aren't files."""
        return self._file("mask", index)

    def _file(self, kind: str, index: int) -> str | None:
        path = self._path(kind)
        return None if path is None else os.fsdecode(path(tf.constant(index)).numpy())

    def with_value_range(
        self, value_range: ValueRange, *, outside: str = "error"
    ) -> "Source":
        """The same examples, whose images have this range.

        Pixels stay what they are: the range says what is black and what is white, to
        augmentations and to models.

        Args:
            value_range: (low, high), numbers or one for each channel.
            outside: What values outside of it are: "error" or "keep".

        Example:
            >>> from keras_seg.data import shapes
            >>> shapes(5).with_value_range((0, 200), outside="keep").value_range
            (0, 200)
        """
        source = copy.copy(self)
        source._set_range(value_range, outside)
        return source

    def _take(self, indices: np.ndarray) -> "Source":
        """The examples at these places, as a Source."""
        part = copy.copy(self)
        part._length = len(indices)
        part._indices = indices if self._indices is None else self._indices[indices]
        part.names = [self.names[index] for index in indices]
        if part._origin and not part._origin.startswith("part of "):
            part._origin = f"part of {part._origin}"
        return part
