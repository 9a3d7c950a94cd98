"""What was stored, as ledger entries: rows of the delivery line become columns."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import NamedTuple

from xxhash import xxh3_64_intdigest

from bridge.core.delivery.aggregates import aggregate_of, is_aggregate
from bridge.core.delivery.lanes import ROW_BATCH, ROW_DATA, ROW_PARTITION_KEY, PartitionLanes, Row, offset_of
from bridge.core.proof.digests import digests
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
_KEY, _DATA = itemgetter(ROW_PARTITION_KEY), itemgetter(ROW_DATA)


@dataclass(slots=True)
class _Slot:
    """What is noted for one slot; `records` counts Kafka's."""

    shards: list["_Shard"] = field(default_factory=list)
    others: list[Group] = field(default_factory=list)
    records: int = 0


@dataclass(slots=True, eq=False)
class _Shard:
    """What one shard has stored since its slot was taken."""

    name: StreamShard
    slot: int
    places: _Places = field(default_factory=dict)


class NotedEntries:
    """Takes rows as they are stored and gives them out as groups, slot by slot: the more rows of a shard and a partition stand
    together, the less each costs. Their data is not kept."""

    def __init__(self, slots: int) -> None:
        self._slots = [_Slot() for _ in range(slots)]
        self._shards: dict[str, dict[str, _Shard]] = {}

    def stored(self, stream: str, rows: Sequence[Row], shard_ids: Sequence[str], sequence_numbers: Sequence[str]) -> int:
        """A stream has stored these, each in its shard under its sequence number (decimal). Returns how many Kafka records
        they are."""
        shards = self._shards.setdefault(stream, {})
        slot, places, last = _Slot(), _Places(), None
        records = before = 0
        known = digests(map(_KEY, rows), map(_DATA, rows))
        for row, shard_id, number, known_by in zip(rows, shard_ids, sequence_numbers, known, strict=True):
            if shard_id != last:  # rows of a shard stand together, if only a few
                slot.records += records - before
                last, before = shard_id, records
                shard = shards.get(shard_id) or self._shard(shards, StreamShard(stream, shard_id))
                slot, places = self._slots[shard.slot], shard.places
                if not places:
                    slot.shards.append(shard)
            batch = row[ROW_BATCH]
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
            place.digests.append(known_by)
        slot.records += records - before
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
        for shard in slot.shards:
            places, shard.places = shard.places, {}
            for lanes, place in places.items():
                numbers = list(map(int, place.sequence_numbers))
                groups.append(Stored(shard.name, lanes.partition, numbers, place.digests, place.offsets, place.counts))
        return SlotMessage(number, encode(groups), _highest(groups), slot.records)

    def _shard(self, shards: dict[str, _Shard], name: StreamShard) -> _Shard:
        shard = shards[name.shard_id] = _Shard(name, slot_of_shard(name, len(self._slots)))
        return shard


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
