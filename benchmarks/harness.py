"""Sides that take turns: each in a process of its own, one at a time."""

import json
import os
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
            one turn, and that may return the seconds that count.
        arguments: Of the function; they are written as JSON.
        peer: Whether it runs in the Python that `KERAS_SEG_PEERS` names.
    """

    name: str
    function: str
    arguments: dict[str, Any] = {}  # noqa: RUF012 # a default that nobody changes
    peer: bool = False


class Comparison(NamedTuple):
    """One row of the table: sides that do the same work. The first is ours.

    Attributes:
        name: What the table calls it.
        module: The file in `benchmarks/subjects`.
        sides: Ours, and the others.
        work: How much a turn does, in units; 1 where a turn's time is what counts.
        unit: Of the numbers in the table: "images/s", or "s" for the time of a turn.
    """

    name: str
    module: str
    sides: Sequence[Side]
    work: int = 1
    unit: str = "s"


class Found(NamedTuple):
    """What was measured of one side: a number a round, and its largest memory."""

    side: str
    values: list[float]
    peak_mib: float

    @property
    def median(self) -> float:
        return statistics.median(self.values)


def python_of(side: Side) -> str | None:
    """The interpreter of a side; None if it isn't there."""
    return os.environ.get("KERAS_SEG_PEERS") if side.peer else sys.executable


def measure(
    comparison: Comparison, rounds: int, *, say: Callable[[str], None] = print
) -> list[Found]:
    """Let the sides take turns.

    Args:
        comparison: What to compare. Sides without an interpreter are left out.
        rounds: How many turns each side has.
        say: Called with what is going on.

    Raises:
        RuntimeError: if a side fails, with the last lines that it wrote.
    """
    sides = [side for side in comparison.sides if python_of(side)]
    processes = [_start(comparison, side) for side in sides]
    try:
        for side, process in zip(sides, processes, strict=True):
            say(f"{comparison.name}: {side.name} gets ready")
            _answer(process, side)
        turns: list[list[dict[str, float]]] = [[] for _ in sides]
        for _ in range(rounds):
            for side, process, taken in zip(sides, processes, turns, strict=True):
                assert process.stdin is not None
                process.stdin.write("\n")
                process.stdin.flush()
                taken.append(_answer(process, side))
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    return [
        Found(
            side.name,
            [_in_units(comparison, turn["seconds"]) for turn in taken],
            max(turn["peak_mib"] for turn in taken),
        )
        for side, taken in zip(sides, turns, strict=True)
    ]


def times_as_fast(comparison: Comparison, ours: Found, other: Found) -> float:
    """How many times as fast the first is as the second, by medians."""
    ratio = ours.median / other.median
    return 1 / ratio if comparison.unit == "s" else ratio


def _in_units(comparison: Comparison, seconds: float) -> float:
    return seconds if comparison.unit == "s" else comparison.work / seconds


def _start(comparison: Comparison, side: Side) -> subprocess.Popen:
    python = python_of(side)
    assert python is not None
    words = [comparison.module, side.function, json.dumps(side.arguments)]
    return subprocess.Popen(
        [python, "-m", "benchmarks.worker", *words],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if not os.environ.get("BENCHMARKS_VERBOSE") else None,
        text=True,
    )


def _answer(process: subprocess.Popen, side: Side) -> dict[str, float]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(
            f"{side.name} ended with status {process.wait()}. Its reason: run again "
            "with BENCHMARKS_VERBOSE=1."
        )
    return json.loads(line)
