"""Checkpoints: all that a training needs to continue as if it had never stopped.

    folder/epoch-000011.checkpoint
    folder/epoch-000012.checkpoint     the newest; the one before is kept beside it

A checkpoint is a zip archive of NumPy arrays and a JSON file, without pickles. The
archive has a checksum of each of its members, which is compared when it is read.
"""

import io
import json
import math
import os
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import keras
import ml_dtypes
import numpy as np

from keras_seg.files import written_aside

_CONTENT = "checkpoint.json"
# Another number when older versions couldn't read the file.
_FORMAT = 1
_KEPT = 2
# What reading a file raises that was cut or changed.
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, OSError)


class Checkpoint(keras.callbacks.Callback):
    """Keep the whole state of a training after every epoch, and restore it.

    The state is: all variables of the model, with those of dropout's random generators;
    all variables of the optimizer, with its step, averages and loss scale; the number
    of epochs done; and the counters of other callbacks. An epoch that is cut short is
    repeated from its beginning. With data that depend on the step alone, as those of
    `Source.batches` do, a training that was interrupted ends with the same weights as
    one that wasn't, bit by bit, where the operations themselves are deterministic.

    A checkpoint gets its name only when it is whole and on the disk. The last two are
    kept; if the newest can't be read, `restore` takes the one before.

    Args:
        folder: Folder of the checkpoints, made when needed.
        settings: What must not change when the training continues, by name: seed,
            learning rate, data set; anything that JSON can hold.
        callbacks: Other callbacks of the training that count epochs, such as
            `EarlyStopping` and `ReduceLROnPlateau`. Their numbers are kept too, but no
            weights. In `fit`, this callback belongs after them.

    Example:
        checkpoint = keras_seg.training.Checkpoint("runs/mine/checkpoints")
        epoch = checkpoint.restore(model)  # 0 when there is nothing to continue
        model.fit(
            train.batches(8, size=(256, 256), repeat=True, first_step=epoch * 100),
            steps_per_epoch=100,
            epochs=50,
            initial_epoch=epoch,
            callbacks=[checkpoint],
            shuffle=False,
        )
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        *,
        settings: Mapping[str, Any] | None = None,
        callbacks: Iterable[keras.callbacks.Callback] = (),
    ):
        super().__init__()
        self.folder = Path(folder)
        self.settings = _as_json(dict(settings or {}))
        self.callbacks = list(callbacks)
        self._restored: list[dict[str, Any]] = []

    def restore(self, model: keras.Model) -> int:
        """Give a model, its optimizer and the callbacks the newest whole state.

        Args:
            model: The compiled model, built as it was when training began.

        Returns:
            Number of epochs done, for `initial_epoch` of `fit`; 0 if the folder has no
            checkpoint.

        Raises:
            ValueError: if no checkpoint can be read; if settings are others than those
                of the checkpoint, naming each; or if the model or optimizer has other
                variables, naming the first.
        """
        files = self._files()
        for path in reversed(files):
            try:
                content, arrays = _read(path)
            except _DAMAGED as error:
                warnings.warn(
                    f"{path} is damaged ({str(error) or type(error).__name__}). "
                    "Continuing from the checkpoint before it, if there is one.",
                    stacklevel=2,
                )
                continue
            self._check_settings(path, content["settings"])
            _assign(path, _variables(model), content["variables"], arrays)
            self._restored = content["callbacks"]
            return content["epochs"]
        if files:
            raise ValueError(
                f"Expected a checkpoint in {self.folder} that can be read. Received: "
                f"{', '.join(path.name for path in files)}, all damaged. Remove them "
                "to begin anew."
            )
        return 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        # Only now: at this point the others have begun to count anew.
        for callback, numbers in zip(self.callbacks, self._restored, strict=False):
            vars(callback).update(numbers)
        self._restored = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        variables = _variables(self.model)
        content = {
            "format": _FORMAT,
            "epochs": epoch + 1,
            "settings": self.settings,
            "variables": [
                {"path": v.path, "dtype": str(v.dtype), "shape": list(v.shape)}
                for v in variables
            ],
            "callbacks": [_numbers_of(callback) for callback in self.callbacks],
            "versions": {"keras": keras.__version__, "numpy": np.__version__},
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"epoch-{epoch + 1:06}.checkpoint"
        size = sum(math.prod(v.shape) * 4 for v in variables)
        with written_aside(path, sync=True, needed=size) as aside:
            _write(aside, content, variables)
        self.keep_last(_KEPT)

    def keep_last(self, count: int) -> None:
        """Remove all checkpoints but the newest ones."""
        for old in self._files()[:-count]:
            old.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        """The checkpoints, oldest first."""
        names = re.compile(r"epoch-\d{6,}\.checkpoint")
        if not self.folder.is_dir():
            return []
        files = [p for p in self.folder.iterdir() if names.fullmatch(p.name)]
        return sorted(files, key=lambda path: int(path.stem.split("-")[1]))

    def _check_settings(self, path: Path, kept: dict[str, Any]) -> None:
        changed = [
            f"{name} is {self.settings.get(name)!r}, was {kept.get(name)!r}"
            for name in {**kept, **self.settings}
            if self.settings.get(name) != kept.get(name)
        ]
        if changed:
            raise ValueError(
                f"Expected the settings of {path}, to continue it. Received: "
                f"{'; '.join(changed)}"
            )


def _variables(model: keras.Model) -> list[keras.Variable]:
    """All variables that a training step reads or writes, but those of metrics.

    Keras sets metrics back to 0 before each epoch.
    """
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        raise ValueError("Expected a compiled model. Received: one without optimizer.")
    if not optimizer.built:
        optimizer.build(model.trainable_variables)
    return [*model.variables, *optimizer.variables]


def _assign(
    path: Path,
    variables: list[keras.Variable],
    kept: list[dict[str, Any]],
    arrays: list[np.ndarray],
) -> None:
    """Give variables their kept values, if all fit."""
    own = [{"dtype": str(v.dtype), "shape": list(v.shape)} for v in variables]
    theirs = [{"dtype": v["dtype"], "shape": v["shape"]} for v in kept]
    for k, (a, b) in enumerate(zip(own, theirs, strict=False)):
        if a != b:
            raise ValueError(
                f"{path}: Expected a model and an optimizer with the variables of "
                f"this checkpoint. Received: {variables[k].path}, {a['dtype']} "
                f"{a['shape']}, in place of {kept[k]['path']}, {b['dtype']} "
                f"{b['shape']}"
            )
    if len(own) != len(theirs):
        raise ValueError(
            f"{path}: Expected a model and an optimizer with the variables of this "
            f"checkpoint, {len(theirs)}. Received: {len(own)} variables"
        )
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _write(path: Path, content: dict[str, Any], variables: list[Any]) -> None:
    # Not compressed: weights are noise to a compressor.
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(_CONTENT, json.dumps(content))
        for k, variable in enumerate(variables):
            array = np.asarray(keras.ops.convert_to_numpy(variable))
            if array.dtype.kind == "V":  # bfloat16, which .npy doesn't know
                array = array.view(np.uint16)
            with archive.open(f"{k}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def _read(path: Path) -> tuple[dict[str, Any], list[np.ndarray]]:
    """What a checkpoint says, and its arrays; raises one of `_DAMAGED`."""
    if not path.is_file():  # a pipe, say, which would block
        raise ValueError("it is no file")
    with zipfile.ZipFile(path) as archive:
        content = json.loads(archive.read(_CONTENT))
        if content["format"] > _FORMAT:
            raise ValueError("written by a newer version of keras_seg")
        arrays = []
        for k, variable in enumerate(content["variables"]):
            # Whole members, so that their checksums are compared.
            member = io.BytesIO(archive.read(f"{k}.npy"))
            array = np.lib.format.read_array(member, allow_pickle=False)
            if variable["dtype"] == "bfloat16":
                array = array.view(ml_dtypes.bfloat16)
            arrays.append(array)
    return content, arrays


def _numbers_of(callback: keras.callbacks.Callback) -> dict[str, Any]:
    """Numbers and truths that a callback keeps from one epoch to the next."""
    return {
        name: value if isinstance(value, bool | int) else float(value)
        for name, value in vars(callback).items()
        if isinstance(value, bool | int | float | np.number)
    }


def _as_json(value: Any) -> Any:
    """The value as it comes back from JSON: tuples are lists, paths are strings."""
    return json.loads(json.dumps(value, default=str))
