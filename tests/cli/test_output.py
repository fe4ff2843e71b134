"""What `keras-seg train` prints with --quiet and --json, and of a loss that is NaN."""

import csv
import json
import math
import shutil

import keras
import numpy as np
import pytest
from PIL import Image

import keras_seg
from keras_seg.cli import main
from keras_seg.training import StopOnNaN

STEPS = 3
pytestmark = pytest.mark.usefixtures("only_trained")


@pytest.fixture(scope="module")
def options(voc_tree):
    small = ["--widths", "4,8", "--size", "32", "--batch-size", "2", "--epochs", "3"]
    steps = ["--steps-per-epoch", str(STEPS), "--seed", "5"]
    return ["train", "--data", "voc", "--root", str(voc_tree), *small, *steps]


def history(run):
    return list(csv.DictReader((run / "history.csv").read_text().splitlines()))


@pytest.mark.slow
def test_json_lines_are_epochs_and_the_result_and_nothing_else(
    options, tmp_path, capfd
):
    out = tmp_path / "run"
    flags = ["--json", "--tensorboard", "--epochs", "2", "--out", str(out)]
    assert main([*options, *flags]) == 0
    *epochs, last = map(json.loads, capfd.readouterr().out.splitlines())
    for number, (epoch, row) in enumerate(zip(epochs, history(out), strict=True), 1):
        assert (epoch["epoch"], epoch["epochs"]) == (number, 2)
        for name in row.keys() - {"epoch"}:
            value = float(row[name])
            expected = None if math.isnan(value) else pytest.approx(value)
            assert epoch[name] == expected
        assert 0 <= epoch["waiting"] <= 1
        assert epoch["images_per_second"] > 0
    assert epochs[0]["seconds_left"] > 0
    assert epochs[1]["seconds_left"] == 0
    (result,) = last.values()
    assert [*last] == ["result"]
    assert result["run"] == str(out)
    assert result["state"] == "finished"
    assert result["best"]["epoch"] in [e["epoch"] for e in epochs if e["best"]]
    assert result["scores"] == json.loads((out / "metrics.json").read_text())
    parts = [path.name for path in (out / "tensorboard").iterdir()]
    assert sorted(parts) == ["train", "validation"]


def test_errors_of_a_training_with_json_are_not_on_standard_output(options, capfd):
    assert main([*options, "--json", "--val-split", "none"]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert "keras-seg: error: " in err


def test_quiet_and_json_exclude_each_other(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["train", "--quiet", "--json"])
    assert ended.value.code == 2
    assert "not allowed with" in capsys.readouterr().err


@pytest.fixture(scope="module")
def diverged(options, tmp_path_factory):
    """A run whose loss is NaN in the second step of its second epoch."""
    original = StopOnNaN.on_train_batch_end

    def end(self, batch, logs=None):
        late = self._epoch == 1 and batch >= 1
        original(self, batch, {"loss": math.nan} if late else logs)

    out = tmp_path_factory.mktemp("diverged") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StopOnNaN, "on_train_batch_end", end)
        assert main([*options, "--learning-rate", "0.02", "--out", str(out)]) == 1
    return out


@pytest.fixture
def again(diverged, tmp_path):
    return shutil.copytree(diverged, tmp_path / "run")


@pytest.mark.slow
def test_a_nan_loss_leaves_the_last_good_state(diverged):
    described = json.loads((diverged / "run.json").read_text())
    assert (described["state"], described["epochs_done"]) == ("diverged", 1)
    assert [row["epoch"] for row in history(diverged)] == ["1"]
    model = keras.models.load_model(diverged / "model.keras")
    assert int(model.optimizer.iterations) == STEPS
    assert all(np.isfinite(array).all() for array in model.get_weights())
    names = [path.name for path in (diverged / "checkpoints").iterdir()]
    assert names == ["epoch-000001.checkpoint"]


@pytest.mark.slow
def test_a_nan_loss_is_named_with_its_examples_and_what_to_do(
    again, options, voc_tree, capsys, monkeypatch
):
    read = set()
    original = StopOnNaN.on_train_batch_end

    def end(self, batch, logs=None):
        read.update(self.indices(batch, batch))
        original(self, batch, {"loss": math.inf})

    monkeypatch.setattr(StopOnNaN, "on_train_batch_end", end)
    assert main(["train", "--resume", str(again)]) == 1
    error = capsys.readouterr().err
    names = keras_seg.data.voc(voc_tree, "train").names
    assert "inf at step 1 of epoch 2, whose batch has " in error
    for k in read:
        assert names[k] in error
    assert "--learning-rate too high; --precision mixed_float16" in error
    like = f"keras-seg train --like {again} --weights {again} --learning-rate 0.002"
    assert like in error
    assert f"keras-seg train --resume {again} goes on" in error


def test_the_examples_of_a_step_are_those_that_training_reads(tmp_path, given_to_fit):
    # Example k is all of class k, so masks tell which example a crop is of.
    for split in ("train", "val"):
        for kind in ("images", "masks"):
            (tmp_path / split / kind).mkdir(parents=True)
        for k in range(8):
            image = np.full((32, 32, 3), 100 + k + (split == "val"), np.uint8)
            mask = np.full((32, 32), k, np.uint8)
            Image.fromarray(image).save(tmp_path / split / f"images/{k}.png")
            Image.fromarray(mask).save(tmp_path / split / f"masks/{k}.png")
    paths = [f"{tmp_path}/{{split}}/{kind}" for kind in ("images", "masks")]
    words = ["--data", "folder", "--images", paths[0], "--masks", paths[1]]
    words += ["--names", "a,b,c,d,e,f,g,h", "--scale", "1,1", "--size", "32"]
    words += ["--widths", "4,8", "--batch-size", "3", "--seed", "7"]
    seen = given_to_fit(*words)
    (stop,) = (x for x in seen.arguments["callbacks"] if isinstance(x, StopOnNaN))
    read = [mask.numpy()[:, 16, 16].tolist() for _, mask in seen.batches.take(6)]
    assert [stop.indices(k, k) for k in range(6)] == read


@pytest.mark.slow
def test_a_quiet_run_that_diverged_goes_on_and_prints_its_scores(again, capfd):
    assert main(["train", "--resume", str(again), "--quiet"]) == 0
    out, _ = capfd.readouterr()
    assert out.startswith("class ")
    assert "mean IoU" in out
    assert out.endswith(f"\nThe run is in {again}\n")
    assert "epoch" not in out
    assert [row["epoch"] for row in history(again)] == ["1", "2", "3"]
