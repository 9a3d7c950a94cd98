"""A partition whose owner died: what that has written is found in the stream, and not sent again."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from bridge.core.delivery.commit_metadata import CommitPoint, decode
from bridge.core.delivery.lanes import ROW_DATA, ROW_HASH_KEY, ROW_PARTITION_KEY, offset_of
from bridge.core.delivery.policies import Policies
from bridge.core.delivery.requests import Request
from bridge.core.proof.digests import digests
from bridge.core.proof.ledger_codec import encode
from bridge.core.proof.ledger_entries import Doubts, Stored, StreamShard
from bridge.core.proof.noted_entries import slot_of_shard
from bridge.core.records import Outcome, Partition, PutAnswer
from bridge.ports import Assigned, AssignedPartition, Lost, Revoking
from tests.unit.app.forward_lines import Behind, Kafka, forward_line
from tests.unit.app.ledger_topics import SLOTS, LedgerTopic
from tests.unit.app.lines import LoggingTelemetry
from tests.unit.app.shard_worlds import HOUR_MS, NUMBERS, now_ms
from tests.unit.app.streams import Kinesis, told_s
from tests.unit.core.delivery.columns import source_batch

pytestmark = pytest.mark.looptime
ORDERS, OTHERS = Partition("orders", 0), Partition("orders", 1)
RECOVERED_S = 30.0
"""A lease, what may be stored after it, and some reads."""


class Storing(Kinesis):
    """What is put is in the shards. `lost`: by data, what is stored without an answer; `never`: what is not stored either."""

    def __init__(self, behind: Behind) -> None:
        super().__init__()
        self.shards = behind.shards
        self.silent = False
        self.never: Collection[bytes] = ()
        self.late_s = 0.0

    async def put(self, stream: str, request: Request, deadline: float) -> PutAnswer:
        self.requests.append(request)
        if self.late_s:
            asyncio.get_running_loop().call_later(self.late_s, self._store, request)
        else:
            places = self._store(request)
        if self.silent:
            await asyncio.Event().wait()
        shard_ids, numbers = zip(*places, strict=True)
        return PutAnswer(None, [Outcome.STORED] * len(request), list(shard_ids), list(map(str, numbers)), date_s=told_s())

    def _store(self, request: Request) -> list[tuple[str, int]]:
        rows = [row for row in request.rows if row[ROW_DATA] not in self.never]
        return [self.shards.put(row[ROW_PARTITION_KEY], row[ROW_DATA], row[ROW_HASH_KEY]) for row in rows]


class Once(Kafka):
    """Its commits go to the group that all see, until it is cut off."""

    def __init__(self, behind: Behind) -> None:
        super().__init__()
        self._points = behind.group.points
        self.is_cut = False

    async def commit(self, points: Mapping[Partition, CommitPoint]) -> Mapping[Partition, str]:
        if not self.is_cut:
            self._points |= points
        return dict.fromkeys(points, "away") if self.is_cut else {}


class World:
    """One topic, one stream, one ledger; processes come and go."""

    def __init__(self, carry_origin: str | None = None, is_aggregated: bool = False) -> None:
        self.behind = Behind(carry_origin=carry_origin, is_aggregated=is_aggregated, lease_ms=12_000)
        self.ledger, self.started = LedgerTopic(), 0

    def produce(self, partition: Partition, *records: tuple[str, str | None]) -> None:
        rows = [(key.encode(), None if value is None else value.encode()) for key, value in records]
        self.behind.group.rows.setdefault(partition, []).extend(rows)

    @asynccontextmanager
    async def process(self) -> AsyncIterator["Process"]:
        self.started += 1
        process = Process(self, f"owner-{self.started}")
        running = asyncio.ensure_future(process.line.run())
        yield process
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert self.behind.shards.open_readers == 0

    @property
    def stored(self) -> list[bytes]:
        return [data for _, data in self.behind.shards.stored()]

    def committed(self, partition: Partition = ORDERS) -> CommitPoint:
        return self.behind.group.points[partition]


class Process:
    def __init__(self, world: World, owner: str) -> None:
        self.world, self.telemetry = world, LoggingTelemetry()
        behind = replace(world.behind, owner=owner)
        self.kafka, self.kinesis = Once(behind), Storing(behind)
        policies = Policies(on_tombstone="skip")
        self.line = forward_line(self.kafka, self.kinesis, self.telemetry, ledger=world.ledger, policies=policies, behind=behind)

    def take(self, *partitions: Partition) -> None:
        """Assigned, and read to the end."""
        points = self.world.behind.group.points
        found = [AssignedPartition(p, *points.get(p, CommitPoint(0, "")), 1) for p in partitions]
        self.kafka.hand_over(Assigned(found))
        for assigned in found:
            self.read(assigned.partition, assigned.offset)

    def read(self, partition: Partition, first: int) -> None:
        rows = self.world.behind.group.rows.get(partition, [])
        self.kafka.hand_over(source_batch([(offset, *rows[offset]) for offset in range(first, len(rows))], partition))

    @property
    def sent(self) -> list[int]:
        return sorted(offset_of(row) for request in self.kinesis.requests for row in request.rows)

    def finished(self) -> dict[str, object]:
        """What the log says of the recovery."""
        (fields,) = [fields for _, event, fields in self.telemetry.lines if event == "recovery_finished"]
        return fields


async def crashes_while_sending(world: World, *partitions: Partition, never: Collection[bytes] = (), late_s: float = 0.0) -> None:
    """A process that owned them dies before any answer."""
    async with world.process() as process:
        process.kinesis.silent, process.kinesis.never, process.kinesis.late_s = True, never, late_s
        process.take(*partitions)
        await asyncio.sleep(3)
        assert process.sent
        process.kafka.is_cut = True


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
