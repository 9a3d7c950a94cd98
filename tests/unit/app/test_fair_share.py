"""Who feeds a stream: all partitions of all routes to it, also those of other replicas."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from bridge.app.fair_share import OBSERVE_AGAIN_S, OBSERVE_S, FairShare, feeders
from bridge.app.partition_line import PartitionLine, Phase
from bridge.app.routing import RoutedTopic
from bridge.app.shares import Shares
from bridge.core.delivery.commit_metadata import CommitMetadata, CommitPoint, decode, encode
from bridge.core.delivery.demand import HOLD_S
from bridge.core.delivery.fair_parts import Place
from bridge.core.delivery.key_strategies import KeyCache, MappingSpec
from bridge.core.delivery.mapping import Mapper
from bridge.core.delivery.ownership import Ownership
from bridge.core.delivery.partition_keys import slice_hash_key
from bridge.core.delivery.requests import Request
from bridge.core.delivery.scheduler import Scheduler
from bridge.core.errors import UnavailableError
from bridge.core.records import Outcome, Partition, PutAnswer
from bridge.ports import Assigned, AssignedPartition
from tests.unit.app.forward_lines import Behind, forward_line
from tests.unit.app.forward_lines import Kafka as ForwardKafka
from tests.unit.app.lines import LoggingTelemetry, new_line
from tests.unit.app.streams import LIMITS, Kinesis, LoopClock
from tests.unit.core.delivery.columns import even_shard_map, source_batch

ROUTES = {"orders": ("key", "s"), "payments": ("partition", "s"), "clicks": ("key", "other")}
PARTITIONS = [Partition(topic, number) for topic in ("orders", "payments", "clicks", "private") for number in range(2)]


def route_topic(topic: str, slices: int) -> RoutedTopic:
    strategy, stream = ROUTES[topic]
    return RoutedTopic(topic, stream, 1.0, 0.02, MappingSpec(strategy, topic, slices=slices))


def stored(request: Request) -> PutAnswer:
    shards = [shard for shard, first, end in request.runs for _ in range(first, end)]
    return PutAnswer(None, [Outcome.STORED] * len(request), shards, ["1"] * len(request))


class Kafka:
    """Knows topics and what is committed, or does not answer."""

    def __init__(self) -> None:
        self.asked = 0
        self.partitions: list[Partition] | None = PARTITIONS
        self.points: dict[Partition, CommitPoint] | None = {}
        self.asked_for: list[set[Partition]] = []

    async def partitions_of(self, wanted: Callable[[str], bool]) -> list[Partition]:
        self.asked += 1
        if self.partitions is None:
            raise UnavailableError("no answer")
        return [partition for partition in self.partitions if wanted(partition.topic)]

    async def committed(self, group: str, partitions: Collection[Partition]) -> Mapping[Partition, CommitPoint]:
        assert group == "group"
        self.asked_for.append(set(partitions))
        if self.points is None:
            raise UnavailableError("no answer")
        return self.points

    def commit(self, partition: Partition, demand: float) -> None:
        ownership = Ownership("other", 1, True, 0, 0, demand=demand)
        self.points = {**(self.points or {}), partition: CommitPoint(5, encode(CommitMetadata(ownership=ownership)))}

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} is not asked here")


class ToldShares:
    """What a stream is told of those that feed it."""

    def __init__(self) -> None:
        self.told: list[Mapping[Partition, Place]] = []

    def set_feeders(self, places: Mapping[Partition, Place]) -> None:
        self.told.append(places)

    def look(self) -> None:
        """Nothing is under way."""

    def to_ask(self) -> list[Partition]:
        return []


def fair_share(kafka: Kafka, lines: Mapping[Partition, PartitionLine], stream: str, shares: Any) -> FairShare:
    ports = SimpleNamespace(offsets=kafka, group=kafka, clock=LoopClock())
    return FairShare(ports, "group", route_topic, lines, {stream: SimpleNamespace(shares=shares)})  # type: ignore[arg-type, dict-item]


FEEDERS = {
    Partition("orders", 0): None,
    Partition("orders", 1): None,
    Partition("payments", 0): slice_hash_key(0, 4),
    Partition("payments", 1): slice_hash_key(1, 4),
}


def test_places_of_all_routes_to_a_stream():
    places = feeders([p for p in PARTITIONS if p.topic in ROUTES], {"payments": 4}, route_topic)
    assert places == {"s": FEEDERS, "other": {Partition("clicks", 0): None, Partition("clicks", 1): None}}


@pytest.mark.looptime
async def test_streams_are_told_at_once_after_an_assignment_and_now_and_then():
    kafka, shares = Kafka(), ToldShares()
    line = new_line()
    line.partition = Partition("payments", 0)
    share = fair_share(kafka, {line.partition: line}, "s", shares)
    task = asyncio.create_task(share.run())
    await asyncio.sleep(0.01)
    assert shares.told == [FEEDERS], "N of a line of ours counts"
    share.assigned()
    await asyncio.sleep(0.01)
    assert kafka.asked == 2
    await asyncio.sleep(OBSERVE_S)
    assert kafka.asked == 3
    kafka.partitions = None
    await asyncio.sleep(OBSERVE_S)
    await asyncio.sleep(3 * OBSERVE_AGAIN_S)
    assert kafka.asked >= 6, "without an answer it asks again soon"
    assert len(shares.told) == 3, "and what was known stays"
    assert kafka.asked_for == [], "nothing is under way: what others want does not matter"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


class Replica:
    """One of our partitions of `clicks`, on one shard with another one's; producers write so many records a second."""

    def __init__(self, per_s: int) -> None:
        self.kafka, self.line, self.per_s = Kafka(), new_line(), per_s
        self.line.partition = Partition("clicks", 0)
        self.mapper = Mapper(MappingSpec("key", "clicks"), KeyCache())
        self.scheduler = Scheduler(LIMITS, even_shard_map(1))
        self.shares = Shares(1.0, LoopClock(), lambda: [(self.line, self.mapper)])
        self.shares.scheduler = self.scheduler
        self.written = 0
        self.parts: list[float] = []

    @property
    def part(self) -> float:
        return self.shares.of(self.scheduler.shard_map)[0]

    async def run(self) -> None:
        """Sends each tenth of a second what may go, and commits each second."""
        share = fair_share(self.kafka, {self.line.partition: self.line}, "other", self.shares)
        share.assigned()
        task = asyncio.create_task(share.run())
        try:
            while True:
                for _ in range(10):
                    self._produce()
                    self._send()
                    await asyncio.sleep(0.1)
                self.line.demand.said()
                self.line.demand.confirmed()
        finally:
            task.cancel()

    def _produce(self) -> None:
        begin, self.written = self.written, self.written + self.per_s // 10
        rows = source_batch([(offset, b"%d" % offset, b"x") for offset in range(begin, self.written)], self.line.partition)
        mapped, _ = self.mapper.map(rows, self.line.lanes)
        self.line.read_rows += len(mapped)
        self.scheduler.offer(mapped, LoopClock().monotonic())

    def _send(self) -> None:
        now = LoopClock().monotonic()
        while isinstance(request := self.scheduler.next_request(now), Request):
            self.scheduler.resolve(request, stored(request), now)


