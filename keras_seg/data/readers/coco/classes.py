"""Which categories of a COCO file are which classes."""

import difflib
from collections import defaultdict
from collections.abc import Iterable, Sequence

from keras_seg.data.readers.coco.annotations import Category, Id
from keras_seg.data.readers.voc import CLASS_NAMES as VOC
from keras_seg.data.suggestions import SuggestionError, spelled

#: COCO's 80 kinds of things, in order of their ids.
THINGS = (
    *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck"),
    *("boat", "traffic light", "fire hydrant", "stop sign", "parking meter", "bench"),
    *("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra"),
    *("giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee"),
    *("skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove"),
    *("skateboard", "surfboard", "tennis racket", "bottle", "wine glass", "cup"),
    *("fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange"),
    *("broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch"),
    *("potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse"),
    *("remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink"),
    *("refrigerator", "book", "clock", "vase", "scissors", "teddy bear"),
    *("hair drier", "toothbrush"),
)

#: What COCO calls the classes of VOC that have another name there.
_AS_COCO = {
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
}
_BACKGROUND = "background"


class Classes:
    """Categories of a file by name, and what is asked for of them.

    Args:
        categories: Those of the file.
        used: Ids of the categories that have annotations. Of two categories of one
            name the one with annotations is meant: Roboflow's exports begin with a
            category that stands above the others, often by their name.
        path: The file, for errors.
    """

    def __init__(self, categories: Sequence[Category], used: set[Id], path: str):
        self._names = {category.id: category.name for category in categories}
        self._ids: dict[str, list[Id]] = defaultdict(list)
        for number in sorted(self._names, key=by_number):
            self._ids[self._names[number]].append(number)
        self._root = _root(categories)
        self._used = used
        self._path = path

    def names(self, kinds: Iterable[Id] | None = None) -> list[str]:
        """Names of all categories, or those of these ids, in order of their ids."""
        chosen = set(self._names if kinds is None else kinds)
        root = self._root
        if root is not None and self._ids[self._names[root]] == [root]:
            chosen.discard(root)
            if root in self._used:
                raise ValueError(
                    f"{self._path}: Expected annotations of categories below "
                    f"{self._names[root]!r}, which is the others' supercategory. "
                    "Received: annotations of itself. Name the classes that you want: "
                    f"{spelled({'classes': [*self._ids]})}."
                )
        return [
            *dict.fromkeys(
                self._names[number] for number in sorted(chosen, key=by_number)
            )
        ]

    def labels(self, names: Sequence[str | int], first: int) -> dict[Id, int]:
        """Labels of categories by id: names[0] has label `first`."""
        found: dict[Id, int] = {}
        for label, name in enumerate(names, first):
            for number in self._ids_of(name):
                if found.setdefault(number, label) != label:
                    raise ValueError(
                        "Expected `classes` to be names that differ. Received: "
                        f"{self._names[number]!r} twice."
                    )
        return found

    def choose(
        self, classes: str | Sequence[str | int]
    ) -> tuple[list[str], dict[Id, int]]:
        """Names of the classes, the background first, and labels by category id."""
        if classes == "coco":
            wanted: list[str | int] = [*self.names()]
        elif classes == "voc":
            wanted = [*VOC]
            for name in {*_AS_COCO} - {*self._ids}:
                self._ids[name] = self._ids.get(_AS_COCO[name], [])
        else:
            wanted = self._checked(classes)
        if classes == "coco" or wanted[:1] == [_BACKGROUND]:
            # A category of that name is what is in no other.
            wanted = [name for name in wanted if name != _BACKGROUND]
        if not wanted:
            raise ValueError(
                f"{self._path}: Expected names of `classes`. Received: none but "
                f"{_BACKGROUND}."
            )
        missing = [str(name) for name in wanted if not self._all_ids_of(name)]
        if missing:
            arguments = {"classes": "coco"} if classes == "voc" else {}
            hint = f" All of them: {spelled(arguments)}." * (classes == "voc")
            raise SuggestionError(f"{self._unknown(missing)}{hint}", arguments)
        labels = self.labels(wanted, 1)
        return [_BACKGROUND, *map(self._name, wanted)], labels

    def _checked(self, classes: object) -> list[str | int]:
        """Names and ids, from whatever they are a sequence of."""
        names = None
        if isinstance(classes, Iterable) and not isinstance(classes, str | bytes):
            names = [*classes]
        if names is None or not all(isinstance(name, str | int) for name in names):
            raise ValueError(
                "Expected `classes` to be 'voc', 'coco' or names or ids of categories "
                "(of panoptic annotations 'all', 'things', 'stuff' or names). "
                f"Received: {classes!r}"
            )
        return names

    def _all_ids_of(self, name: str | int) -> list[Id]:
        """Categories of a name; of an id, also in a string, where none has the name."""
        if self._ids.get(str(name)) and isinstance(name, str):
            return self._ids[name]
        number = int(name) if str(name).isdecimal() else name
        return [number] if number in self._names else []

    def _ids_of(self, name: str | int) -> list[Id]:
        """The categories that a class is made of: one, or of a name without objects."""
        ids = self._all_ids_of(name)
        if len(ids) == 1:
            return ids
        used = [number for number in ids if number in self._used]
        if len(used) > 1:
            raise ValueError(
                f"{self._path}: Expected one category named {name!r} to have "
                f"annotations. Received: those with ids {used}. Choose them by id: "
                f"{spelled({'classes': used})}, or rename them."
            )
        return used or ids

    def _name(self, name: str | int) -> str:
        """What a class is called: the id too, if it was chosen by it and must be."""
        if isinstance(name, str) and self._ids.get(name):
            return name
        (number,) = self._all_ids_of(name)
        own = self._names[number]
        return own if len(self._ids[own]) == 1 else f"{own} ({number})"

    def _unknown(self, missing: list[str]) -> str:
        """What is said of names that no category has."""
        known = [*dict.fromkeys(self._names.values())]
        near = {n for m in missing for n in difflib.get_close_matches(m, known)}
        if len(known) <= 20:
            hint = f"It has: {', '.join(known)}."
        else:
            hint = f"Like them: {', '.join(sorted(near)) or 'none'}."
        return (
            f"{self._path}: Expected categories named {', '.join(missing)}. The file "
            f"has none. {hint}"
        )


def by_number(name: Id) -> tuple[bool, Id]:
    """Key that sorts ids: numbers first, then names."""
    return isinstance(name, str), name


def _root(categories: Sequence[Category]) -> Id | None:
    """The category that Roboflow puts above all others, if there is one."""
    for root in categories:
        others = [other for other in categories if other is not root]
        if (
            root.supercategory == "none"
            and others
            and all(other.supercategory == root.name for other in others)
        ):
            return root.id
    return None
