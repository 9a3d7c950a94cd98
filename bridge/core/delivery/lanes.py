"""The lanes of one assigned partition: in each, at most one record is unresolved, the others wait behind it."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from bridge.core.records import Lane, Partition

ROW_BYTES = 400
"""What a row costs in memory beside its data and partition key: objects, list entries, its place in a lane (measured)."""


@dataclass(slots=True, eq=False)
class PartitionLanes:
    """Lanes of one assignment of a partition. A later assignment gets lanes of its own.

    `waiting` has an entry for each lane with an unresolved head: the rows behind the head, or None while there are none.
    """

    partition: Partition
    linger_s: float
    waiting: "dict[Lane, deque[Row] | None]" = field(default_factory=dict)
    unresolved: int = 0
    """Records offered and not yet resolved."""
    unresolved_bytes: int = 0
    """Data and partition keys of those."""
    ends_at: int | None = None
    """Rows at or above this offset are not sent any more; those under way are not tried again."""

    @property
    def memory_bytes(self) -> int:
        """About what the unresolved records hold in memory."""
        return self.unresolved_bytes + ROW_BYTES * self.unresolved

    def wants(self, offset: int) -> bool:
        """Whether a row at this offset is still to be sent."""
        return self.ends_at is None or offset < self.ends_at


@dataclass(slots=True, eq=False)
class MappedBatch:
    """Rows of one partition, ready for the scheduler; `values[i]` becomes None once row i is stored.

    `sizes` count data and partition key in bytes, as the limits do. `explicit_hash_keys` is None where the partition key
    decides the shard. `attempted` and `resolved` hold one byte per row, 0 or 1.
    """

    lanes_of: PartitionLanes
    next_offset: int
    offsets: list[int]
    timestamps_ms: list[int]
    values: list[bytes | None]
    partition_keys: Sequence[str]
    hash_keys: Sequence[int]
    explicit_hash_keys: Sequence[str] | None
    lanes: Sequence[Lane]
    sizes: list[int]
    age: int = 0
    """Set by the scheduler: batches offered earlier have a lower one."""
    attempted: bytearray = field(init=False)
    resolved: bytearray = field(init=False)

    def __post_init__(self) -> None:
        self.attempted = bytearray(len(self.offsets))
        self.resolved = bytearray(len(self.offsets))

    def __len__(self) -> int:
        return len(self.offsets)


Row = tuple[MappedBatch, int]
"""One record: its batch and its row there."""
