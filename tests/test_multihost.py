"""examples/train_multihost.py as real processes that talk over the loopback network."""

import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

import keras_seg

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent
EPOCHS = 3
# Whole minutes on a busy machine, on which all of this is compiled in each process.
PATIENCE = 900


@pytest.fixture(scope="module")
def voc_tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("hosts") / "VOC2012"
    for split, count in (("train", 10), ("val", 5)):
        source = keras_seg.data.shapes(count, size=(40, 48))
        keras_seg.data.write_voc(source, root, split)
    return root


class Hosts:
    """Processes that train together."""

    def __init__(self, root, out, count):
        pytest.importorskip("jax")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        small = "--size 32 --batch-size 4 --steps-per-epoch 3 --widths 4,8".split()
        command = [sys.executable, str(ROOT / "examples/train_multihost.py"), str(root)]
        command += [str(out), *small, "--epochs", str(EPOCHS), "--hosts", str(count)]
        command += ["--coordinator", f"127.0.0.1:{port}"]
        self.out = out
        out.parent.mkdir(parents=True, exist_ok=True)
        self.logs = [out.parent / f"{out.name}-{k}.log" for k in range(count)]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
        self.processes = []
        for k, log in enumerate(self.logs):
            with open(log, "w") as file:
                process = subprocess.Popen(
                    [*command, "--host", str(k)],
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    env=environment,
                )
            self.processes.append(process)

    def end(self):
        for process, log in zip(self.processes, self.logs, strict=True):
            assert process.wait(PATIENCE) == 0, log.read_text()

    def kill_after_an_epoch(self, victim):
        """Kill one; returns seconds until the other ends, its status and output."""
        first = self.out / "checkpoints/epoch-000001.checkpoint"
        deadline = time.monotonic() + PATIENCE
        while not first.exists():
            assert all(process.poll() is None for process in self.processes)
            assert time.monotonic() < deadline
            time.sleep(0.01)
        self.processes[victim].send_signal(signal.SIGKILL)
        begin = time.monotonic()
        other = 1 - victim
        status = self.processes[other].wait(PATIENCE)
        self.processes[victim].wait()
        return time.monotonic() - begin, status, self.logs[other].read_text()


def state(out):
    """All that the last checkpoint has, by path of its variable."""
    path = out / f"checkpoints/epoch-{EPOCHS:06}.checkpoint"
    with zipfile.ZipFile(path) as archive:
        names = sorted(x for x in archive.namelist() if x.endswith(".npy"))
        return {name: np.load(archive.open(name)) for name in names}


@pytest.fixture(scope="module")
def two(voc_tree, tmp_path_factory):
    """The folder of a training on two hosts that nothing interrupts."""
    out = tmp_path_factory.mktemp("two") / "run"
    Hosts(voc_tree, out, 2).end()
    return out


def test_two_hosts_equal_one(two, voc_tree, tmp_path):
    Hosts(voc_tree, tmp_path / "run", 1).end()
    one, several = state(tmp_path / "run"), state(two)
    assert one.keys() == several.keys()
    for name, expected in one.items():
        np.testing.assert_allclose(
            several[name].astype(float), expected, rtol=1e-5, atol=1e-5, err_msg=name
        )
    rows = [
        np.genfromtxt(x / "history.csv", names=True, delimiter=",")
        for x in (two, tmp_path / "run")
    ]
    assert list(rows[0]["epoch"]) == [1, 2, 3]
    for name in rows[0].dtype.names:  # losses, and the scores of all five images
        np.testing.assert_allclose(rows[0][name], rows[1][name], rtol=1e-5)


@pytest.mark.parametrize("victim", [0, 1])
def test_when_one_is_killed_the_other_ends_and_both_go_on_as_if_nothing_was(
    victim, two, voc_tree, tmp_path
):
    out = tmp_path / "run"
    seconds, status, said = Hosts(voc_tree, out, 2).kill_after_an_epoch(victim)
    assert seconds < 60
    assert status != 0
    assert "another host stopped first" in said or "another task died" in said
    Hosts(voc_tree, out, 2).end()
    resumed, whole = state(out), state(two)
    for name, expected in whole.items():
        np.testing.assert_array_equal(resumed[name], expected, err_msg=name)
    assert (out / "history.csv").read_text() == (two / "history.csv").read_text()
