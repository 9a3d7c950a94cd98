"""What became of attempts whose outcome nobody knows is told once, and only when it is certain."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bridge.app.feeders import Feeders
from bridge.app.ledger import LedgerLine
from bridge.app.ledger_view import LedgerEnds
from bridge.app.read_back import ReadBack
from bridge.app.read_back_round import RecoveryTerms, Sources
from bridge.app.routing import RoutedTopic
from bridge.app.service_time import ServiceTime
from bridge.core.delivery.key_strategies import MappingSpec
from bridge.core.proof.digests import digest, key_hash
from bridge.core.proof.ledger_entries import Doubts, Resolved, ResolvedAs, Stored, StreamShard
from bridge.core.proof.ledger_index import Place
from bridge.core.proof.verdicts import Expected, Settled, Verdict
from bridge.core.records import Partition
from tests.unit.app.ledger_topics import FIRST_MS, SLOTS, LedgerTopic
from tests.unit.app.lines import LoggingTelemetry
from tests.unit.app.shard_worlds import HOUR_MS, Group, Reader, Shards, now_ms
from tests.unit.app.streams import LoopClock, told_s

pytestmark = pytest.mark.looptime
ORDERS, OTHERS = Partition("orders", 0), Partition("orders", 1)
SETTLE_S, MARGIN_S, LEASE_S, SESSION_S = 5.0, 1.0, 12.0, 30.0
TERMS = RecoveryTerms("bridge", "group", 1000 * SETTLE_S, 1000 * MARGIN_S, 1000 * LEASE_S, 1000 * SESSION_S, 192 * HOUR_MS)


class World:
    """One stream, its ledger, its consumer group."""

    def __init__(self) -> None:
        self.shards, self.group, self.ledger = Shards(), Group(), LedgerTopic()

    @asynccontextmanager
    async def process(self, *ours: Partition) -> AsyncIterator["Process"]:
        process = Process(self, ours)
        running = [asyncio.ensure_future(process.line.run(asyncio.ensure_future)), asyncio.ensure_future(process.read_back.run())]
        await process.line.ready()
        yield process
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        assert self.shards.open_readers == 0

    def groups_of(self, kind: type) -> list[Any]:
        return [group for group in self.ledger.groups() if isinstance(group, kind)]


class Process:
    """One that owns some partitions. `under_way_ms`: since when it has attempts under way."""

    def __init__(self, world: World, ours: Sequence[Partition]) -> None:
        self.telemetry, self.clock = LoggingTelemetry(), LoopClock()
        self.time = ServiceTime(self.clock)
        now = self.clock.monotonic()
        self.time.saw(told_s(), now, now)
        self.line = LedgerLine(world.ledger, SLOTS, self.telemetry)
        self.expired: list[Partition] = []
        self.told: dict[tuple[Partition, int], list[Verdict]] = {}
        self.told_at: dict[tuple[Partition, int], float] = {}
        routed = RoutedTopic("orders", "stream", 1.0, 0.02, MappingSpec("key", "orders"))
        feeders = Feeders(
            world.group,
            "group",
            lambda topic, slices: routed,
            self.time,
            lambda: ours,
            lambda stream: self.time.now().earliest_ms,
        )
        ends = LedgerEnds(self.line, self.time)
        sources = Sources(Reader(world.shards), self.line, ends, feeders, self.time, TERMS)
        self.read_back = ReadBack(sources, self.telemetry, self.expired.append)

    def ask(self, expected: Expected) -> None:
        def told(rows: Sequence[int], verdicts: Sequence[Verdict]) -> None:
            for row, verdict in zip(rows, verdicts, strict=True):
                self.told.setdefault((expected.partition, expected.offsets[row]), []).append(verdict)
                self.told_at[expected.partition, expected.offsets[row]] = now_ms()

        self.read_back.ask(expected, told)

    def verdicts(self, partition: Partition = ORDERS) -> dict[int, Settled]:
        assert all(len(verdicts) == 1 for verdicts in self.told.values())
        return {offset: verdicts[0].settled for (of, offset), verdicts in self.told.items() if of == partition}


def rows(
    partition: Partition, *records: tuple[str, bytes], until_s: float = SETTLE_S, first: int = 0, ago_s: float = 0.0
) -> Expected:
    """Attempted now."""
    count, now = len(records), int(now_ms() - 1000 * ago_s)
    hashes, digests = [key_hash(key) for key, _ in records], [digest(*record) for record in records]
    untils = [now + int(1000 * until_s)] * count
    return Expected("stream", partition, range(first, first + count), [now] * count, untils, hashes, digests)


def marked(*offsets: int) -> Expected:
    now, count = int(now_ms()), len(offsets)
    return Expected("stream", ORDERS, offsets, [now] * count, [now + int(1000 * SETTLE_S)] * count, is_marked=True)


@pytest.fixture
def world() -> World:
    return World()


async def test_what_landed_is_told_soon_and_what_did_not_when_nothing_can_come_any_more(world):
    async with world.process(ORDERS) as process:
        asked_ms = now_ms()
        process.ask(rows(ORDERS, ("a", b"1"), ("b", b"2"), ("a", b"3")))
        shard, number = world.shards.put("a", b"1")
        await asyncio.sleep(4)
        assert process.told == {(ORDERS, 0): [Verdict(Settled.LANDED, Place(StreamShard("stream", shard), number, 0))]}
        assert [group.offsets for group in world.groups_of(Doubts)] == [[0, 1, 2]]
        await asyncio.sleep(6)
        assert process.verdicts() == {0: Settled.LANDED, 1: Settled.ABSENT, 2: Settled.ABSENT}
        assert process.told_at[ORDERS, 1] > asked_ms + 1000 * SETTLE_S
        (resolved,) = world.groups_of(Resolved)
        assert (resolved.resolved_as, sorted(resolved.offsets)) == (ResolvedAs.NOT_WRITTEN, [1, 2])
        await process.line.flush()
        assert [(group.offsets, group.is_claim) for group in world.groups_of(Stored)] == [([0], False)]
        assert process.read_back.open_rows == 0


async def test_a_request_that_is_stored_late_has_landed(world):
    async with world.process(ORDERS) as process:
        process.ask(rows(ORDERS, ("a", b"1")))
        await asyncio.sleep(SETTLE_S - 0.5)
        assert process.told == {}
        world.shards.put("a", b"1")
        await asyncio.sleep(5)
        assert process.verdicts() == {0: Settled.LANDED}


async def test_rows_with_marks_need_no_ledger(world):
    async with world.process(ORDERS) as process:
        world.ledger.read_from.clear()
        process.ask(marked(4, 5, 6))
        world.shards.put("bridge:orders/0/5", b"x")
        world.shards.put("bridge:orders/1/6", b"x")
        await asyncio.sleep(9)
        assert process.verdicts() == {4: Settled.ABSENT, 5: Settled.LANDED, 6: Settled.ABSENT}
        assert world.ledger.read_from == []
        await process.line.flush()
        (stored,) = world.ledger.groups()
        assert (stored.offsets, stored.digests, stored.counts) == ([5], [digest("bridge:orders/0/5", b"x")], None)


async def test_of_two_partitions_with_equal_records_one_gets_the_record(world):
    async with world.process(ORDERS) as one, world.process(OTHERS) as other:
        world.group.open(ORDERS, now_ms() + HOUR_MS)
        world.group.open(OTHERS, now_ms() + HOUR_MS)
        one.ask(rows(ORDERS, ("a", b"same")))
        other.ask(rows(OTHERS, ("a", b"same")))
        world.shards.put("a", b"same")
        await asyncio.sleep(30)
        told = [one.verdicts(ORDERS)[0], other.verdicts(OTHERS)[0]]
        assert sorted(told) == [Settled.LANDED, Settled.ABSENT]
        await asyncio.gather(one.line.flush(), other.line.flush())
        assert [group.is_claim for group in world.groups_of(Stored)][-1] is False
        assert any(group.is_claim for group in world.groups_of(Stored))


async def test_what_another_may_have_written_is_not_taken_before_its_watermark_has_passed(world):
    async with world.process(ORDERS) as process:
        world.group.open(OTHERS, now_ms() - 1000)
        process.ask(rows(ORDERS, ("a", b"1")))
        world.shards.put("a", b"1")
        await asyncio.sleep(SETTLE_S + 5)
        assert process.told == {}
        world.group.open(OTHERS, now_ms())
        await asyncio.sleep(3)
        assert process.verdicts() == {0: Settled.LANDED}


async def test_another_replica_that_dies_is_waited_for_and_so_is_who_takes_it_over(world):
    async with world.process(ORDERS) as process:
        world.group.open(OTHERS, now_ms() - 1000)
        process.ask(rows(ORDERS, ("a", b"1")))
        world.shards.put("a", b"1")
        await asyncio.sleep(2 * (SESSION_S + LEASE_S) + SETTLE_S)
        assert process.told == {}
        world.group.open(OTHERS, now_ms())
        await asyncio.sleep(3)
        assert process.verdicts() == {0: Settled.LANDED}


async def test_what_nobody_can_tell_is_told_in_the_end(world):
    async with world.process(ORDERS) as process:
        world.group.open(OTHERS, now_ms() - 1000)
        process.ask(rows(ORDERS, ("a", b"1")))
        world.shards.put("a", b"1")
        await asyncio.sleep(SETTLE_S + TERMS.patience_ms / 1000 - 1)
        assert process.told == {}
        await asyncio.sleep(10)
        assert process.verdicts() == {0: Settled.UNSETTLED}
        assert [group.resolved_as for group in world.groups_of(Resolved)] == [ResolvedAs.NOT_WRITTEN]


async def test_children_are_read_behind_their_parents(world):
    async with world.process(ORDERS) as process:
        process.ask(rows(ORDERS, ("a", b"1"), ("a", b"2"), ("b", b"3")))
        world.shards.put("a", b"1")
        world.shards.split()
        world.shards.put("a", b"2")
        await asyncio.sleep(3)
        world.shards.split()
        world.shards.put("b", b"3")
        await asyncio.sleep(9)
        assert process.verdicts() == dict.fromkeys((0, 1, 2), Settled.LANDED)


async def test_where_retention_has_removed_the_evidence_nothing_is_told(world):
    world.shards.retention_ms = HOUR_MS
    async with world.process(ORDERS, OTHERS) as process:
        process.ask(rows(ORDERS, ("a", b"1"), ago_s=3700))
        process.ask(rows(OTHERS, ("b", b"1")))
        await asyncio.sleep(20)
        assert process.expired == [ORDERS]
        assert process.verdicts() == {}
        assert process.verdicts(OTHERS) == {0: Settled.ABSENT}


async def test_trouble_is_said_once_and_waited_out(world):
    async with world.process(ORDERS) as process:
        world.shards.put("x", b"before")
        world.shards.away = world.ledger.away = True
        process.ask(rows(ORDERS, ("a", b"1"), ("b", b"2")))
        await asyncio.sleep(20)
        assert process.telemetry.events().count("recovery_trouble") == 1
        assert process.read_back.problems() == ["read back of stream: no answer"]
        world.ledger.away, world.group.away = False, True
        await asyncio.sleep(20)
        world.shards.put("a", b"too late")
        world.shards.away = world.group.away = False
        await asyncio.sleep(20)
        assert process.verdicts() == dict.fromkeys((0, 1), Settled.ABSENT)
        assert process.read_back.problems() == []


async def test_a_shard_that_does_not_answer_for_a_while_is_read_on(world):
    async with world.process(ORDERS) as process:
        process.ask(rows(ORDERS, ("a", b"1"), ("a", b"2")))
        world.shards.put("a", b"1")
        await asyncio.sleep(1)
        world.shards.away = True
        world.shards.put("a", b"2")
        await asyncio.sleep(3)
        world.shards.away = False
        await asyncio.sleep(10)
        assert process.verdicts() == dict.fromkeys((0, 1), Settled.LANDED)


async def test_nothing_is_told_of_a_partition_that_left(world):
    async with world.process(ORDERS, OTHERS) as process:
        process.ask(rows(ORDERS, ("a", b"1")))
        process.ask(rows(OTHERS, ("b", b"1")))
        await asyncio.sleep(1)
        process.ask(rows(ORDERS, ("c", b"1"), first=7))
        process.read_back.forget(ORDERS)
        await asyncio.sleep(20)
        assert list(process.told) == [(OTHERS, 0)]
        process.ask(rows(ORDERS, ("c", b"1"), first=7))
        await asyncio.sleep(10)
        assert process.verdicts() == {7: Settled.ABSENT}


async def test_what_a_partition_that_leaves_meanwhile_may_have_written_is_not_taken_for_ours(world):
    async with world.process(ORDERS, OTHERS) as process:
        world.group.open(OTHERS, now_ms() + HOUR_MS)
        process.ask(rows(ORDERS, ("a", b"same")))
        process.ask(rows(OTHERS, ("a", b"same"), ("a", b"other")))
        world.shards.put("a", b"same")
        world.shards.put("a", b"other")
        leaves_ms = now_ms() + 1000 * MARGIN_S + 500  # by then the records would be taken for those of the only lane
        world.group.when_asked = lambda: now_ms() > leaves_ms and process.read_back.forget(OTHERS)
        await asyncio.sleep(30)
        assert process.verdicts() == {0: Settled.ABSENT}


async def test_what_is_asked_meanwhile_is_settled_in_the_next_round(world):
    async with world.process(ORDERS) as process:
        process.ask(rows(ORDERS, ("a", b"1")))
        await asyncio.sleep(2)
        process.ask(rows(ORDERS, ("b", b"2"), first=1))
        world.shards.put("b", b"2")
        await asyncio.sleep(SETTLE_S + 3)
        assert process.verdicts() == {0: Settled.ABSENT, 1: Settled.LANDED}


async def test_a_row_that_was_settled_may_be_asked_about_again(world):
    async with world.process(ORDERS) as process:
        process.ask(rows(ORDERS, ("a", b"1")))
        await asyncio.sleep(10)
        process.ask(rows(ORDERS, ("a", b"1")))
        world.shards.put("a", b"1")
        await asyncio.sleep(10)
        assert [verdict.settled for verdict in process.told[ORDERS, 0]] == [Settled.ABSENT, Settled.LANDED]


async def test_it_ends_in_the_middle_of_a_round(world):
    async with world.process(ORDERS) as process:
        process.ask(rows(ORDERS, ("a", b"1")))
        await asyncio.sleep(1.3)
    assert process.told == {}
    assert now_ms() >= FIRST_MS
