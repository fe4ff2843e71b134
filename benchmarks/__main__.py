"""How fast keras_seg is beside what a user would take instead.

    pip install 'keras-seg[lite]'
    KERAS_SEG_PEERS=/path/to/python python -m benchmarks --root VOCdevkit/VOC2012

The sides of a comparison take turns, in another order each round, each in a process of
its own that is stopped while others work; the numbers are medians and ranges over
rounds, and the ratios are of medians. The peers run in the Python that KERAS_SEG_PEERS
names, with what `benchmarks/peers.txt` lists; without it ours runs alone. Close other
programs first: a number that was taken beside other work is of no use.

"Times as good" is times as fast, or times as little memory. "Work" is what a turn can't
do without: the additions and multiplications of a net, a training step counted as three
predictions; for losses and metrics the bytes of logits that have to be read, and of a
gradient that has to be written. "Limit" is the share that work / median is of a rate
that the machine reached in the same run: of one large product of matrices in float32,
or of moving memory. A convolution can be computed with fewer additions than it is
counted with. What computes in bytes has no limit here. GiB is the largest memory of the
process, and what those that it started have of their own.
"""

import argparse
import datetime
import json
import os
import platform
import re
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.comparisons import EXPORTED_IN, comparisons, limits
from benchmarks.harness import (
    ROOT,
    Comparison,
    Found,
    amount_of,
    measure,
    times_as_good,
)

PAGE = Path(__file__).with_name("RESULTS.md")
KEPT = Path(__file__).with_name("results.json")
#: What a run may depend on, of ours and of the peers' Python.
PACKAGES = (
    "keras",
    "tensorflow",
    "numpy",
    "keras-hub",
    "onnxruntime",
    "ai-edge-litert",
)
OF_PEERS = (
    *("torch", "torchvision", "segmentation-models-pytorch", "timm", "albumentations"),
    *("opencv-python-headless", "torchmetrics"),
)
DIGITS = {"s": 3, "GiB": 2, "GB/s": 1, "GFLOP": 1, "GB": 3}
UNITS = {limit.name: limit.unit for limit in limits()}


def rows(comparison: Comparison, entry: dict[str, Any]) -> str:
    """A comparison as rows of a table in Markdown.

    Args:
        comparison: What was compared.
        entry: What was measured of it, as `entry_of` returns it.
    """
    found = [Found(**side) for side in entry["sides"]]
    ours = found[0]
    unlimited = {side.name for side in comparison.sides if not side.limited}
    lines = []
    for each in found:
        first = each is ours
        low, high = (_number(f(each.values), comparison.unit) for f in (min, max))
        work, share, memory = "", "", ""
        if comparison.amount and "limit" in entry:
            rate = UNITS[comparison.amount.limit]
            unit = rate.removesuffix("/s")
            work = f"{_number(entry['amount'], unit)} {unit}" if first else ""
            if each.side not in unlimited:
                share = f"{entry['amount'] / each.median / entry['limit']:.0%}"
                share += f" of {_number(entry['limit'], rate)} {rate}" if first else ""
        if each.peak_gib is not None:
            memory = f"{each.peak_gib:.1f}"
        cells = [
            comparison.name if first else "",
            each.side,
            f"{_number(each.median, comparison.unit)} {comparison.unit}",
            f"{low} to {high}",
            "" if first else f"{times_as_good(comparison, ours, each):.2f}",
            *(work, share, memory),
        ]
        lines.append(cells)
    exports = [each for each in found if each.side.startswith(EXPORTED_IN)]
    peers = [each for each in found if each.side == "PyTorch"]
    if exports and peers:
        best = min(exports, key=lambda each: each.median)
        words = f"PyTorch beside the best of float32, {best.side}"
        ratio = f"{times_as_good(comparison, best, peers[0]):.2f}"
        lines.append(["", words, "", "", ratio, "", "", ""])
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _number(value: float, unit: str) -> str:
    return f"{value:,.{DIGITS.get(unit, 0)}f}"


HEAD = """\
| what | side | median | range | keras_seg, times as good | work | limit | GiB |
|---|---|--:|--:|--:|--:|--:|--:|"""


def entry_of(
    found: list[Found], stamp: str, amount: float | None, limit: Found | None
) -> dict[str, Any]:
    """What is kept of a comparison: numbers as they were measured, and no text.

    Args:
        found: What was measured of each side.
        stamp: When it was measured, and on what.
        amount: What a turn can't do without.
        limit: What was measured of its limit in the same run; None without one.
    """
    entry = {"measured": stamp, "sides": [each._asdict() for each in found]}
    return entry | ({"amount": amount, "limit": limit.median} if limit else {})


