"""The lanes of one assigned partition: in each, at most one record is unresolved, the others wait behind it."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import repeat
from typing import Final

from bridge.core.delivery.aggregate_limits import AggregateLimits
from bridge.core.delivery.policies import Decided, Diverted
from bridge.core.quotas import PARTITION_KEY_CHARACTERS_MAX, RECORD_BYTES_MAX_CEILING
from bridge.core.records import Headers, Lane, Partition

ROW_BYTES = 400
"""What a row costs in memory beside its data and partition key: objects, list entries, its place in a lane (measured)."""


FIRST = -1
"""Age of batches whose rows go before all others: somebody waits for their partition."""


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
    aggregates: AggregateLimits | None = None
    """Where its records travel in aggregates; then `waiting` stays empty."""
    record_bytes_max: int = RECORD_BYTES_MAX_CEILING
    """What the stream, and a request, takes of one record."""
    decided: Decided | None = None
    ends_at: int | None = None
    """Rows at or above this offset are not sent any more; those under way are not tried again."""
    detached: bool = False
    """Nobody asks any more what became of an attempt at its rows."""

    @property
    def memory_bytes(self) -> int:
        """About what the unresolved records hold in memory."""
        return self.unresolved_bytes + ROW_BYTES * self.unresolved

    @property
    def aggregate_bytes_max(self) -> int:
        """Of the data of one aggregate. Raises ValueError where records travel by themselves."""
        if self.aggregates is None:
            raise ValueError(f"{self.partition}: its records travel by themselves")
        return min(self.aggregates.bytes_max, self.record_bytes_max - PARTITION_KEY_CHARACTERS_MAX)

    def end_at(self, offset: int) -> None:
        """Nothing at or above this offset is sent any more; what waits behind the heads there is forgotten, what is below
        goes before other partitions' rows."""
        self.ends_at = offset if self.ends_at is None else min(offset, self.ends_at)
        for lane, behind in self.waiting.items():
            if behind:
                kept = deque(row for row in behind if is_wanted(row))
                for row in kept:
                    row[ROW_BATCH].age = FIRST
                self.let_go(row for row in behind if not is_wanted(row))
                self.waiting[lane] = kept or None

    def let_go(self, rows: "Iterable[Row]") -> None:
        """These rows are not unresolved any more."""
        for row in rows:
            self.count_out(1, row[ROW_SIZE])

    def count_out(self, records: int, size: int) -> None:
        """So many records, with so many bytes, are not unresolved any more."""
        self.unresolved -= records
        self.unresolved_bytes -= size

    def wants(self, offset: int) -> bool:
        """Whether a row at this offset is still to be sent."""
        return self.ends_at is None or offset < self.ends_at


