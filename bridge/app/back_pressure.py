"""Which partitions are read on: the records in memory stay within `buffer_bytes_max`, and a drain stays short."""

from collections.abc import Callable, Collection

from bridge.app.partition_line import PartitionLine
from bridge.core.records import Partition

FREE_PART = 4
"""A partition may hold a quarter of what is free: one that is stuck cannot take the room of its neighbours."""
AHEAD_S = 2.0
"""A partition is read ahead of its committable offset by what it sends in this time: more would not be faster, only
longer to drain, and more to repeat after a crash."""
AHEAD_ROWS_MIN = 200
RECOUNT_S = 0.02
TICK_S = 0.05
RATE_S = 0.25
RATE_WEIGHT = 0.5


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
        self._rated_at = float("-inf")
        self._outdated = False
        self.buffered_bytes = 0

    def arrived(self, line: PartitionLine, size: int) -> None:
        """A batch came in for this partition."""
        self.buffered_bytes += size
        if not line.paused and self._fill_level(line) > 1:
            line.paused = True
            self._pause([line.partition])

    def left(self, now: float) -> None:
        """Records were resolved: counts anew, and resumes what may read on, at most every 20 ms.

        `tick` makes good what this leaves out.
        """
        self._outdated = True
        if now - self._counted_at >= RECOUNT_S:
            self.tick(now)

    def tick(self, now: float) -> None:
        """To be called now and then: the last of many resolved records must not leave a partition paused."""
        if not self._outdated:
            return
        self._counted_at = now
        if now - self._rated_at >= RATE_S:
            for line in self._lines():
                _rate(line, now - self._rated_at)
            self._rated_at = now
        self.recount()

    def recount(self) -> None:
        """Counts what is buffered, and resumes what may read on."""
        self._outdated = False
        lines = self._lines()
        self.buffered_bytes = sum(line.buffered_bytes for line in lines)
        again = [line for line in lines if line.paused and line.takes_records and self._fill_level(line) <= 0.5]
        for line in again:
            line.paused = False
        if again:
            self._resume([line.partition for line in again])

    def _fill_level(self, line: PartitionLine) -> float:
        """What the partition holds as part of what it may hold, in bytes or in rows, whichever is more."""
        free = max(0, self._bytes_max - self.buffered_bytes)
        bytes_allowed = max(self._bytes_max / (2 * max(1, len(self._lines()))), free / FREE_PART)
        rows_allowed = max(AHEAD_ROWS_MIN, AHEAD_S * line.resolved_per_s)
        return max(line.buffered_bytes / bytes_allowed, line.tracker.open_rows() / rows_allowed)


def _rate(line: PartitionLine, seconds: float) -> None:
    resolved = line.read_rows - line.lanes.unresolved
    now_per_s = (resolved - line.resolved_rows) / seconds
    line.resolved_rows = resolved
    line.resolved_per_s += RATE_WEIGHT * (now_per_s - line.resolved_per_s)
