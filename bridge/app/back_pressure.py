"""Which partitions are read on: the records in memory stay within `buffer_bytes_max`, and a drain stays short."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Protocol

from bridge.app.partition_line import AHEAD_ROWS_MIN, PartitionLine
from bridge.core.delivery.lanes import PartitionLanes
from bridge.core.delivery.standstill import passed_rows
from bridge.core.records import Partition

FREE_PART = 4
"""A partition may hold a quarter of what is free: one that is stuck cannot take the room of its neighbours."""
FULL_PART = 1.5
"""Of `buffer_bytes_max`, and of no partition: what all may hold together, a part of what is free or half an equal share, is less.
Beyond it go records that are large against a share, and then no partition is read, however little it holds."""
AHEAD_S = 2.0
"""A partition may have open what it sends in this time: more would not be faster, only longer to drain, and more to repeat
after a crash."""
STUCK_S = 2.0
"""A partition whose first open row does not move for so long has used up what it reads ahead: others of it now go past."""
SPAN_S = 10.0
SPAN_ROWS_MAX = 50_000
"""How far others go past a stuck row, in time of sending and in rows: a crash, or a drain that cannot end, repeats so much."""
HELD_PART = 0.5
"""Beside what it may have open, a partition may hold so much of that: held rows cost memory, but no drain has to finish them."""
RESUME_BELOW = 0.75
"""Of its allowance. librdkafka may take a second to fetch again what was paused (seen: it looks once a second), so what is left
at that moment has to last longer."""
RECOUNT_S = 0.02
TICK_S = 0.05
RATE_S = 0.25
RATE_WEIGHT = 0.5
STEADY_WEIGHT = 1 / 16
"""Partitions of a full stream have their turns, seconds apart: what one sends is told by some turns, what all send in the mean at
once."""


class Stream(Protocol):
    """What is asked of a `StreamLine`."""

    def offer_held(self, line: PartitionLine) -> None:
        """Offers of what a line holds as much as may be open."""

    def counted_rows(self, lines: Collection[PartitionLine]) -> Mapping[PartitionLanes, int]:
        """How many unresolved rows of these partitions count, where they stand still."""
        ...


class BackPressure:
    """Says what each partition may have open; pauses it above its allowance and resumes it below a part of that.

    What comes in after a pause is held by the partition's line and offered later. Partitions in which nothing is open are left
    alone until something comes: thousands of them cost nothing.
    """

    def __init__(
        self,
        bytes_max: int,
        lines: Callable[[], Collection[PartitionLine]],
        streams: Mapping[str, Stream],
        pause: Callable[[Collection[Partition]], None],
        resume: Callable[[Collection[Partition]], None],
    ) -> None:
        self._bytes_max = bytes_max
        self._lines = lines
        self._streams = streams
        self._pause = pause
        self._resume = resume
        self._counted_at = float("-inf")
        self._rated_at = float("-inf")
        self._outdated = False
        self._active: dict[PartitionLine, None] = {}
        self._mean_per_s: Mapping[str, float] = {}
        self.buffered_bytes = 0

    def arrived(self, line: PartitionLine, size: int) -> None:
        """A batch came in for this partition."""
        self._activate(line)
        self.buffered_bytes += size
        if not line.paused and self._fill_level(line) > 1:
            line.paused = True
            self._pause([line.partition])
        if self._is_full():
            self._pause_all()

    def gone(self, line: PartitionLine) -> None:
        """The partition is not ours any more."""
        self._active.pop(line, None)

    def left(self, now: float) -> None:
        """Records were resolved: counts anew, and resumes what may read on, at most every 20 ms.

        `tick` makes good what this leaves out.
        """
        self._outdated = True
        if now - self._counted_at >= RECOUNT_S:
            self.tick(now)

    def tick(self, now: float) -> None:
        """To be called now and then: the last of many resolved records must not leave a partition paused, and one that stands
        still is told by time alone."""
        if now - self._rated_at >= RATE_S:
            seconds, self._rated_at = now - self._rated_at, now
            busy = [line for line in self._active if _rate(line, seconds, now)]
            self._mean_per_s = _mean_rates(busy)
            _set_ahead(self._active, self._mean_per_s)
            self._let_pass([line for line in self._active if line.stuck])
            still = self._active.keys() - busy
            for line in filter(_is_idle, still):
                del self._active[line]
        elif not self._outdated:
            return
        self._counted_at = now
        self.recount()

    def recount(self) -> None:
        """Offers what is held as far as it may go, counts what is buffered, and resumes what may read on."""
        self._outdated = False
        lines = self._active
        for line in lines:
            if line.held:
                self._streams[line.stream].offer_held(line)
        self.buffered_bytes = sum(line.buffered_bytes for line in lines)
        if self._is_full():
            return
        again = [line for line in lines if line.paused and line.takes_records and self._fill_level(line) <= RESUME_BELOW]
        for line in again:
            line.paused = False
        if again:
            self._resume([line.partition for line in again])

    def _activate(self, line: PartitionLine) -> None:
        if line not in self._active:
            self._active[line] = None
            line.stands_at = -1  # it is from now on that it may stand still
            _set_ahead([line], self._mean_per_s)

    def _is_full(self) -> bool:
        return self.buffered_bytes > FULL_PART * self._bytes_max

    def _pause_all(self) -> None:
        reading = [line for line in self._lines() if line.takes_records and not line.paused]
        for line in reading:
            self._activate(line)
            line.paused = True
        if reading:
            self._pause([line.partition for line in reading])

    def _let_pass(self, stuck: Collection[PartitionLine]) -> None:
        """Others go past the rows at which these partitions stand still. One that moves again goes on with half of what it may
        have open until it has caught up."""
        for line in self._active:
            done = line.tracker.open_rows() - line.lanes.unresolved
            catching_up = line.passed_rows > 0 and line.tracker.open_rows() > line.ahead_rows
            line.passed_rows = max(0, min(done - line.ahead_rows // 2, _span(line))) if catching_up else 0
        by_stream: dict[str, list[PartitionLine]] = defaultdict(list)
        for line in stuck:
            by_stream[line.stream].append(line)
        for stream, lines in by_stream.items():
            counted = self._streams[stream].counted_rows(lines)
            for line in lines:
                passed = passed_rows(line.tracker.open_rows(), line.lanes.unresolved, counted[line.lanes])
                line.passed_rows = max(0, min(passed, _span(line)))

    def _fill_level(self, line: PartitionLine) -> float:
        """What the partition holds as part of what it may hold, in bytes or in rows, whichever is more."""
        free = max(0, self._bytes_max - self.buffered_bytes)
        bytes_allowed = max(self._bytes_max / (2 * max(1, len(self._lines()))), free / FREE_PART)
        rows = line.ahead_rows - line.room + line.held_rows
        allowed = line.ahead_rows * (1 if line.passed_rows else 1 + HELD_PART)
        return max(line.buffered_bytes / bytes_allowed, rows / allowed)


def _rate(line: PartitionLine, seconds: float, now: float) -> bool:
    """Whether there was anything to send. Where there was not, or it is stuck, the partition has not become slower.

    What counts is what its committable offset passes: the pace of its slowest shard. Only where that stands still it is what
    the others send.
    """
    stuck, waits = _is_stuck(line, now), bool(line.held or line.tracker.open_rows())
    resolved = line.read_rows - (line.lanes.unresolved if stuck else line.tracker.open_rows())
    if stuck != line.stuck:  # the two do not compare
        line.stuck, line.resolved_rows = stuck, resolved
        return waits
    now_per_s = (resolved - line.resolved_rows) / seconds
    if not now_per_s and (stuck or not waits):
        return False
    line.resolved_rows = resolved
    line.resolved_per_s += RATE_WEIGHT * (now_per_s - line.resolved_per_s)
    line.steady_per_s += STEADY_WEIGHT * (now_per_s - line.steady_per_s)
    return True


def _span(line: PartitionLine) -> int:
    """How many rows of a partition may go uncounted."""
    return min(SPAN_ROWS_MAX, int(line.ahead_rows * SPAN_S / AHEAD_S)) - line.ahead_rows


def _is_stuck(line: PartitionLine, now: float) -> bool:
    """Whether its first open row has not moved for long."""
    committable = line.tracker.committable()
    if committable != line.stands_at or not line.tracker.open_rows():
        line.stands_at, line.stands_since = committable, now
    return now - line.stands_since >= STUCK_S


def _is_idle(line: PartitionLine) -> bool:
    """Whether nothing of it is open, held, on its way or paused: time alone changes nothing about it."""
    return not (line.paused or line.held or line.tracker.open_rows() or line.buffered_bytes)


def _mean_rates(busy: Collection[PartitionLine]) -> Mapping[str, float]:
    """Of the partitions of each stream."""
    rates: dict[str, list[float]] = defaultdict(list)
    for line in busy:
        rates[line.stream].append(line.resolved_per_s)
    return {stream: sum(of_it) / len(of_it) for stream, of_it in rates.items()}


def _set_ahead(lines: Iterable[PartitionLine], mean_per_s: Mapping[str, float]) -> None:
    """Of the partitions of a stream, one that had no turn lately gets as much as the others have in the mean: else it would
    have little to send when its turn comes."""
    for line in lines:
        line.ahead_rows = int(max(AHEAD_ROWS_MIN, AHEAD_S * max(line.steady_per_s, mean_per_s.get(line.stream, 0.0))))
