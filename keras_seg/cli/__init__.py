"""The command `keras-seg`.

What a command does is in the file of its name, which is imported once the options are
known to be right: so `--help` and a mistyped option are answered without waiting for
TensorFlow.
"""

import argparse
import contextlib
import importlib
import os
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import keras_seg
from keras_seg.cli import interrupt
from keras_seg.cli.messages import translated, with_arguments
from keras_seg.cli.options import parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    try:
        try:
            return _main(arguments)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # at the end of the process it's too late
    except BrokenPipeError:  # who read the output has gone, as `head` does
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):  # flushed once more at the end
            with contextlib.suppress(OSError, ValueError, AttributeError):
                os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        return 128 + 13  # as a shell has it for SIGPIPE


def _main(arguments: Sequence[str] | None) -> int:
    words = sys.argv[1:] if arguments is None else list(arguments)
    options = parser().parse_args(words)
    command, verbose = (vars(options).pop(name) for name in ("command", "verbose"))
    try:
        with contextlib.nullcontext() if verbose else _silence():
            if not hasattr(keras_seg, "unet"):  # it has waited for this
                importlib.reload(keras_seg)
            module = importlib.import_module(f"keras_seg.cli.{command}")
        is_json = vars(options).get("json", False)
        with warnings.catch_warnings(), _keras_silent(is_json):
            warnings.showwarning = _show_warning(options, warnings.showwarning)
            if command == "train":  # which may take options of another run
                return module.train(options, words) or 0
            return getattr(module, command)(options) or 0
    except KeyboardInterrupt:
        if interrupt.received() is None:  # else that was said when it came
            print("\nInterrupted.", file=sys.stderr)
        return 128 + (interrupt.received() or signal.SIGINT)
    except BrokenPipeError:
        raise
    except Exception as error:
        if verbose:
            traceback.print_exc()
        print(f"\nkeras-seg: error: {_advice(error, options, words)}", file=sys.stderr)
        return 1


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Import TensorFlow without what it writes about GPUs and processors.

    Its libraries write to file descriptor 2, where Python can't filter. The descriptor
    is a file for a while, shown only if the import fails; the messages that come later
    are turned off by TensorFlow's own variable. Its errors are exceptions.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "tensorflow" in sys.modules:
        yield
        return
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except Exception:
            kept.seek(0)
            os.write(stderr, kept.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)


@contextlib.contextmanager
def _keras_silent(is_silent: bool) -> Iterator[None]:
    """Keep what Keras says, of a download for example, from where JSON goes."""
    import keras  # not at the head of the file: it takes seconds

    was_talking = keras.utils.is_interactive_logging_enabled()
    if is_silent:
        keras.utils.disable_interactive_logging()
    try:
        yield
    finally:
        if was_talking:
            keras.utils.enable_interactive_logging()


def _show_warning(options: argparse.Namespace, others: Any) -> Any:
    """Make warnings to the user plain sentences; other kinds stay as they are."""

    def show(message: Any, category: Any, *where: Any, **more: Any) -> None:
        if category is not UserWarning:
            others(message, category, *where, **more)
            return
        text = translated(str(message), vars(options))
        print(f"Note: {text}", file=sys.stderr)

    return show


def _advice(error: Exception, options: argparse.Namespace, words: Sequence[str]) -> str:
    """What an error says, in terms of options, and the command that would mend it."""
    text = translated(_sentence(error), vars(options))
    changes = getattr(error, "arguments", None)
    return f"{text}\nTry: {with_arguments(words, changes)}" if changes else text


def _sentence(error: Exception) -> str:
    """What an error says, and what it is where that isn't said."""
    if isinstance(error, (ValueError, OSError, ImportError, MemoryError, RuntimeError)):
        return str(error) or type(error).__name__
    # Not at the head of the file: TensorFlow may be what couldn't be imported.
    from keras_seg.data.checks import cause_of, reason

    cause = cause_of(error)
    if cause is not error:
        return str(cause)
    return f"{type(error).__name__}: {reason(error)}\n(--verbose shows more.)"
