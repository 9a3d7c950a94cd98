"""The aggregate at the head of a queue of records: put together only when it can go, from all that waits by then."""

from collections.abc import Sequence
from itertools import chain, islice
from typing import Any, Final, cast

from bridge.core.delivery.aggregate_limits import AggregateLimits
from bridge.core.delivery.aggregate_queues import Part, WaitingRecords, pick
from bridge.core.delivery.aggregate_tags import Origin, TagColumns, encode_tag
from bridge.core.delivery.aggregation import encode_aggregate
from bridge.core.delivery.deaggregation import decode_aggregate
from bridge.core.delivery.lanes import ROW_BATCH, ROW_DATA, ROW_HASH_KEY, ROW_PARTITION_KEY, ROW_SIZE, MappedBatch, Row

OPEN: Final = bytes(bytearray(b"not put together yet"))
"""Data of a head that is not put together yet; compared by identity."""


class _Marks:
    """Stands where a batch has one byte per row: what is said of the aggregate is said of all its records."""

    __slots__ = ("_again", "_aggregate")

    def __init__(self, aggregate: "Aggregate", again: bool) -> None:
        self._aggregate = aggregate
        self._again = again

    def __setitem__(self, _row: int, value: int) -> None:
        for part in self._aggregate.parts:
            marks = part.batch.attempted_again if self._again else part.batch.resolved
            for row in part.rows:
                marks[row] = value


class Aggregate:
    """What stands in a row in place of a batch: one row, number 0, for all its records."""

    __slots__ = ("age", "lanes_of", "offsets", "parts", "queue", "timestamps_ms")

    def __init__(self, queue: WaitingRecords) -> None:
        first = queue.parts[0]
        self.queue = queue
        self.lanes_of = queue.lanes_of
        self.parts: list[Part] = []
        self.age = first.batch.age
        self.offsets = [first.batch.offsets[first.rows[0]]]
        self.timestamps_ms = [first.batch.timestamps_ms[first.rows[0]]]

    @property
    def resolved(self) -> _Marks:
        """Made when asked for: an aggregate that refers to itself would be kept, with all its records, until it is collected."""
        return _Marks(self, again=False)

    @property
    def attempted_again(self) -> _Marks:
        """As `resolved`."""
        return _Marks(self, again=True)

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def end_of(self, _row: int) -> int:
        """Above the offset of its last record."""
        last = self.parts[-1]
        return last.batch.offsets[last.rows[-1]] + 1

    @property
    def size(self) -> int:
        """Data and partition keys of its records, in bytes."""
        return sum(part.size for part in self.parts)

    def forget(self, _row: Row) -> None:
        """It is not sent any more, nor what stands behind it."""
        self.lanes_of.count_out(len(self), self.size)
        for part in self.queue.take_all():
            self.lanes_of.count_out(len(part), part.size)
        self.queue.busy = False

    def rows_of_lane(self, _row: Row) -> int:
        """Its records, and those that wait behind it."""
        return len(self) + self.queue.records

    def hash_keys(self) -> list[int]:
        """Of its records."""
        return [key for part in self.parts for key in part.hash_keys()]

    def record_offsets(self) -> list[int]:
        """Of its records, in their order inside."""
        return list(chain.from_iterable(pick(part.rows, part.batch.offsets)[0] for part in self.parts))

    def record_timestamps_ms(self) -> list[int]:
        """Of its records, from Kafka."""
        return list(chain.from_iterable(pick(part.rows, part.batch.timestamps_ms)[0] for part in self.parts))


def open_head(queue: WaitingRecords) -> Row:
    """A head that is ready to go, and put together when it goes."""
    queue.busy = True
    first = queue.parts[0]
    aggregate = Aggregate(queue)
    return _row(aggregate, OPEN, first.sizes[0], first.batch.hash_keys[first.rows[0]])


