"""The files of a run: their names, and what each command reads of them."""

import os
import re
import zipfile
from pathlib import Path
from typing import Annotated, Any

import keras
import msgspec

from keras_seg.data.readers.files import listed

# Everything that train writes into a run's folder, and that evaluate adds.
RUN, MODEL, HISTORY, METRICS = "run.json", "model.keras", "history.csv", "metrics.json"
CURVES, SAMPLES, SAVED_MODEL = "curves.png", "samples.png", "saved_model"
REPORT = "report.html"
CHECKPOINTS = "checkpoints"
TENSORBOARD = "tensorboard"  # a folder, with --tensorboard
FILES = (RUN, MODEL, HISTORY, METRICS, CURVES, SAMPLES, REPORT)
FOLDERS = (SAVED_MODEL, TENSORBOARD, CHECKPOINTS)

_Byte = Annotated[int, msgspec.Meta(ge=0, le=255)]


class Run(msgspec.Struct):
    """What run.json must say, whatever else it says."""

    class_names: Annotated[list[str], msgspec.Meta(min_length=2, max_length=255)]
    palette: list[tuple[_Byte, _Byte, _Byte]]

    def __post_init__(self) -> None:
        if len({*self.class_names}) != len(self.class_names):
            raise ValueError("Expected `class_names` that differ")
        if len(self.palette) != len(self.class_names):
            raise ValueError("Expected `palette` to be one colour per class name")


def file_of_split(run: Path, name: str, split: str | None, *more: str) -> Path:
    """Where the scores of a split go, or a report of them.

    Args:
        run: The folder of the run.
        name: What the file of the run's own scores is called.
        split: None stands for the split of validation.
        more: What else they differ in from the run's own scores.
    """
    # A split may be the path of a list.
    words = [*([] if split is None else [Path(split).stem]), *more]
    stem = re.sub(r"[^\w.-]+", "_", "_".join([Path(name).stem, *words]))
    return run / f"{stem}{Path(name).suffix}"


class _ImageRow(msgspec.Struct):
    name: str
    loss: float | None
    mean_iou: float | None


class _Metrics(msgspec.Struct):
    """What metrics.json must say for a report, whatever else it says."""

    mean_iou: float | None
    pixel_accuracy: float | None
    iou: dict[str, float | None]
    precision: dict[str, float | None]
    recall: dict[str, float | None]
    dice: dict[str, float | None]
    ignored_pixels: int
    invalid_pixels: int
    images: int
    confusion_matrix: list[list[int]]
    images_by_loss: list[_ImageRow]
    mean_iou_interval: tuple[float, float] | None = None
    pixel_accuracy_interval: tuple[float, float] | None = None
    iou_interval: dict[str, tuple[float, float] | None] = {}
    boundary_iou: float | None = None

    def __post_init__(self) -> None:
        matrix, count = self.confusion_matrix, len(self.iou)
        if {len(matrix), *map(len, matrix)} != {count}:
            raise ValueError("Expected `confusion_matrix` to have a row per class")
        for values in (self.precision, self.recall, self.dice):
            if values.keys() != self.iou.keys():
                raise ValueError("Expected scores of the same classes")


def read_scores(path: Path) -> dict[str, Any]:
    """Read scores that `write_scores` wrote.

    Raises:
        ValueError: naming the file, if it says something else.
    """
    try:
        scores = msgspec.json.decode(path.read_bytes(), type=_Metrics)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ValueError(
            f"{path}: Expected scores that `keras-seg evaluate` wrote. "
            f"{_sentence(error)} Likely cause: the file was edited, copied in part, or "
            "written by an older version. Try: remove it, and the model is scored again"
        ) from None
    return msgspec.to_builtins(scores)


def read_run(run: Path, schema: type[msgspec.Struct] = Run) -> dict[str, Any]:
    """Read run.json of a folder.

    Args:
        run: The folder.
        schema: What it must say.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the file, if it says something else.
    """
    path = run / RUN
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        hint = f". Its folder is {run.parent}" if run.is_file() else ""
        runs = sorted(str(found.parent) for found in run.glob(f"*/{RUN}"))
        if runs:
            hint = f". Runs in it: {listed(runs)}"
        raise FileNotFoundError(
            f"Expected the folder of a run, with {RUN}. Received: {run}{hint}"
        ) from None
    odd = odd_files(run)
    if odd:
        raise ValueError(odd)
    content = path.read_bytes()
    try:
        known = msgspec.json.decode(content, type=schema)
        says = msgspec.json.decode(content, type=dict[str, Any])
        return says | msgspec.structs.asdict(known)  # with defaults
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ValueError(
            f"{path}: Expected what `keras-seg train` wrote. {_sentence(error)} "
            "Likely cause: the file was edited, or copied in part."
        ) from None


def odd_files(run: Path) -> str:
    """What is said of files of a run that aren't files, or folders that aren't.

    A pipe in place of one of them would block whoever opens it.
    """
    odd = []
    scores = run.glob(f"{Path(METRICS).stem}_*.json")  # of other splits
    for name in (*FILES, *(path.name for path in scores), *FOLDERS):
        path = run / name
        if not os.path.lexists(path) or (
            path.is_dir() if name in FOLDERS else path.is_file()
        ):
            continue
        kind = "a folder" if path.is_dir() else "no folder"
        if name not in FOLDERS and not path.is_dir():
            kind = "no file" if path.exists() else "a link to nowhere"
        odd.append(f"{path} is {kind}")
    if not odd:
        return ""
    return f"Expected the files of a run in {run}. Received others: {'; '.join(odd)}."


def load_model(run: Path) -> keras.Model:
    """Load the model of a run.

    Raises:
        FileNotFoundError: if there is no model.
        ValueError: naming the file, if it can't be read, or isn't a model from images
            to the classes of the run.
    """
    names = read_run(run)["class_names"]
    path = run / MODEL
    if not path.is_file():
        raise FileNotFoundError(
            f"Expected a trained model at {path}. Likely cause: the run was killed "
            "before it kept one."
        )
    path.open("rb").close()  # or the reason why not, which zipfile swallows
    if not zipfile.is_zipfile(path):  # Keras says that there is no file
        raise ValueError(
            f"{path}: Expected a model that Keras can read. Received: "
            f"{path.stat().st_size:,} bytes that are no `.keras` file. Likely cause: "
            "it was copied in part."
        )
    try:
        model = keras.models.load_model(path, compile=False)
    except Exception as error:  # whatever Keras, h5py and zipfile raise for odd bytes
        raise ValueError(
            f"{path}: Expected a model that Keras can read. {_sentence(error)} "
            "Likely cause: the file was copied in part, or isn't from keras-seg."
        ) from None
    ends: list[Any] = [
        getattr(model, f"{end}_shape", ()) for end in ("input", "output")
    ]
    is_rank_4 = all(isinstance(end, tuple) and len(end) == 4 for end in ends)
    if not is_rank_4 or ends[1][-1] != len(names):
        raise ValueError(
            f"{path}: Expected a model from images to {len(names)} classes, those that "
            f"{RUN} names. Received: one from {ends[0]} to {ends[1]}"
        )
    return model


def _sentence(error: BaseException) -> str:
    """The first line of an error, ending in a full stop."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    text = lines[0][:300]
    return text if text.endswith((".", "!", "?")) else f"{text}."
