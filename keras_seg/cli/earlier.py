"""Options taken from an earlier run, by `--resume` and `--like`."""

import argparse
import shlex
import warnings
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import keras
import msgspec

import keras_seg
from keras_seg.cli.data_options import DataOptions, with_absolute_paths
from keras_seg.cli.options import parser
from keras_seg.data import Source
from keras_seg.training.checkpoint import Checkpoint
from keras_seg.training.run_files import read_run

# Options that say where and how a run begins, and what is printed: they aren't taken
# from it.
OF_THE_START = ("out", "overwrite", "like", "resume", "extend", "quiet", "json")

# Options that may change when a run goes on, epochs with --extend.
_CHANGEABLE = ("epochs", "devices")
_Count = Annotated[int, msgspec.Meta(ge=1)]


class TrainOptions(DataOptions, kw_only=True):
    """What options of `train` may be in run.json: ranges are checked by their users."""

    model: str = "unet"
    widths: list[int] | None = None
    encoder: str | None = None
    encoder_weights: str | None = None
    weights: str | None = None
    freeze_encoder: bool | int | None = None
    freeze_batch_norm: bool | None = None
    normalization: str | None = None
    upsampling: str | None = None
    auxiliary: float | None = None
    fresh_head: bool = False
    size: _Count | None = None
    scale: tuple[float, float] | None = None
    batch_size: _Count | None = None
    epochs: _Count = 10
    steps_per_epoch: _Count | None = None
    validate_every: _Count = 1
    val_images: _Count | None = None
    loss: str = "dice+cross_entropy"
    class_weights: str = "none"
    learning_rate: float | None = None
    optimizer: str = "adamw"
    schedule: str | None = None
    warmup: int | None = None
    weight_decay: float = 1e-4
    encoder_rate: float | None = None
    ema: float | None = None
    accumulate: _Count = 1
    clip: float | None = None
    augment: str | None = None
    early_stop: _Count | None = None
    cache: bool = False
    deterministic: bool = False
    seed: int = 0
    precision: str = "float32"
    devices: _Count = 1
    tensorboard: bool = False


class _EarlierRun(TrainOptions, kw_only=True):
    """What run.json must say to be continued or imitated."""

    given: TrainOptions | None = None
    versions: dict[str, Any] | None = None
    state: str | None = None
    epochs_done: int | None = None
    is_trained: bool | None = None
    seconds: float = 0


def options_to_keep(options: argparse.Namespace) -> dict[str, Any]:
    """Options as run.json has them, so that another run can take them."""
    values = with_absolute_paths(vars(options))
    return {k: v for k, v in values.items() if k not in OF_THE_START}


