"""How much memory a process takes."""

import re
import resource
from pathlib import Path


def peak_gib() -> float:
    """The largest memory that this process had: GiB of resident pages.

    Linux's own number for the address space. What `getrusage` has begins with the
    memory of the process that started this one.
    """
    try:
        status = Path("/proc/self/status").read_text()
        return int(re.findall(r"VmHWM:\s*(\d+) kB", status)[0]) / 2**20
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