@pytest.fixture
async def running() -> AsyncIterator[Callable[[Replica], Replica]]:
    tasks: list[asyncio.Task[None]] = []

    def start(replica: Replica) -> Replica:
        tasks.append(asyncio.create_task(replica.run()))
        return replica

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.looptime
async def test_what_others_leave_is_used_as_long_as_they_say_so(running):
    replica = running(Replica(per_s=1200))
    await asyncio.sleep(5)
    assert replica.part == 0.5
    assert replica.kafka.asked_for[0] == {Partition("clicks", 1)}, "others' partitions of this stream only"
    replica.kafka.commit(Partition("clicks", 1), 0.25)
    await asyncio.sleep(12)
    assert replica.part == 0.8
    replica.kafka.points = None
    await asyncio.sleep(25)
    assert replica.part == 0.5, "what was read is too old to go by"
    assert replica.line.demand.announced == 1


@pytest.mark.looptime
async def test_who_sends_little_says_so_and_asks_nobody(running):
    replica = running(Replica(per_s=50))
    await asyncio.sleep(HOLD_S + 5)
    assert (replica.line.demand.announced, replica.part) == (0.25, 0.2)
    assert replica.line.demand.records_per_s == pytest.approx(50, rel=0.1)
    assert replica.kafka.asked_for == []


@pytest.mark.looptime
async def test_half_of_the_equal_part_is_said_as_three_quarters(running):
    replica = running(Replica(per_s=240))
    await asyncio.sleep(HOLD_S + 5)
    assert replica.line.demand.announced == 0.75


@pytest.mark.looptime
async def test_an_open_partition_commits_what_it_carries_and_alone_there_is_nothing_to_lend():
    kafka, behind, partition = ForwardKafka(), Behind(), Partition("orders", 0)
    line = forward_line(kafka, Kinesis(), LoggingTelemetry(), behind=behind)
    task = asyncio.create_task(line.run())
    kafka.hand_over(Assigned([AssignedPartition(partition, 0, "", 1)]))
    for second in range(30):
        kafka.hand_over(source_batch([(20 * second + i, b"%d" % i, b"x") for i in range(20)], partition))
        await asyncio.sleep(1)
    ownership = decode(kafka.committed[partition].metadata).ownership
    assert ownership is not None
    assert (ownership.is_open, ownership.demand) == (True, 1)
    assert ownership.records_per_s == pytest.approx(20, rel=0.1)
    await asyncio.sleep(60)
    ownership = decode(kafka.committed[partition].metadata).ownership
    assert ownership is not None
    assert (ownership.is_open, ownership.demand, ownership.records_per_s) == (False, 1, 0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.looptime
async def test_what_comes_to_rest_wants_little_in_the_end(running):
    replica = running(Replica(per_s=240))
    await asyncio.sleep(HOLD_S + 5)
    replica.per_s = 0
    await asyncio.sleep(2)
    replica.line.phase = Phase.CLEAN
    await asyncio.sleep(HOLD_S + 2)
    assert replica.line.demand.at_rest
