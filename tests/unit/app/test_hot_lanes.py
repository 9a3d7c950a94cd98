"""The fullest lane of a route: found, measured, and told without its key."""

import asyncio
from hashlib import md5

import pytest

from bridge.app.hot_lanes import LOOK_S, HotLanes
from bridge.app.partition_line import PartitionLine
from bridge.core.delivery.commit_metadata import HotLane, decode
from bridge.core.delivery.key_strategies import KeyCache, MappingSpec
from bridge.core.delivery.mapping import Mapper
from bridge.core.delivery.requests import Request, RequestLimits
from bridge.core.delivery.scheduler import Scheduler
from bridge.core.quotas import MIB
from bridge.core.records import Outcome, Partition, PutAnswer
from bridge.ports import Assigned, AssignedPartition
from tests.unit.app.forward_lines import Kafka, forward_line
from tests.unit.app.lines import LoggingTelemetry, new_line
from tests.unit.app.streams import Kinesis
from tests.unit.core.delivery.columns import even_shard_map, source_batch

WAITING, RATE, AGGREGATE = (f"bridge_hot_lane_{name}" for name in ("waiting_records", "records_per_second", "aggregate_records"))


class Lanes:
    """Lines behind one scheduler, and what is told of them."""

    def __init__(self, *lines: PartitionLine) -> None:
        self.lines = list(lines)
        self.scheduler = Scheduler(RequestLimits(500, 5 * MIB), even_shard_map(2))
        self.telemetry = LoggingTelemetry()
        self.hot = HotLanes(lambda: self.lines, self.telemetry)
        self.now = 1000.0

    def offer(self, line: PartitionLine, key: bytes, count: int, size: int = 100) -> None:
        first = line.tracker.read_to
        rows = source_batch([(first + i, key, b"x" * size) for i in range(count)], line.partition)
        batch, _ = Mapper(MappingSpec("key", "orders"), KeyCache()).map(rows, line.lanes)
        line.tracker.admit(batch)
        self.scheduler.offer(batch, self.now)

    def round_trips(self, count: int, seconds: float) -> None:
        for _ in range(count):
            self.now += seconds
            request = self.scheduler.next_request(self.now)
            assert isinstance(request, Request)
            shards = [shard for shard, first, end in request.runs for _ in range(first, end)]
            self.scheduler.resolve(
                request, PutAnswer(None, [Outcome.STORED] * len(request), shards, ["1"] * len(request)), self.now
            )

    def told(self) -> dict[str, float]:
        """Of the route of the first line."""
        self.hot.tick(self.now)
        return {name: value for name, labels, value in self.hot.samples() if labels == (self.lines[0].route,)}


def test_without_records_nothing_waits():
    lanes = Lanes(new_line())
    assert lanes.told() == {WAITING: 0}
    lanes.offer(lanes.lines[0], b"k", 1)
    lanes.now += LOOK_S
    assert lanes.told() == {WAITING: 0}, "the first record of a lane waits for nothing"


def test_the_fullest_lane_of_all_partitions_and_what_it_sends():
    lanes = Lanes(new_line(0), new_line(1))
    lanes.offer(lanes.lines[0], b"cool", 20)
    lanes.offer(lanes.lines[1], b"hot", 101)
    assert lanes.told() == {WAITING: 100, AGGREGATE: 100}
    lanes.round_trips(20, 0.1)
    lanes.now = 1002.0
    assert lanes.told() == {WAITING: 80, AGGREGATE: 80, RATE: pytest.approx(10.0)}
    lanes.offer(lanes.lines[0], b"cool", 120)
    lanes.round_trips(10, 0.1)
    assert lanes.told()[RATE] == pytest.approx(10.0), "watched on while another lane is not much fuller"
    lanes.offer(lanes.lines[0], b"cool", 200)
    lanes.now += LOOK_S
    assert lanes.told()[WAITING] > 300


