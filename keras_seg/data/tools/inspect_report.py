"""Findings and problems -> a page of text, and JSON."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from keras_seg.data.readers.colors import shown_color
from keras_seg.data.tools.inspect_facts import Findings
from keras_seg.data.tools.inspect_rules import Problem

# Lines of a page: kinds of problems, examples named of each, unknown ids.
_KINDS, _NAMED, _UNKNOWN = 12, 3, 16


@dataclass
class Report:
    """What `inspect` found. `str(report)` is a page of text."""

    class_names: tuple[str, ...]
    splits: dict[str, Findings]
    problems: list[Problem]

    @property
    def serious(self) -> bool:
        """Whether training would fail or learn something wrong."""
        return any(problem.serious for problem in self.problems)

    def as_dict(self) -> dict[str, Any]:
        """Everything as numbers, strings, lists and dictionaries, for JSON."""
        return {
            "serious": self.serious,
            "problems": [
                vars(problem)
                | {"arguments": {k: repr(v) for k, v in problem.arguments.items()}}
                for problem in self.problems
            ],
            "splits": {
                name: _as_dict(findings, self.class_names)
                for name, findings in self.splits.items()
            },
        }

    def __str__(self) -> str:
        return "\n".join(
            [
                *_sizes(self),
                "",
                *_table(self),
                "",
                *_problem_lines(self.problems),
            ]
        )


def _as_dict(findings: Findings, class_names: Sequence[str]) -> dict[str, Any]:
    return {
        "examples": findings.examples,
        "looked_at": findings.looked_at,
        "sizes": [
            {"height": height, "width": width, "images": images}
            for (height, width), images in findings.sizes.most_common()
        ],
        "classes": {
            name: {"pixels": int(pixels), "images": int(images)}
            for name, pixels, images in zip(
                class_names, findings.pixels, findings.images, strict=True
            )
        },
        "image_values": findings.values.as_dict(),
        "ignored_pixels": findings.ignored,
        "unknown_ids": {
            str(number): {
                "pixels": pixels,
                "images": findings.images_with_unknown[number],
            }
            for number, pixels in sorted(findings.unknown.items())
        },
        "unknown_colors": {
            shown_color(color): {
                "pixels": pixels,
                "images": findings.images_with_color[color],
            }
            for color, pixels in findings.unknown_colors.most_common(256)
        },
    }


def _sizes(report: Report) -> list[str]:
    lines = []
    for name, findings in report.splits.items():
        of = (
            ""
            if findings.looked_at == findings.examples
            else f" of {findings.examples:,}"
        )
        lines.append(f"{name}: {findings.looked_at:,}{of} examples")
        if findings.sizes:
            heights, widths = zip(*findings.sizes, strict=True)
            (height, width), count = findings.sizes.most_common(1)[0]
            most = f"; {count:,} are {height} x {width}" if count > 1 else ""
            lines.append(
                f"  height {min(heights)} to {max(heights)}, width {min(widths)} to "
                f"{max(widths)}{most}"
            )
        if findings.values.sample:
            lines.append(f"  {findings.values.line()}")
    return lines


def _table(report: Report) -> list[str]:
    """Share of pixels and number of images of each class, and of what is none."""
    splits = list(report.splits.values())
    rows: list[tuple[str, list[tuple[int, int]]]] = [
        (name, [(int(found.pixels[c]), int(found.images[c])) for found in splits])
        for c, name in enumerate(report.class_names)
    ]
    rows.append(
        ("(ignored)", [(found.ignored, found.images_with_ignored) for found in splits])
    )
    unknown = sorted({number for found in splits for number in found.unknown})
    rows += [
        (
            f"(id {number}, no class)",
            [(f.unknown[number], f.images_with_unknown[number]) for f in splits],
        )
        for number in unknown[:_UNKNOWN]
    ]
    colors = sum(
        (found.unknown_colors for found in splits), start=type(splits[0].unknown)()
    )
    rows += [
        (
            f"(colour {shown_color(color).strip('()')}, no class)",
            [(f.unknown_colors[color], f.images_with_color[color]) for f in splits],
        )
        for color, _ in colors.most_common(_UNKNOWN)
    ]
    width = max(len(name) for name, _ in rows)
    head = "".join(f"{name[:15]:>16}" for name in report.splits)
    lines = [f"{'class':{width}}{head}   (share of pixels, images)"]
    for name, cells in rows:
        line = f"{name:{width}}"
        for found, (pixels, images) in zip(splits, cells, strict=True):
            line += f"{pixels / max(found.total, 1):>8.2%}{images:>8,}"
        lines.append(line)
    more = (
        len(unknown)
        + len(colors)
        - min(len(unknown), _UNKNOWN)
        - min(len(colors), _UNKNOWN)
    )
    return [*lines, f"... and {more:,} more that are no class."] if more else lines


def _problem_lines(problems: Sequence[Problem]) -> list[str]:
    """Problems, those of one kind together: a page, not a list of thousands."""
    if not problems:
        return ["No problems found."]
    groups: dict[tuple[bool, str, str], list[Problem]] = defaultdict(list)
    for problem in problems:
        # What is about no example, each for itself.
        kind = problem.kind if problem.example else problem.message
        groups[problem.serious, problem.split, kind].append(problem)
    lines = []
    for (serious, split, _), group in list(groups.items())[:_KINDS]:
        first = group[0]
        names = ", ".join(problem.example for problem in group[:_NAMED])
        if len(group) > _NAMED:
            names = f"{len(group):,} examples ({names}, ...)"
        where = ": ".join(filter(None, (split, names, first.message)))
        lines.append(f"{'WRONG' if serious else 'note '}  {where}")
    if len(groups) > _KINDS:
        lines.append(f"... and {len(groups) - _KINDS} more kinds; --json has all.")
    number = sum(problem.serious for problem in problems)
    lines.append("")
    lines.append(
        f"{number:,} problem{'s' * (number != 1)} would make training fail or learn "
        "something wrong."
        if number
        else "Nothing that would make training go wrong."
    )
    return lines
