"""How many threads a job of Make may use."""

from __future__ import annotations

import re


def threads_of_a_job(flags: str, cores: int) -> int:
    """The cores of the machine, shared between the jobs that run at once; at least 1.

    Args:
        flags: What Make gives its jobs as ``MAKEFLAGS``: ``-j2`` for two jobs, ``-j`` for as many as there are.
        cores: Cores of the machine.

    >>> threads_of_a_job(" -j2 --jobserver-auth=3,4", 8)
    4
    >>> threads_of_a_job("k -j", 8), threads_of_a_job("", 8)
    (1, 8)
    """
    found = re.search(r"(?:^|\s)-j(\d*)(?=\s|$)", flags.split(" -- ")[0])
    if found is None:
        return cores
    return max(1, cores // int(found[1])) if found[1] else 1
