"""The log of one partition."""

from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate

from bridge.core.records import Headers
from tests.simulation.kafka.messages import Place, SimMessage

Record = tuple[bytes | None, bytes | None] | tuple[bytes | None, bytes | None, Headers | None]
"""Key and value, and headers where it has some."""


class PartitionLog:
    """Offsets from `start` up to `end`; those between that hold no record are transaction markers, or were compacted."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.start = 0
        self.end = 0
        self._records: list[SimMessage] = []
        self._offsets: list[int] = []
        self._bytes: list[int] = [0]  # of all records before each index
        self._open: dict[str, int] = {}

    @property
    def stable_end(self) -> int:
        """Up to here readers of committed records see: before the first record of an open transaction."""
        return min(self._open.values(), default=self.end)

    def open_from(self, transactional_id: str, offset: int) -> None:
        """A transaction has written here."""
        self._open.setdefault(transactional_id, offset)

    def closed(self, transactional_id: str) -> None:
        """It has ended."""
        self._open.pop(transactional_id, None)

    def remove(self, offsets: Iterable[int]) -> None:
        """Records that no reader sees: of an aborted transaction, or compacted away."""
        gone = set(offsets)
        self._records = [record for record in self._records if record.offset() not in gone]
        self._offsets = [offset for offset in self._offsets if offset not in gone]
        self._bytes = [0, *accumulate(record.size for record in self._records)]

    def append(self, records: Iterable[Record], timestamp_ms: int) -> int:
        """Returns the offset of the first one."""
        first = self.end
        added = [SimMessage(self.place, first + n, timestamp_ms, *record) for n, record in enumerate(records)]
        self._records += added
        self._offsets += range(first, first + len(added))
        self._bytes += list(accumulate((message.size for message in added), initial=self._bytes[-1]))[1:]
        self.end += len(added)
        return first

    def append_hole(self, offsets: int) -> None:
        self.end += offsets

    def delete_before(self, offset: int) -> None:
        """As retention does."""
        self.start = min(max(self.start, offset), self.end)
        index = bisect_left(self._offsets, self.start)
        del self._records[:index], self._offsets[:index], self._bytes[:index]

    def expire(self, before_ms: float) -> None:
        """What is older goes at once; a broker waits until a whole segment is."""
        if self._records and self._records[0].timestamp()[1] < before_ms:
            kept = next((record for record in self._records if record.timestamp()[1] >= before_ms), None)
            self.delete_before(self.end if kept is None else kept.offset() or 0)

    def empty(self) -> None:
        """As a topic that was deleted and created anew."""
        self.start = self.end = 0
        self._records, self._offsets, self._bytes, self._open = [], [], [0], {}

    def read(self, offset: int, bytes_max: int) -> tuple[list[SimMessage], int]:
        """Committed records from an offset on, at least one if there is one, and the offset to go on with."""
        first, stable = bisect_left(self._offsets, offset), bisect_left(self._offsets, self.stable_end)
        if first >= stable:
            return [], max(offset, self.stable_end)
        end = max(first + 1, bisect_left(self._bytes, self._bytes[first] + bytes_max, first, stable))
        next_offset = self.stable_end if end == stable else self._offsets[end - 1] + 1
        return self._records[first:end], next_offset

    def first_since(self, timestamp_ms: int) -> SimMessage | None:
        """The first record of this time or later."""
        return next((record for record in self._records if record.timestamp()[1] >= timestamp_ms), None)

    def records(self) -> list[SimMessage]:
        """All that are left, for who checks."""
        return list(self._records)
