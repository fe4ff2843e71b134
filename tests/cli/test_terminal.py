"""What the command writes, as a process of its own: to a terminal, to a pipe, when."""

import io
import os
import pty
import re
import signal
import subprocess
import sys
import time

import pytest

from keras_seg import terminal
from keras_seg.cli import main

CONTROL = re.compile(r"[\x1b\r\b]")
NOISE = ("cuInit", "oneDNN", "absl", "cudart", "port.cc", "cpu_feature_guard")


def environment(**more):
    # As a user's: without the settings that the tests of this suite run under.
    return {k: v for k, v in os.environ.items() if not k.startswith("TF_")} | more


def command(*arguments):
    return [sys.executable, "-m", "keras_seg", *map(str, arguments)]


def inspection(voc_tree, tmp_path):
    sheet = tmp_path / "sheet.png"
    return command("inspect", "--data", "voc", "--root", voc_tree, "--sheet", sheet)


def run_in_terminal(arguments):
    """The exit status, and all that a terminal gets to show."""
    ours, theirs = pty.openpty()
    shown = b""
    with subprocess.Popen(
        arguments, stdout=theirs, stderr=theirs, env=environment(TERM="xterm")
    ) as process:
        os.close(theirs)
        try:
            while piece := os.read(ours, 65536):
                shown += piece
        except OSError:  # on Linux the end of a terminal is an error
            pass
    os.close(ours)
    return process.returncode, shown.decode()


@pytest.mark.slow
def test_a_pipe_gets_lines_and_nothing_from_tensorflow(voc_tree, tmp_path):
    done = subprocess.run(
        inspection(voc_tree, tmp_path), capture_output=True, env=environment()
    )
    out, err = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == 0
    assert err == ""
    assert re.search("^Reading train: 6/6 - .*/image$", out, re.MULTILINE)
    assert re.search("^Reading val: 5/5 - .*/image$", out, re.MULTILINE)
    assert "train: 6 examples" in out
    assert not CONTROL.search(out)


def test_a_terminal_gets_a_bar(voc_tree, tmp_path, monkeypatch):
    # What TensorFlow says there is in the next test.
    shown = Terminal()
    monkeypatch.setattr(sys, "stdout", shown)
    monkeypatch.setenv("TERM", "xterm")
    assert main(inspection(voc_tree, tmp_path)[3:]) == 0
    assert "\r" in shown.getvalue()
    assert "━" in shown.getvalue()


class Terminal(io.StringIO):
    """What says that it is a terminal."""

    def isatty(self):
        return True


@pytest.mark.slow
def test_a_training_in_a_terminal_has_a_line_that_moves_below_its_table(tmp_path):
    size = ["--widths", "4,8", "--size", "32", "--batch-size", "2", "--epochs", "1"]
    out = ["--val-images", "3", "--steps-per-epoch", "40", "--out", tmp_path / "run"]
    status, shown = run_in_terminal(command("train", *size, *out))
    assert status == 0
    lines = shown.replace("\r\n", "\n").split("\n")
    row = next(line for line in lines if "1/1" in line)
    *live, cleared, last = row.split("\r")
    assert any(re.search(r"training, \d+/40 steps, loss \d", text) for text in live)
    assert cleared.strip() == ""
    assert re.match(r" +1/1 +\d+\.\d{4} ", last)
    assert "\x1b" not in row
    assert not [word for word in NOISE if word in shown]


@pytest.mark.slow
def test_verbose_shows_what_tensorflow_says_and_where_an_error_arose(tmp_path):
    done = subprocess.run(
        command("train", "--data", "voc", "--root", tmp_path, "--verbose"),
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert done.returncode == 1
    assert any(word in done.stderr for word in NOISE)
    assert "Traceback" in done.stderr
    assert "\nkeras-seg: error: " in done.stderr


BROKEN = (
    "import os\nos.write(2, b'the library is missing\\n')\nraise ImportError('no')\n"
)


def test_an_import_that_fails_shows_what_was_written(tmp_path):
    (tmp_path / "tensorflow.py").write_text(BROKEN)
    done = subprocess.run(
        command("train"),
        capture_output=True,
        text=True,
        env=environment(PYTHONPATH=f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"),
    )
    assert done.returncode == 1
    assert "the library is missing" in done.stderr
    assert "keras-seg: error: no" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(["--version"], 0), (["train", "--help"], 0), (["train", "--nosuch"], 2), ([], 2)],
)
def test_help_and_mistyped_options_do_not_wait_for_tensorflow(
    arguments, status, tmp_path
):
    # With a TensorFlow and a Keras that can't be imported, which is sharper than a
    # clock on a busy machine.
    for module in ("tensorflow", "keras", "numpy"):
        (tmp_path / f"{module}.py").write_text(BROKEN)
    script = tmp_path / "keras-seg"
    script.write_text("import sys, keras_seg.cli\nsys.exit(keras_seg.cli.main())\n")
    path = f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"
    for start in ([sys.executable, str(script)], command()):
        began = time.monotonic()
        done = subprocess.run(
            [*start, *arguments], capture_output=True, env=environment(PYTHONPATH=path)
        )
        assert done.returncode == status, done.stderr
        assert b"missing" not in done.stderr
        assert time.monotonic() - began < 10


@pytest.mark.slow
def test_a_script_can_load_a_model_after_importing_keras_seg(run):
    script = (
        "import keras_seg, keras; print(keras.models.load_model"
        f"({str(run / 'model.keras')!r}).name)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "-m", "keras_seg"],
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert done.stdout == "unet\n", done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "errors_too", "status"),
    [
        (["train", "--help"], False, 0),  # argparse takes it for written
        (["inspect"], False, 128 + signal.SIGPIPE),
        (["inspect"], True, 128 + signal.SIGPIPE),
    ],
)
def test_a_reader_who_goes_ends_the_command_in_silence(
    words, errors_too, status, voc_tree
):
    """As `keras-seg ... | head -1` does, but at the first word."""
    if words[0] == "inspect":
        words = [*words, "--data", "voc", "--root", voc_tree]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        command(*words),
        stdout=writer,
        stderr=subprocess.STDOUT if errors_too else subprocess.PIPE,
        env=environment(),
    )
    os.close(writer)
    assert done.returncode == status
    assert not done.stderr


@pytest.mark.parametrize("where", ["a log", "a terminal"])
def test_a_bar_says_what_it_counts(where, capsys, monkeypatch):
    monkeypatch.setattr(terminal, "is_terminal", lambda: where == "a terminal")
    bar = terminal.progress(3, "image", "Scoring val")
    for _ in range(3):
        bar.add(1)
    out = re.sub(r"\x1b\[[0-9;]*m|[\r\b]", "", capsys.readouterr().out)
    if where == "a log":
        assert re.fullmatch(r"Scoring val: 3/3 - .*/image\n", out)
    else:
        assert out.startswith("Scoring val\n")
        assert out.count("Scoring val") == 1
        assert "3/3" in out
    bar = terminal.progress(3, "image", "Scoring val", verbose=False)
    bar.update(3)
    assert capsys.readouterr().out == ""
