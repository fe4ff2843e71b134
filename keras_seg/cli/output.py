"""What commands print: words for people, or JSON and nothing else."""

import functools
import json
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_seg.inference import Scores
from keras_seg.training.callbacks import BestModel
from keras_seg.training.progress import JSONLines, ProgressTable, duration, print_json
from keras_seg.training.run_files import METRICS, MODEL, REPORT, read_run


class Output:
    """Where the words of a command go.

    Args:
        quiet: Whether to print only the result.
        json: Whether to print JSON objects, a line each, and nothing else.
    """

    def __init__(self, *, quiet: bool = False, json: bool = False):
        self.is_json = json
        self.is_talking = not (quiet or json)

    def say(self, text: str = "") -> None:
        """Print something that is neither a result nor an error."""
        if self.is_talking:
            print(text, flush=True)

    def note(self, text: str) -> None:
        """Print something that a user should know in any case."""
        print(text, flush=True, file=sys.stdout if self.is_talking else sys.stderr)

    def done(
        self, result: Mapping[str, Any], text: str, then: Sequence[Any] = ()
    ) -> None:
        """Print what came of a command, and what to do next.

        Args:
            result: The same as JSON has it.
            text: What people read.
            then: Words of the next command, after `keras-seg`.
        """
        if self.is_json:
            print_json(dict(result))
            return
        print(text, flush=True)
        if then:
            print(f"Next: {shlex.join(['keras-seg', *map(str, then)])}", flush=True)

    def progress(
        self, best: BestModel, every: int, images: int
    ) -> tuple[ProgressTable | JSONLines | None, Callable[[int], Any]]:
        """What shows the epochs, and the images that are validated.

        Args:
            best: The callback that keeps the model.
            every: Epochs from one validation to the next.
            images: Images to validate.
        """
        if self.is_json:
            return JSONLines(best, validate_every=every), _nothing
        if not self.is_talking:
            return None, _nothing
        table = ProgressTable(best, validate_every=every)
        return table, functools.partial(table.validated, images=images)

    def result(self, out: Path, scores: Scores, command: str) -> None:
        """Print what came of the training.

        Args:
            out: The folder of the run.
            scores: Those of the best model.
            command: How to use it.
        """
        run = read_run(out)
        if self.is_json:
            metrics = json.loads((out / METRICS).read_text())
            about = {"run": str(out), "model": str(out / MODEL)}
            if (out / REPORT).exists():
                about["report"] = str(out / REPORT)
            about |= {k: run[k] for k in ("state", "epochs_done", "best", "seconds")}
            print_json({"result": about | {"scores": metrics}})
            return
        self.say("\nScores of the best model:\n")
        print(scores, flush=True)
        files = ", ".join(sorted(p.name for p in out.iterdir() if p.name[0] != "."))
        self.say(f"\nTook {duration(run['seconds'])}. Wrote {out}: {files}")
        if (out / REPORT).exists():
            self.say(f"Report: {out / REPORT}")
        self.say(f"To use it: {command}")
        if not self.is_talking:
            print(f"\nThe run is in {out}", flush=True)


def _nothing(*_: Any) -> None:
    pass


def advice(out: Path, best: BestModel, options: Mapping[str, Any]) -> str:
    """What is left of a run that diverged, and how to train with a lower rate."""
    command = ["keras-seg", "train", "--like", str(out)]
    kept = ""
    if best.epoch is not None:
        kept = f"\nThe best model, of epoch {best.epoch}, is in {out / MODEL}."
        command += ["--weights", str(out)]
    command += ["--learning-rate", f"{options['learning_rate'] / 10:g}"]
    return (
        f"{kept}\nTo train with a lower learning rate: {shlex.join(command)}\n"
        f"{shlex.join(['keras-seg', 'train', '--resume', str(out)])} goes on from the "
        "last whole epoch with the same batches, once the cause is mended."
    )
