"""Rows of the delivery line as ledger entries."""

from bridge.core.delivery.aggregate_limits import AggregateLimits
from bridge.core.delivery.key_strategies import KeyCache, MappingSpec
from bridge.core.delivery.lanes import PartitionLanes
from bridge.core.delivery.mapping import Mapper
from bridge.core.delivery.requests import Request, RequestLimits
from bridge.core.delivery.scheduler import Scheduler
from bridge.core.proof.digests import digest
from bridge.core.proof.ledger_codec import decode
from bridge.core.proof.ledger_entries import Resolved, ResolvedAs, Stored, StreamShard, records_of
from bridge.core.proof.noted_entries import NotedEntries, slot_of
from bridge.core.quotas import MIB
from bridge.core.records import Outcome, Partition, PutAnswer
from tests.unit.core.delivery.columns import even_shard_map, source_batch

ORDERS, OTHERS = Partition("orders", 0), Partition("orders", 1)


def stored(aggregates: AggregateLimits | None, *batches: tuple[Partition, list[int]]) -> tuple[Request, list[Stored]]:
    """What the ledger is told of these records, all in one request, the second shard first."""
    scheduler = Scheduler(RequestLimits(500, 5 * MIB), even_shard_map(2))
    mapper = Mapper(MappingSpec("key", "orders", aggregates_of="mover" if aggregates else None), KeyCache())
    for partition, offsets in batches:
        rows: list[tuple[int, bytes | None, bytes | None]] = [(o, b"key-%d" % (o % 5), b"value-%d" % o) for o in offsets]
        mapped, _ = mapper.map(source_batch(rows, partition), PartitionLanes(partition, 0.0, aggregates=aggregates))
        scheduler.offer(mapped, 0.0)
    request = scheduler.next_request(0.0)
    assert isinstance(request, Request)
    shard_ids = [shard_id for shard_id, first, end in request.runs for _ in range(first, end)]
    numbers = [str(100 + i) for i in range(len(request))]
    resolution = scheduler.resolve(request, PutAnswer(None, [Outcome.STORED] * len(request), shard_ids, numbers), 0.1)
    assert resolution.stored
    noted = NotedEntries(4)
    records = noted.stored("target", resolution.stored, resolution.shard_ids, resolution.sequence_numbers)
    messages = [noted.take(slot) for slot in noted.slots()]
    assert records == sum(len(offsets) for _, offsets in batches) == sum(message.records for message in messages)
    assert noted.slots() == []
    groups = [group for message in messages for group in decode(message.value)]
    return request, [group for group in groups if isinstance(group, Stored)]


def test_raw_records_stand_with_their_shard_sequence_number_and_digest():
    request, groups = stored(None, (ORDERS, [3, 4, 6]), (OTHERS, [0, 1]))
    found = {
        (group.partition, offset): (group.shard, number, of_row)
        for group in groups
        for offset, number, of_row in zip(group.offsets, group.sequence_numbers, group.digests, strict=True)
    }
    assert set(found) == {(ORDERS, 3), (ORDERS, 4), (ORDERS, 6), (OTHERS, 0), (OTHERS, 1)}
    for i, row in enumerate(request.rows):
        batch, at, data, partition_key, *_ = row
        shard = next(shard_id for shard_id, first, end in request.runs if first <= i < end)
        expected = StreamShard("target", shard), 100 + i, digest(partition_key, data)
        assert found[batch.lanes_of.partition, batch.offsets[at]] == expected
    assert len(groups) == len({(group.shard, group.partition) for group in groups})


def test_the_records_of_an_aggregate_stand_in_its_order():
    request, groups = stored(AggregateLimits(50_000, 500, "mover"), (ORDERS, list(range(20))))
    entries = [(offsets, group) for group in groups for offsets in records_of(group.offsets, group.counts)]
    assert len(entries) == len(request.rows) == 2
    assert sorted(offset for offsets, _ in entries for offset in offsets) == list(range(20))
    for row in request.rows:
        inside = tuple(row[0].record_offsets())  # type: ignore[attr-defined]
        (group,) = [group for offsets, group in entries if offsets == inside]
        assert group.digests == [digest(row[3], row[2])]


def test_messages_hold_what_their_slot_is_of_and_name_the_highest_offsets():
    shards = [StreamShard("target", f"shardId-{i:012d}") for i in range(40)]
    groups = [Stored(shard, ORDERS, [1], [2], [i]) for i, shard in enumerate(shards)]
    parked = Resolved(OTHERS, ResolvedAs.PARKED, "tombstone", [9])
    noted = NotedEntries(8)
    for group in groups:
        noted.add(group)
    noted.add(parked)
    messages = [noted.take(slot) for slot in noted.slots()]
    assert [message.slot for message in messages] == list(range(8))
    for message in messages:
        inside = decode(message.value)
        assert {slot_of(group, 8) for group in inside} == {message.slot}
        assert message.highest == {
            partition: max(max(group.offsets) for group in inside if group.partition == partition)
            for partition in {group.partition for group in inside}
        }
    assert sum(len(decode(message.value)) for message in messages) == len(groups) + 1


def test_a_slot_is_given_out_alone_and_begins_anew():
    noted = NotedEntries(8)
    shards = [StreamShard("target", f"shardId-{i:012d}") for i in range(40)]
    for number in range(3):
        for shard in shards:
            noted.add(Stored(shard, ORDERS, [number], [2], [number]))
    of_slots = {slot: sum(slot_of(Stored(shard, ORDERS, [1], [2], [1]), 8) == slot for shard in shards) for slot in range(8)}
    fullest = max(of_slots, key=lambda slot: of_slots[slot])
    assert fullest in noted.slots(3 * of_slots[fullest])
    assert noted.slots(3 * of_slots[fullest] + 1) == []
    assert noted.take(fullest).records == 3 * of_slots[fullest]
    assert noted.slots() == [slot for slot in range(8) if slot != fullest]
