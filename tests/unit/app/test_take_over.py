"""A partition whose owner died: what that has written is found in the stream, and not sent again."""

import asyncio

import pytest

from bridge.core.delivery.commit_metadata import decode
from bridge.core.proof.digests import digests
from bridge.core.proof.ledger_codec import encode
from bridge.core.proof.ledger_entries import Doubts, Stored, StreamShard
from bridge.core.proof.noted_entries import slot_of_shard
from bridge.ports import Lost, Revoking
from tests.unit.app.ledger_topics import SLOTS
from tests.unit.app.shard_worlds import HOUR_MS, NUMBERS, now_ms
from tests.unit.app.take_over_worlds import ORDERS, OTHERS, RECOVERED_S, World, crashes_while_sending

pytestmark = pytest.mark.looptime


async def test_what_was_stored_without_an_answer_is_not_sent_again():
    world = World()
    world.produce(ORDERS, ("a", "1"), ("b", "2"), ("skipped", None), ("a", "3"), ("c", "4"))
    await crashes_while_sending(world, ORDERS, never={b"4"})
    assert world.stored == [b"1", b"2"]
    async with world.process() as process:
        process.take(ORDERS)
        await asyncio.sleep(RECOVERED_S)
        assert process.sent == [3, 4]
        assert sorted(world.stored) == [b"1", b"2", b"3", b"4"]
        assert world.committed().offset == 5
        told = process.finished()
        assert (told["partitions"], told["landed"], told["resent"], told["unsettled"]) == (["orders-0"], 2, 2, 0)
        assert process.telemetry.events().count("recovery_started") == 1
    entries = {
        o: n for g in world.ledger.groups() if isinstance(g, Stored) for o, n in zip(g.offsets, g.sequence_numbers, strict=True)
    }
    assert entries == {0: 1_000_000, 1: 1_000_001, 3: 1_000_002, 4: 1_000_003}


@pytest.mark.parametrize("route", [{"carry_origin": "bridge"}, {"is_aggregated": True}], ids=["origin", "aggregated"])
async def test_records_with_marks_are_known_again_by_sight(route):
    world = World(**route)
    world.produce(ORDERS, *[("a", "x")] * 4)
    await crashes_while_sending(world, ORDERS)
    before = len(world.stored)
    assert before
    async with world.process() as process:
        process.take(ORDERS)
        await asyncio.sleep(RECOVERED_S)
        assert world.committed().offset == 4
        assert len(world.stored) == (4 if "carry_origin" in route else before)
    assert sorted({offset for group in world.ledger.groups() for offset in group.offsets}) == [0, 1, 2, 3]
    assert not any(isinstance(group, Doubts) for group in world.ledger.groups())


async def test_what_is_stored_after_the_crash_is_waited_for():
    world = World()
    world.produce(ORDERS, ("a", "1"))
    await crashes_while_sending(world, ORDERS, late_s=14.0)
    async with world.process() as process:
        process.take(ORDERS)
        await asyncio.sleep(RECOVERED_S)
        assert (process.sent, world.stored) == ([], [b"1"])


async def test_two_owners_with_equal_records_recover_side_by_side():
    world = World()
    for partition in (ORDERS, OTHERS):
        world.produce(partition, *[("a", "x")] * 3)
    await crashes_while_sending(world, ORDERS, OTHERS)
    assert len(world.stored) == 2
    async with world.process() as one, world.process() as other:
        one.take(ORDERS)
        await asyncio.sleep(2)
        other.take(OTHERS)
        await asyncio.sleep(3 * RECOVERED_S)
        assert len(world.stored) == 6
        assert [world.committed(partition).offset for partition in (ORDERS, OTHERS)] == [3, 3]
        assert one.finished()["unsettled"] == other.finished()["unsettled"] == 0


async def test_a_word_for_a_record_that_came_after_another_rows_does_not_count():
    """Its owner was cut off from Kafka, and meanwhile who recovers another partition has taken the record for an equal one."""
    world = World()
    world.produce(ORDERS, ("a", "x"))
    await crashes_while_sending(world, ORDERS)
    shard = StreamShard("orders", world.behind.shards.shards[0].shard_id)
    for partition in (OTHERS, ORDERS):
        fact = Stored(shard, partition, [NUMBERS], digests(["a"], [b"x"]), [0], None)
        await world.ledger.write([(slot_of_shard(shard, SLOTS), encode([fact]))])
    async with world.process() as process:
        process.take(ORDERS)
        await asyncio.sleep(RECOVERED_S)
        assert (process.sent, world.committed().offset) == ([0], 1)


