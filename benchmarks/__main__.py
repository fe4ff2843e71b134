"""How fast keras_seg is beside what a user would take instead.

    pip install 'keras-seg[lite]'
    KERAS_SEG_PEERS=/path/to/python python -m benchmarks --root VOCdevkit/VOC2012

The sides of a comparison take turns, each in a process of its own that is stopped
while others work; the numbers are medians over rounds, and the ratios are of these. The
peers run in the Python that KERAS_SEG_PEERS names, with what `benchmarks/peers.txt`
lists; without it ours runs alone. Close other programs first: a number that was taken
beside other work is of no use.

"Times as good" is times as fast, or times as little memory. "Limit" is the share of the
rate of one large product of matrices that a net reaches, a training step counted as
three predictions; for losses and metrics the share of the rate at which the machine
moves memory, where logits have to be read, and a gradient written. A convolution can be
computed with fewer additions than it is counted with. GiB is the largest memory of the
process.
"""

import argparse
import datetime
import importlib.metadata
import itertools
import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.comparisons import comparisons
from benchmarks.harness import (
    Comparison,
    Found,
    amount_of,
    measure,
    share_of_limit,
    times_as_good,
)

PAGE = Path(__file__).with_name("RESULTS.md")
KEPT = Path(__file__).with_name("results.json")
PACKAGES = ("keras", "tensorflow", "numpy")
OF_PEERS = ("torch", "torchvision", "segmentation-models-pytorch", "albumentations")


def row(comparison: Comparison, found: list[Found], shares: list[float] | None) -> str:
    """A comparison as rows of a table in Markdown.

    Args:
        comparison: What was compared.
        found: What was measured of each side.
        shares: Which share of the limit each side reaches, where there is a limit.
    """
    ours, *others = found
    digits = {"s": 3, "GiB": 2, "GB/s": 1}.get(comparison.unit, 0)
    rows = []
    for each, share in itertools.zip_longest(found, shares or []):
        name = comparison.name if each is ours else ""
        ratio = f"{times_as_good(comparison, ours, each):.2f}" if others else ""
        cells = [
            name,
            each.side,
            f"{each.median:,.{digits}f} {comparison.unit}",
            f"{min(each.values):,.{digits}f} to {max(each.values):,.{digits}f}",
            "" if each is ours else ratio,
            "" if share is None else f"{share:.0%}",
            f"{each.peak_gib:.1f}",
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


HEAD = """\
| what | side | median | lowest, highest | keras_seg, times as good | limit | GiB |
|---|---|--:|--:|--:|--:|--:|"""


def keep(comparison: Comparison, found: list[Found], text: str, stamp: str) -> None:
    """Keep what was measured, in place of what was before, and write the page anew.

    All of it takes more than an idle hour: every row is kept once it is known, and
    rows measured by name don't lose the others.

    Args:
        comparison: What was compared.
        found: What was measured of each side.
        text: The rows of the table.
        stamp: When it was measured, and on what.
    """
    results = kept()
    medians = {each.side: each.median for each in found}
    results[comparison.name] = {"measured": stamp, "medians": medians, "rows": text}
    KEPT.write_text(json.dumps(results, indent=1) + "\n")
    PAGE.write_text(page(results))


def kept() -> dict[str, dict[str, Any]]:
    """What was measured last of each comparison: when, the medians, and the rows."""
    return json.loads(KEPT.read_text()) if KEPT.exists() else {}


def page(results: dict[str, dict[str, Any]]) -> str:
    """RESULTS.md: a table for each day, machine and set of versions."""
    names = [comparison.name for comparison in comparisons("VOC2012")]
    known = [results[name] for name in names if name in results]
    parts = ["# Results", "\n".join((__doc__ or "").strip().splitlines()[5:])]
    for stamp in sorted({each["measured"] for each in known}, reverse=True):
        rows = [each["rows"] for each in known if each["measured"] == stamp]
        parts += [f"Measured on {stamp}.", "\n".join([HEAD, *rows])]
    return "\n\n".join(parts) + "\n"


def machine() -> str:
    """What the numbers are of."""
    packages = {name: importlib.metadata.version(name) for name in PACKAGES}
    packages |= _versions_of_peers()
    versions = ", ".join(f"{name} {version}" for name, version in packages.items())
    return (
        f"{datetime.date.today()}, {os.cpu_count()} CPUs of {_processor()}, "
        f"Python {platform.python_version()}: {versions}"
    )


def _versions_of_peers() -> dict[str, str]:
    python = os.environ.get("KERAS_SEG_PEERS")
    if not python:
        return {}
    script = (
        f"import importlib.metadata as m\nfor n in {OF_PEERS}: print(n, m.version(n))"
    )
    done = subprocess.run(
        [python, "-c", script], capture_output=True, text=True, check=False
    )
    return dict(line.split() for line in done.stdout.splitlines())


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
    limits: dict[str, Found] = {}
    for comparison in with_limits(chosen, comparisons(root)):
        found = measure(
            comparison, options.rounds, say=lambda text: print(text, file=sys.stderr)
        )
        limits[comparison.name] = found[0]
        shares = None
        if comparison.amount:
            limit, amount = limits[comparison.amount.limit], amount_of(comparison)
            shares = [share_of_limit(comparison, f, amount, limit) for f in found]
        text = row(comparison, found, shares)
        print(text, flush=True)
        if options.write:
            keep(comparison, found, text, stamp)


def with_limits(chosen: list[Comparison], every: list[Comparison]) -> list[Comparison]:
    """What was chosen, and before it the limits that it needs."""
    needed = {comparison.amount.limit for comparison in chosen if comparison.amount}
    names = {comparison.name for comparison in chosen}
    missing = [each for each in every if each.name in needed - names]
    return missing + chosen


if __name__ == "__main__":
    main()
