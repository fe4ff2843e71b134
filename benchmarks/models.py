"""Parameters, multiply-adds and time of the models: writes docs/models.md.

    KERAS_SEG_PEERS=peers/bin/python python -m benchmarks.models --write

Times are of a training step and of a prediction, beside the same net in PyTorch in the
same run, as `python -m benchmarks` takes them; they are the machine's that ran this.
The counts are anyone's, and with `--rounds 0` alone in the table.
"""

import argparse
import math
import sys
from pathlib import Path
from typing import NamedTuple

import keras

from benchmarks.__main__ import machine
from benchmarks.comparisons import PREDICTION, STEP, of_net
from benchmarks.counts import multiply_adds
from benchmarks.harness import measure
from benchmarks.subjects.nets import CLASSES, EVERY, ours

SIDE = PREDICTION["side"]
COSTS = "## Costs"
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


def row(net: str, rounds: int) -> Row:
    """Count, and measure by medians over rounds."""
    keras.utils.clear_session()
    model = ours(net, input_shape=(SIDE, SIDE, 3))
    parameters = sum(math.prod(v.shape) for v in model.trainable_variables)
    operations = multiply_adds(model, (1, SIDE, SIDE, 3))
    del model  # what is timed has processes of its own
    step, prediction = (
        seconds(net, kind, given, rounds)
        for kind, given in (("step", STEP), ("prediction", PREDICTION))
    )
    return Row(net, parameters, operations, step, prediction)


def seconds(net: str, kind: str, given: dict, rounds: int) -> list[float]:
    """Seconds of ours, and of PyTorch's."""
    if not rounds:
        return []
    compared = of_net(net, kind, given)
    sides = [side for side in compared.sides if side.name != "KerasHub"]
    found = measure(
        compared._replace(sides=sides), rounds, say=lambda x: print(x, file=sys.stderr)
    )
    return [each.median for each in found]


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


def section(lines: list[str], rounds: int, measured_on: str) -> str:
    """The last section of docs/models.md."""
    images, side = STEP["images"], STEP["side"]
    table = "\n".join(lines)
    return f"""{COSTS}

Of nets with {CLASSES} classes. Parameters are the learned ones, without the statistics
of batch normalization. Multiply-adds are those of convolutions and products of matrices
for an image of {SIDE} x {SIDE}. A step is `train_on_batch` with {images} images of
{side} x {side}, a prediction `predict_on_batch` with one of {SIDE} x {SIDE}, both in
float32. Beside them is the same net of segmentation_models_pytorch or torchvision, and
U-Net and FCN-8s as in their papers, in PyTorch (eager, channels last). Times are the
medians of {rounds} rounds in which both took turns, {measured_on}.
Compare them with each other, not with those of another machine. Written by
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
    add("--rounds", type=int, default=5, help="turns of each side (default 5)")
    add("--write", action="store_true", help=f"write {PAGE.name}, not only print")
    return parser.parse_args()


def main() -> None:
    """Measure, and print or write the table."""
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
        lines.append(in_markdown(row(net, options.rounds)))
        print(lines[-1], flush=True)
    if options.write:
        before, _, _ = PAGE.read_text().partition(COSTS)
        PAGE.write_text(before + section(lines, options.rounds, machine()))


if __name__ == "__main__":
    main()
