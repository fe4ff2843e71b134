"""JSON files in other formats than COCO's, recognised by their keys."""

from typing import Any

import msgspec

_EXPORT = "Export COCO from the tool instead."


def seems_to_be(contents: bytes, panoptic: bool) -> str:
    """What JSON seems to be that isn't a COCO file of the kind that is read.

    Args:
        contents: JSON.
        panoptic: Whether panoptic annotations are read, else instances.

    Returns:
        A sentence for an error; "" for a COCO file of that kind, though a bad one.
    """
    expected = "panoptic annotations" if panoptic else "instances"
    expected = f"Expected COCO's format with {expected}: lists of images, annotations "
    expected += "and categories."
    first = _first_item(contents)
    if isinstance(first, list):
        return f"{expected} Received: a list{_list_of(first)}"
    if not isinstance(first, dict):
        return f"{expected} Received: {type(first).__name__}."
    keys = {*first}
    if not isinstance(first.get("annotations"), list):
        for some, kind in _TOOLS.items():
            if {*some.split()} <= keys:
                return f"{expected} Received: what seems to be {kind}. {_EXPORT}"
        values = [value for value in first.values() if isinstance(value, dict)]
        if any("regions" in value for value in values):
            return f"{expected} Received: what seems to be a VIA file. {_EXPORT}"
    missing = [
        key for key in ("images", "annotations", "categories") if key not in keys
    ]
    annotations = first.get("annotations")
    thing = annotations[0] if annotations and isinstance(annotations, list) else None
    things = {*thing} if isinstance(thing, dict) else set()
    if "caption" in things:
        return f"{expected} Received: captions, which have no pixels."
    if missing:
        hint = " The files of test images have no annotations."
        hint *= "annotations" in missing
        return f"{expected} Missing: {', '.join(missing)}.{hint}"
    if "segments_info" in things and not panoptic:
        return f"{expected} Received: panoptic ones, which `data.coco_panoptic` reads."
    if panoptic and "segments_info" not in things and "category_id" in things:
        return f"{expected} Received: instances, which `data.coco` reads."
    return ""


# Keys of the outermost object of other tools' files.
_TOOLS = {
    "shapes imagePath": "a file of labelme",
    "_via_img_metadata": "a VIA project",
    "features type": "GeoJSON",
    "dataset item": "a Supervisely or V7 file",
    "objects size": "a Supervisely file",
    "item annotations": "a V7 Darwin file",
    "data annotations": "a task of Label Studio",
}


def _list_of(items: list[Any]) -> str:
    """What the first item of a list says that it is of."""
    keys = {*items[0]} if items and isinstance(items[0], dict) else set()
    if keys & {"annotations", "completions", "annotation_id"} and keys & {
        "data",
        "file_upload",
        "annotator",
        "lead_time",
    }:
        return f" of Label Studio's tasks. {_EXPORT}"
    if {"image_id", "score"} <= keys:
        return " of results, predictions for COCO's evaluation."
    return "."


def _first_item(contents: bytes) -> Any:
    """The outermost value, with the first item of each list alone."""
    try:
        outer = msgspec.json.decode(
            contents, type=dict[str, msgspec.Raw] | list[msgspec.Raw] | None
        )
    except msgspec.ValidationError:
        return msgspec.json.decode(contents)
    if isinstance(outer, list):
        return [msgspec.json.decode(item) for item in outer[:1]]
    if outer is None:
        return None
    found = {}
    for key, value in outer.items():
        try:
            items = msgspec.json.decode(value, type=list[msgspec.Raw])
            found[key] = [msgspec.json.decode(item) for item in items[:1]]
        except msgspec.ValidationError:
            found[key] = msgspec.json.decode(value)
    return found
