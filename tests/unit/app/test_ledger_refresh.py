"""A partition that stands still for longer than the ledger keeps its entries: a successor finds them, or does not go on."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from math import inf

import pytest

from bridge.app.ledger import LedgerLine
from bridge.app.ledger_refresh import LedgerRefresh
from bridge.app.owners import LeaseTerms, Owner
from bridge.app.partition_line import Phase
from bridge.app.service_time import ServiceTime
from bridge.app.take_over import SHORT_S
from bridge.core.delivery.commit_metadata import CommitPoint, decode
from bridge.core.delivery.halts import Halt
from bridge.core.delivery.requests import Request
from bridge.core.proof.ledger_codec import encode
from bridge.core.proof.ledger_entries import Doubts, Group, Resolved, ResolvedAs, Stored, StreamShard
from bridge.core.records import Outcome, Partition, PutAnswer
from tests.unit.app.forward_lines import Behind
from tests.unit.app.ledger_topics import SLOTS, LedgerTopic
from tests.unit.app.lines import LoggingTelemetry, new_line
from tests.unit.app.shard_worlds import now_ms
from tests.unit.app.streams import LoopClock, told_s
from tests.unit.app.test_ledger import Commitless, Partly, Process, Topics

pytestmark = pytest.mark.looptime
ORDERS = Partition("orders", 0)
RETENTION_S = 100.0
RECOVERED_S = 30.0


class Slowly(Partly):
    """Takes its time to refuse: else there would be thousands of attempts."""

    async def put(self, stream: str, request: Request, deadline: float) -> PutAnswer:
        answer = await super().put(stream, request, deadline)
        if Outcome.STORED not in answer.outcomes:
            await asyncio.sleep(3)
        return answer


class World:
    """A ledger that forgets, and one bridge after the other; each finds what the one before has committed last."""

    def __init__(self) -> None:
        self.ledger = Topics()
        self.ledger.retention_ms = RETENTION_S * 1000
        self.behind = Behind(lease_ms=12_000, control=self.ledger.control, ledger_retention_ms=RETENTION_S * 1000)
        self.point = CommitPoint(0, "")

    @asynccontextmanager
    async def process(self, *throttled: int) -> AsyncIterator[Process]:
        process = Process(self.ledger, Commitless(), kinesis := Slowly(), self.behind)
        kinesis.throttled = throttled
        process.assign(*self.point)
        process.read(self.point.offset, *[b"x"] * (6 - self.point.offset))
        yield process
        self.point = process.kafka.committed.get(ORDERS, self.point)
        await process.end()

    async def others_write(self) -> None:
        """To every slot."""
        value = encode([Resolved(Partition("else", 0), ResolvedAs.SKIPPED, "tombstone", [1])])
        await self.ledger.write([(slot, value) for slot in range(SLOTS)])


@pytest.mark.parametrize("after_s", [0.2, 0.7], ids=["soon", "when some of it is old"])
async def test_what_stands_above_a_stuck_record_is_found_after_the_retention(after_s):
    world = World()
    async with world.process(1) as process:
        await asyncio.sleep(RETENTION_S * after_s)
        assert process.sent == set(range(6))
    async with world.process(1) as process:
        await asyncio.sleep(RETENTION_S * 2.2)
        assert process.sent == {1}
    async with world.process() as process:
        await asyncio.sleep(RECOVERED_S)
        assert process.sent == {1}
        assert process.kafka.committed[ORDERS].offset == 6
        assert process.line.halts() == {}
    first = [world.ledger.first_of(slot) for slot in range(SLOTS)]
    assert any(first), "the ledger has forgotten something"


async def test_what_was_parked_or_left_out_is_written_again_too():
    world = World()
    async with world.process(1) as process:
        process.read(6, None, None, b"x")
        await asyncio.sleep(RETENTION_S * 1.5)
    async with world.process() as process:
        process.read(6, None, None, b"x")
        await asyncio.sleep(RECOVERED_S)
        assert (process.sent, process.kafka.committed[ORDERS].offset) == ({1}, 9)
    found = [group for group in world.ledger.groups() if isinstance(group, Resolved) and group.offsets == [6, 7]]
    assert len(found) > 2


async def test_what_was_written_again_is_not_soon_written_once_more():
    world = World()
    async with world.process(1):
        await asyncio.sleep(RETENTION_S * 1.4)
    facts = [group for group in world.ledger.groups() if isinstance(group, Stored) and 2 in group.offsets]
    assert len(facts) == 3, "at half of the retention, and a half later"


async def test_where_the_ledger_has_forgotten_the_partition_stands_still():
    world = World()
    async with world.process(1):
        await asyncio.sleep(10)
    await world.others_write()
    await asyncio.sleep(RETENTION_S + 1)
    for _ in range(2):
        async with world.process() as process:
            await asyncio.sleep(RECOVERED_S)
            assert process.sent == set()
            halt = process.line.halts()[ORDERS]
            assert (halt.reason, halt.offset) == ("evidence_expired", 1)
            assert "of the ledger, from" in halt.detail
        owned = decode(world.point.metadata).ownership
        assert owned is not None
        assert owned.is_open


async def test_a_ledger_that_was_made_anew_has_forgotten():
    world = World()
    await world.others_write()
    async with world.process(1):
        await asyncio.sleep(10)
    world.ledger.slots = [[] for _ in range(SLOTS)]
    world.ledger.taken_ms = [[] for _ in range(SLOTS)]
    async with world.process() as process:
        await asyncio.sleep(RECOVERED_S + SHORT_S)
        assert process.sent == set()
        assert process.line.halts()[ORDERS].reason == "evidence_expired"


async def test_an_end_of_before_that_a_broker_tells_for_a_moment_is_not_the_end_of_the_ledger():
    world = World()
    await world.others_write()
    async with world.process(1):
        await asyncio.sleep(10)
    slots, world.ledger.slots = world.ledger.slots, [[] for _ in range(SLOTS)]
    taken_ms, world.ledger.taken_ms = world.ledger.taken_ms, [[] for _ in range(SLOTS)]
    async with world.process() as process:
        await asyncio.sleep(SHORT_S / 2)
        assert process.sent == set()
        assert process.line.halts() == {}
        world.ledger.slots, world.ledger.taken_ms = slots, taken_ms
        await asyncio.sleep(RECOVERED_S)
        assert (process.sent, process.kafka.committed[ORDERS].offset) == ({1}, 6)


async def test_what_the_ledger_has_forgotten_does_not_matter_where_nothing_can_have_been_sent():
    world = World()
    async with world.process() as process:
        await asyncio.sleep(3)
        assert process.kafka.committed[ORDERS].offset == 6
    owned = decode(world.point.metadata).ownership
    assert owned is not None
    assert owned.is_open
    await world.others_write()
    await asyncio.sleep(RETENTION_S + 1)
    async with world.process() as process:
        await asyncio.sleep(RECOVERED_S)
        assert process.line.halts() == {}
        process.read(6, b"x")
        await asyncio.sleep(3)
        assert (process.sent, process.kafka.committed[ORDERS].offset) == ({6}, 7)


async def test_after_an_outage_of_the_ledger_it_goes_on_where_it_was():
    world = World()
    async with world.process(1):
        await asyncio.sleep(RETENTION_S * 0.45)
        world.ledger.away = True
        await asyncio.sleep(RETENTION_S * 0.3)
        world.ledger.away = False
        await asyncio.sleep(RETENTION_S * 0.6)
    async with world.process() as process:
        await asyncio.sleep(RECOVERED_S)
        assert process.sent == {1}


class Alone:
    """The part itself, with one open partition that has a fact and a doubt in the ledger."""

    def __init__(self) -> None:
        self.topic, self.telemetry, self.asked_since_ms = LedgerTopic(), LoggingTelemetry(), inf
        self.topic.retention_ms = RETENTION_S * 1000
        self.ledger = LedgerLine(self.topic, SLOTS, self.telemetry)
        self.line = new_line()
        self.line.owner, self.line.phase = Owner("owner", 1, self.ledger.floors, LeaseTerms(12_000, 6_000)), Phase.OPEN
        time = ServiceTime(LoopClock())
        time.saw(told_s(), 0.0, 0.0)
        self.lines = {ORDERS: self.line}
        self.refresh = LedgerRefresh(self.ledger, self.lines, self.since_ms, time, RETENTION_S * 1000, self.telemetry)

    def since_ms(self, partition: Partition) -> float:
        return self.asked_since_ms

    @asynccontextmanager
    async def runs(self) -> AsyncIterator["Alone"]:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(self.ledger.run(tasks.create_task)), tasks.create_task(self.refresh.run())]
            await self.ledger.ready()
            self.ledger.say(Doubts("stream", ORDERS, [1], [2], [0], [1], [5]))
            self.ledger.say(Stored(StreamShard("stream", "shard"), ORDERS, [7], [8], [6]))
            await self.ledger.flush()
            yield self
            for task in running:
                task.cancel()

    def floors(self) -> Mapping[int, int]:
        return self.ledger.floors.of(ORDERS, 0)

    def said(self, kind: type[Group]) -> int:
        return sum(isinstance(group, kind) for group in self.topic.groups())


async def test_doubts_are_not_written_again_once_they_are_settled():
    async with Alone().runs() as alone:
        before = alone.floors()
        await asyncio.sleep(RETENTION_S * 0.6)
        assert (alone.said(Stored), alone.said(Doubts)) == (2, 1)
        assert any(alone.floors()[slot] > at for slot, at in before.items())
        assert alone.telemetry.events() == ["ledger_written_again"]


async def test_what_is_in_doubt_for_as_long_keeps_all_of_its_partition_where_it_is():
    async with Alone().runs() as alone:
        alone.asked_since_ms = now_ms()
        before = alone.floors()
        await asyncio.sleep(RETENTION_S * 0.9)
        assert alone.said(Stored) == 1
        assert {slot: alone.floors()[slot] for slot in before} == before
        alone.asked_since_ms = inf
        await asyncio.sleep(RETENTION_S * 0.05)
        assert alone.said(Stored) == 2


@pytest.mark.parametrize("reason", ["evidence_expired", "topic_recreated"])
async def test_what_waits_for_the_operator_to_set_the_offset_stays_as_it_is(reason):
    async with Alone().runs() as alone:
        alone.line.halt = Halt(reason, 5, "")
        before = alone.floors()
        await asyncio.sleep(RETENTION_S * 1.5)
        assert alone.floors() == before
        assert alone.telemetry.events() == []


async def test_of_a_partition_that_leaves_meanwhile_nothing_is_written():
    async with Alone().runs() as alone:
        asked = alone.topic.offsets_at

        async def offsets_at(wall_ms: int) -> Mapping[int, int]:
            """The partition comes back as another assignment."""
            found = await asked(wall_ms)
            if any(found.values()):
                alone.lines[ORDERS] = new_line()
            return found

        alone.topic.offsets_at = offsets_at  # type: ignore[method-assign]
        before = alone.floors()
        await asyncio.sleep(RETENTION_S * 0.9)
        assert ORDERS in alone.lines
        assert alone.lines[ORDERS] is not alone.line
        assert (alone.said(Stored), alone.floors()) == (1, before)


async def test_where_it_comes_too_late_the_floor_stays_and_it_is_told_once():
    async with Alone().runs() as alone:
        before = alone.floors()
        alone.topic.away = True
        await asyncio.sleep(RETENTION_S + 1)
        alone.topic.away = False
        await asyncio.sleep(RETENTION_S)
        assert alone.floors() == before
        assert alone.telemetry.events().count("ledger_entries_lost") == 1
        assert alone.said(Stored) == 1
