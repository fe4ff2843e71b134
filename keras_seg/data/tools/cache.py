"""Any Source -> the same examples in memory, decoded."""

import numpy as np
import psutil
import tensorflow as tf

from keras_seg.data.decode.numpy_op import numpy_op
from keras_seg.data.source import Source
from keras_seg.terminal import progress

# Examples that are read to estimate the memory of all.
_SAMPLE = 32
# Share of the free memory that examples may take; training needs the rest.
_SHARE = 0.7


def cached(source: Source, *, verbose: bool = True) -> Source:
    """Read all examples into memory, so that no epoch decodes them again.

    Where `prepare` saves the drawing of masks, this saves all reading, for data sets
    that fit into memory. Augmentation is drawn anew in each epoch, as without it.

    Args:
        source: What to read.
        verbose: Whether to show a progress bar.

    Returns:
        A Source of the same examples, names, classes and palette.

    Raises:
        MemoryError: before reading, if the examples need more than 70 % of the memory
            that is free, as far as 32 of them tell.
        ValueError: for an example that can't be read, naming its file.

    Example:
        >>> from keras_seg.data import shapes
        >>> source = cached(shapes(3), verbose=False)
        >>> len(source), source.num_classes
        (3, 6)
    """
    needed, free = memory_needed(source), psutil.virtual_memory().available
    if needed > _SHARE * free:
        raise MemoryError(
            f"Expected examples that fit into memory. Received: {len(source):,} "
            f"examples, which need {_gigabytes(needed)} of the {_gigabytes(free)} that "
            "are free. `prepare` makes reading faster without memory."
        )
    images, masks = [], []
    bar = progress(len(source), "image", "Decoding", verbose=verbose)
    for image, mask in source.dataset().as_numpy_iterator():
        images.append(image)
        masks.append(mask.astype(np.uint8))  # as in every pipeline: ids and 255
        bar.add(1)
    channels = images[0].shape[-1] if images else None
    dtype = tf.as_dtype(images[0].dtype) if images else tf.uint8
    return Source(
        len(images),
        lambda i: numpy_op(images.__getitem__, i, dtype, (None, None, channels)),
        lambda i: numpy_op(masks.__getitem__, i, tf.uint8, (None, None)),
        class_names=source.class_names,
        names=source.names,
        palette=source.palette,
        size=lambda index: masks[index].shape,
        value_range=source.value_range,
        outside="keep",  # they were checked
        origin=f"cached {source._origin or 'examples'}",
    )


def memory_needed(source: Source) -> int:
    """Estimate the bytes of all examples from a few that are spread over the set."""
    count = min(_SAMPLE, len(source))
    read = [source[int(k)] for k in np.linspace(0, len(source) - 1, count)]
    size = sum(image.nbytes + mask.size for image, mask in read)
    return round(size / max(1, count) * len(source))


def _gigabytes(size: float) -> str:
    return f"{size / 2**30:,.2g} GiB"
