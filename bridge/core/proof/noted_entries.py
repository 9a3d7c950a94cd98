"""What was stored, as ledger entries: rows of the delivery line become columns."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from xxhash import xxh3_64_intdigest

from bridge.core.delivery.aggregates import aggregate_of, is_aggregate
from bridge.core.delivery.lanes import PartitionLanes, Row, offset_of
from bridge.core.proof.digests import digest
from bridge.core.proof.ledger_codec import encode
from bridge.core.proof.ledger_entries import Group, Stored, StreamShard
from bridge.core.records import Partition


class SlotMessage(NamedTuple):
    """A message for one slot. `highest` is the highest Kafka offset in it of each partition, `records` how many of Kafka's it
    is about."""

    slot: int
    value: bytes
    highest: Mapping[Partition, int]
    records: int


@dataclass(slots=True, eq=False)
class _Place:
    """Columns of what one shard has stored of one partition; `counts` where its lanes make aggregates."""

    counts: list[int] | None
    offsets: list[int] = field(default_factory=list)
    sequence_numbers: list[str] = field(default_factory=list)
    digests: list[int] = field(default_factory=list)


_Places = dict[PartitionLanes, _Place]


@dataclass(slots=True)
class _Slot:
    """What is noted for one slot; `records` counts Kafka's."""

    places: dict[StreamShard, _Places] = field(default_factory=dict)
    others: list[Group] = field(default_factory=list)
    records: int = 0


class NotedEntries:
    """Takes rows as they are stored and gives them out as groups, slot by slot: the more rows of a shard and a partition stand
    together, the less each costs. Their data is not kept."""

    def __init__(self, slots: int) -> None:
        self._slots = [_Slot() for _ in range(slots)]
        self._slot_of: dict[StreamShard, int] = {}

    def stored(self, stream: str, rows: Sequence[Row], shard_ids: Sequence[str], sequence_numbers: Sequence[str]) -> int:
        """A stream has stored these, each in its shard under its sequence number (decimal). Returns how many Kafka records
        they are."""
        records = at = 0
        while at < len(rows):
            end, shard_id = at + 1, shard_ids[at]
            while end < len(rows) and shard_ids[end] == shard_id:
                end += 1
            records += self._stored_in(StreamShard(stream, shard_id), rows[at:end], sequence_numbers[at:end])
            at = end
        return records

    def _stored_in(self, shard: StreamShard, rows: Sequence[Row], sequence_numbers: Sequence[str]) -> int:
        slot = self._slots[self._slot(shard)]
        places = slot.places.setdefault(shard, {})
        records = 0
        for row, number in zip(rows, sequence_numbers, strict=True):
            batch = row[0]
            lanes_of = batch.lanes_of
            place = places.get(lanes_of) or _begin(places, lanes_of)
            if place.counts is None:
                place.offsets.append(batch.offsets[row[1]])
                records += 1
            else:
                within = aggregate_of(row).record_offsets() if is_aggregate(row) else [offset_of(row)]
                place.offsets += within
                place.counts.append(len(within))
                records += len(within)
            place.sequence_numbers.append(number)
            place.digests.append(digest(row[3], row[2]))
        slot.records += records
        return records

    def add(self, group: Group) -> None:
        """What is said beside."""
        slot = self._slots[slot_of(group, len(self._slots))]
        slot.others.append(group)
        slot.records += len(group.offsets)

    def slots(self, records: int = 1) -> list[int]:
        """Those with at least so many Kafka records."""
        return [number for number, slot in enumerate(self._slots) if slot.records >= records]

    def take(self, number: int) -> SlotMessage:
        """All that is noted for a slot, which has something; begins anew."""
        slot, self._slots[number] = self._slots[number], _Slot()
        groups = slot.others
        for shard, places in slot.places.items():
            for lanes, place in places.items():
                numbers = list(map(int, place.sequence_numbers))
                groups.append(Stored(shard, lanes.partition, numbers, place.digests, place.offsets, place.counts))
        return SlotMessage(number, encode(groups), _highest(groups), slot.records)

    def _slot(self, shard: StreamShard) -> int:
        number = self._slot_of.get(shard)
        if number is None:
            number = self._slot_of[shard] = slot_of_shard(shard, len(self._slots))
        return number


def _begin(places: _Places, lanes_of: PartitionLanes) -> _Place:
    place = places[lanes_of] = _Place(None if lanes_of.aggregates is None else [])
    return place


def slot_of(group: Group, slots: int) -> int:
    """What is said of one shard is in one slot; what is resolved without a record, or in doubt, of one partition too."""
    return slot_of_shard(group.shard, slots) if isinstance(group, Stored) else _slot(str(group.partition), slots)


def slot_of_shard(shard: StreamShard, slots: int) -> int:
    """Where all stands that was stored in this shard."""
    return _slot(f"{shard.stream}/{shard.shard_id}", slots)


def _slot(text: str, slots: int) -> int:
    return xxh3_64_intdigest(text.encode()) % slots


def _highest(groups: Collection[Group]) -> dict[Partition, int]:
    highest: dict[Partition, int] = {}
    for group in groups:
        highest[group.partition] = max(max(group.offsets), highest.get(group.partition, 0))
    return highest
