"""One side of a comparison, in a process of its own: `python -m benchmarks.worker`.

It makes a function ready, and then runs it once for each line that it reads, while the
other sides wait. The names of a side are its module in `benchmarks/subjects`, and a
function there that returns what is to be timed.
"""

import importlib
import json
import os
import resource
import sys
import time

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
    run()  # the first one traces, compiles, and fills buffers
    answer(ready=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        seconds = run()
        # A side that measures for itself says so.
        spent = time.perf_counter() - start if seconds is None else seconds
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        answer(seconds=spent, peak_mib=peak / 1024)


if __name__ == "__main__":
    main(*sys.argv[1:])
