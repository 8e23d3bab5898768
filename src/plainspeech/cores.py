"""The number of processors that this process may use."""

from __future__ import annotations

import os


def available_cores() -> int:
    """Return the processors that this process may run on, at least 1.

    Unlike `os.cpu_count`, it respects the affinity mask that ``taskset``, containers and batch
    schedulers set, where the system has one.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1