async def test_what_the_ledger_has_of_before_its_route_changed_counts():
    """Aggregates then, rows of their own now."""
    world = World()
    world.produce(ORDERS, ("a", "x"), ("a", "y"), ("a", "z"))
    await crashes_while_sending(world, ORDERS, never=(b"x", b"y", b"z"))
    shard = StreamShard("orders", world.behind.shards.shards[0].shard_id)
    aggregate = Stored(shard, ORDERS, [NUMBERS], digests(["a"], [b"an aggregate"]), [0, 1], [2])
    await world.ledger.write([(slot_of_shard(shard, SLOTS), encode([aggregate]))])
    async with world.process() as process:
        process.take(ORDERS)
        await asyncio.sleep(RECOVERED_S)
        assert (process.sent, world.committed().offset) == ([2], 3)


async def test_a_reshard_between_crash_and_recovery():
    world = World()
    world.produce(ORDERS, ("a", "1"), ("b", "2"), ("c", "3"))
    await crashes_while_sending(world, ORDERS)
    world.behind.shards.split()
    async with world.process() as process:
        process.take(ORDERS)
        await asyncio.sleep(RECOVERED_S)
        assert (process.sent, world.committed().offset) == ([], 3)


async def test_one_that_dies_in_a_recovery_is_recovered():
    world = World()
    world.produce(ORDERS, ("a", "1"), ("b", "2"), ("b", "3"))
    await crashes_while_sending(world, ORDERS, never={b"2"})
    for seconds in (4.0, 11.0, 2.0):
        async with world.process() as process:
            process.take(ORDERS)
            await asyncio.sleep(seconds)
            assert process.sent == []
    async with world.process() as process:
        process.take(ORDERS)
        await asyncio.sleep(RECOVERED_S)
        assert process.sent == [1, 2]
        assert sorted(world.stored) == [b"1", b"2", b"3"]


async def test_a_partition_that_leaves_in_a_recovery_is_left_open():
    world = World()
    world.produce(ORDERS, ("a", "1"))
    await crashes_while_sending(world, ORDERS)
    before = decode(world.committed().metadata).ownership
    async with world.process() as process:
        process.take(ORDERS)
        await asyncio.sleep(1)
        done = asyncio.get_running_loop().create_future()
        process.kafka.hand_over(Revoking([ORDERS], done.set_result))
        left = await asyncio.wait_for(done, 30)
        assert all(decode(point.metadata).ownership == before for point in left.values())
        assert decode(world.committed().metadata).ownership == before
        await asyncio.sleep(20)
        process.take(ORDERS)
        await asyncio.sleep(4)
        process.kafka.hand_over(Lost([ORDERS]))
        await asyncio.sleep(20)
    last = decode(world.committed().metadata).ownership
    assert last is not None
    assert last.is_open
    async with world.process() as process:
        process.take(ORDERS)
        await asyncio.sleep(RECOVERED_S)
        assert (process.sent, world.committed().offset) == ([], 1)


async def test_where_the_stream_has_forgotten_the_partition_stands_still():
    world = World()
    world.behind.shards.retention_ms = HOUR_MS
    world.produce(ORDERS, ("a", "1"))
    await crashes_while_sending(world, ORDERS)
    await asyncio.sleep(3700)
    async with world.process() as process:
        process.take(ORDERS)
        await asyncio.sleep(RECOVERED_S)
        assert process.sent == []
        assert process.line.halts()[ORDERS].reason == "evidence_expired"
    assert now_ms() > 0


async def test_while_kafka_does_not_answer_nothing_is_sent():
    world = World()
    world.produce(ORDERS, ("a", "1"), ("b", "2"))
    await crashes_while_sending(world, ORDERS, never={b"2"})
    async with world.process() as process:
        process.take(ORDERS)
        world.ledger.away = True
        await asyncio.sleep(20)
        world.ledger.away, world.behind.group.away = False, True
        await asyncio.sleep(20)
        assert process.sent == []
        world.behind.group.away = False
        await asyncio.sleep(RECOVERED_S)
        assert (process.sent, world.committed().offset) == ([1], 2)
