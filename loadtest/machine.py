"""Facts of the machine, without which figures mean nothing."""

import os
import platform
from pathlib import Path
from typing import Any

from loadtest.cores import available_cores


def machine_facts() -> dict[str, Any]:
    """Cores, memory, versions, and how busy the machine was before the run."""
    return {
        "cores": len(available_cores()) or os.cpu_count(),
        "processor": _first_of("/proc/cpuinfo", "model name") or platform.machine(),
        "memory_kib": _first_of("/proc/meminfo", "MemTotal"),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_average": list(os.getloadavg()),
    }


def _first_of(file: str, name: str) -> str | None:
    path = Path(file)
    lines = path.read_text().splitlines() if path.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), None)
