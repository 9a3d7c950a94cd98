"""What was stored, as ledger entries: rows of the delivery line become columns."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from xxhash import xxh3_64_intdigest

from bridge.core.delivery.aggregates import aggregate_of, is_aggregate
from bridge.core.delivery.lanes import ROW_DATA, ROW_PARTITION_KEY, PartitionLanes, Row, offset_of
from bridge.core.proof.digests import digests
from bridge.core.proof.ledger_codec import encode
from bridge.core.proof.ledger_entries import Doubts, Group, Stored, StreamShard
from bridge.core.records import Partition


class SlotMessage(NamedTuple):
    """A message for one slot. `highest` is the highest Kafka offset in it of each partition."""

    slot: int
    value: bytes
    highest: Mapping[Partition, int]


@dataclass(slots=True)
class _Place:
    """Columns of what one shard has stored of one partition."""

    offsets: list[int] = field(default_factory=list)
    sequence_numbers: list[str] = field(default_factory=list)
    digests: list[int] = field(default_factory=list)
    counts: list[int] | None = None


class NotedEntries:
    """Takes rows as they are stored, by shard and partition, and gives them out as groups. Their data is not kept."""

    def __init__(self) -> None:
        self._places: dict[str, dict[tuple[str, PartitionLanes], _Place]] = {}
        self._others: list[Group] = []
        self.records = 0
        """Kafka records in it."""

    def stored(self, stream: str, rows: Sequence[Row], shard_ids: Sequence[str], sequence_numbers: Sequence[str]) -> None:
        """A stream has stored these, each in its shard under its sequence number (decimal)."""
        places = self._places.setdefault(stream, {})
        of_rows = digests([row[ROW_PARTITION_KEY] for row in rows], [row[ROW_DATA] for row in rows])
        self.records += len(rows)
        for row, shard_id, number, digest in zip(rows, shard_ids, sequence_numbers, of_rows, strict=True):
            batch = row[0]
            lanes_of = batch.lanes_of
            place = places.get((shard_id, lanes_of))
            if place is None:
                place = places[shard_id, lanes_of] = _Place(counts=None if lanes_of.aggregates is None else [])
            if place.counts is None:
                place.offsets.append(batch.offsets[row[1]])
            else:
                within = aggregate_of(row).record_offsets() if is_aggregate(row) else [offset_of(row)]
                place.offsets += within
                place.counts.append(len(within))
                self.records += len(within) - 1
            place.sequence_numbers.append(number)
            place.digests.append(digest)

    def add(self, group: Group) -> None:
        """What is said beside."""
        self._others.append(group)
        self.records += len(group.offsets)

    def take(self) -> list[Group]:
        """All groups, and begins anew."""
        groups, self._others = self._others, []
        for stream, places in self._places.items():
            for (shard_id, lanes_of), place in places.items():
                shard, numbers = StreamShard(stream, shard_id), list(map(int, place.sequence_numbers))
                groups.append(Stored(shard, lanes_of.partition, numbers, place.digests, place.offsets, place.counts))
        self._places, self.records = {}, 0
        return groups


def slot_of(group: Group, slots: int) -> int:
    """What is said of one shard is in one slot, what is said of a partition alone too."""
    if isinstance(group, Stored):
        return slot_of_shard(group.shard, slots)
    return _slot(f"{group.stream}/{group.partition}" if isinstance(group, Doubts) else str(group.partition), slots)


def slot_of_shard(shard: StreamShard, slots: int) -> int:
    """Where all stands that was stored in this shard."""
    return _slot(f"{shard.stream}/{shard.shard_id}", slots)


def _slot(text: str, slots: int) -> int:
    return xxh3_64_intdigest(text.encode()) % slots


def messages_of(groups: Iterable[Group], slots: int) -> list[SlotMessage]:
    """One message for each slot that these groups belong to."""
    by_slot: dict[int, list[Group]] = defaultdict(list)
    for group in groups:
        by_slot[slot_of(group, slots)].append(group)
    return [SlotMessage(slot, encode(of_slot), _highest(of_slot)) for slot, of_slot in by_slot.items()]


def _highest(groups: Collection[Group]) -> dict[Partition, int]:
    highest: dict[Partition, int] = {}
    for group in groups:
        highest[group.partition] = max(max(group.offsets), highest.get(group.partition, 0))
    return highest
