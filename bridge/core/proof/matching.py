"""By what a Kinesis record that was read back is known again: its mark, or else its partition key and digest.

A mark is the coordinates of origin that travel with a record: in the partition key (`carry_origin`), or in the tag of an
aggregate.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

from bridge.core.delivery.aggregate_tags import decode_tag
from bridge.core.delivery.aggregation import MAGIC
from bridge.core.delivery.deaggregation import PoisonError, decode_aggregate, delivered_by_kcl
from bridge.core.proof.digests import digest, key_hash
from bridge.core.proof.ledger_entries import StreamShard
from bridge.core.records import Partition, ShardRecords


class Mark(NamedTuple):
    """Where the records in a Kinesis record come from; one offset for each, in the order of their sub-sequence numbers."""

    partition: Partition
    offsets: Sequence[int]


def mark_in_key(bridge: str, partition_key: str) -> Mark | None:
    """The mark of `carry_origin`: `<bridge>:topic/partition/offset`; None for another partition key."""
    if not partition_key.startswith(f"{bridge}:"):
        return None
    place, _, offset = partition_key[len(bridge) + 1 :].rpartition("/")
    topic, _, number = place.rpartition("/")
    if not (topic and _is_number(number) and _is_number(offset)):
        return None
    return Mark(Partition(topic, int(number)), (int(offset),))


def mark_in_data(bridge: str, data: bytes) -> Mark | None:
    """The mark of an aggregate that this bridge wrote; None for other data."""
    if data[:4] != MAGIC:
        return None
    try:
        aggregate = decode_aggregate(data)
        if aggregate is None or (tag := aggregate.first_tag) is None:
            return None
        origin, columns = decode_tag(tag)
    except ValueError:  # not written as we write it
        return None
    if origin.bridge != bridge or len(columns.offsets) != len(aggregate):
        return None
    return Mark(origin.partition, columns.offsets)


def counts_as_written(partition_key: str, data: bytes, hash_keys: tuple[int, int]) -> bool:
    """Whether KCL delivers a record of a shard with this range of hash keys, both ends inclusive.

    It drops a whole aggregate that holds a record outside the range: such a one counts as not written.
    """
    if data[:4] != MAGIC:
        return True
    try:
        return bool(delivered_by_kcl(data, partition_key, *hash_keys))
    except PoisonError:
        return False


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 20


@dataclass(slots=True, frozen=True)
class Wanted:
    """What is looked for when a stream is read back: rows with marks of these partitions, others by the hashes of their partition
    keys (`digests.key_hash`). Only that is kept, so memory is bounded by what is looked for."""

    bridge: str
    marked: Collection[Partition] = ()
    key_hashes: Collection[int] = ()
    until_ms: float = inf
    """Without marks nothing is looked for that arrived later: the last moment of all rows, and the margin."""


@dataclass(slots=True)
class Evidence:
    """Of one shard, what may be wanted, as columns; `hash_keys` is its range. `marks` holds None for what is known by digest."""

    shard: StreamShard
    hash_keys: tuple[int, int]
    sequence_numbers: list[int] = field(default_factory=list)
    arrivals_ms: list[int] = field(default_factory=list)
    key_hashes: list[int] = field(default_factory=list)
    digests: list[int] = field(default_factory=list)
    marks: list[Mark | None] = field(default_factory=list)
    undelivered: int = 0
    """Aggregates of ours that KCL drops."""

    def take(self, records: ShardRecords, wanted: Wanted) -> None:
        """Keeps of these records, which follow those before, what may be wanted."""
        names = {str(partition) for partition in wanted.marked}  # what aggregates have as partition key outside
        rows = zip(records.partition_keys, records.datas, records.sequence_numbers, records.arrivals_ms, strict=True)
        for partition_key, data, number, arrival_ms in rows:
            mark = None
            if names:
                mark = mark_in_key(wanted.bridge, partition_key)
                if mark is None and partition_key in names:
                    mark = mark_in_data(wanted.bridge, data)
                if mark is not None and mark.partition not in wanted.marked:
                    continue
            hashed = key_hash(partition_key)
            if mark is None and (hashed not in wanted.key_hashes or arrival_ms > wanted.until_ms):
                continue
            if not counts_as_written(partition_key, data, self.hash_keys):
                self.undelivered += 1
                continue
            self.sequence_numbers.append(number)
            self.arrivals_ms.append(arrival_ms)
            self.key_hashes.append(hashed)
            self.digests.append(digest(partition_key, data))
            self.marks.append(mark)
