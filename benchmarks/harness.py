"""Sides that take turns: each in a process of its own, stopped while others work."""

import contextlib
import importlib.util
import json
import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent


class Side(NamedTuple):
    """Who takes part in a comparison.

    Attributes:
        name: What the table calls it.
        function: Its name in the module of the subject. It returns a function that does
            one turn, and that may return what counts: the seconds, or the GiB. Then
            the memory of its process isn't told.
        arguments: Of the function; they are written as JSON.
        peer: Whether it runs in the Python that `KERAS_SEG_PEERS` names.
        needs: A package without which it is left out.
        limited: Whether the limit of the comparison is one for it too. That of
            products in float32 isn't one for bytes.
    """

    name: str
    function: str
    arguments: dict[str, Any] = {}  # noqa: RUF012 # a default that nobody changes
    peer: bool = False
    needs: str | None = None
    limited: bool = True


class Amount(NamedTuple):
    """How much of something limited a turn takes: of a machine's additions, say.

    Attributes:
        limit: The name of the comparison that measures the limit.
        module: The file in `benchmarks/subjects` that knows how much.
        function: Its name there. It returns a number, in the unit of the limit without
            "/s".
        arguments: Of the function.
    """

    limit: str
    module: str
    function: str
    arguments: dict[str, Any] = {}  # noqa: RUF012 # a default that nobody changes


class Comparison(NamedTuple):
    """One row of the table: sides that do the same work. The first is ours.

    Attributes:
        name: What the table calls it.
        module: The file in `benchmarks/subjects`.
        sides: Ours, and the others.
        work: How much a turn does, in units; 1 where a turn's time is what counts.
        unit: Of the numbers in the table: "images/s", "s" for the time of a turn, or
            "GiB", of which less is better too.
        amount: What of the machine a turn can't do without, where `unit` is "s".
    """

    name: str
    module: str
    sides: Sequence[Side]
    work: float = 1
    unit: str = "s"
    amount: Amount | None = None


class Found(NamedTuple):
    """What was measured of one side: a number a round, and its largest memory.

    The memory is None where a side says itself what counts.
    """

    side: str
    values: list[float]
    peak_gib: float | None

    @property
    def median(self) -> float:
        return statistics.median(self.values)


def python_of(side: Side) -> str | None:
    """The interpreter of a side; None if it, or what the side needs, isn't there."""
    if side.needs and importlib.util.find_spec(side.needs) is None:
        return None
    return os.environ.get("KERAS_SEG_PEERS") if side.peer else sys.executable


def measure(
    comparison: Comparison, rounds: int, *, say: Callable[[str], None] = print
) -> list[Found]:
    """Let the sides take turns; who is first, changes from round to round.

    Args:
        comparison: What to compare. Sides without an interpreter are left out.
        rounds: How many turns each side has.
        say: Called with what is going on.

    Raises:
        RuntimeError: if a side fails, with the last lines that it wrote.
    """
    sides = [side for side in comparison.sides if python_of(side)]
    processes = [_start(comparison.module, side) for side in sides]
    try:
        for side, process in zip(sides, processes, strict=True):
            say(f"{comparison.name}: {side.name} gets ready")
            _answer(process, side)
            _signal(process, signal.SIGSTOP)
        turns: list[list[dict[str, float]]] = [[] for _ in sides]
        in_order = list(zip(sides, processes, turns, strict=True))
        for _ in range(rounds):
            for side, process, taken in in_order:
                assert process.stdin is not None
                process.stdin.write("\n")
                process.stdin.flush()
                _signal(process, signal.SIGCONT)
                taken.append(_answer(process, side))
                _signal(process, signal.SIGSTOP)
            in_order = in_order[1:] + in_order[:1]
    finally:
        for process in processes:
            _signal(process, signal.SIGKILL)
            process.communicate()
    return [
        Found(
            side.name,
            [_in_units(comparison, turn["value"]) for turn in taken],
            max(
                (turn["peak_gib"] for turn in taken if "peak_gib" in turn), default=None
            ),
        )
        for side, taken in zip(sides, turns, strict=True)
    ]


def times_as_good(comparison: Comparison, ours: Found, other: Found) -> float:
    """How many times as fast the first is, or as small, as the second, by medians."""
    ratio = ours.median / other.median
    return ratio if _is_rate(comparison) else 1 / ratio


def amount_of(comparison: Comparison) -> float:
    """What of the machine a turn of a comparison can't do without."""
    amount = comparison.amount
    assert amount is not None
    side = Side("the amount", amount.function, amount.arguments)
    process = _start(amount.module, side)
    try:
        return _answer(process, side)["amount"]
    finally:
        _signal(process, signal.SIGKILL)
        process.communicate()


def _is_rate(comparison: Comparison) -> bool:
    return comparison.unit.endswith("/s")


def _in_units(comparison: Comparison, value: float) -> float:
    return comparison.work / value if _is_rate(comparison) else value


def _start(module: str, side: Side) -> subprocess.Popen:
    python = python_of(side)
    assert python is not None
    words = [module, side.function, json.dumps(side.arguments)]
    return subprocess.Popen(
        [python, "-m", "benchmarks.worker", *words],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if not os.environ.get("BENCHMARKS_VERBOSE") else None,
        text=True,
        start_new_session=True,
    )


def _signal(process: subprocess.Popen, number: signal.Signals) -> None:
    """Send a signal to a side, and to the processes that it started.

    They are stopped between their turns: a pipeline would go on and fill its buffers
    at the cost of the others.
    """
    with contextlib.suppress(ProcessLookupError):  # it has ended
        os.killpg(process.pid, number)


def _answer(process: subprocess.Popen, side: Side) -> dict[str, float]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(
            f"{side.name} ended with status {process.wait()}. Its reason: run again "
            "with BENCHMARKS_VERBOSE=1."
        )
    return json.loads(line)
