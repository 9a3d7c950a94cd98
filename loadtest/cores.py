"""Who runs on which core, so that servers and generator take nothing from the bridge."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

from loadtest.figures import Figures


@dataclass(frozen=True, slots=True)
class Cores:
    """Cores of the bridge (one for each replica, where there are enough) and those of everything else."""

    bridge: tuple[int, ...]
    others: tuple[int, ...]

    def of_replica(self, number: int) -> tuple[int, ...]:
        """The core of one replica, counted from 0."""
        return (self.bridge[number % len(self.bridge)],) if self.bridge else ()

    def text(self) -> str:
        """For the report."""
        if not self.bridge:
            return "not pinned"
        return f"bridge and baseline on core {_listed(self.bridge)}, everything else on core {_listed(self.others)}"


def share_out(available: set[int], replicas: int = 1) -> Cores:
    """The replicas get a core each, but at least half of the cores stay for the others; a single core is not shared out."""
    cores = sorted(available)
    if len(cores) < 2:
        return Cores((), ())
    bridges = max(1, min(replicas, len(cores) // 2))
    return Cores(tuple(cores[:bridges]), tuple(cores[bridges:]))


def busy_figures(cores: Cores, busy_s_per_s: tuple[float, float]) -> Figures:
    """Use of the bridge's cores and of the others, 0 to 1; nothing where nothing is pinned."""
    if not cores.bridge:
        return {}
    return {
        "bridge_cores_busy": busy_s_per_s[0] / len(cores.bridge),
        "other_cores_busy": busy_s_per_s[1] / len(cores.others),
    }


def available_cores() -> set[int]:
    """Those that this process may use; none where the system does not pin processes."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


@contextlib.contextmanager
def pinned(cores: tuple[int, ...]) -> Iterator[None]:
    """What is started inside runs on these cores, with all its threads; without cores nothing changes."""
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _listed(cores: tuple[int, ...]) -> str:
    return ", ".join(map(str, cores))
