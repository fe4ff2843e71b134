"""Predictions for many image files: in batches, while others are read and written."""

import contextlib
import os
import warnings
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import ExifTags, Image

from keras_seg.arguments import check_integer
from keras_seg.data.decode.array_file import Page, array_head, is_array_file
from keras_seg.data.decode.bands import check_bands_for, pick_bands, require_bands
from keras_seg.data.decode.image import pixels_of, read_image
from keras_seg.data.values import Values, check_nodata, missing
from keras_seg.inference.blocks import batch_that_fits, blocks, check_tile, masks
from keras_seg.inference.nets import Net
from keras_seg.inference.opened import Model, as_net
from keras_seg.inference.passes import Passes, check_passes
from keras_seg.inference.ranges import check_range
from keras_seg.labels import IGNORE

# Most pixels of a batch, and of the images that wait for others of their size.
_BATCH, _WAITING = 2**22, 2**25

# What is said of the first file that isn't taken as it looks, by its channels.
_TO_RGB = {
    1: "is grey: the model, which takes RGB, gets its one channel three times.",
    2: "is grey: the model, which takes RGB, gets its first channel three times.",
    4: "has a fourth channel, which is left out: the model takes RGB.",
}
_TO_GREY = "has colours: the model, which takes one channel, gets their luminance."
_TURNED = (
    "is shown rotated, by its EXIF orientation. Its mask isn't rotated: it lies on the "
    "pixels as they are stored, which are what the model sees."
)

Path = str | os.PathLike


