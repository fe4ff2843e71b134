"""How much memory a process takes."""

import glob
import re
import resource
from pathlib import Path


def peak_gib() -> float:
    """The largest memory that this process had, and that of its children now, in GiB.

    Of the process itself, Linux's own number of resident pages: what `getrusage` has
    begins with the memory of the process that started this one. Of its children, the
    pages that they don't share: those of libraries, and those that a fork left as they
    were, count once. Where there is no /proc, children aren't counted.
    """
    try:
        status = Path("/proc/self/status").read_text()
        own = int(re.findall(r"VmHWM:\s*(\d+) kB", status)[0]) / 2**20
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    threads = map(Path, glob.glob("/proc/self/task/*/children"))
    children = [child for path in threads for child in path.read_text().split()]
    return own + sum(map(_private_gib, children))


def _private_gib(process: str) -> float:
    try:
        pages = Path(f"/proc/{process}/smaps_rollup").read_text()
    except OSError:  # it has ended
        return 0.0
    return sum(map(int, re.findall(r"Private_\w+:\s*(\d+) kB", pages))) / 2**20
