"""Two whole forward lines on one shard: together within its limit in every second, and what one leaves the other uses."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping

import pytest

from bridge.core.delivery.commit_metadata import CommitPoint
from bridge.core.delivery.requests import Request
from bridge.core.delivery.stream_description import StreamDescription
from bridge.core.quotas import MIB, SHARD_RECORDS_PER_S
from bridge.core.records import Partition, PutAnswer
from bridge.ports import Assigned, AssignedPartition
from tests.unit.app.forward_lines import Behind, Kafka, forward_line
from tests.unit.app.lines import LoggingTelemetry
from tests.unit.app.shard_worlds import Group
from tests.unit.app.streams import Kinesis
from tests.unit.core.delivery.columns import even_shard_map, source_batch

HAND_OVER_S = 0.1


class Shard(Kinesis):
    """Counts by tenth of a second what each replica sends."""

    def __init__(self, sent: Counter[int]) -> None:
        super().__init__()
        self.description = StreamDescription(even_shard_map(1), MIB)
        self.sent, self.mine = sent, 0

    async def put(self, stream: str, request: Request, deadline: float) -> PutAnswer:
        self.mine += len(request)
        self.sent[int(asyncio.get_running_loop().time() * 10)] += len(request)
        return await super().put(stream, request, deadline)


class Member(Kafka):
    """What it commits the other can read."""

    def __init__(self, group: Group) -> None:
        super().__init__()
        self.group = group

    async def commit(self, points: Mapping[Partition, CommitPoint]) -> Mapping[Partition, str]:
        self.group.points |= points
        return await super().commit(points)


class Replica:
    """With one partition, to which so many records a second are written."""

    def __init__(self, number: int, per_s: int, group: Group, sent: Counter[int]) -> None:
        self.partition, self.per_s = Partition("orders", number), per_s
        self.kafka, self.kinesis = Member(group), Shard(sent)
        self.line = forward_line(
            self.kafka, self.kinesis, LoggingTelemetry(), behind=Behind(group=group, owner=f"owner-{number}")
        )
        self.written = self.read = 0

    async def run(self) -> None:
        self.kafka.hand_over(Assigned([AssignedPartition(self.partition, 0, "", 2)]))
        line = asyncio.ensure_future(self.line.run())
        try:
            while True:
                self.written += int(self.per_s * HAND_OVER_S)
                if self.partition not in self.kafka.paused and self.written > self.read:
                    end = min(self.written, self.read + 1000)
                    self.kafka.hand_over(source_batch([(o, b"%d" % o, b"x") for o in range(self.read, end)], self.partition))
                    self.read = end
                await asyncio.sleep(HAND_OVER_S)
        finally:
            line.cancel()
            await asyncio.gather(line, return_exceptions=True)

    async def sends_per_s(self, seconds: float) -> float:
        before = self.kinesis.mine
        await asyncio.sleep(seconds)
        return (self.kinesis.mine - before) / seconds


Start = Callable[[int, int], tuple[Replica, Replica]]


@pytest.fixture
async def replicas() -> AsyncIterator[Start]:
    """Starts two with these rates; at the end no second was above the limit."""
    sent, group, tasks = Counter[int](), Group(), list[asyncio.Task[None]]()
    group.rows = {Partition("orders", number): [] for number in range(2)}

    def start(*per_s: int) -> tuple[Replica, Replica]:
        a, b = (Replica(number, rate, group, sent) for number, rate in enumerate(per_s))
        tasks.extend(asyncio.ensure_future(replica.run()) for replica in (a, b))
        return a, b

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    seconds = [sum(sent[tenth + i] for i in range(10)) for tenth in range(max(sent))]
    assert max(seconds) <= SHARD_RECORDS_PER_S


@pytest.mark.looptime
async def test_a_replica_uses_what_an_idle_one_leaves_and_gives_it_back(replicas):
    busy, idle = replicas(1500, 0)
    assert await busy.sends_per_s(10) == pytest.approx(500, rel=0.1)
    await asyncio.sleep(30)
    assert await busy.sends_per_s(10) == pytest.approx(800, rel=0.05)
    idle.per_s = 1500
    assert await idle.sends_per_s(5) >= 150
    await asyncio.sleep(30)
    rates = await asyncio.gather(busy.sends_per_s(10), idle.sends_per_s(10))
    assert list(rates) == [pytest.approx(500, rel=0.05)] * 2


@pytest.mark.looptime
async def test_a_replica_with_little_to_do_is_not_held_back_by_what_it_lends(replicas):
    busy, steady = replicas(1500, 150)
    await asyncio.sleep(60)
    rates = await asyncio.gather(busy.sends_per_s(20), steady.sends_per_s(20))
    assert list(rates) == [pytest.approx(667, rel=0.05), pytest.approx(150, rel=0.05)]
    assert steady.written - steady.kinesis.mine <= 150


@pytest.mark.looptime
async def test_where_both_need_all_each_has_half(replicas):
    both = replicas(1500, 1500)
    await asyncio.sleep(5)
    for _ in range(6):
        rates = await asyncio.gather(*(replica.sends_per_s(10) for replica in both))
        assert list(rates) == [pytest.approx(500, rel=0.05)] * 2
