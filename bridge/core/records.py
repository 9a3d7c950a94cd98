"""What travels along the line: batches as columns (lists side by side, one row a record), never objects per record."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple


class Partition(NamedTuple):
    """A Kafka partition."""

    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.number}"


Lane = str | int
"""Unit of order inside a partition: a partition key, or a number where the lane is not a key (see mapping)."""


Headers = Sequence[tuple[str, bytes | None]]
"""Of one Kafka record, in its order; a name may stand more than once."""


@dataclass(slots=True)
class SourceBatch:
    """Records of one partition as Kafka handed them over, in offset order.

    Offsets have holes (transaction markers, compaction). `next_offset` is where reading goes on: above the last offset,
    further above it where only markers follow; a batch without rows reports such a position alone. `headers` is empty where
    none of the records has any.
    """

    partition: Partition
    next_offset: int
    offsets: list[int] = field(default_factory=list)
    timestamps_ms: list[int] = field(default_factory=list)
    keys: list[bytes | None] = field(default_factory=list)
    values: list[bytes | None] = field(default_factory=list)
    headers: list[Headers | None] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def value_bytes(self) -> int:
        """Of all values together."""
        return sum(map(len, filter(None, self.values)))

    def starting_at(self, offset: int) -> "SourceBatch":
        """The same batch without the rows below `offset`."""
        first = next((i for i, o in enumerate(self.offsets) if o >= offset), len(self.offsets))
        if first == 0:
            return self
        return SourceBatch(
            self.partition,
            self.next_offset,
            self.offsets[first:],
            self.timestamps_ms[first:],
            self.keys[first:],
            self.values[first:],
            self.headers[first:],
        )

    def without(self, offsets: Collection[int]) -> "SourceBatch":
        """The same batch with holes in place of the rows at these offsets."""
        kept = [row for row, offset in enumerate(self.offsets) if offset not in offsets]
        if len(kept) == len(self):
            return self
        return SourceBatch(
            self.partition,
            self.next_offset,
            [self.offsets[row] for row in kept],
            [self.timestamps_ms[row] for row in kept],
            [self.keys[row] for row in kept],
            [self.values[row] for row in kept],
            [self.headers[row] for row in kept] if self.headers else [],
        )

    def split(self, rows: int) -> "tuple[SourceBatch, SourceBatch]":
        """The first rows, and the rest, of which there must be some."""
        return self.up_to(rows), self.starting_at(self.offsets[rows])

    def up_to(self, rows: int) -> "SourceBatch":
        """The first rows; there must be more than these."""
        return SourceBatch(
            self.partition,
            self.offsets[rows],
            self.offsets[:rows],
            self.timestamps_ms[:rows],
            self.keys[:rows],
            self.values[:rows],
            self.headers[:rows],
        )


@dataclass(slots=True)
class ShardRecords:
    """Records of one shard as Kinesis handed them over, in the order of their sequence numbers; arrival in milliseconds since the
    epoch, by Kinesis's clock."""

    sequence_numbers: list[int] = field(default_factory=list)
    arrivals_ms: list[int] = field(default_factory=list)
    partition_keys: list[str] = field(default_factory=list)
    datas: list[bytes] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.sequence_numbers)


@dataclass(slots=True, frozen=True)
class DeadLetter:
    """A record that was not carried, whole, and why: `reason` is a short name, `detail` a sentence."""

    partition: Partition
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    reason: str
    detail: str


class Outcome(IntEnum):
    """What became of one attempt to put a record, classed by what to do next."""

    STORED = 0
    THROTTLED = 1
    """Not stored; the shard is over its limit: slow down and send again."""
    TRANSIENT = 2
    """Certainly not stored, for a reason that passes: send again after a pause."""
    UNKNOWN = 3
    """Perhaps stored: the answer was lost, late, or said nothing certain."""
    REJECTED = 4
    """Not stored and never will be, as it stands."""
    FATAL = 5
    """Not stored; a person has to act (permission, credentials, missing stream): send again after a long pause."""


@dataclass(slots=True, frozen=True)
class PutAnswer:
    """Answer to one PutRecords request.

    `whole` is set where all records share one outcome; then `outcomes` is empty. Else one entry per record, in request
    order. `shard_ids` and `sequence_numbers` are filled where records were stored. `code` and `message` describe the
    failure of a request, `codes` count the error codes of single records.
    """

    whole: Outcome | None
    outcomes: list[Outcome] = field(default_factory=list)
    shard_ids: list[str] = field(default_factory=list)
    sequence_numbers: list[str] = field(default_factory=list)
    code: str = ""
    message: str = ""
    codes: dict[str, int] = field(default_factory=dict)
    date_s: int | None = None
    """What the service said its time was, in whole seconds since the epoch."""


@dataclass(slots=True, frozen=True)
class GroupMember:
    """A member of a consumer group and what it is assigned."""

    member_id: str
    client_id: str
    host: str
    partitions: tuple[Partition, ...]
