"""One assigned partition on its way to its stream."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from bridge.app.routing import RoutedTopic
from bridge.core.delivery.ack_tracker import AckTracker
from bridge.core.delivery.commit_metadata import CommitMetadata, CommitPoint, HotLane, decode, encode
from bridge.core.delivery.halts import Halt
from bridge.core.delivery.lanes import ROW_BYTES, PartitionLanes
from bridge.core.delivery.ownership import Ownership
from bridge.core.proof.ledger_floors import LedgerFloors
from bridge.core.records import Partition, SourceBatch
from bridge.ports import AssignedPartition

AHEAD_ROWS_MIN = 200
"""So many rows a partition may always have open."""
IDLE_S = 10.0
"""So long without anything to do a partition stays open."""
DONE_ROW_BYTES = 90
"""What a resolved row above the committable offset still costs in memory: offset and timestamp (measured)."""


class Phase(Enum):
    """Of an assignment. Only an open one may attempt anything."""

    READING = "reading"
    """What the owner before has carried above the committed offset is read from the ledger."""
    CLEAN = "clean"
    """Nothing is unresolved. It says so, and then nothing more until something comes."""
    OPENING = "opening"
    """Kafka is being told that attempts may follow."""
    OPEN = "open"


@dataclass(slots=True, frozen=True)
class Owner:
    """One assignment of one partition: id of the process, number of the assignment there."""

    name: str
    counter: int
    floors: LedgerFloors

    def says(self, partition: Partition, committable: int, is_open: bool) -> Ownership:
        """For the commit metadata. What is not open has no entries at or above its offset."""
        floors = self.floors.of(partition, committable) if is_open else {}
        return Ownership(self.name, self.counter, is_open, watermark_ms=0, lease_end_ms=0, floors=floors)


@dataclass(slots=True)
class Owners:
    """Counts the assignments of this process."""

    name: str
    floors: LedgerFloors
    counter: int = 0

    def next(self) -> Owner:
        """Of a partition that was just assigned."""
        self.counter += 1
        return Owner(self.name, self.counter, self.floors)


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
    """Rows offered to the scheduler; with those that are open, or unresolved, it tells the rate."""
    resolved_rows: int = 0
    resolved_per_s: float = 0.0
    steady_per_s: float = 0.0
    """The mean of some seconds."""
    ahead_rows: int = AHEAD_ROWS_MIN
    """How many rows may be open, which is above the committable offset and offered; kept by `BackPressure`."""
    passed_rows: int = 0
    """Open rows that do not count, where the first of them stands still; kept by `BackPressure`."""
    stuck: bool = False
    """Whether its first open row stands still; kept by `BackPressure`, as are the two that tell it."""
    stands_at: int = -1
    stands_since: float = float("-inf")
    held: deque[SourceBatch] = field(default_factory=deque)
    """Read and not offered: nothing of it was ever attempted."""
    held_rows: int = 0
    held_bytes: int = 0
    parking_rows: int = 0
    """On their way to the dead-letter topic; kept by `Parking`, as are their bytes."""
    parking_bytes: int = 0
    end_offset: int | None = None
    behind_since_ms: float | None = None
    """When the end of the partition was first seen above everything read, while nothing read waited."""
    hot_lane: HotLane | None = None
    """Kept by `HotLanes`."""
    topic_id: str | None = None
    """Kafka's id of the topic that the offsets are of, and when the stream was created that the records go to; None until
    they are known. They stay as they are: another one is that of a topic or stream created anew."""
    stream_created_ms: int | None = None
    owner: Owner | None = None
    """Whose assignment this is, and from where on the ledger has its entries; None where nothing is committed."""
    floors_before: Mapping[int, int] = field(default_factory=dict)
    """What the owner before has committed of that."""
    phase: Phase = Phase.OPEN
    idle_since: float | None = None
    done: frozenset[int] = frozenset()
    """Offsets above the committed one that the owner before has carried, and that were not read yet."""
    done_to: int = 0
    """Above all of them, read or not."""
    _said: tuple[object, ...] = ()
    _metadata: str = ""
    """What the commit metadata says, and its text: thousands of partitions are asked every second."""

    @property
    def buffered_bytes(self) -> int:
        reads_on = self.lanes.ends_at is None  # else rows are open that are forgotten, and nothing comes any more
        done = self.tracker.open_rows() - self.lanes.unresolved if reads_on else 0
        return self.lanes.memory_bytes + self.held_bytes + self.parking_bytes + DONE_ROW_BYTES * done

    @property
    def unsettled(self) -> int:
        """Rows that were offered and are neither stored nor parked."""
        return self.lanes.unresolved + self.parking_rows

    @property
    def room(self) -> int:
        """How many more rows may be open now; below 0 where fewer may than are."""
        return self.ahead_rows + self.passed_rows - self.tracker.open_rows()

    @property
    def read_to(self) -> int:
        """Next offset to read."""
        return self.held[-1].next_offset if self.held else self.tracker.read_to

    @property
    def takes_records(self) -> bool:
        return self.halt is None and not self.draining

    def hold(self, batch: SourceBatch) -> None:
        """Keeps what is new of a batch until it may be offered."""
        new = batch.starting_at(self.read_to)
        if len(new) or new.next_offset > self.read_to:
            self.held.append(new)
            self.held_rows += len(new)
            self.held_bytes += _bytes_of(new)

    def unseen(self, batch: SourceBatch) -> SourceBatch:
        """What is new of a batch, without what the owner before has carried."""
        new = self.tracker.unseen(batch)
        if not self.done or not len(new):
            return new
        rest = new.without(self.done)
        self.done = frozenset(offset for offset in self.done if offset >= new.next_offset)
        return rest

    def take_held(self, rows: int) -> SourceBatch | None:
        """The oldest of what is held, up to so many rows of one batch."""
        if not self.held:
            return None
        batch = self.held.popleft()
        if len(batch) > rows:
            batch, rest = batch.split(rows)
            self.held.appendleft(rest)
        self.held_rows -= len(batch)
        self.held_bytes -= _bytes_of(batch)
        return batch

    def drop_held(self) -> None:
        """What is held will not be offered: whoever has the partition next reads it again."""
        self.held.clear()
        self.held_rows = self.held_bytes = 0

    def stand_still(self, halt: Halt) -> bool:
        """Halts here, unless the partition does so already for what outranks it. What is held below still goes."""
        if self.halt is not None and not halt.outranks(self.halt):
            return False
        self.halt = halt
        if self.tracker.read_to >= halt.offset:
            self.drop_held()
        return True

    def commit_point(self) -> CommitPoint:
        """What may be committed now."""
        committable, is_open = self.committable(), self._is_open()
        looked_at = (committable, self.owner.floors.generation) if is_open and self.owner else None
        state = (self.halt, self.topic_id, self.stream_created_ms, self.hot_lane, looked_at)
        if state != self._said:
            halted, at = (self.halt.reason, self.halt.offset) if self.halt else (None, None)
            stream = self.stream if self.stream_created_ms is not None else None
            owned = self.owner.says(self.partition, committable, is_open) if self.owner else None
            said = CommitMetadata(self.slices, halted, at, self.topic_id, stream, self.stream_created_ms, self.hot_lane, owned)
            self._said, self._metadata = state, encode(said)
        return CommitPoint(committable, self._metadata)

    def _is_open(self) -> bool:
        """Whether something at or above the committable offset may be in Kinesis, or soon be."""
        if self.phase is Phase.READING or self.done_to > self.committable():
            return True
        if self.draining:
            return self.unsettled > 0 or self.tracker.first_unattempted() > self.committable()
        return self.phase is not Phase.CLEAN

    def wants_to_open(self) -> bool:
        """Whether something has come for a clean partition: it is opening from now on."""
        if self.phase is not Phase.CLEAN or not self.held:
            return False
        self.phase = Phase.OPENING
        return True

    def rest(self, now: float) -> None:
        """What has had nothing to do for a while is clean from now on. `now` in seconds."""
        if self.phase is not Phase.OPEN or self.owner is None:
            return
        if self.held or self.unsettled or self.done_to > self.committable() or self.committable() != self.tracker.read_to:
            self.idle_since = None
        elif self.idle_since is None:
            self.idle_since = now
        elif now - self.idle_since >= IDLE_S:
            self.idle_since, self.phase = None, Phase.CLEAN

    def committable(self) -> int:
        """The offset that may be committed now: never above a halt, though what was under way then may be acked."""
        offset = self.tracker.committable()
        return offset if self.halt is None else min(offset, self.halt.offset)

    def lag(self, wall_ms: float) -> tuple[int, float]:
        """Records and seconds behind the end of the partition, true also when idle, paused or halted.

        Seconds are the age of the oldest record that is not acked; where none of those was read, the time since the end
        was first seen above what was read.
        """
        committable = self.tracker.committable()
        end = max(self.end_offset or 0, self.read_to)
        if end <= committable:
            return 0, 0.0
        since = self._oldest_ms()
        return end - committable, max(0.0, (wall_ms - since) / 1000) if since is not None else 0.0

    def saw_end(self, end_offset: int, wall_ms: float) -> None:
        """The end offset that Kafka names now."""
        self.end_offset = max(self.end_offset or 0, end_offset)
        unread = end_offset > self.read_to and self._oldest_read_ms() is None
        self.behind_since_ms = (self.behind_since_ms or wall_ms) if unread else None

    def _oldest_ms(self) -> float | None:
        oldest: float | None = self._oldest_read_ms()
        if oldest is None and self.halt is not None:
            oldest = self.halt.timestamp_ms
        return self.behind_since_ms if oldest is None else oldest

    def _oldest_read_ms(self) -> int | None:
        """Timestamp of the oldest record that was read and is not acked."""
        oldest = self.tracker.oldest_unresolved_ms()
        if oldest is None:
            oldest = next((batch.timestamps_ms[0] for batch in self.held if len(batch)), None)
        return oldest


def _bytes_of(batch: SourceBatch) -> int:
    return sum(map(len, filter(None, batch.values))) + ROW_BYTES * len(batch)


def open_line(assigned: AssignedPartition, routed: RoutedTopic, owner: Owner) -> PartitionLine:
    """A partition that was just assigned, at its committed offset."""
    known = decode(assigned.metadata)
    floors = known.ownership.floors if known.ownership else {}
    return PartitionLine(
        assigned.partition,
        routed.route,
        routed.stream,
        AckTracker(assigned.offset),
        PartitionLanes(assigned.partition, routed.linger_s, aggregates=routed.aggregates),
        assigned.slices,
        CommitPoint(assigned.offset, assigned.metadata),
        topic_id=known.topic_id or assigned.topic_id,
        stream_created_ms=known.stream_created_ms if known.stream == routed.stream else None,
        owner=owner,
        floors_before=floors,
        phase=Phase.READING if floors else Phase.CLEAN,
    )