def least_bytes(row: Row) -> int:
    """What has to be left of a shard's second before a head goes: an open one is not put together for less than a quarter of what
    may hold, unless no more waits."""
    if row[ROW_DATA] is not OPEN:
        return row[ROW_SIZE]
    queue = aggregate_of(row).queue
    return min(queue.lanes_of.aggregate_bytes_max // 4, queue.size)


def put_together(row: Row, room_bytes: int) -> Row:
    """The aggregate of an open head: as much of what waits as fits into it, and into what is left of the shard's second."""
    aggregate = aggregate_of(row)
    queue = aggregate.queue
    limits = cast(AggregateLimits, aggregate.lanes_of.aggregates)
    least = max(least_bytes(row), room_bytes - len(row[ROW_PARTITION_KEY]))
    bytes_max, records_max = min(aggregate.lanes_of.aggregate_bytes_max, least), limits.records_max
    while True:
        aggregate.parts = queue.take(bytes_max, records_max)
        records = len(aggregate)
        data = _encode(aggregate, limits.bridge)
        if len(data) <= bytes_max or records == 1:
            break
        queue.put_first(aggregate.parts)  # its tags are larger than usual
        records_max = max(1, records * bytes_max // (len(data) + bytes_max // 8))
    for part in aggregate.parts:
        part.datas = ()  # the aggregate alone holds the data from now on
    return _row(aggregate, data, len(data), row[ROW_HASH_KEY])


def take_apart(row: Row) -> None:
    """Its records wait again, before all others of their queue."""
    aggregate = aggregate_of(row)
    if row[ROW_DATA] is not OPEN:
        datas = iter(_datas(row[ROW_DATA]))
        for part in aggregate.parts:
            part.datas = list(islice(datas, len(part)))
        aggregate.queue.put_first(aggregate.parts)
    aggregate.queue.busy = False


def is_aggregate(row: Row) -> bool:
    """Whether this row stands for an aggregate, open or not."""
    return isinstance(row[ROW_BATCH], Aggregate)


def aggregate_of(row: Row) -> Aggregate:
    """The aggregate that a row stands for."""
    return cast(Aggregate, row[ROW_BATCH])


def _datas(data: bytes) -> list[bytes]:
    aggregate = decode_aggregate(data)
    if aggregate is None:
        raise ValueError("an aggregate of ours cannot be read back")
    return aggregate.datas


def _row(aggregate: Aggregate, data: bytes, size: int, hash_key: int) -> Row:
    """A row for the scheduler. The partition key outside is the same for all aggregates of a Kafka partition: who works on one
    partition key after another keeps their order."""
    partition_key = str(aggregate.lanes_of.partition)
    lane, first_ms = aggregate.queue.shard_id, aggregate.timestamps_ms[0]
    batch = cast(MappedBatch, aggregate)
    return (batch, 0, data, partition_key, str(hash_key), size + len(partition_key), hash_key, lane, first_ms)


def _encode(aggregate: Aggregate, bridge: str) -> bytes:
    parts = aggregate.parts
    keys, offsets, times = map(list, map(chain.from_iterable, zip(*map(_columns, parts), strict=True)))
    datas = list(chain.from_iterable(part.datas for part in parts))
    explicit = None
    if parts[0].batch.explicit_hash_keys is not None:
        explicit = [(part.batch.explicit_hash_keys or ())[row] for part in parts for row in part.rows]
    nulls: list[int] = []
    headers = None
    if any(part.batch.nulls or part.batch.headers for part in parts):
        rows = [(part.batch, row) for part in parts for row in part.rows]
        nulls = [i for i, (batch, row) in enumerate(rows) if row in batch.nulls]
        headers = [batch.headers[row] if batch.headers else None for batch, row in rows]
    tag = encode_tag(Origin(bridge, aggregate.lanes_of.partition), TagColumns(offsets, times, nulls, headers))
    return encode_aggregate(keys, explicit, datas, tag)


def _columns(part: Part) -> list[Sequence[Any]]:
    batch = part.batch
    return pick(part.rows, batch.partition_keys, batch.offsets, batch.timestamps_ms)
