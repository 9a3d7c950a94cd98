"""The forward line with a source that plays Kafka: read, held, sent, drained, committed."""

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest

from bridge.app.partition_line import AHEAD_ROWS_MIN
from bridge.core.delivery.commit_metadata import CommitPoint
from bridge.core.records import Partition, PutAnswer
from bridge.ports import Assigned, AssignedPartition, PartitionFailed, Revoking
from tests.unit.app.forward_lines import Kafka, forward_line, running
from tests.unit.app.lines import LoggingTelemetry
from tests.unit.app.streams import Kinesis
from tests.unit.core.delivery.columns import source_batch

ROWS = 1000


class Slow(Kinesis):
    """Needs a second for each request."""

    async def put(self, stream: str, request: object, deadline: float) -> PutAnswer:
        await asyncio.sleep(1)
        return await super().put(stream, request, deadline)  # type: ignore[arg-type]


class Bridge:
    """A forward line, one partition of which is assigned and has records."""

    def __init__(self) -> None:
        self.kafka, self.kinesis, self.telemetry = Kafka(), Slow(), LoggingTelemetry()
        self.line = forward_line(self.kafka, self.kinesis, self.telemetry)
        self.partition = Partition("orders", 0)
        self.kafka.hand_over(
            Assigned([AssignedPartition(self.partition, 0, "", 1)]),
            source_batch([(offset, b"key-%d" % offset, b"x") for offset in range(ROWS)], self.partition),
        )

    @property
    def attempted(self) -> int:
        return sum(map(len, self.kinesis.requests))


@pytest.fixture
async def bridge() -> AsyncIterator[Bridge]:
    bridge = Bridge()
    async with running(bridge.line):
        yield bridge


@pytest.mark.looptime
async def test_what_came_in_above_the_allowance_is_held_and_goes_when_there_is_room(bridge):
    await asyncio.sleep(0.5)
    assert bridge.kafka.paused == {bridge.partition}
    await asyncio.sleep(1)
    assert bridge.attempted == AHEAD_ROWS_MIN
    await asyncio.sleep(30)
    assert bridge.attempted == ROWS
    assert bridge.kafka.paused == set()
    assert bridge.kafka.committed[bridge.partition].offset == ROWS
    assert b"bridge_buffer_bytes 0.0" in bridge.telemetry.render()


@pytest.mark.looptime
async def test_a_partition_that_leaves_finishes_what_was_attempted_and_drops_what_was_held(bridge):
    await asyncio.sleep(0.5)
    done: asyncio.Future[Mapping[Partition, CommitPoint]] = asyncio.get_running_loop().create_future()
    bridge.kafka.hand_over(Revoking([bridge.partition], done.set_result))
    async with asyncio.timeout(5):
        points = await done
    assert points[bridge.partition].offset == bridge.attempted == AHEAD_ROWS_MIN
    await asyncio.sleep(30)
    assert bridge.attempted == AHEAD_ROWS_MIN


@pytest.mark.looptime
async def test_what_was_read_before_kafka_failed_a_partition_still_goes(bridge):
    bridge.kafka.hand_over(PartitionFailed(bridge.partition, "offset_out_of_range", "gone"))
    await asyncio.sleep(30)
    assert bridge.line.halts()[bridge.partition].offset == ROWS
    assert bridge.attempted == ROWS
    assert bridge.kafka.committed[bridge.partition].offset == ROWS


@pytest.mark.looptime
async def test_stopping_sends_nothing_of_what_is_held(bridge):
    await asyncio.sleep(0.5)
    async with asyncio.timeout(5):
        assert await bridge.line.stop()
    assert bridge.kafka.committed[bridge.partition].offset == bridge.attempted == AHEAD_ROWS_MIN
