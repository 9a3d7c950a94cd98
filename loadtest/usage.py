"""What a process uses: CPU time and memory, from /proc (proc(5))."""

import os
from pathlib import Path

_UTIME, _STIME = 11, 12
"""Fields 14 and 15 of /proc/PID/stat, counted behind the command's closing parenthesis, from 0."""


def cpu_s(pid: int) -> float:
    """User and system time of the process with all its threads, in seconds, in steps of a clock tick (10 ms)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[_UTIME]) + int(fields[_STIME])) / os.sysconf("SC_CLK_TCK")


def peak_memory_bytes(pid: int) -> int:
    """Highest resident size so far."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(f"process {pid} has ended")
