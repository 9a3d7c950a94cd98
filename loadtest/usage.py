"""What a process uses: CPU time and memory, from /proc (proc(5))."""

import os
from collections.abc import Collection
from pathlib import Path

_UTIME, _STIME = 11, 12
"""Fields 14 and 15 of /proc/PID/stat, counted behind the command's closing parenthesis, from 0."""


def cpu_s(pid: int) -> float:
    """User and system time of the process with all its threads, in seconds, in steps of a clock tick (10 ms)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[_UTIME]) + int(fields[_STIME])) / os.sysconf("SC_CLK_TCK")


def memory_bytes(pid: int) -> int:
    """Resident size now."""
    return _size(pid, "VmRSS:")


def peak_memory_bytes(pid: int) -> int:
    """Highest resident size so far."""
    return _size(pid, "VmHWM:")


def _size(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(f"process {pid} has ended")


_IDLE = slice(3, 5)
"""`idle` and `iowait` among the columns of a core in /proc/stat; `guest` time is in `user` already."""


def busy_s(cores: Collection[int]) -> float:
    """Seconds that these cores have worked since the start of the machine, for whomever."""
    ticks = 0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *columns = line.split()
        if name.startswith("cpu") and name[3:].isdecimal() and int(name[3:]) in cores:
            counts = [int(column) for column in columns[:8]]
            ticks += sum(counts) - sum(counts[_IDLE])
    return ticks / os.sysconf("SC_CLK_TCK")
