"""Ctrl-C and SIGTERM: the process ends within seconds, whatever it is doing.

Python runs signal handlers in the main thread, between two of its own instructions. So
an exception raised there comes late while TensorFlow computes, and gets lost where
TensorFlow calls Python. That is why here

- a thread of its own, which Python tells of each signal at once, ends the process at
  any moment at which there is nothing to save;
- only inside `finishing()` is it KeyboardInterrupt, raised once. `check()` raises it
  again if it got lost;
- a second signal ends the process in any case, after a short time to finish in.

The process must also not hang when it ends. Python's last garbage collection destroys
what is left of tf.data's iterators, and these wait for their threads. But a thread that
wants to call Python then (to draw shapes, say) stops for ever, since Python gives its
lock to no other thread any more: so both wait. `run` therefore closes the iterators
while their threads can still finish. After an interruption, when something may hold one
still, it also leaves out Python's last steps.
"""

import contextlib
import functools
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

_MESSAGES: dict[int, str] = {
    signal.SIGINT: "Interrupted.",
    signal.SIGTERM: "Terminated.",
}
# Seconds to finish in after a second signal.
_GRACE = 3.0

_received: list[int] = []  # signals so far, as the main thread saw them
_is_finishing = False
_ending = threading.Lock()  # taken by the thread that ends the process
_unannounced = threading.Lock()  # taken by the thread that says which signal came
_stderr = 2


def run(main: Callable[[], int] | None = None) -> NoReturn:
    """Run the command line as this process, and end it with its exit status."""
    if main is None:
        from keras_seg import cli

        main = cli.main
    _watch()
    status = main()
    gc.collect()  # closes the iterators of tf.data, whose threads need Python for it
    if not _received:
        sys.exit(status)
    _announce(_received[0], "")
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(128 + _received[0])


def received() -> int | None:
    """The first signal that came, None if none did."""
    return _received[0] if _received else None


def check() -> None:
    """Raise KeyboardInterrupt if a signal came: between steps, in case it got lost."""
    if _received:
        raise KeyboardInterrupt


@contextlib.contextmanager
def finishing() -> Iterator[None]:
    """Let a signal be KeyboardInterrupt inside, so that something can be saved.

    An error that TensorFlow made of the KeyboardInterrupt becomes one again.
    """
    global _is_finishing
    before, _is_finishing = _is_finishing, True
    try:
        yield
    except Exception as error:
        if _received:
            raise KeyboardInterrupt from error
        raise
    finally:
        _is_finishing = before


def _watch() -> None:
    """Begin to handle the signals that aren't ignored, as they are under nohup."""
    global _stderr
    if os.name != "posix":  # Windows: KeyboardInterrupt, as Python has it
        return
    _stderr = os.dup(
        2
    )  # file descriptor 2 is another file while TensorFlow is imported
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(line_buffering=True)  # nothing waits to be written
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    handled = [n for n in _MESSAGES if signal.getsignal(n) is not signal.SIG_IGN]
    for number in handled:
        signal.signal(number, _handle)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    sys.unraisablehook = functools.partial(_unraisable, sys.unraisablehook)
    threading.Thread(target=_follow, args=(reader, handled), daemon=True).start()


def _unraisable(otherwise: Callable[[Any], Any], unraisable: Any) -> None:
    """Say nothing of an interruption that is lost in a callback: `check` raises it."""
    if not (_received and issubclass(unraisable.exc_type, KeyboardInterrupt)):
        otherwise(unraisable)


def _handle(number: int, frame: Any) -> None:
    """In the main thread, sooner or later."""
    if not _is_finishing and not _received:
        _end_now(number)
    _received.append(number)
    if len(_received) == 1:
        raise KeyboardInterrupt


def _follow(reader: int, handled: list[int]) -> None:
    """In a thread of its own, at once."""
    came: list[int] = []
    while True:
        for number in os.read(reader, 64):
            if number not in handled:
                continue
            came.append(number)
            if not _is_finishing and not _received:
                _end_now(number)
            elif len(came) == 1:
                _announce(number, " Finishing ...")
            else:
                time.sleep(_GRACE)
                _end_now(came[0])


def _end_now(number: int) -> NoReturn:
    if not _ending.acquire(blocking=False):
        while True:  # another thread is ending the process
            time.sleep(1)
    _announce(number, "")
    files = sys.modules.get("keras_seg.files")
    if files is not None and hasattr(files, "remove_unfinished"):
        files.remove_unfinished()
    os._exit(128 + number)


def _announce(number: int, more: str) -> None:
    """Say which signal came, once."""
    if _unannounced.acquire(blocking=False):
        with contextlib.suppress(OSError):
            os.write(_stderr, f"\n{_MESSAGES[number]}{more}\n".encode())
