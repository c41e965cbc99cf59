"""The number of cores that this process may use."""

import math
import os
from pathlib import Path


def available_cores(root: Path = Path("/")) -> int:
    """The number of cores, which a container or the affinity of the process may limit."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(cores, cpu_quota(root))))


def cpu_quota(root: Path) -> float:
    """The processor seconds per second that the control groups of Linux allow; infinite without a limit."""
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # not Linux
        return math.inf
    limits = [math.inf]
    for line in groups:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / ("cpu" if controllers else "")  # version 1, or version 2 without a name
        group = top / path.lstrip("/")  # parent groups may have limits, too; a container sees only its own
        limits += [_limit(folder) for folder in (group, *group.parents) if folder.is_relative_to(top)]
    return min(limits)


def _limit(group: Path) -> float:
    try:
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text().split()  # "150000 100000", or "max 100000"
        else:
            quota, period = ((group / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return int(quota) / int(period) if int(quota) > 0 else math.inf
    except (OSError, ValueError, ZeroDivisionError):  # no limit, or no such group
        return math.inf
