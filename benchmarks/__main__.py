"""How fast keras_seg is beside what a user would take instead.

    pip install 'keras-seg[lite]'
    KERAS_SEG_PEERS=/path/to/python python -m benchmarks --root VOCdevkit/VOC2012

The sides of a comparison take turns, each in a process of its own that waits while
others work; the numbers are medians over rounds, and the ratios are of these. The peers
run in the Python that KERAS_SEG_PEERS names, with what `benchmarks/peers.txt` lists;
without it ours runs alone. Close other programs first: a number that was taken beside
other work is of no use.
"""

import argparse
import datetime
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

from benchmarks.comparisons import comparisons
from benchmarks.harness import Comparison, Found, measure, times_as_fast

PAGE = Path(__file__).with_name("RESULTS.md")
PACKAGES = ("keras", "tensorflow", "numpy")
OF_PEERS = ("torch", "torchvision", "segmentation-models-pytorch", "albumentations")


def row(comparison: Comparison, found: list[Found]) -> str:
    """A comparison as rows of a table in Markdown."""
    ours, *others = found
    digits = 3 if comparison.unit == "s" else 0
    rows = []
    for each in found:
        name = comparison.name if each is ours else ""
        ratio = f"{times_as_fast(comparison, ours, each):.2f}" if others else ""
        cells = [
            name,
            each.side,
            f"{each.median:,.{digits}f} {comparison.unit}",
            f"{min(each.values):,.{digits}f} to {max(each.values):,.{digits}f}",
            "" if each is ours else ratio,
            f"{each.peak_mib / 1024:.1f}",
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


HEAD = """\
| what | side | median | lowest, highest | keras_seg, times as fast | peak GiB |
|---|---|--:|--:|--:|--:|"""


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
    add("--write", action="store_true", help=f"write {PAGE.name}, not only print")
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
    lines = [f"Measured on {machine()}.", "", HEAD]
    print("\n".join(lines))
    for comparison in chosen:
        found = measure(
            comparison, options.rounds, say=lambda text: print(text, file=sys.stderr)
        )
        lines.append(row(comparison, found))
        print(lines[-1], flush=True)
    if options.write:
        text = "\n".join(["# Results", "", *__doc__.splitlines()[4:], "", *lines, ""])
        PAGE.write_text(text)


if __name__ == "__main__":
    main()
