"""Heads of lanes that failed while others of their shard were stored: it is their own trouble, so each waits by itself."""

from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from itertools import count

from bridge.core.delivery.lanes import ROW_BATCH, ROW_LANE, PartitionLanes, Row, forget_head, is_wanted
from bridge.core.delivery.ready_shards import NEVER
from bridge.core.delivery.shard_queues import Backoff
from bridge.core.records import Lane


class RestingRows:
    """Each lane has a pause of its own, which grows with each failure; its shard goes on without it."""

    def __init__(self) -> None:
        self._rows: list[tuple[float, int, Row]] = []  # a heap by the time to try again
        self._pauses: dict[tuple[PartitionLanes, Lane], Backoff] = {}
        self._number = count()

    def __iter__(self) -> Iterator[Row]:
        return (row for _, _, row in self._rows)

    def failed(self, rows: Iterable[Row], now: float) -> None:
        """These failed, each by itself: a pause of their lanes begins."""
        for row in rows:
            self._pauses.setdefault(_lane_of(row), Backoff()).failed(now)

    def rest(self, rows: Iterable[Row], now: float) -> list[Row]:
        """Those whose lanes are in a pause wait for its end; returns the others."""
        others = []
        for row in rows:
            pause = self._pauses.get(_lane_of(row))
            if pause is None or pause.until <= now:
                others.append(row)
            else:
                heappush(self._rows, (pause.until, next(self._number), row))
        return others

    def knows(self, row: Row) -> bool:
        """Whether the lane of this row failed by itself the last time."""
        return bool(self._pauses) and _lane_of(row) in self._pauses

    def due(self, now: float) -> list[Row]:
        """Takes those that are to be tried again now."""
        rows = []
        while self._rows and self._rows[0][0] <= now:
            rows.append(heappop(self._rows)[2])
        return rows

    def next_due(self) -> float:
        """When the first of them is to be tried again."""
        return self._rows[0][0] if self._rows else NEVER

    def stored(self, rows: Iterable[Row]) -> None:
        """The lanes of these are well."""
        if self._pauses:
            for row in rows:
                self._pauses.pop(_lane_of(row), None)

    def truncate(self, lanes_of: PartitionLanes) -> None:
        """Forgets what this partition does not want any more; what is left of it is due at once."""
        self._pauses = {lane: pause for lane, pause in self._pauses.items() if lane[0] is not lanes_of}
        rows, self._rows = self._rows, []
        for at, number, row in rows:
            if row[ROW_BATCH].lanes_of is not lanes_of:
                heappush(self._rows, (at, number, row))
            elif is_wanted(row):
                heappush(self._rows, (0.0, number, row))
            else:
                forget_head(row)


def _lane_of(row: Row) -> tuple[PartitionLanes, Lane]:
    return row[ROW_BATCH].lanes_of, row[ROW_LANE]
