"""One side of a comparison, in a process of its own: `python -m benchmarks.worker`.

It makes a function ready, and then runs it once for each line that it reads, while the
other sides are stopped. The names of a side are its module in `benchmarks/subjects`,
and a function there that returns what is to be timed, or a number.
"""

import importlib
import json
import os
import sys
import time

from benchmarks.memory import peak_gib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
#: What a side prints by itself goes to standard error; answers have standard output.
ANSWERS = os.fdopen(os.dup(1), "w")


def answer(**values: object) -> None:
    """Write one line of JSON."""
    print(json.dumps(values), file=ANSWERS, flush=True)


def main(module: str, function: str, arguments: str) -> None:
    """Make a side ready, and run it as often as it is asked to."""
    os.dup2(2, 1)
    side = getattr(importlib.import_module(f"benchmarks.subjects.{module}"), function)
    run = side(**json.loads(arguments))
    if not callable(run):
        answer(amount=run)
        return
    run()  # the first one traces, compiles, and fills buffers
    answer(ready=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        value = run()
        spent = time.perf_counter() - start
        if value is None:
            answer(value=spent, peak_gib=peak_gib())
        else:  # it measures for itself
            answer(value=value)


if __name__ == "__main__":
    main(*sys.argv[1:])
