"""Predictions for many image files: in batches, while others are read and written."""

import os
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_seg.arguments import check_integer
from keras_seg.data.decode.image import count_channels, read_image
from keras_seg.inference.one_device import predict_on_batch

# Most pixels of a batch, and of the images that wait for others of their size.
_BATCH, _WAITING = 2**22, 2**25

Path = str | os.PathLike


def predict_files(
    model: keras.Model,
    paths: Iterable[Path],
    use: Callable[[Any, np.ndarray, np.ndarray], Any],
    *,
    batch_size: int = 8,
) -> Iterator[tuple[Any, Exception | None]]:
    """Predict masks of image files.

    Images of the same size are predicted together. Files are read, and masks used, in
    threads meanwhile. A file that can't be read, or isn't what the model takes, doesn't
    stop the others.

    Args:
        model: A model from images of any size to logits or probabilities.
        paths: JPEG or PNG files. A model of one channel gets colours as grey, one of
            three gets grey as RGB; a fourth channel is left out.
        use: Called in a thread with each path, its image `[height, width, channels]`
            and its mask `[height, width]`, both uint8. What it raises, ends all.
        batch_size: Images that are predicted together, at most.

    Yields:
        (path, error) of each file once it is done, in no particular order. The error is
        None, or why there is no mask.

    Raises:
        ValueError: for a model of one class, or of more than 255.

    Example:
        def write(path, image, mask):
            keras_seg.visualize.save_mask(path.with_suffix(".mask.png"), mask, palette)

        for path, error in predict_files(model, Path("photos").glob("*.jpg"), write):
            print(path, error or "done")
    """
    classes = model.output_shape[-1]
    if not 2 <= classes <= 255:
        raise ValueError(
            f"Expected a model of 2 to 255 classes. Received: {classes} output channels"
        )
    batch_size = check_integer("batch_size", batch_size, 1)
    masks_of = _mask_model(model)
    workers = os.cpu_count() or 1
    groups: dict[tuple, list] = defaultdict(list)
    using: deque[tuple[Any, Future]] = deque()

    def predict(size: tuple) -> Iterator[tuple[Any, Exception | None]]:
        group = groups.pop(size)
        batch = np.stack([image for _, image in group])
        try:
            masks, finite = predict_on_batch(masks_of, batch)
        except (ValueError, tf.errors.OpError) as error:
            yield from ((path, error) for path, _ in group)
            return
        for (path, image), mask, fine in zip(group, masks, finite, strict=True):
            if fine:
                using.append((path, pool.submit(use, path, image, mask)))
            else:
                message = "Expected numbers from the model. Received: NaN or infinity."
                yield path, ValueError(message)
        while len(using) > 4 * batch_size:
            yield _used(*using.popleft())

    with ThreadPoolExecutor(2 * workers) as pool:
        read = _read_as(tuple(model.input_shape[1:]))
        for path, future in _ahead(pool, read, paths, 2 * workers + batch_size):
            try:
                image = future.result()
            except (ValueError, OSError, tf.errors.OpError) as error:
                yield path, error
                continue
            size = image.shape
            groups[size].append((path, image))
            area = size[0] * size[1]
            if len(groups[size]) >= min(batch_size, max(1, _BATCH // area)):
                yield from predict(size)
            while sum(h * w * len(g) for (h, w, _), g in groups.items()) > _WAITING:
                yield from predict(max(groups, key=lambda size: len(groups[size])))
        for size in list(groups):
            yield from predict(size)
        while using:
            yield _used(*using.popleft())


def _used(path: Any, future: Future) -> tuple[Any, None]:
    future.result()  # or what `use` raised
    return path, None


def _ahead(
    pool: ThreadPoolExecutor, function: Callable, items: Iterable, count: int
) -> Iterator[tuple[Any, Future]]:
    """(item, future) of each item; the pool works on so many items ahead."""
    waiting: deque[tuple[Any, Future]] = deque()
    for item in items:
        waiting.append((item, pool.submit(function, item)))
        if len(waiting) > count:
            yield waiting.popleft()
    yield from waiting


def _mask_model(model: keras.Model) -> keras.Model:
    """From images to ids, and to whether all scores of an image are numbers.

    Finding the largest score in the graph saves handing all of them to Python.
    """
    scores = model.outputs[0]
    outputs = [
        ops.cast(ops.argmax(scores, axis=-1), "uint8"),
        ops.all(ops.isfinite(scores), axis=(1, 2, 3)),
    ]
    masks_of = keras.Model(model.inputs, outputs)
    # Files come in many sizes, and XLA would compile anew for each.
    masks_of.compile(jit_compile=False)
    return masks_of


def _read_as(shape: tuple) -> Callable[[Path], np.ndarray]:
    """Make a function that reads image files as a model of this input shape wants."""
    *sides, channels = shape

    def read(path: Path) -> np.ndarray:
        name: Any = os.fsencode(path)
        found = count_channels(name)
        if channels == 1 and found in (3, 4):
            image = tf.image.rgb_to_grayscale(read_image(name, channels=3))
        elif channels == 1 and found == 2:
            image = read_image(name, channels=2)[..., :1]
        elif channels in (3, found):
            image = read_image(name, channels=channels)
        else:
            raise ValueError(
                f"{os.fspath(path)}: Expected an image of {channels} channels, as the "
                f"model was trained on. Received: {found}"
            )
        for side, length in zip(sides, image.shape, strict=False):
            if side not in (None, length):
                raise ValueError(
                    f"{os.fspath(path)}: Expected an image of {sides[0]} x {sides[1]}, "
                    f"the only size that the model takes. Received: {image.shape[0]} x "
                    f"{image.shape[1]}"
                )
        return image.numpy()

    return read
