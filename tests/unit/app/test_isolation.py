"""What stands still holds nothing but itself: lanes, shards, partitions, routes. The whole forward line, in virtual time."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping

import pytest

from bridge.app.back_pressure import SPAN_S, STUCK_S
from bridge.core.delivery.commit_metadata import CommitPoint
from bridge.core.delivery.lanes import ROW_BATCH, ROW_PARTITION_KEY, Row, offset_of
from bridge.core.delivery.partition_keys import hash_key
from bridge.core.delivery.requests import Request
from bridge.core.delivery.stream_description import StreamDescription
from bridge.core.quotas import HASH_KEY_MAX, MIB
from bridge.core.records import Outcome, Partition, PutAnswer
from bridge.ports import Assigned, AssignedPartition, Revoking
from tests.unit.app.forward_lines import DRAIN_S, Kafka, forward_line
from tests.unit.app.lines import LoggingTelemetry
from tests.unit.app.streams import Kinesis
from tests.unit.core.delivery.columns import even_shard_map, source_batch

SHARDS = 4
ROUND_TRIP_S = 0.05
KEYS = [b"key-%d" % number for number in range(200)]
SHARD_OF = {key.decode(): hash_key(key.decode()) * SHARDS // (HASH_KEY_MAX + 1) for key in KEYS}
RATE = 400
"""Records of a partition per second."""
HAND_OVER_S = 0.1

Refuses = Callable[[str, Row], Outcome | None]


class Shards(Kinesis):
    """Every stream has four shards; `refuses` says what becomes of a record of a stream, None: it is stored."""

    def __init__(self) -> None:
        super().__init__()
        self.description = StreamDescription(even_shard_map(SHARDS), MIB)
        self.refuses: Refuses = lambda stream, row: None
        self.stored: defaultdict[Partition, list[tuple[int, str]]] = defaultdict(list)

    async def put(self, stream: str, request: Request, deadline: float) -> PutAnswer:
        await asyncio.sleep(ROUND_TRIP_S)
        outcomes = [self.refuses(stream, row) or Outcome.STORED for row in request.rows]
        for row, outcome in zip(request.rows, outcomes, strict=True):
            if outcome == Outcome.STORED:
                self.stored[row[ROW_BATCH].lanes_of.partition].append((offset_of(row), row[ROW_PARTITION_KEY]))
        shards = [shard for shard, first, end in request.runs for _ in range(first, end)]
        return PutAnswer(None, outcomes, shards, ["1"] * len(request))

    def of_shard(self, partition: Partition, shard: int) -> int:
        """Records of a partition that this shard stored."""
        return sum(SHARD_OF[key] == shard for _, key in self.stored[partition])


class Flow:
    """Producers write to each partition at a steady rate; what a pause holds back comes when it ends."""

    def __init__(self, *partitions: Partition, buffer_bytes_max: int = 100 * MIB, value: bytes = b"x" * 100) -> None:
        self.kafka, self.kinesis, self.telemetry = Kafka(), Shards(), LoggingTelemetry()
        self.line = forward_line(self.kafka, self.kinesis, self.telemetry, buffer_bytes_max)
        self.value = value
        self.written = dict.fromkeys(partitions, 0)
        self.read = dict.fromkeys(partitions, 0)
        self.most_bytes = 0.0
        self.kafka.hand_over(Assigned([AssignedPartition(partition, 0, "", 1) for partition in partitions]))

    async def produce(self) -> None:
        while True:
            for partition, read in self.read.items():
                end = self.written[partition] = self.written[partition] + int(RATE * HAND_OVER_S)
                if partition not in self.kafka.paused:
                    end = self.read[partition] = min(end, read + 1000)
                    rows = [(o, KEYS[o % len(KEYS)], self.value_of(partition, o)) for o in range(read, end)]
                    self.kafka.hand_over(source_batch(list(rows), partition))
            await asyncio.sleep(HAND_OVER_S)
            self.most_bytes = max(self.most_bytes, self.buffered())

    def value_of(self, partition: Partition, offset: int) -> bytes | None:
        return self.value

    def buffered(self) -> float:
        line = next(line for line in self.telemetry.render().decode().splitlines() if line.startswith("bridge_buffer_bytes "))
        return float(line.split()[1])

    async def stored_in(self, seconds: float, partition: Partition) -> dict[int, int]:
        """Records that each shard stored in this time."""
        before = {shard: self.kinesis.of_shard(partition, shard) for shard in range(SHARDS)}
        await asyncio.sleep(seconds)
        return {shard: self.kinesis.of_shard(partition, shard) - count for shard, count in before.items()}

    def revoke(self, *partitions: Partition) -> asyncio.Future[Mapping[Partition, CommitPoint]]:
        done: asyncio.Future[Mapping[Partition, CommitPoint]] = asyncio.get_running_loop().create_future()
        for partition in partitions:
            self.read.pop(partition, None)
        self.kafka.hand_over(Revoking(partitions, done.set_result))
        return done

    def assert_complete(self, partition: Partition) -> None:
        """All of it was stored, once, each key in the order of its offsets."""
        stored = self.kinesis.stored[partition]
        assert sorted(offset for offset, _ in stored) == list(range(len(stored)))
        last: dict[str, int] = {}
        for offset, key in stored:
            assert last.get(key, -1) < offset
            last[key] = offset


ORDERS, OTHER_ORDERS, USERS = Partition("orders", 0), Partition("orders", 1), Partition("users", 0)
PER_SHARD = {shard: RATE * sum(place == shard for place in SHARD_OF.values()) / len(KEYS) for shard in range(SHARDS)}
"""Records per second."""


@pytest.fixture
async def flows() -> AsyncIterator[Callable[[Flow], Flow]]:
    """Starts flows, and ends them with the test."""
    tasks: list[asyncio.Task[None]] = []

    def start(flow: Flow) -> Flow:
        tasks.extend(map(asyncio.ensure_future, (flow.line.run(), flow.produce())))
        return flow

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def throttles(shard: int, of: str = "orders") -> Refuses:
    return lambda stream, row: Outcome.THROTTLED if stream == of and SHARD_OF[row[ROW_PARTITION_KEY]] == shard else None


@pytest.mark.looptime
async def test_a_stuck_shard_does_not_hold_the_other_shards_and_is_caught_up_with(flows):
    flow = flows(Flow(ORDERS, OTHER_ORDERS))
    await asyncio.sleep(3)
    flow.kinesis.refuses = throttles(1)
    await asyncio.sleep(STUCK_S + 1)
    for stored in await asyncio.gather(*(flow.stored_in(SPAN_S / 3, partition) for partition in (ORDERS, OTHER_ORDERS))):
        assert stored.pop(1) == 0
        assert stored == {shard: pytest.approx(SPAN_S / 3 * PER_SHARD[shard], rel=0.15) for shard in (0, 2, 3)}
    flow.kinesis.refuses = lambda stream, row: None
    await asyncio.sleep(30)
    flow.read.clear()
    await asyncio.sleep(5)
    for partition in (ORDERS, OTHER_ORDERS):
        flow.assert_complete(partition)
        assert flow.kafka.committed[partition].offset == len(flow.kinesis.stored[partition]) > 30 * RATE


@pytest.mark.looptime
async def test_going_past_a_stuck_shard_has_a_bound(flows):
    flow = flows(Flow(ORDERS))
    await asyncio.sleep(3)
    flow.kinesis.refuses = throttles(1)
    await asyncio.sleep(4 * SPAN_S)
    committed = flow.kafka.committed[ORDERS].offset
    furthest = max(offset for offset, _ in flow.kinesis.stored[ORDERS])
    assert furthest - committed == pytest.approx(SPAN_S * (RATE - PER_SHARD[1]), rel=0.2), "of sending, without the stuck shard"
    assert sum((await flow.stored_in(10, ORDERS)).values()) == 0
    assert flow.kafka.paused == {ORDERS}


@pytest.mark.looptime
@pytest.mark.parametrize("refusal", [Outcome.TRANSIENT, Outcome.UNKNOWN])
async def test_a_lane_that_cannot_move_does_not_hold_its_neighbours(flows, refusal):
    flow = flows(Flow(ORDERS))
    stuck = KEYS[0].decode()
    await asyncio.sleep(3)
    flow.kinesis.refuses = lambda stream, row: refusal if row[ROW_PARTITION_KEY] == stuck else None
    await asyncio.sleep(STUCK_S + 1)
    rates = PER_SHARD | {SHARD_OF[stuck]: PER_SHARD[SHARD_OF[stuck]] - RATE / len(KEYS)}
    seconds = SPAN_S / 3
    stored = await flow.stored_in(seconds, ORDERS)
    assert stored == {shard: pytest.approx(seconds * rate, rel=0.1) for shard, rate in rates.items()}
    flow.kinesis.refuses = lambda stream, row: None
    await asyncio.sleep(30)
    flow.read.clear()
    await asyncio.sleep(5)
    flow.assert_complete(ORDERS)
    assert flow.kafka.committed[ORDERS].offset == len(flow.kinesis.stored[ORDERS]) > 30 * RATE


@pytest.mark.looptime
async def test_a_stuck_shard_does_not_fill_the_buffer_for_the_others(flows):
    stuck = [Partition("orders", number) for number in range(3)]
    flow = flows(Flow(*stuck, USERS, buffer_bytes_max=4 * MIB, value=b"x" * 1000))
    await asyncio.sleep(3)
    flow.kinesis.refuses = throttles(1)
    await asyncio.sleep(30)
    stored = await flow.stored_in(10, USERS)
    assert stored == {shard: pytest.approx(10 * PER_SHARD[shard], rel=0.1) for shard in range(SHARDS)}
    assert flow.most_bytes < 4 * MIB


@pytest.mark.looptime
async def test_a_stream_that_takes_nothing_is_not_read_ahead_further(flows):
    flow = flows(Flow(ORDERS, USERS))
    await asyncio.sleep(5)
    flow.kinesis.refuses = lambda stream, row: Outcome.THROTTLED if stream == "orders" else None
    await asyncio.sleep(5)
    read, before = flow.read[ORDERS], len(flow.kinesis.stored[USERS])
    await asyncio.sleep(60)
    assert flow.read[ORDERS] == read < len(flow.kinesis.stored[ORDERS]) + 3 * 2 * RATE
    assert len(flow.kinesis.stored[USERS]) - before == pytest.approx(60 * RATE, rel=0.02)


@pytest.mark.looptime
async def test_a_halted_partition_stops_neither_its_neighbour_nor_another_route(flows, monkeypatch):
    flow = Flow(ORDERS, OTHER_ORDERS, USERS)
    monkeypatch.setattr(flow, "value_of", lambda partition, offset: None if (partition, offset) == (ORDERS, 500) else b"x")
    flows(flow)
    await asyncio.sleep(10)
    assert {partition: halt.offset for partition, halt in flow.line.halts().items()} == {ORDERS: 500}
    assert len(flow.kinesis.stored[ORDERS]) == flow.kafka.committed[ORDERS].offset == 500
    for partition in (OTHER_ORDERS, USERS):
        stored = await flow.stored_in(10, partition)
        assert sum(stored.values()) == pytest.approx(10 * RATE, rel=0.02)


@pytest.mark.looptime
async def test_what_stands_behind_a_stuck_shard_ends_a_drain_incomplete(flows):
    flow = flows(Flow(ORDERS))
    await asyncio.sleep(3)
    flow.kinesis.refuses = throttles(1)
    await asyncio.sleep(10)
    begun = asyncio.get_running_loop().time()
    points = await flow.revoke(ORDERS)
    assert asyncio.get_running_loop().time() - begun == pytest.approx(DRAIN_S, abs=0.5)
    assert points[ORDERS].offset < max(offset for offset, _ in flow.kinesis.stored[ORDERS])
    assert ("info", "partitions_revoked", {"partitions": [str(ORDERS)], "drained": False}) in flow.telemetry.lines


@pytest.mark.looptime
async def test_a_drain_behind_a_slow_shard_ends_well(flows):
    flow = flows(Flow(ORDERS))
    loop, open_at = asyncio.get_running_loop(), 0.0

    def slow(stream: str, row: Row) -> Outcome | None:
        """A fifth of what the shard would get."""
        nonlocal open_at
        if SHARD_OF[row[ROW_PARTITION_KEY]] != 1:
            return None
        if loop.time() < open_at:
            return Outcome.THROTTLED
        open_at = max(loop.time() - 0.5, open_at + 5 / PER_SHARD[1])
        return None

    flow.kinesis.refuses = slow
    await asyncio.sleep(30)
    async with asyncio.timeout(DRAIN_S / 2):
        points = await flow.revoke(ORDERS)
    assert points[ORDERS].offset == max(offset for offset, _ in flow.kinesis.stored[ORDERS]) + 1


@pytest.mark.looptime
async def test_others_go_on_while_a_shard_that_was_stuck_is_caught_up_with(flows):
    flow = flows(Flow(ORDERS))
    await asyncio.sleep(5)
    flow.kinesis.refuses = throttles(1)
    await asyncio.sleep(SPAN_S / 2)
    flow.kinesis.refuses = lambda stream, row: None
    await asyncio.sleep(3)
    stored = await flow.stored_in(5, ORDERS)
    assert all(stored[shard] >= 0.85 * 5 * PER_SHARD[shard] for shard in range(SHARDS))
