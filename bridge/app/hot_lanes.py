"""The fullest lane of each route: what waits in it, what it sends, and what an aggregated record would carry of it.

A lane sends one record per round trip. A key that needs more falls behind, and in the end its partition with it.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import accumulate, islice

from bridge.app.partition_line import PartitionLine
from bridge.app.telemetry import Sample, Telemetry
from bridge.core.delivery.commit_metadata import HotLane
from bridge.core.delivery.lanes import ROW_BATCH, ROW_HASH_KEY, ROW_LANE, ROW_SIZE, PartitionLanes, Row, offset_of
from bridge.core.records import Lane

LOOK_S = 1.0
AGGREGATE_RECORDS_MAX = 500
AGGREGATE_BYTES_MAX = 50 * 1024
"""A usual size of an aggregate of the KPL format."""
WARN_S = 2.0
"""What waits in a lane takes it so long to send: it is told. It is told again after it was below."""
HASH_KEY_DIGITS = 8
"""Hexadecimal, of 32: who suspects a key finds it, and nobody reads it."""
WATCHED_ROWS_MAX = 1000
"""More does not leave a lane between two looks."""

Behind = deque[Row]


@dataclass(slots=True, eq=False)
class _Watched:
    """A lane, the offsets that waited in it at the last look, and what it sent until then."""

    lanes_of: PartitionLanes
    lane: Lane
    offsets: list[int]
    looked_at: float
    sent_per_s: float | None

    @property
    def behind(self) -> Collection[Row]:
        """What waits in it now."""
        return self.lanes_of.waiting.get(self.lane) or ()

    @property
    def is_hot(self) -> bool:
        """Whether what waits would take it long, at what it sends."""
        return self.sent_per_s is not None and len(self.behind) > max(1.0, WARN_S * self.sent_per_s)

    def as_hot_lane(self) -> HotLane:
        """What is told of it, while something waits in it."""
        hash_key = f"{next(iter(self.behind))[ROW_HASH_KEY]:032x}"[:HASH_KEY_DIGITS]
        return HotLane(hash_key, round(self.sent_per_s or 0.0, 1), _in_one_aggregate(self.behind))


class HotLanes:
    """Looks once a second, over lanes and not over records."""

    def __init__(self, lines: Callable[[], Collection[PartitionLine]], telemetry: Telemetry) -> None:
        self._lines = lines
        self._telemetry = telemetry
        self._warned: set[str] = set()  # routes
        self._looked_at = float("-inf")
        self._watched: dict[str, _Watched] = {}

    def tick(self, now: float) -> None:
        """To be called now and then."""
        if now - self._looked_at < LOOK_S:
            return
        self._looked_at = now
        fullest: dict[str, Behind] = {}
        lines = self._lines()
        for line in lines:
            if not line.lanes.waiting:  # the rule, of thousands
                continue
            behind = max(filter(None, line.lanes.waiting.values()), key=len, default=None)
            if behind and len(behind) > len(fullest.get(line.route, ())):
                fullest[line.route] = behind
        before = self._watched
        self._watched = {route: _look(behind, before.get(route), now) for route, behind in fullest.items()}
        hot = {watched.lanes_of: watched.as_hot_lane() for watched in self._watched.values() if watched.is_hot}
        if not hot and not self._warned:
            return
        for line in lines:
            line.hot_lane = hot.get(line.lanes)
            if line.hot_lane is not None and line.route not in self._warned:
                self._warn(line, line.hot_lane)
        self._warned = {line.route for line in lines if line.hot_lane is not None}

    def _warn(self, line: PartitionLine, hot_lane: HotLane) -> None:
        self._telemetry.log(
            "warning",
            "hot_lane",
            route=line.route,
            topic=line.partition.topic,
            partition=line.partition.number,
            hash_key=hot_lane.hash_key,
            waiting=len(self._watched[line.route].behind),
            records_per_s=hot_lane.records_per_s,
            aggregate_records=hot_lane.aggregate_records,
        )

    def samples(self) -> Iterator[Sample]:
        """The gauges of all routes that have partitions here."""
        for route in {line.route for line in self._lines()}:
            watched = self._watched.get(route)
            behind = watched.behind if watched else ()
            yield "bridge_hot_lane_waiting_records", (route,), len(behind)
            if watched and behind:
                yield "bridge_hot_lane_aggregate_records", (route,), _in_one_aggregate(behind)
                if watched.sent_per_s is not None:
                    yield "bridge_hot_lane_records_per_second", (route,), watched.sent_per_s


def _look(behind: Behind, before: _Watched | None, now: float) -> _Watched:
    """A lane that was watched is watched on while it is about the fullest: else its rate would never be known."""
    watched = _Watched(behind[0][ROW_BATCH].lanes_of, behind[0][ROW_LANE], [], now, None)
    if before is not None and 2 * len(before.behind) >= len(behind):
        watched.lanes_of, watched.lane = before.lanes_of, before.lane
    watched.offsets = list(map(offset_of, islice(watched.behind, WATCHED_ROWS_MAX)))
    if before is not None and (before.lanes_of, before.lane) == (watched.lanes_of, watched.lane):
        watched.sent_per_s = bisect_left(before.offsets, watched.offsets[0]) / (now - before.looked_at)
    return watched


def _in_one_aggregate(behind: Collection[Row]) -> int:
    sizes = accumulate(row[ROW_SIZE] for row in islice(behind, AGGREGATE_RECORDS_MAX))
    return max(1, sum(size <= AGGREGATE_BYTES_MAX for size in sizes))