def keep(name: str, entry: dict[str, Any]) -> None:
    """Keep what was measured, in place of what was before, and write the page anew.

    All of it takes more than an idle hour: every row is kept once it is known, and
    rows measured by name don't lose the others.
    """
    results = kept() | {name: entry}
    KEPT.write_text(json.dumps(results, indent=1) + "\n")
    PAGE.write_text(page(results))


def kept() -> dict[str, dict[str, Any]]:
    """What was measured last of each comparison, as `entry_of` returns it."""
    return json.loads(KEPT.read_text()) if KEPT.exists() else {}


def medians(entry: dict[str, Any]) -> dict[str, float]:
    """The median of each side."""
    return {side["side"]: statistics.median(side["values"]) for side in entry["sides"]}


def page(results: dict[str, dict[str, Any]]) -> str:
    """RESULTS.md: a table for each day, machine and set of versions."""
    of_day: dict[str, list[str]] = {}
    for each in comparisons("VOC2012"):
        if entry := results.get(each.name):
            of_day.setdefault(entry["measured"], []).append(rows(each, entry))
    parts = ["# Results", "\n".join((__doc__ or "").strip().splitlines()[5:])]
    for stamp, tables in sorted(of_day.items(), reverse=True):
        parts += [f"Measured on {stamp}.", "\n".join([HEAD, *tables])]
    return "\n\n".join(parts) + "\n"


def machine() -> str:
    """What the numbers are of."""
    packages = _versions(sys.executable, PACKAGES)
    if python := os.environ.get("KERAS_SEG_PEERS"):
        packages |= _versions(python, OF_PEERS)
    versions = ", ".join(f"{name} {version}" for name, version in packages.items())
    return (
        f"{datetime.date.today()}, {os.cpu_count()} CPUs of {_processor()}, "
        f"Python {platform.python_version()}: keras_seg {_commit()}, {versions}"
    )


def _versions(python: str, names: tuple[str, ...]) -> dict[str, str]:
    """Versions of packages in a Python, of those that it has."""
    script = (
        "import contextlib, importlib.metadata as m\n"
        f"for n in {names}:\n"
        "    with contextlib.suppress(m.PackageNotFoundError): print(n, m.version(n))"
    )
    done = subprocess.run(
        [python, "-c", script], capture_output=True, text=True, check=True
    )
    return dict(line.split() for line in done.stdout.splitlines())


def _commit() -> str:
    """The commit of the package; with a "+" if its code was changed since."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    commit = git("rev-parse", "--short", "HEAD") or "of an unknown commit"
    return commit + "+" * bool(git("status", "--porcelain", "*.py"))


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
        return re.findall(r"model name\s*: (.*)", text)[0]
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


def parse() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("only", nargs="*", help="parts of names, such as 'step:' or 'resnet34'")
    add("--root", help="the folder VOCdevkit/VOC2012, for the pipeline")
    add("--rounds", type=int, default=5, help="turns of each side (default 5)")
    add("--list", action="store_true", help="print the names, and measure nothing")
    add("--write", action="store_true", help=f"write them into {PAGE.name} as well")
    return parser.parse_args()


def main() -> None:
    """Measure, and print or write the table."""
    options = parse()
    root = str(Path(options.root).resolve()) if options.root else None
    chosen = [
        comparison
        for comparison in comparisons(root)
        if not options.only or any(part in comparison.name for part in options.only)
    ]
    if options.list:
        print("\n".join(comparison.name for comparison in chosen))
        return
    stamp = f"{machine()}; medians of {options.rounds} rounds"
    print("\n".join([f"Measured on {stamp}.", "", HEAD]))
    reached: dict[str, Found] = {}
    for comparison in with_limits(chosen, comparisons(root)):
        found = measure(
            comparison, options.rounds, say=lambda text: print(text, file=sys.stderr)
        )
        reached[comparison.name] = found[0]
        amount, limit = None, None
        if comparison.amount:
            amount, limit = amount_of(comparison), reached[comparison.amount.limit]
        entry = entry_of(found, stamp, amount, limit)
        print(rows(comparison, entry), flush=True)
        if options.write:
            keep(comparison.name, entry)


def with_limits(chosen: list[Comparison], every: list[Comparison]) -> list[Comparison]:
    """What was chosen, and before it the limits that it needs."""
    needed = {comparison.amount.limit for comparison in chosen if comparison.amount}
    names = {comparison.name for comparison in chosen}
    missing = [each for each in every if each.name in needed - names]
    return missing + chosen


if __name__ == "__main__":
    main()
