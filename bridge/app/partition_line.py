"""One assigned partition on its way to its stream."""

from dataclasses import dataclass, field

from bridge.app.routing import RoutedTopic
from bridge.core.delivery.ack_tracker import AckTracker
from bridge.core.delivery.commit_metadata import CommitMetadata, CommitPoint, encode
from bridge.core.delivery.lanes import ROW_BYTES, PartitionLanes
from bridge.core.records import Partition, SourceBatch
from bridge.ports import AssignedPartition


@dataclass(slots=True, frozen=True)
class Halt:
    """Why and where a partition stands still. `offset` is the record that waits for a decision."""

    reason: str
    offset: int
    detail: str
    timestamp_ms: int | None = None


@dataclass(slots=True, eq=False)
class PartitionLine:
    """State of one assignment of a partition; a later assignment gets a new one."""

    partition: Partition
    route: str
    stream: str
    tracker: AckTracker
    lanes: PartitionLanes
    slices: int
    committed: CommitPoint | None = None
    halt: Halt | None = None
    paused: bool = False
    draining: bool = False
    read_rows: int = 0
    """Rows handed to the stream; with those unresolved, it tells the rate."""
    resolved_rows: int = 0
    resolved_per_s: float = 0.0
    unmapped: list[SourceBatch] = field(default_factory=list)
    """Read before the stream was known."""
    unmapped_bytes: int = 0
    end_offset: int | None = None
    behind_since_ms: float | None = None
    """When the end of the partition was first seen above everything read, while nothing read waited."""

    @property
    def buffered_bytes(self) -> int:
        return self.lanes.memory_bytes + self.unmapped_bytes

    @property
    def takes_records(self) -> bool:
        return self.halt is None and not self.draining

    def hold(self, batch: SourceBatch) -> None:
        """Keeps a batch until the stream is known."""
        self.unmapped.append(batch)
        self.unmapped_bytes += sum(len(value) for value in batch.values if value is not None) + ROW_BYTES * len(batch)

    def take_unmapped(self) -> list[SourceBatch]:
        """What `hold` kept, once."""
        batches, self.unmapped, self.unmapped_bytes = self.unmapped, [], 0
        return batches

    def commit_point(self) -> CommitPoint:
        """What may be committed now."""
        halted, at = (self.halt.reason, self.halt.offset) if self.halt else (None, None)
        return CommitPoint(self.tracker.committable(), encode(CommitMetadata(self.slices, halted, at)))

    def lag(self, wall_ms: float) -> tuple[int, float]:
        """Records and seconds behind the end of the partition, true also when idle, paused or halted.

        Seconds are the age of the oldest record that is not acked; where none of those was read, the time since the end
        was first seen above what was read.
        """
        committable = self.tracker.committable()
        end = max(self.end_offset or 0, self.tracker.read_to)
        if end <= committable:
            return 0, 0.0
        since = self._oldest_ms()
        return end - committable, max(0.0, (wall_ms - since) / 1000) if since is not None else 0.0

    def saw_end(self, end_offset: int, wall_ms: float) -> None:
        """The end offset that Kafka names now."""
        self.end_offset = max(self.end_offset or 0, end_offset)
        unread = end_offset > self.tracker.read_to and self.tracker.oldest_unresolved_ms() is None
        self.behind_since_ms = (self.behind_since_ms or wall_ms) if unread else None

    def _oldest_ms(self) -> float | None:
        oldest: float | None = self.tracker.oldest_unresolved_ms()
        if oldest is None and self.halt is not None:
            oldest = self.halt.timestamp_ms
        if oldest is None and self.unmapped:
            oldest = next((batch.timestamps_ms[0] for batch in self.unmapped if len(batch)), None)
        return self.behind_since_ms if oldest is None else oldest


def open_line(assigned: AssignedPartition, routed: RoutedTopic) -> PartitionLine:
    """A partition that was just assigned, at its committed offset."""
    return PartitionLine(
        assigned.partition,
        routed.route,
        routed.stream,
        AckTracker(assigned.offset),
        PartitionLanes(assigned.partition, routed.linger_s),
        assigned.slices,
        CommitPoint(assigned.offset, assigned.metadata),
    )
