"""Parameters, multiply-adds and time of the models: writes docs/models.md.

    python -m benchmarks --write step: prediction:
    python -m benchmarks.models --write

The counts are anyone's. Times are of a training step and of a prediction, beside the
same net in PyTorch in the same run, as `python -m benchmarks` wrote them last: the
machine's that ran it.
"""

import argparse
import math
from pathlib import Path
from typing import NamedTuple

import keras

from benchmarks.__main__ import kept, medians
from benchmarks.comparisons import PREDICTION, STEP
from benchmarks.counts import multiply_adds
from benchmarks.subjects.nets import CLASSES, EVERY, ours

SIDE = PREDICTION["side"]
COSTS = "## Costs"
TIMED = ("step: ", "prediction: ")
PAGE = Path(__file__).parent.parent / "docs" / "models.md"


class Row(NamedTuple):
    """What was counted and measured of a net.

    Attributes:
        net: Its name in `EVERY`.
        parameters: How many numbers it learns.
        multiply_adds: Of one image of 512 x 512.
        step: Seconds of a training step of ours, and of PyTorch's, where it has one.
        prediction: The same of a prediction.
    """

    net: str
    parameters: int
    multiply_adds: int
    step: list[float]
    prediction: list[float]


def row(net: str) -> Row:
    """Count, and look up what was measured."""
    keras.utils.clear_session()
    model = ours(net, input_shape=(SIDE, SIDE, 3))
    parameters = sum(math.prod(v.shape) for v in model.trainable_variables)
    operations = multiply_adds(model, (1, SIDE, SIDE, 3))
    results = kept()
    step, prediction = (
        seconds(medians(results[name])) if (name := f"{kind}: {net}") in results else []
        for kind in ("step", "prediction")
    )
    return Row(net, parameters, operations, step, prediction)


def seconds(by_side: dict[str, float]) -> list[float]:
    """Seconds of ours, and of PyTorch's where it was measured."""
    return [by_side[side] for side in ("keras_seg", "PyTorch") if side in by_side]


def in_markdown(row: Row) -> str:
    """A row of the table in Markdown."""
    (builder, arguments), _ = EVERY[row.net]
    given = ", ".join(f"{k}={v!r}" for k, v in arguments.items()).replace("'", '"')
    cells = [
        f"`{builder}({given})`" if given else f"`{builder}`",
        f"{row.parameters:,}",
        f"{row.multiply_adds / 1e9:.1f} G",
    ]
    for times in (row.step, row.prediction):
        ms = [f"{1000 * s:,.0f}" for s in times]
        cells += [*ms, "", ""][:2]
    return "| " + " | ".join(cells) + " |"


HEAD = """\
| net | parameters | multiply-adds | step, ms | PyTorch's | prediction, ms | PyTorch's |
|---|--:|--:|--:|--:|--:|--:|"""


def section(lines: list[str], measured: list[str]) -> str:
    """The last section of docs/models.md."""
    images, side = STEP["images"], STEP["side"]
    table = "\n".join(lines)
    return f"""{COSTS}

Of nets with {CLASSES} classes. Parameters are the learned ones, without the statistics
of batch normalization. Multiply-adds are those of convolutions and products of matrices
for an image of {SIDE} x {SIDE}; `deeplab_v3` leaves out those with what lies beyond the
edges of a map. A step is `train_on_batch` with {images} images of
{side} x {side}, a prediction `predict_on_batch` with one of {SIDE} x {SIDE}, both in
float32. Beside them is the same net of segmentation_models_pytorch or torchvision, and
U-Net and FCN-8s as in their papers, in PyTorch (eager, channels last). Both took turns,
on {" and on ".join(measured)}.
Compare times with each other, not with those of another machine. Written by
`python -m benchmarks.models --write`.

{HEAD}
{table}
"""


def parse() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.models",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("only", nargs="*", help="parts of names, such as 'resnet34'")
    add("--write", action="store_true", help=f"write {PAGE.name}, not only print")
    return parser.parse_args()


def main() -> None:
    """Print or write the table."""
    options = parse()
    if options.write and options.only:
        raise SystemExit("Expected all nets with --write. Received some names only.")
    chosen = [
        net
        for net in sorted(EVERY)
        if not options.only or any(part in net for part in options.only)
    ]
    print(HEAD)
    lines = []
    for net in chosen:
        lines.append(in_markdown(row(net)))
        print(lines[-1], flush=True)
    if options.write:
        results = kept().items()
        measured = {v["measured"] for k, v in results if k.startswith(TIMED)}
        before, _, _ = PAGE.read_text().partition(COSTS)
        PAGE.write_text(before + section(lines, sorted(measured)))


if __name__ == "__main__":
    main()