def options_given(
    kept: Mapping[str, Any], earlier: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Options as they were given when a run began, but for those that changed since.

    Args:
        kept: What `options_to_keep` gives of the options now.
        earlier: What run.json of the run says, None for a run that begins.
    """
    if earlier is None:
        return dict(kept)
    return earlier["given"] | {name: kept[name] for name in _CHANGEABLE}


def options_like(options: argparse.Namespace, words: Sequence[str]) -> Any:
    """The options of the run that `--like` names, and those of the command line.

    Args:
        options: Those of the command line.
        words: The command line.
    """
    run = _read(options.like)
    return _parsed(words, {k: run["given"][k] for k in _names(run, options.like)})


def options_to_resume(
    options: argparse.Namespace, words: Sequence[str]
) -> tuple[argparse.Namespace, dict[str, Any]]:
    """The options of the run that `--resume` names, and its run.json.

    Args:
        options: Those of the command line.
        words: The command line.

    Raises:
        ValueError: if there is nothing to continue, or options differ from the run's.
    """
    for name in ("out", "overwrite", "like"):
        if getattr(options, name):
            raise ValueError(
                f"Expected --resume without --{name}: it continues in the run's folder."
            )
    path = options.resume
    run = _read(path)
    values = {k: run[k] for k in _names(run, path)}
    taken = _parsed(words, values)
    given = options_to_keep(taken)
    for name, value in values.items():
        if given[name] == _as_option(value) or (name == "epochs" and options.extend):
            continue
        if name == "devices":
            warnings.warn(
                f"This run goes on with --devices {given[name]} in place of {value}. "
                "The result is the same but for rounding and for dropout.",
                stacklevel=2,
            )
            continue
        hint = "Leave it out, or begin a run of its own: --like takes its options."
        if name == "epochs":
            hint = "--extend allows it, and stretches the schedule of the learning rate"
        raise ValueError(
            f"Expected --resume to keep the options of the run. Received: "
            f"--{name.replace('_', '-')} {given[name]}, where the run has {value}. "
            f"{hint}"
        )
    if taken.epochs < (run.get("epochs_done") or 0):
        raise ValueError(
            f"Expected --epochs above {run['epochs_done']}, those that are done. "
            f"Received: --epochs {taken.epochs}"
        )
    if run.get("state") == "finished" and taken.epochs == run["epochs"]:
        raise ValueError(
            f"Expected a run to continue. Received: {path}, which is finished: "
            f"{run['epochs']} epochs. To train it for longer, say how many epochs in "
            f"all: --epochs {2 * run['epochs']} --extend"
        )
    _note_versions(run)
    return taken, run


def command_of(run: Mapping[str, Any]) -> str | None:
    """The command that begins a run with the options of this one.

    Args:
        run: What run.json says.

    Returns:
        The command, with the options that aren't the default; None for a run that
        doesn't say which options were given.
    """
    given = run.get("given")
    if not isinstance(given, dict):
        return None
    defaults = vars(parser().parse_args(["train"]))
    words = ["keras-seg", "train"]
    for name, value in given.items():
        if _as_option(value) == defaults.get(name):
            continue
        flag = name.replace("_", "-")
        words.append(f"--no-{flag}" if value is False else f"--{flag}")
        if not isinstance(value, bool):
            values = value if isinstance(value, list | tuple) else [value]
            words.append(",".join(map(str, values)))
    return shlex.join(words)


def _read(path: Path) -> dict[str, Any]:
    """What run.json says, whose options have the right types."""
    read_run(path, _EarlierRun)
    return read_run(path)


def _names(run: Mapping[str, Any], path: Any) -> list[str]:
    """Names of the options that a run has."""
    if not isinstance(run.get("given"), dict) or not run["given"].keys() <= run.keys():
        raise ValueError(
            f"Expected a run that says its options. Received: {path}. Likely cause: an "
            "older version of keras-seg wrote it."
        )
    return [*run["given"]]


def _parsed(words: Sequence[str], defaults: Mapping[str, Any]) -> argparse.Namespace:
    defaults = {name: _as_option(value) for name, value in defaults.items()}
    options = parser(defaults).parse_args(words)
    del options.command, options.verbose
    return options


def _as_option(value: Any) -> Any:
    """A value of JSON as the parser of options has it."""
    return tuple(value) if isinstance(value, list) else value


def _note_versions(run: Mapping[str, Any]) -> None:
    began = (run.get("versions") or {}).get("keras_seg")
    if began != keras_seg.__version__:
        warnings.warn(
            f"This run began with keras_seg {began}; this is {keras_seg.__version__}. "
            "It may not end as it would have.",
            stacklevel=2,
        )


def restore(
    checkpoint: Checkpoint, model: keras.Model, earlier: Mapping[str, Any]
) -> int:
    """Give the model the state of the last whole epoch; returns the epochs done."""
    epoch = checkpoint.restore(model)
    # One epoch may be done without a checkpoint: the run was killed between the two.
    if epoch == 0 and (earlier.get("epochs_done") or 0) > 1:
        raise ValueError(
            f"Expected checkpoints in {checkpoint.folder}. Received: none, though "
            f"{earlier['epochs_done']} epochs are done. Likely cause: they were "
            "removed. To begin a new run from the model of this one: `keras-seg train "
            f"--like {checkpoint.folder.parent} --weights {checkpoint.folder.parent}`"
        )
    return epoch


def fingerprint(source: Source) -> str:
    """Number of examples, and a checksum of their names in order."""
    names = "\n".join(map(str, source.names))
    return f"{len(source)} ({zlib.crc32(names.encode(errors='surrogateescape')):08x})"
