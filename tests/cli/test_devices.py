"""`keras-seg train --devices`: more than one device, and how a run goes on with it."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import keras_seg
from keras_seg.cli import main


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--devices 2 --ema 0.9", "Expected --ema with one device"),
        ("--devices 2 --accumulate 2", "Expected --accumulate with one device"),
        ("--devices 3", "that 3 devices can share equally. Received: --batch-size 16"),
        ("--devices 4 --batch-size 6", "Received: --batch-size 6"),
        ("--devices 4", "Expected --devices to be from 1 to 2, the cores of the CPU"),
    ],
)
def test_what_devices_can_not_do_is_refused(
    options, message, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    out = tmp_path / "run"
    assert main(["train", "--data", "shapes", *options.split(), "--out", str(out)]) == 1
    assert message in capsys.readouterr().err
    assert not out.exists()


# In a process of its own: TensorFlow splits the CPU before it uses it.
CODE = """
import contextlib, csv, io, json, shutil, sys
from pathlib import Path
import keras, numpy as np
from keras_seg.cli import main
from keras_seg.training import callbacks, mirrored

mirrored(2)
root, folder = sys.argv[1], Path(sys.argv[2])
options = ["--data", "voc", "--root", root, "--epochs", "2", "--steps-per-epoch", "4"]
options += ["--widths", "4,8", "--size", "32", "--batch-size", "4", "--clip", "1"]

def train(name, *more):
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        assert main(["train", *map(str, more)]) == 0, said.getvalue()
    run = folder / name
    model = keras.saving.load_model(run / "model.keras")
    rows = list(csv.DictReader((run / "history.csv").read_text().splitlines()))
    return {
        "weights": [np.asarray(w).tolist() for w in model.get_weights()],
        "history": [{k: float(v) for k, v in row.items()} for row in rows],
        "scores": json.loads((run / "metrics.json").read_text()),
        "devices": json.loads((run / "run.json").read_text())["given"]["devices"],
        "said": said.getvalue(),
    }

found = {
    "one": train("one", *options, "--out", folder / "one"),
    "two": train("two", *options, "--devices", 2, "--out", folder / "two"),
}

class Killed(BaseException):
    pass

original = callbacks.CSVHistory.on_epoch_end

def end(self, epoch, logs=None):
    original(self, epoch, logs)
    if epoch == 1:
        raise Killed

callbacks.CSVHistory.on_epoch_end = end
with contextlib.suppress(Killed):
    main(["train", *options, "--devices", "2", "--out", str(folder / "killed")])
callbacks.CSVHistory.on_epoch_end = original
shutil.copytree(folder / "killed", folder / "moved")
found["resumed"] = train("killed", "--resume", folder / "killed")
found["moved"] = train("moved", "--resume", folder / "moved", "--devices", 1)
print("RESULTS", json.dumps(found))
"""


@pytest.mark.slow
def test_two_devices_give_the_run_of_one_and_resume(voc_tree, tmp_path):
    root = os.path.dirname(keras_seg.__path__[0])
    paths = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(voc_tree), str(tmp_path)],
        env=os.environ | {"KERAS_BACKEND": "tensorflow", "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.split("RESULTS")[1])

    def assert_close(name, other):
        for a, b in zip(found[name]["weights"], found[other]["weights"], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
        rows = zip(found[name]["history"], found[other]["history"], strict=True)
        for a, b in rows:
            assert a.keys() == b.keys()
            for key in a:
                assert a[key] == pytest.approx(b[key], rel=1e-4), key

    assert_close("two", "one")
    assert found["two"]["scores"]["images"] == 5
    for key in ("weights", "history", "scores", "devices"):  # bit by bit
        assert found["resumed"][key] == found["two"][key]
    assert_close("moved", "two")
    assert found["moved"]["devices"] == 1
    assert "goes on with --devices 1 in place of 2" in found["moved"]["said"]
    assert "goes on with" not in found["resumed"]["said"]
