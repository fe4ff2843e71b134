"""The image files that annotations name, under the names that labelling tools give."""

import os
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import unquote

import tensorflow as tf

from keras_seg.data.decode.array_file import is_array_path
from keras_seg.data.decode.image import read_image
from keras_seg.data.readers.files import Paths, list_folder, listed
from keras_seg.data.suggestions import MissingFilesError, spelled


def find_images(folder: str, names: Sequence[str], path: str) -> list[str]:
    r"""Find the files of images.

    Tools write names as paths from another folder (`images/default/a.jpg`), of Windows
    (`images\a.jpg`), or of a URL (`a%20b.jpg`, `/data/local-files/?d=a.jpg`). So,
    where there is no file of the name as it is, these are undone, and folders are left
    out from the front until there is one.

    Args:
        folder: Folder of the images.
        names: The `file_name` of each image in the annotations.
        path: The file of the annotations, for errors.

    Returns:
        Paths of the files in `folder`, in the order of `names`.

    Raises:
        FileNotFoundError: naming the first file that is missing.
        ValueError: for a file that is there under two names.
    """
    folder = folder.rstrip("/") or "/"
    files_in: dict[str, set[str]] = {"": list_folder(folder)}

    def is_there(name: str) -> bool:
        within, _, last = name.rpartition("/")
        if within not in files_in:
            where = f"{folder}/{within}"
            is_inside = not {"", ".", ".."} & {*within.split("/")}
            is_folder = is_inside and tf.io.gfile.isdir(where)
            files_in[within] = list_folder(where) if is_folder else set()
        return bool(last) and last in files_in[within]

    found = [next(filter(is_there, _spellings(name)), "") for name in names]
    missing = [name for name, file in zip(names, found, strict=True) if not file]
    if missing:
        there = sorted(name for name in files_in[""] if not name.startswith("."))
        # One folder further down, as in CVAT's images/default.
        for inner in there:
            where = f"{folder}/{inner}"
            if not os.path.isdir(where):
                continue
            if any(os.path.isfile(f"{where}/{s}") for s in _spellings(missing[0])):
                arguments = {"images": where}
                raise MissingFilesError(
                    f"Expected {folder}/{missing[0]}, which {path} names. It is in "
                    f"{where}: {spelled(arguments)}.",
                    arguments,
                )
        raise FileNotFoundError(
            f"Expected {folder}/{missing[0]}, which {path} names. It isn't there, and "
            f"{len(missing) - 1} more of {len(names)} aren't. In the folder are: "
            f"{listed(there, 3) or 'no files'}. Likely causes: another folder, or "
            "images that weren't downloaded or unpacked with the annotations."
        )
    if len(set(found)) < len(found):
        seen: dict[str, str] = {}
        for name, file in zip(names, found, strict=True):
            if file in seen:
                other = "" if seen[file] == name else f", called {seen[file]} too"
                raise ValueError(
                    f"{path}: Expected each image under one id. Received: {name} under "
                    f"two{other}. Objects of the one would be background in the other. "
                    "Give all annotations of an image the same image_id."
                )
            seen[file] = name
    return found


def _spellings(name: str) -> Iterator[str]:
    """What a file may be called, the likeliest first."""
    yield name
    slashes = name.replace("\\", "/")
    for path in (slashes, unquote(slashes.rpartition("?d=")[2])):
        parts = path.split("/")
        for start in range(len(parts)):
            yield "/".join(parts[start:])


def image_reader(
    files: Paths, sizes: Sequence[tuple[int, int]] | None, path: str
) -> Any:
    """The function of a Source that reads images by index.

    Args:
        files: Their paths.
        sizes: (height, width) of each by the annotations; None where they aren't used.
        path: The file of the annotations, for errors.
    """
    are_photos = not bool(tf.reduce_any(is_array_path(files.stems)))
    table = None if sizes is None else tf.constant(sizes, tf.int32)

    def image(index: Any, window: Any = None, mask_size: Any = None) -> tf.Tensor:
        size = mask_size if table is None else table[index]
        try:
            return read_image(
                files[index], window=window, mask_size=size, are_photos=are_photos
            )
        except ValueError as error:
            if table is None or "same height and width" not in str(error):
                raise
            height, width = size.numpy()
            raise ValueError(
                f"{error} The mask is {height} x {width} because {path} says so of "
                "this image. Likely cause: the images were resized after they were "
                "labelled."
            ) from None

    return image