def predict_files(
    model: Model,
    paths: Iterable[Path],
    use: Callable[..., Any],
    *,
    batch_size: int = 8,
    tile: int | tuple[int, int] | None = None,
    overlap: float = 0.25,
    flips: bool = False,
    scales: Sequence[float] = (1.0,),
    probabilities: bool = False,
    bands: Sequence[int] | None = None,
    page: Page = 0,
    nodata: float | None = None,
) -> Iterator[tuple[Any, Exception | None]]:
    """Predict masks of image files.

    Images of the same size are predicted together. Files are read, and masks used, in
    threads meanwhile. A file that can't be read, or isn't what the model takes, doesn't
    stop the others.

    Args:
        model: A model from images of any size to logits or probabilities. Or the path
            of what `export` wrote: a SavedModel, an ONNX or a LiteRT file.
        paths: JPEG, PNG, TIFF and other files that `data.folder` reads. A model of one
            channel gets colours as grey, one of three gets grey as RGB; a fourth
            channel is left out. A warning names the first file of each of these, and
            the first JPEG that EXIF marks as rotated: masks have the stored pixels.
        use: Called in a thread with each path, its image `[height, width, channels]`
            and its mask, uint8 `[height, width]`. An exception ends the call.
        batch_size: Images that are predicted together, at most.
        tile: Height and width of the tiles in which images are predicted: one number
            for both, or two. None takes whole images where they fit into memory, else
            tiles that fit.
        overlap: Fraction by which neighbouring tiles overlap.
        flips: Whether to average with the predictions for mirror images.
        scales: Factors that images are resized by; predictions are averaged.
        probabilities: Whether `use` is also given the probabilities of the classes,
            float16 `[height, width, num_classes]`.
        bands: Bands (channels of a file) that the model takes, numbered from 0, as
            `data.folder` had them. None for those that an export names, else for all.
        page: Number of the page to take of TIFFs, from 0, or "all" for the channels of
            all pages.
        nodata: The value of pixels without data, NaN for NaN and infinity. Their mask
            is 255. None takes that of a TIFF's tag GDAL_NODATA, if any.

    Yields:
        (path, error) of each file once it is done, in no particular order. The error is
        None, or why there is no mask.

    Raises:
        ValueError: for a model of one class, or of more than 255, a tile that is too
            small for it, or another option out of range.
        MemoryError: if a tile doesn't fit into memory.

    Example:
        def write(path, image, mask):
            keras_seg.visualize.save_mask(path.with_suffix(".mask.png"), mask, palette)

        for path, error in predict_files(model, Path("photos").glob("*.jpg"), write):
            print(path, error or "done")
    """
    passes = check_passes(tile, overlap, flips, scales)
    net = as_net(model)
    if not 2 <= net.num_classes <= 255:
        raise ValueError(
            "Expected a model of 2 to 255 classes. Received: "
            f"{net.num_classes} output channels"
        )
    batch_size = check_integer("batch_size", batch_size, 1)
    picked = net.bands
    if bands is not None:
        picked = check_bands_for(bands, net.input_shape[-1])
    check_tile(net, passes)
    workers = os.cpu_count() or 1
    groups: dict[tuple, list] = defaultdict(list)
    using: deque[tuple[Any, Future]] = deque()

    def predict(size: tuple) -> Iterator[tuple[Any, Exception | None]]:
        group = groups.pop(size)
        while group:
            at_most = batch_that_fits(net, len(group), size[:2], passes)
            part, group = group[:at_most], group[at_most:]
            batch = np.stack([image for _, image, _ in part])
            try:
                *found, finite = _predicted(net, batch, passes, probabilities)
            except (ValueError, tf.errors.OpError) as error:
                yield from ((path, error) for path, _, _ in part)
                continue
            for k, (path, image, gaps) in enumerate(part):
                if finite[k]:
                    mask, *more = (maps[k] for maps in found)
                    if gaps is not None:
                        mask = np.where(gaps, np.uint8(IGNORE), mask)
                    given = (path, image, mask, *more)
                    using.append((path, pool.submit(use, *given)))
                else:
                    message = (
                        "Expected numbers from the model. Received: NaN or infinity."
                    )
                    yield path, ValueError(message)
        while len(using) > 4 * batch_size:
            yield _used(*using.popleft())

    with ThreadPoolExecutor(2 * workers) as pool:
        gaps_of = _gaps_of(net, check_nodata(nodata), page)
        read = _read_as(net, picked, page, gaps_of, any_size=tile is not None)
        for path, future in _ahead(pool, read, paths, 2 * workers + batch_size):
            try:
                image, gaps = future.result()
            except (ValueError, OSError, tf.errors.OpError) as error:
                yield path, error
                continue
            size = image.shape
            groups[size].append((path, image, gaps))
            area = size[0] * size[1]
            if len(groups[size]) >= min(batch_size, max(1, _BATCH // area)):
                yield from predict(size)
            while sum(h * w * len(g) for (h, w, _), g in groups.items()) > _WAITING:
                yield from predict(max(groups, key=lambda size: len(groups[size])))
        for size in list(groups):
            yield from predict(size)
        while using:
            yield _used(*using.popleft())


def _predicted(
    net: Net, images: np.ndarray, passes: Passes, probabilities: bool
) -> list[np.ndarray]:
    """Masks, perhaps probabilities, and which images have numbers as scores."""
    if not probabilities:
        return [*masks(net, images, passes)]
    mask = np.empty(images.shape[:3], np.uint8)
    likely = np.empty((*images.shape[:3], net.num_classes), np.float16)
    for block in blocks(net, images, passes):
        block.of(mask)[...] = block.scores.argmax(-1)
        block.of(likely)[...] = block.probabilities(net)
    return [mask, likely, np.ones(len(images), bool)]


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


def _read_as(
    net: Net,
    bands: tuple[int, ...] | None,
    page: Page,
    gaps_of: Callable[[Path, tf.Tensor], np.ndarray | None],
    *,
    any_size: bool,
) -> Callable[[Path], tuple[np.ndarray, np.ndarray | None]]:
    """Make a function that reads image files as a model wants them."""
    *sides, channels = net.input_shape
    if any_size:
        sides = [None, None]
    said: set[str] = set()

    def say_once(path: Path, what: str | None) -> None:
        if what and what not in said:
            said.add(what)
            warnings.warn(f"{os.fspath(path)} {what}", stacklevel=2)

    def read(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
        name = tf.constant(os.fsencode(path))
        found, dtype = pixels_of(name, page=page)
        asked: dict[str, Any] = {"dtype": dtype, "page": page}
        if bands is not None:
            require_bands(bands, found, os.fspath(path))
            image = pick_bands(read_image(name, channels=found, **asked), bands)
        elif channels == 1 and found in (3, 4):
            image = grey(read_image(name, channels=3, **asked))
            say_once(path, _TO_GREY)
        elif channels == 1 and found == 2:
            image = read_image(name, channels=2, **asked)[..., :1]
        elif channels in (3, found):
            image = read_image(name, channels=channels, **asked)
            if found != channels:
                say_once(path, _TO_RGB.get(found))
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
        if _TURNED not in said and is_turned(path):
            say_once(path, _TURNED)
        gaps, pixels = gaps_of(path, image), image.numpy()
        known = pixels if gaps is None else pixels[~gaps]
        try:
            if known.size:
                check_range(known, net.value_range)
        except ValueError as error:
            raise ValueError(f"{os.fspath(path)}: {error}") from None
        if gaps is not None:
            black = np.asarray(net.value_range[0], pixels.dtype)
            pixels = np.where(gaps[..., None], black, pixels)
        return pixels, gaps

    return read


def _gaps_of(
    net: Net, nodata: float | None, page: Page
) -> Callable[[Path, tf.Tensor], np.ndarray | None]:
    """Make a function that says which pixels have no data; None for none of them."""

    def gaps(path: Path, image: tf.Tensor) -> np.ndarray | None:
        value = nodata
        if value is None and is_array_file(path):
            value = array_head(path, page=page).nodata
        if value is None:
            return None
        found = missing(image, value, Values(image.dtype, *net.value_range)).numpy()
        return found if found.any() else None

    return gaps


def is_turned(path: Path) -> bool:
    """Whether EXIF data of a JPEG say that viewers turn or mirror it."""
    if not os.fspath(path).lower().endswith((".jpg", ".jpeg")):
        return False
    # What has pixels is fine, even where Pillow fails at its tags, in whatever way.
    with contextlib.suppress(Exception), Image.open(path) as image:  # its head alone
        return image.getexif().get(ExifTags.Base.Orientation, 1) not in (0, 1)
    return False


def grey(image: tf.Tensor) -> tf.Tensor:
    """The luminance of an RGB image, in its dtype."""
    if image.dtype == tf.uint8:
        return tf.image.rgb_to_grayscale(image)
    grey = tf.image.rgb_to_grayscale(tf.cast(image, tf.float32))
    return tf.cast(grey if image.dtype.is_floating else tf.round(grey), image.dtype)
