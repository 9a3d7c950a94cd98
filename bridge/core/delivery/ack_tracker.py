"""Which offset of a partition may be committed: everything below it that was read is resolved."""

from collections import deque
from collections.abc import Iterable

from bridge.core.delivery.lanes import MappedBatch, Row
from bridge.core.records import SourceBatch


def acknowledge(rows: Iterable[Row]) -> None:
    """The sink confirmed these rows."""
    for row in rows:
        row[0].resolved[row[1]] = 1


class AckTracker:
    """The contiguous prefix of one assigned partition. Offsets are "next to read", as Kafka commits them.

    Rows are resolved in any order; offsets have holes, so "contiguous" means that no lower offset that was read is
    unresolved.
    """

    __slots__ = ("_batches", "_committable", "_rows", "read_to")

    def __init__(self, start_offset: int) -> None:
        self._batches: deque[MappedBatch] = deque()
        self._committable = start_offset
        self._rows = 0  # of all batches held
        self.read_to = start_offset
        """Next offset to read: below it everything was admitted."""

    def unseen(self, batch: SourceBatch) -> SourceBatch:
        """The part of a batch that was not admitted before: Kafka may hand over the same records twice."""
        return batch.starting_at(self.read_to)

    def admit(self, batch: MappedBatch) -> None:
        """Rows that were read now and will be resolved later."""
        if len(batch) or batch.next_offset > self.read_to:
            self._batches.append(batch)
            self._rows += len(batch)
            self.read_to = max(self.read_to, batch.next_offset)

    def committable(self) -> int:
        """The offset that may be committed now. Never goes back."""
        batches = self._batches
        while batches:
            batch = batches[0]
            row = batch.resolved.find(0)
            if row >= 0:
                self._committable = max(self._committable, batch.offsets[row])
                break
            self._committable = max(self._committable, batch.next_offset)
            self._rows -= len(batches.popleft())
        return self._committable

    def open_rows(self) -> int:
        """Rows above the committable offset, resolved ones too: about what a crash repeats."""
        self.committable()  # lets go of batches that are done
        return self._rows - self._batches[0].resolved.find(0) if self._batches else 0

    def oldest_unresolved_ms(self) -> int | None:
        """Kafka timestamp of the first unresolved row that was read, in milliseconds; None while there is none."""
        self.committable()
        if not self._batches:
            return None
        batch = self._batches[0]
        return batch.timestamps_ms[batch.resolved.find(0)]

    def first_unattempted(self) -> int:
        """Offset above every row that was attempted, but for what is under way now: what stands below it has to be finished
        before leaving."""
        for batch in reversed(self._batches):
            row = max(batch.attempted_again.rfind(1), batch.resolved.rfind(1))
            if row >= 0:
                return batch.offsets[row] + 1
        return self.committable()
