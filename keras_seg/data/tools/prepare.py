"""Any Source -> a folder of images and label PNGs, once; `folder` reads it back.

Images are the source's own JPEGs and PNGs where it has some, else PNGs, or TIFFs if
these can't hold them; masks are palette PNGs of class ids, with 255 for ignored
pixels. Files are written aside and renamed, so one that has its name is whole. Started
again, the work goes on where it was stopped.
`readers/prepared.py` has the folder's layout.
"""

import errno
import itertools
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from keras_seg.data.readers.prepared import (
    DATASET,
    UNFINISHED,
    write_finished,
    write_unfinished,
)
from keras_seg.data.source import Source
from keras_seg.data.suggestions import refuse
from keras_seg.files import check_folder_path, written_aside
from keras_seg.packages import package
from keras_seg.palette import save_mask
from keras_seg.terminal import progress


def prepare(source: Source, path: str | os.PathLike, *, verbose: bool = True) -> None:
    """Write a Source as a folder of images and label PNGs.

    It saves what costs time in every epoch, such as drawing COCO's polygons. Read it
    with `data.folder(f"{path}/images", f"{path}/masks")`: examples, their order, class
    names and palette are those of `source`.

    It can be stopped at any moment; the same call goes on.

    Args:
        source: What to write.
        path: Folder to write to, made if it isn't there.
        verbose: Whether to show a progress bar.

    Raises:
        FileExistsError: if the folder holds another set, or other files.
        NotADirectoryError: if there is a file in the place of a folder.
        OSError: if the disk is full, saying how far it came.
        ImportError: if TIFFs have to be written, and tifffile isn't installed.
        ValueError: for an example that can't be read, naming its file, or a path that
            isn't one of this machine.

    Example:
        source = keras_seg.data.coco("coco/train2017", "coco/instances_train2017.json")
        keras_seg.data.prepare(source, "coco_voc/train")
        train = keras_seg.data.folder("coco_voc/train/images", "coco_voc/train/masks")
    """
    if "://" in os.fspath(path):
        raise ValueError(
            f"Expected a folder on a disk. Received: {path}. Write to a disk, then "
            "copy the folder."
        )
    refuse(source.problem)
    path = Path(path)
    check_folder_path(path)
    stems = _stems(source)
    description = _claim(source, path, stems)
    images, masks = path / "images", path / "masks"
    for folder in (images, masks):
        folder.mkdir(exist_ok=True)
        for remnant in folder.glob(".*.writing*"):  # of a run that was killed
            remnant.unlink()

    # After a power failure a file may have its name and no bytes.
    whole = [
        {file.stem for file in folder.iterdir() if file.stat().st_size}
        for folder in (images, masks)
    ]
    finished = whole[0] & whole[1]
    todo = [index for index, stem in enumerate(stems) if stem not in finished]
    done = [index for index, stem in enumerate(stems) if stem in finished]
    _check_written(source, done, masks, stems)

    def write(index: int, image: np.ndarray, mask: np.ndarray) -> None:
        stem = stems[index]
        with written_aside(masks / f"{stem}.png") as aside:
            save_mask(aside, mask, source.palette)
        file = source.image_file(index)
        suffix = "" if file is None else os.path.splitext(file)[1].lower()
        if file is not None and suffix in (".jpg", ".jpeg", ".png"):
            with written_aside(images / (stem + suffix)) as aside:
                tf.io.gfile.copy(os.fsencode(file), str(aside), overwrite=True)
            return
        suffix = ".png" if _fits_png(image) else ".tif"
        with written_aside(images / (stem + suffix)) as aside:
            _write_image(aside, image)

    bar = progress(len(stems), "image", "Writing", verbose=verbose)
    count = len(done)
    bar.update(count)
    try:
        for _ in _in_threads(write, _examples(source, todo)):
            count += 1
            bar.update(count)
    except (OSError, tf.errors.ResourceExhaustedError) as error:
        number = error.errno if isinstance(error, OSError) else errno.ENOSPC
        if number not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise OSError(
            number,
            f"The disk is full: {count} of {len(stems)} examples are in {path}, all of "
            "them whole. Make room and start again; it goes on from there.",
        ) from None
    write_finished(path, description)


def _stems(source: Source) -> list[str]:
    """Names of files, in whose order the examples are."""
    names = [str(name) for name in source.names]
    plain = all(name and not name.startswith(".") and "/" not in name for name in names)
    if plain and all(a < b for a, b in itertools.pairwise(names)):
        return names
    digits = len(str(len(names) - 1))
    last = [name.rsplit("/", 1)[-1] for name in names]
    return [f"{index:0{digits}}_{name}" for index, name in enumerate(last)]


def _claim(source: Source, path: Path, stems: Sequence[str]) -> dict[str, Any]:
    """Make the folder this set's, and return what describes the set."""
    image, _ = source[0]
    description = {
        "class_names": list(source.class_names),
        "palette": source.palette.tolist(),
        "ignore": 255,
        "channels": image.shape[-1],
        "value_range": source.value_range,
        "outside": source._outside,
        "examples": len(stems),
        "first": stems[0],
        "last": stems[-1],
    }
    for name in (DATASET, UNFINISHED):
        if (path / name).exists():
            if json.loads((path / name).read_text()) == json.loads(
                json.dumps(description)
            ):
                return description
            raise FileExistsError(
                f"Expected an empty folder, or one where this set was begun. {path} "
                f"holds another set, see {path / name}."
            )
    if path.exists() and any(".writing" not in f.name for f in path.iterdir()):
        raise FileExistsError(f"Expected an empty folder at {path}. It holds files.")
    path.mkdir(parents=True, exist_ok=True)
    write_unfinished(path, description)
    return description


def _fits_png(image: np.ndarray) -> bool:
    """Whether Pillow can write an image as PNG without loss."""
    channels = image.shape[-1]
    return (
        channels <= 4
        if image.dtype == np.uint8
        else (channels == 1 and image.dtype == np.uint16)
    )


def _write_image(path: Path, image: np.ndarray) -> None:
    if _fits_png(image):
        pixels = image[..., 0] if image.shape[-1] == 1 else image
        Image.fromarray(pixels).save(path, format="PNG")  # L, I;16, LA, RGB or RGBA
        return
    tifffile = package("tifffile", "tiff")
    form = {"photometric": "minisblack", "planarconfig": "contig"}
    tifffile.imwrite(path, image, **form, compression="zlib")


def _check_written(
    source: Source, written: Sequence[int], masks: Path, stems: Sequence[str]
) -> None:
    """Raise if any of three masks that were written differs from the source's."""
    for index in {*written[:1], *written[len(written) // 2 :][:1], *written[-1:]}:
        with Image.open(masks / f"{stems[index]}.png") as image:
            if not np.array_equal(np.asarray(image), source[index][1]):
                raise FileExistsError(
                    f"Expected masks of this set. {masks / stems[index]}.png is of "
                    "another: it was begun from other data, or with other options."
                )


def _examples(
    source: Source, todo: Sequence[int]
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """(index, image, mask) of each example, read and checked in parallel."""
    if todo:
        rest = source if len(todo) == len(source) else source[list(todo)]
        pairs = rest.dataset().as_numpy_iterator()
        for index, (image, mask) in zip(todo, pairs, strict=True):
            yield index, image, mask


def _in_threads(function: Any, calls: Iterator[tuple]) -> Iterator[None]:
    """Call a function in threads, a few calls ahead; errors come out here."""
    threads = os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        running: set = set()
        for arguments in calls:
            running.add(pool.submit(function, *arguments))
            if len(running) >= 4 * threads:
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield future.result()
        for future in running:
            yield future.result()
