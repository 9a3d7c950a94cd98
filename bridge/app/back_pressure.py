"""Which partitions are read on, so that the records in memory stay within `buffer_bytes_max`."""

from collections.abc import Callable, Collection, Iterable

from bridge.app.partition_line import PartitionLine
from bridge.core.records import Partition

FREE_PART = 4
"""A partition may hold a quarter of what is free: one that is stuck cannot take the room of its neighbours."""
RECOUNT_S = 0.02


class BackPressure:
    """Pauses a partition above its allowance and resumes it below half of it."""

    def __init__(
        self,
        bytes_max: int,
        lines: Callable[[], Collection[PartitionLine]],
        pause: Callable[[Collection[Partition]], None],
        resume: Callable[[Collection[Partition]], None],
    ) -> None:
        self._bytes_max = bytes_max
        self._lines = lines
        self._pause = pause
        self._resume = resume
        self._counted_at = float("-inf")
        self.buffered_bytes = 0

    def arrived(self, line: PartitionLine, size: int) -> None:
        """A batch came in for this partition."""
        self.buffered_bytes += size
        if not line.paused and line.buffered_bytes > self._allowance():
            line.paused = True
            self._pause([line.partition])

    def left(self, now: float) -> None:
        """Records were resolved: counts anew, and resumes what may read on; at most every 20 ms."""
        if now - self._counted_at < RECOUNT_S:
            return
        self._counted_at = now
        self.recount()

    def recount(self) -> None:
        """Counts what is buffered, and resumes what may read on."""
        lines = self._lines()
        self.buffered_bytes = sum(line.buffered_bytes for line in lines)
        self._resume_below(line for line in lines if line.paused and line.takes_records)

    def _resume_below(self, paused: Iterable[PartitionLine]) -> None:
        half = self._allowance() / 2
        again = [line for line in paused if line.buffered_bytes <= half]
        for line in again:
            line.paused = False
        if again:
            self._resume([line.partition for line in again])

    def _allowance(self) -> float:
        free = max(0, self._bytes_max - self.buffered_bytes)
        return max(self._bytes_max / (2 * max(1, len(self._lines()))), free / FREE_PART)
