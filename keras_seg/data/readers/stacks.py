"""Stacks: TIFFs whose pages are images, and masks. Page 3 is "volume.tif#3"."""

import os
from collections.abc import Sequence

import tensorflow as tf

from keras_seg.data.decode.array_file import array_head
from keras_seg.data.readers.files import Paths, listed, printable, read_lines
from keras_seg.data.suggestions import SuggestionError, spelled


def is_stack(images: str | os.PathLike) -> bool:
    """Whether this is the path of a TIFF, and no folder or pattern."""
    path = os.fspath(images)
    is_tiff = path.lower().endswith((".tif", ".tiff")) and "*" not in path
    return is_tiff and tf.io.gfile.exists(path) and not tf.io.gfile.isdir(path)


def check_one_page(image: str, mask: str, *, is_only_one: bool) -> None:
    """Raise for an image of several pages, of which none was asked for.

    Args:
        image: Path of the image.
        mask: Path of its mask.
        is_only_one: Whether there is no other image.
    """
    if not is_stack(image) or (pages := array_head(image).pages) == 1:
        return
    arguments: dict[str, object] = {"page": "all"}
    remedy = "If its pages are channels"
    if is_only_one and is_stack(mask) and array_head(mask).pages == pages:
        arguments = {"images": image, "masks": mask}
        remedy = "If each page is an image"
    raise SuggestionError(
        f"{printable(image)}: Expected an image of one page, or `page`. Received: "
        f"{pages} pages. {remedy}: {spelled(arguments)}. For the first page alone: "
        f"{spelled({'page': 0})}.",
        arguments,
    )


def pair_pages(
    images: str | os.PathLike,
    masks: str | os.PathLike,
    split: str | os.PathLike | Sequence[str] | None,
) -> tuple[list[str], Paths, Paths]:
    """Pair the pages of two TIFFs.

    Args:
        images: A TIFF, each page of which is an image.
        masks: A TIFF with a mask for each of them.
        split: Numbers of the pages to read, in a list or one a line of a text file;
            None for all.

    Returns:
        The numbers of the pages as strings, which sort as the pages do, and the paths
        of images and masks.

    Raises:
        ValueError: for masks that aren't in one TIFF, other numbers of pages, or pages
            that aren't there.
    """
    if not is_stack(masks):
        raise ValueError(
            "Expected `masks` to be a TIFF with a mask for each page of the images. "
            f"Received: {printable(os.fspath(masks))!r}, with images in "
            f"{printable(os.fspath(images))}. If there is one image, give the folder "
            "that it is in."
        )
    counts = [array_head(path).pages for path in (images, masks)]
    if counts[0] != counts[1]:
        raise ValueError(
            "Expected as many pages of masks as of images. Received: "
            f"{counts[0]} in {printable(os.fspath(images))} and {counts[1]} in "
            f"{printable(os.fspath(masks))}"
        )
    digits = len(str(counts[0] - 1))
    stems = [f"{k:0{digits}}" for k in range(counts[0])]
    if split is not None:
        if isinstance(split, str | os.PathLike):
            asked = read_lines(os.fspath(split))
        else:
            asked = [*map(str, split)]
        numbers = [text.strip().zfill(digits) for text in asked]
        missing = [text for text in numbers if text not in stems]
        if missing or not numbers:
            raise ValueError(
                f"Expected `split` to name pages from 0 to {counts[0] - 1}. Received: "
                f"{listed(missing) or 'none'}"
            )
        stems = numbers
    one, other = (Paths(stems, (f"{os.fspath(x)}#", "")) for x in (images, masks))
    return stems, one, other
