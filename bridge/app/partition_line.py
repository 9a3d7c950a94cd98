"""One assigned partition on its way to its stream."""

from bisect import bisect_left
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from bridge.app.owners import Owner, Renewal
from bridge.core.delivery.ack_tracker import AckTracker
from bridge.core.delivery.commit_metadata import CommitMetadata, CommitPoint, HotLane, encode
from bridge.core.delivery.demand import Demand
from bridge.core.delivery.halts import Halt
from bridge.core.delivery.lanes import ROW_BYTES, PartitionLanes
from bridge.core.delivery.lease import Lease
from bridge.core.delivery.ownership import Ownership
from bridge.core.delivery.service_clock import Interval
from bridge.core.records import Partition, SourceBatch

AHEAD_ROWS_MIN = 200
"""So many rows a partition may always have open."""
RESERVED_ROWS_MIN = 5000
"""A commit allows attempts for so many offsets above what was offered, or for `RESERVED_WINDOWS` times what may be open."""
RESERVED_WINDOWS = 4
UNBOUNDED = 2**63 - 1
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
    comes_back: bool = False
    """It drains to begin anew, within its assignment."""
    carries: bool | None = True
    """Whether the direction of its route lets it carry; None until the control topic was read. Kept by `RouteControl`, as is the
    epoch that it acts by."""
    epoch: int = 0
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
    before: Ownership | None = None
    """What the owner before has committed; None where there was none."""
    unreadable: str | None = None
    """Why what stands beside the committed offset cannot be read: then nothing may be committed over it."""
    demand: Demand = field(default_factory=Demand)
    """Kept by `Shares`."""
    phase: Phase = Phase.OPEN
    lease: Lease | None = None
    """Of an open partition that has an owner."""
    attempts_to: int = UNBOUNDED
    """Nothing at or above this offset may be offered before a commit has said so."""
    idle_since: float | None = None
    done: frozenset[int] = frozenset()
    """Offsets above the committed one that the owner before has carried, and that were not read yet."""
    done_to: int = 0
    """Above all of them, read or not."""
    recovering: Renewal | None = None
    """What is said while the attempts of the owner before are looked for: all that are in doubt are in the ledger."""
    _said: tuple[object, ...] = ()
    _metadata: str = ""
    """What the commit metadata says, and its text: thousands of partitions are asked every second."""

    @property
    def buffered_bytes(self) -> int:
        reads_on = self.lanes.ends_at is None  # else rows are open that are forgotten, and nothing comes any more
        done = self.tracker.open_rows() - self.lanes.unresolved if reads_on else 0
        return self.lanes.memory_bytes + self.held_bytes + self.parking_bytes + DONE_ROW_BYTES * done

    @property
    def floors_before(self) -> Mapping[int, int]:
        """From where on the ledger has entries of the owner before."""
        return self.before.floors if self.before is not None else {}

    @property
    def unsettled(self) -> int:
        """Rows that were offered and are neither stored nor parked."""
        return self.lanes.unresolved + self.parking_rows

    @property
    def room(self) -> int:
        """How many more rows may be open now; below 0 where fewer may than are."""
        return self.ahead_rows + self.passed_rows - self.tracker.open_rows()

    @property
    def reserved_rows(self) -> int:
        """How many of the rows of the oldest batch that is held a commit has allowed."""
        return bisect_left(self.held[0].offsets, self.attempts_to)

    @property
    def read_to(self) -> int:
        """Next offset to read."""
        return self.held[-1].next_offset if self.held else self.tracker.read_to

    @property
    def takes_records(self) -> bool:
        return self.halt is None and not self.draining and self.carries is not False

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

    def renewal(self, watermark_ms: int, now: Interval) -> Renewal | None:
        """What the next commit may say; None: it must not say anything, because that is not known, or the lease has lapsed."""
        if self.phase is Phase.CLEAN or self.lease is None:
            return Renewal(watermark_ms, 0, self.done_to) if watermark_ms else None
        end_ms = self.lease.end_to_write(now)
        reserved = max(RESERVED_ROWS_MIN, RESERVED_WINDOWS * self.ahead_rows)
        attempts_to = max(self.attempts_to, self.tracker.read_to + reserved)
        return None if end_ms is None else Renewal(watermark_ms, end_ms, attempts_to)

    def renewed(self, renewal: Renewal, now: Interval) -> None:
        """Kafka has confirmed it."""
        if self.lease is not None and self.lease.confirmed(renewal.lease_end_ms, now):
            self.attempts_to = renewal.attempts_to

    def last_renewal(self, watermark_ms: int) -> Renewal | None:
        """What a last commit says that renews nothing."""
        if self.phase is Phase.READING:
            return self.recovering
        end_ms = self.lease.end_ms if self.lease is not None else None
        return Renewal(watermark_ms, end_ms or 0, self.attempts_to)

    def commit_point(self, renewal: Renewal | None = None) -> CommitPoint:
        """What may be committed now. `renewal` is what is said where it is open; until what the owner before has left is settled,
        what that has said is said again."""
        committable = self.committable()
        renewal = renewal if renewal is not None and self.is_open() else None
        looked_at = (committable, self.owner.floors.generation, renewal) if renewal and self.owner else self.phase
        state = (self.halt, self.topic_id, self.stream_created_ms, self.hot_lane, self.epoch, self.demand.announced, looked_at)
        if state != self._said:
            halted, at = (self.halt.reason, self.halt.offset) if self.halt else (None, None)
            stream = self.stream if self.stream_created_ms is not None else None
            owned = self.owner.says(self.partition, committable, renewal, self.epoch, self.demand) if self.owner else None
            owned = self.before if self.phase is Phase.READING and renewal is None else owned
            said = CommitMetadata(self.slices, halted, at, self.topic_id, stream, self.stream_created_ms, self.hot_lane, owned)
            self._said, self._metadata = state, encode(said)
            self.demand.said()
        return CommitPoint(committable, self._metadata)

    def is_open(self) -> bool:
        """Whether something at or above the committable offset may be in Kinesis, or soon be."""
        if self.phase is Phase.READING or (self.done_to and self.done_to > self.committable()):
            return True
        if self.draining:
            return self.unsettled > 0 or self.tracker.first_unattempted() > self.committable()
        return self.phase is not Phase.CLEAN

    def wants_to_open(self) -> bool:
        """Whether something has come for a clean partition: it is opening from now on."""
        if self.phase is not Phase.CLEAN or not self.held or not self.carries:
            return False
        self.phase = Phase.OPENING
        self.lease = self.owner.lease() if self.owner else None
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
            self.idle_since, self.phase, self.lease = None, Phase.CLEAN, None

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
    return batch.value_bytes + ROW_BYTES * len(batch)
