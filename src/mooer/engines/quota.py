"""How much processor time the system lets this process have: of a container, a pod or a service.

A limit of 2 processors on a machine of 64 is a share of time on all 64. With a thread for each of
them the share is spent at once, and all of them stand still until the next one is given.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def quota_cores(root: Path = Path("/")) -> int | None:
    """As many cores as the tightest limit is worth, rounded up; None where there is none.

    `root` is where /proc and /sys are.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text("ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    found = [share for line in lines for share in _shares(root, line)]
    return max(1, math.ceil(min(found))) if found else None


def _shares(root: Path, line: str) -> Iterator[float]:
    """Limits of one hierarchy, of the group and of those that it is in.

    A line is `0::/mooer.service` (version 2) or `4:cpu,cpuacct:/docker/1234` (version 1).
    """
    _, _, rest = line.partition(":")
    names, _, place = rest.partition(":")
    if names and "cpu" not in names.split(","):
        return
    top = root / "sys/fs/cgroup" / ("cpu" if names else "")
    parts = PurePosixPath(place.strip("/"))
    for part in (parts, *parts.parents):  # a container sees its own group as the uppermost
        try:
            if names:
                quota = (top / part / "cpu.cfs_quota_us").read_text("ascii")
                period = (top / part / "cpu.cfs_period_us").read_text("ascii")
            else:
                quota, period = (top / part / "cpu.max").read_text("ascii").split()
            if quota != "max" and int(quota) > 0:
                yield int(quota) / int(period)
        except (OSError, ValueError):
            continue
