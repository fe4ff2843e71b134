"""What is wrong with a JSON file, and where in it."""

import json
import re
from typing import Any

import msgspec

from keras_seg.data.readers.coco.other_formats import seems_to_be


def explained(
    error: msgspec.ValidationError | RecursionError,
    contents: bytes,
    path: str,
    panoptic: bool,
) -> ValueError:
    """The error of a file: that it is another format, or has a bad value.

    Args:
        error: What msgspec says of `contents`.
        contents: JSON.
        path: The file.
        panoptic: Whether panoptic annotations are read, else instances.
    """
    try:
        if isinstance(error, RecursionError):
            raise error
        other = seems_to_be(contents, panoptic)
        if other:
            return ValueError(f"{path}: {other}")
        return bad_value(error, contents, path)
    except (UnicodeError, RecursionError, msgspec.MsgspecError) as broken:
        return ValueError(
            f"{path}: Expected a whole JSON file, in UTF-8. Received: {broken}"
        )


def bad_value(
    error: msgspec.ValidationError, contents: bytes, path: str, place: str = ""
) -> ValueError:
    """The error of a value that is missing or of another type, with its place.

    Args:
        error: What msgspec says of `contents`.
        contents: JSON.
        path: The file that it is from.
        place: Where in the file it is, if it is a part: "annotations[3].bbox", say.
    """
    said, _, inside = str(error).partition(" - at `$")
    inside = inside.removesuffix("`")
    place = (place + inside).lstrip(".") or "the outermost value"
    missing = re.fullmatch("Object missing required field (`.*`)", said)
    expected = re.sub(r", got .*", "", said).replace("`", "")
    if missing:
        expected = f"Expected {missing[1]}"
    elif not expected.startswith("Expected"):
        expected = f"Expected a number in range ({expected})"
    text = _value_at(contents, inside)
    return ValueError(f"{path}: {place}: {expected}. Received: {text}")


def _value_at(contents: bytes, place: str) -> str:
    """The JSON at a place such as ".annotations[17].area", cut to a line."""
    value: Any = contents
    for key, index in re.findall(r"\.(\w+)|\[(\d+)\]", place):
        if key:
            value = msgspec.json.decode(value, type=dict[str, msgspec.Raw])[key]
        else:
            value = msgspec.json.decode(value, type=list[msgspec.Raw])[int(index)]
    text = bytes(value[:400] if isinstance(value, bytes) else value).decode(
        errors="replace"
    )
    text = " ".join(text.split())
    return text if len(text) <= 120 else f"{text[:120]}..."


def plain_json(contents: bytes, path: str) -> bytes:
    """JSON of what Python reads and JSON doesn't have: NaN, say, or UTF-16.

    NaN and Infinity become strings, for which there is a place then.

    Raises:
        ValueError: naming the file, if Python doesn't read it either.
    """
    try:
        return msgspec.json.encode(json.loads(contents, parse_constant=str))
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{path}: Expected a whole JSON file. Received: {_kind(contents)}{error}"
        ) from None


def _kind(contents: bytes) -> str:
    """What the first bytes say that a file is, if they say it."""
    for head, kind in (
        (b"\x1f\x8b", "a gzip file: unpack it. "),
        (b"PK\x03\x04", "a zip file: unpack it. "),
        (b"version https://git-lfs", "a pointer of Git LFS: run `git lfs pull`. "),
        (b"<", "HTML or XML. "),
        (b"\xff\xd8", "a JPEG. "),
        (b"\x89PNG", "a PNG. "),
    ):
        if contents.lstrip().startswith(head):
            return kind
    return "" if contents.strip() else "an empty file. "


def is_twice(contents: bytes, key: str) -> bool:
    """Whether the outermost object has a key more than once."""
    if contents.count(f'"{key}"'.encode()) < 2:  # which is quick
        return False
    twice = []

    def note(pairs: list[tuple[str, Any]]) -> None:
        twice.append(sum(name == key for name, _ in pairs) > 1)

    json.loads(contents, object_pairs_hook=note)
    return twice[-1]  # the outermost object ends last