@dataclass(slots=True, eq=False)
class MappedBatch:
    """Rows of one partition, ready for the scheduler, which takes the columns that it needs out as rows, once.

    `sizes` count data and partition key in bytes, as the limits do. `explicit_hash_keys` is None where the partition key
    decides the shard. `attempted_again` and `resolved` hold one byte per row, 0 or 1. Rows in `diverted` are not sent.
    """

    lanes_of: PartitionLanes
    next_offset: int
    offsets: list[int]
    timestamps_ms: list[int]
    values: Sequence[bytes]
    partition_keys: Sequence[str]
    hash_keys: Sequence[int]
    explicit_hash_keys: Sequence[str] | None
    lanes: Sequence[Lane]
    sizes: Sequence[int]
    diverted: Sequence[Diverted] = ()
    nulls: frozenset[int] = frozenset()
    """Rows whose value was null, and is sent empty."""
    headers: Sequence[Headers | None] = ()
    hashed_keys: int = 0
    """Of how many rows the partition key cannot be turned back into the Kafka key."""
    age: int = 0
    """Set by the scheduler: batches offered earlier have a lower one."""
    attempted_again: bytearray = field(init=False)
    """Set by the scheduler for a row that was attempted and waits to be attempted again, or is in doubt."""
    resolved: bytearray = field(init=False)

    def __post_init__(self) -> None:
        self.attempted_again = bytearray(len(self.offsets))
        self.resolved = bytearray(len(self.offsets))

    def head(self, rows: int, diverted: Sequence[Diverted]) -> "MappedBatch":
        """The first rows, of which those are diverted."""
        whole = rows == len(self)
        return replace(
            self,
            next_offset=self.next_offset if whole else self.offsets[rows],
            offsets=self.offsets[:rows],
            timestamps_ms=self.timestamps_ms[:rows],
            values=self.values[:rows],
            partition_keys=self.partition_keys[:rows],
            hash_keys=self.hash_keys[:rows],
            explicit_hash_keys=None if self.explicit_hash_keys is None else self.explicit_hash_keys[:rows],
            lanes=self.lanes[:rows],
            sizes=self.sizes[:rows],
            headers=self.headers[:rows],
            diverted=diverted,
        )

    def __len__(self) -> int:
        return len(self.offsets)

    def end_of(self, row: int) -> int:
        """Above the offset of a row."""
        return self.offsets[row] + 1

    def forget(self, row: "Row") -> None:
        """A head of this batch is not sent any more, nor what stands behind it."""
        self.lanes_of.let_go([row, *(self.lanes_of.waiting.pop(row[ROW_LANE], None) or ())])

    def rows_of_lane(self, row: "Row") -> int:
        """A head of this batch, and what stands behind it."""
        return 1 + len(self.lanes_of.waiting.get(row[ROW_LANE]) or ())

    def take_rows(self) -> "list[Row]":
        """The rows to send, which alone hold the data from now on: it is released with the row."""
        explicit = repeat(None) if self.explicit_hash_keys is None else self.explicit_hash_keys
        columns = (self.values, self.partition_keys, explicit, self.sizes, self.hash_keys, self.lanes, self.timestamps_ms)
        rows = list(zip(repeat(self), range(len(self)), *columns, strict=False))
        self.values = self.partition_keys = self.hash_keys = self.lanes = self.sizes = self.headers = ()
        self.explicit_hash_keys = None
        if self.diverted:
            left_out = {diverted.row for diverted in self.diverted}
            rows = [row for row in rows if row[1] not in left_out]
        return rows


Row = tuple[MappedBatch, int, bytes, str, str | None, int, int, Lane, int]
"""One record: batch, row there, data, partition key, explicit hash key, size, hash key, lane, Kafka timestamp (ms). A plain
tuple, because rows are made and taken apart by the hundred thousand a second."""
# Places in a row.
ROW_BATCH: Final = 0
ROW_DATA: Final = 2
ROW_PARTITION_KEY: Final = 3
ROW_EXPLICIT_HASH_KEY: Final = 4
ROW_SIZE: Final = 5
ROW_HASH_KEY: Final = 6
ROW_LANE: Final = 7
ROW_TIMESTAMP_MS: Final = 8


def offset_of(row: Row) -> int:
    """Kafka offset of a row."""
    return row[0].offsets[row[1]]


def end_offset_of(row: Row) -> int:
    """Above the Kafka offset of a row, or of the last record of the aggregate that it stands for."""
    return row[0].end_of(row[1])


def is_wanted(row: Row) -> bool:
    """Whether its partition still wants this row sent."""
    batch = row[0]
    return batch.lanes_of.wants(batch.offsets[row[1]])


def advance(stored: Iterable[Row]) -> list[Row]:
    """Lets go of the heads that were stored; returns the next row of each lane that has one, which is its head now."""
    freed: list[Row] = []
    for batch, _, _, _, _, size, _, lane, _ in stored:
        lanes_of = batch.lanes_of
        lanes_of.unresolved -= 1
        lanes_of.unresolved_bytes -= size
        if behind := lanes_of.waiting[lane]:
            freed.append(behind.popleft())
        else:
            del lanes_of.waiting[lane]
    return freed


def heads_to_try_again(rows: Iterable[Row]) -> list[Row]:
    """Those of these heads, attempted without success, that are still wanted; the others are forgotten."""
    heads = wanted_heads(rows)
    for row in heads:
        row[ROW_BATCH].attempted_again[row[1]] = 1
    return heads


def wanted_heads(rows: Iterable[Row]) -> list[Row]:
    """Those of these heads that are still wanted; the others are forgotten."""
    heads = []
    for row in rows:
        if is_wanted(row):
            heads.append(row)
        else:
            forget_head(row)
    return heads


def forget_head(row: Row) -> None:
    """This head is not sent any more. Offsets ascend in a lane, so nothing behind it is wanted either."""
    row[ROW_BATCH].forget(row)
