"""Ctrl-C and SIGTERM, sent to real processes."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time

import keras
import pytest

from keras_seg.cli import main

# A process as `keras-seg` is one, without waiting for TensorFlow.
HEAD = """
import sys, time
sys.argv = ["keras-seg"]
from keras_seg.cli import interrupt
"""


def started(code, *arguments):
    """A process that has printed its first line."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=listen,
    )
    process.stdout.readline()
    return process


def listen():
    # A shell's background jobs ignore Ctrl-C, and so would what they start.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def ended(process, seconds=20):
    """(exit status, stdout, stderr, seconds that it took) of a process."""
    start = time.monotonic()
    try:
        out, error = process.communicate(timeout=seconds)
    finally:
        process.kill()
    return process.returncode, out, error, time.monotonic() - start


@pytest.mark.parametrize(
    ("number", "status", "word"),
    [
        (signal.SIGINT, 130, "Interrupted"),
        (signal.SIGTERM, 143, "Terminated"),
    ],
)
def test_a_process_with_nothing_to_save_ends_at_once(number, status, word):
    # Also while Python's main thread is in C code that doesn't return.
    code = f"""{HEAD}
import threading
def main():
    print("ready", flush=True)
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()
interrupt.run(main)
"""
    process = started(code)
    process.send_signal(number)
    code, _, error, took = ended(process)
    assert code == status
    assert error.strip() == f"{word}."
    assert took < 2


FINISHING = f"""{HEAD}
def main():
    try:
        with interrupt.finishing():
            print("ready", flush=True)
            BODY
    except KeyboardInterrupt:
        LAST
        print("saved", flush=True)
    return 0
interrupt.run(main)
"""


def test_what_can_be_saved_is_saved_first():
    process = started(FINISHING.replace("BODY", "time.sleep(60)").replace("LAST", ""))
    process.send_signal(signal.SIGTERM)
    code, out, error, _ = ended(process)
    assert (code, out) == (143, "saved\n")
    assert error.startswith("\nTerminated.")


@pytest.mark.parametrize(
    "swallows", ["except BaseException: pass", "except BaseException: raise ValueError"]
)
def test_an_interruption_that_was_swallowed_is_not_lost(swallows):
    body = f"""
            for k in range(600):
                interrupt.check()
                try: time.sleep(0.1)
                {swallows}
"""
    process = started(FINISHING.replace("BODY", body).replace("LAST", ""))
    process.send_signal(signal.SIGINT)
    code, out, _, took = ended(process)
    assert (code, out) == (130, "saved\n")
    assert took < 3


def test_an_interruption_of_a_destructor_is_not_reported_and_not_lost():
    # JAX has such a callback of garbage collection.
    body = """
            type("Held", (), {"__del__": lambda self: time.sleep(60)})()
            interrupt.check()
"""
    process = started(FINISHING.replace("BODY", body).replace("LAST", ""))
    process.send_signal(signal.SIGTERM)
    code, out, error, took = ended(process)
    assert (code, out) == (143, "saved\n")
    assert error.startswith("\nTerminated.")
    assert error.count("\n") == 2
    assert took < 3


@pytest.mark.slow
def test_a_second_signal_ends_a_process_that_does_not_finish():
    code = FINISHING.replace("BODY", "time.sleep(60)").replace("LAST", "time.sleep(60)")
    process = started(code)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    code, out, _, took = ended(process)
    assert (code, out) == (130, "")
    assert took < 6


@pytest.mark.slow
def test_a_second_signal_leaves_time_to_finish():
    code = FINISHING.replace("BODY", "time.sleep(60)").replace("LAST", "time.sleep(1)")
    process = started(code)
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
    assert ended(process)[:2] == (130, "saved\n")


def test_an_ignored_signal_stays_ignored():
    code = f"""{HEAD}
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
def main():
    print("ready", flush=True)
    time.sleep(1)
    return 3
interrupt.run(main)
"""
    process = started(code)
    process.send_signal(signal.SIGINT)
    assert ended(process)[0] == 3


def test_the_exit_status_is_that_of_the_command():
    code = f"{HEAD}\nprint('ready', flush=True)\ninterrupt.run(lambda: 7)"
    assert ended(started(code))[0] == 7


@pytest.mark.slow
def test_unfinished_files_go_with_a_process_that_ends_at_once(tmp_path):
    code = f"""{HEAD}
import importlib
def main():
    from keras_seg.files import written_aside
    with written_aside(sys.argv[1]) as aside:
        aside.write_text("half")
        print("ready", flush=True)
        time.sleep(60)
interrupt.run(main)
""".replace('sys.argv = ["keras-seg"]', 'sys.argv[0] = "keras-seg"')
    process = started(code, str(tmp_path / "file.txt"))
    assert os.listdir(tmp_path) == [".file.writing.txt"]
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 143
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
def test_a_process_ends_though_threads_of_an_iterator_want_python():
    # Without `run`, 5 of 12 such processes hung in Python's last garbage collection.
    code = f"""{HEAD}
def main():
    import numpy as np, tensorflow as tf
    def work(i):
        return np.int64(sum(range(20000)))
    data = tf.data.Dataset.range(2**40).map(
        lambda i: tf.numpy_function(work, [i], tf.int64), num_parallel_calls=8)
    class Cycle: pass
    cycle = Cycle()
    cycle.itself, cycle.iterator = cycle, iter(data.prefetch(8))
    for _ in range(20):
        next(cycle.iterator)
    print("ready", flush=True)
    return 0
interrupt.run(main)
"""
    assert ended(started(code), seconds=60)[0] == 0


TINY = ["--widths", "4,8", "--size", "32", "--batch-size", "2"]


@pytest.mark.parametrize(
    ("number", "when", "epoch"),
    [(signal.SIGINT, "1/2  training", None), (signal.SIGTERM, "2/2  training", 1)],
)
@pytest.mark.slow
def test_an_interrupted_training_leaves_a_model(number, when, epoch, tmp_path):
    out = tmp_path / "run"
    steps = "100000" if epoch is None else "40"
    ours, theirs = os.openpty()  # progress within an epoch is for terminals only
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "keras_seg", "train", "--out", str(out), *TINY),
            *("--epochs", "2", "--steps-per-epoch", steps, "--val-images", "4"),
        ],
        stdout=theirs,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=listen,
    )
    os.close(theirs)
    seen = ""
    deadline = time.monotonic() + 120
    while when not in seen and time.monotonic() < deadline:
        seen += os.read(ours, 4096).decode(errors="replace")
    process.send_signal(number)
    code, _, error, _ = ended(process, seconds=60)
    assert code == 128 + number
    assert "Traceback" not in error
    with contextlib.suppress(OSError):  # at the end
        while more := os.read(ours, 4096):
            seen += more.decode(errors="replace")
    assert f"To continue: keras-seg train --resume {out}" in seen + error
    assert keras.models.load_model(out / "model.keras").name == "unet"
    described = json.loads((out / "run.json").read_text())
    assert described["state"] == "interrupted"
    assert described.get("best", {}).get("epoch") == epoch
    left = " ".join(os.listdir(out))
    assert not re.findall(r"writing|lock", left)


def test_ctrl_c_in_the_middle_of_a_command_is_no_error(monkeypatch, capsys):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("keras_seg.cli.evaluate.evaluate", interrupted)
    assert main(["evaluate", "x"]) == 130
    assert capsys.readouterr().err == "\nInterrupted.\n"
