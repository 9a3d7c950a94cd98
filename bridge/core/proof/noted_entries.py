"""What was stored, as ledger entries: rows of the delivery line become columns."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
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


def stored_groups(stream: str, rows: Sequence[Row], shard_ids: Sequence[str], sequence_numbers: Sequence[str]) -> list[Stored]:
    """Entries for rows that a stream has stored, each in its shard under its sequence number (decimal)."""
    places: dict[tuple[str, PartitionLanes], list[int]] = defaultdict(list)
    for i, (row, shard_id) in enumerate(zip(rows, shard_ids, strict=True)):
        places[shard_id, row[0].lanes_of].append(i)
    groups = []
    for (shard_id, lanes_of), chosen in places.items():
        of_place = [rows[i] for i in chosen]
        offsets, counts = _offsets(of_place, lanes_of)
        of_rows = digests([row[ROW_PARTITION_KEY] for row in of_place], [row[ROW_DATA] for row in of_place])
        numbers = [int(sequence_numbers[i]) for i in chosen]
        groups.append(Stored(StreamShard(stream, shard_id), lanes_of.partition, numbers, of_rows, offsets, counts))
    return groups


def _offsets(rows: Sequence[Row], lanes_of: PartitionLanes) -> tuple[list[int], list[int] | None]:
    if lanes_of.aggregates is None:
        return list(map(offset_of, rows)), None
    offsets, counts = list[int](), list[int]()
    for row in rows:
        within = aggregate_of(row).record_offsets() if is_aggregate(row) else [offset_of(row)]
        offsets += within
        counts.append(len(within))
    return offsets, counts


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
