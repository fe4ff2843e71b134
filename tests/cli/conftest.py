"""Data sets, a trained run, and a look at what a training is given."""

import contextlib
import fcntl
import os
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from PIL import Image

import keras_seg
from keras_seg.cli import main

TINY = ["--widths", "4,8", "--size", "32", "--batch-size", "2", "--epochs", "1"]


@pytest.fixture(scope="session")
def of_all_workers(tmp_path_factory):
    """A function from a name to a folder that one worker fills and all read."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent

    @contextlib.contextmanager
    def folder(name: str):
        with open(base / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # until the file is closed
            filled = (base / name).exists()
            (base / name).mkdir(exist_ok=True)
            yield base / name, filled

    return folder


@pytest.fixture(scope="session")
def voc_tree(of_all_workers) -> Path:
    with of_all_workers("voc") as (folder, filled):
        if not filled:
            _write_voc_tree(folder / "VOC2012")
    return folder / "VOC2012"


def _write_voc_tree(root: Path) -> None:
    keras_seg.data.write_voc(keras_seg.data.shapes(6, size=(40, 50)), root, "train")
    keras_seg.data.write_voc(
        keras_seg.data.shapes(5, size=(37, 61), seed=1), root, "val"
    )


@pytest.fixture(scope="session")
def run(voc_tree, of_all_workers) -> Path:
    """A run of 20 steps; what the command printed is in `said.txt` beside it."""
    with of_all_workers("runs") as (folder, filled):
        if not filled:
            _train_run(voc_tree, folder / "voc")
    return folder / "voc"


def _train_run(voc_tree: Path, out: Path) -> None:
    options = ["--data", "voc", "--root", str(voc_tree), *TINY]
    options += ["--epochs", "2", "--steps-per-epoch", "10", "--learning-rate", "0.01"]
    with (
        open(out.parent / "said.txt", "w") as said,
        contextlib.redirect_stdout(said),
    ):
        status = main(["train", *options, "--out", str(out)])
    assert status == 0


@pytest.fixture(scope="module")
def only_trained():
    """For trainings that look at no examples first, draw no curves, export and report
    nothing.

    `run` does all that; it takes more than half of the time of so small a training.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("keras_seg.cli.train._look_at_some", lambda *_: None)
        patch.setattr("keras_seg.training.runs.curves", lambda *_: None)
        patch.setattr(keras_seg, "export", lambda *_, **__: None)
        patch.setattr("keras_seg.cli.train.report_training", lambda *_: None)
        yield


class CapturedError(Exception):
    """Raised in place of a training."""


@pytest.fixture
def given_to_fit(monkeypatch, tmp_path, capsys):
    """A function from options of `train` to what they make of model and batches.

    The folder of the run, `out`, has the model as it would be trained.
    """

    def given(*options: str) -> SimpleNamespace:
        seen = SimpleNamespace()

        def fit(model, batches, **arguments):
            seen.model, seen.batches, seen.arguments = model, batches, arguments
            raise CapturedError

        with monkeypatch.context() as patch:
            patch.setattr(keras.Model, "fit", fit)
            # That examples are looked at first is in test_inspect.py; it takes long.
            patch.setattr("keras_seg.cli.train._look_at_some", lambda *_: None)
            seen.out = tmp_path / f"captured{len(list(tmp_path.iterdir()))}"
            assert main(["train", *options, "--out", str(seen.out)]) == 1
        seen.said, error = capsys.readouterr()
        assert "CapturedError" in error, error
        seen.model.save(seen.out / "model.keras")
        return seen

    return given


@pytest.fixture(scope="session")
def own_folders(tmp_path_factory) -> Path:
    """Images of four bands and masks of 0 and 255, 20 of each."""
    root = tmp_path_factory.mktemp("own")
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    for k in range(20):
        mask = np.zeros((36, 44), np.uint8)
        mask[5 : 5 + k, 8:30] = 255
        bands = (
            rng.integers(0, 100, (36, 44, 4)).astype(np.uint8) + mask[..., None] // 2
        )
        Image.fromarray(bands, "RGBA").save(root / f"images/tile{k}.png")
        Image.fromarray(mask).save(root / f"masks/tile{k}_mask.png")
    return root


@pytest.fixture
def tiny() -> list[str]:
    """Options of a training that takes seconds."""
    return TINY