def test_a_lane_that_falls_behind_is_told_once_until_it_has_caught_up():
    lanes = Lanes(new_line())
    lanes.offer(lanes.lines[0], b"hot", 101)

    def warnings() -> list[dict[str, object]]:
        lanes.hot.tick(lanes.now)
        return [fields for _, event, fields in lanes.telemetry.lines if event == "hot_lane"]

    def committed() -> HotLane | None:
        return decode(lanes.lines[0].commit_point().metadata).hot_lane

    assert warnings() == [], "its rate is not known yet"
    for second in range(1, 4):
        lanes.round_trips(10, 0.1)
        lanes.now = 1000.0 + second
        (warning,) = warnings()
    assert warning == {
        "route": "orders",
        "topic": "orders",
        "partition": 0,
        "hash_key": md5(b"hot").hexdigest()[:8],
        "waiting": 90,
        "records_per_s": 10.0,
        "aggregate_records": 90,
    }
    assert committed() is not None
    lanes.round_trips(60, 0.01)
    lanes.now += LOOK_S
    assert len(warnings()) == 1, "what waits is sent at once now"
    assert committed() is None
    lanes.offer(lanes.lines[0], b"hot", 500)
    for _ in range(3):
        lanes.round_trips(5, 0.1)
        lanes.now += LOOK_S
        warnings()
    assert len(warnings()) == 2


def test_looks_are_a_second_apart():
    lanes = Lanes(new_line())
    lanes.told()
    lanes.offer(lanes.lines[0], b"k", 11)
    lanes.now += LOOK_S / 2
    assert lanes.told() == {WAITING: 0}
    lanes.now += LOOK_S / 2
    assert lanes.told()[WAITING] == 10


@pytest.mark.parametrize(("size", "fit"), [(10, 500), (1019, 50), (100_000, 1)])
def test_an_aggregate_holds_500_records_or_50_kib(size, fit):
    lanes = Lanes(new_line())
    lanes.offer(lanes.lines[0], b"hot99", 700, size)
    assert lanes.told()[AGGREGATE] == fit


def test_each_route_has_its_own():
    lanes = Lanes(new_line(0), new_line(1))
    lanes.lines[1].route = "users"
    lanes.offer(lanes.lines[0], b"k", 11)
    lanes.offer(lanes.lines[1], b"k", 31)
    lanes.hot.tick(lanes.now)
    assert {labels: value for name, labels, value in lanes.hot.samples() if name == WAITING} == {("orders",): 10, ("users",): 30}


def test_a_partition_that_left_is_not_told_of_any_more():
    lanes = Lanes(new_line(0), new_line(1))
    lanes.offer(lanes.lines[1], b"k", 101)
    lanes.offer(lanes.lines[0], b"k", 11)
    assert lanes.told()[WAITING] == 100
    lanes.scheduler.truncate(lanes.lines[1].lanes, 0)
    del lanes.lines[1]
    assert lanes.told()[WAITING] == 0
    lanes.now += LOOK_S
    assert lanes.told() == {WAITING: 10, AGGREGATE: 10}


class Distant(Kinesis):
    """A fifth of a second away."""

    async def put(self, stream: str, request: Request, deadline: float) -> PutAnswer:
        await asyncio.sleep(0.2)
        return await super().put(stream, request, deadline)


@pytest.mark.looptime
async def test_the_metrics_tell_it_and_do_not_tell_the_key():
    kafka, telemetry, partition = Kafka(), LoggingTelemetry(), Partition("orders", 0)
    line = forward_line(kafka, Distant(), telemetry)
    rows = source_batch([(offset, b"secret-key", b"x") for offset in range(100)], partition)
    kafka.hand_over(Assigned([AssignedPartition(partition, 0, "", 1)]), rows)
    task = asyncio.ensure_future(line.run())
    await asyncio.sleep(10)
    told = telemetry.render().decode()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    values = {
        name: float(value) for name, value in (row.rsplit(" ", 1) for row in told.splitlines() if row.startswith("bridge_hot"))
    }
    assert 40 < values[f'{WAITING}{{route="orders"}}'] < 60
    assert values[f'{RATE}{{route="orders"}}'] == pytest.approx(4.7, abs=0.4), "one in a round trip and a part of the linger"
    assert "secret-key" not in told
