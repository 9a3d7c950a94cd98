"""One stream: what waits for its shards, what it refuses, what it learns from answers."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from bridge.app.stream_description import REFRESH_S, RETRY_FIRST_S
from bridge.core.delivery.requests import RequestLimits
from bridge.core.delivery.stream_description import StreamDescription
from bridge.core.errors import RefusedError, UnavailableError
from bridge.core.quotas import MIB
from bridge.core.records import Outcome, Partition, PutAnswer
from tests.unit.app.streams import Kinesis, Stream
from tests.unit.core.delivery.columns import even_shard_map


@pytest.fixture
async def started() -> AsyncIterator[list[asyncio.Task[None]]]:
    """Tasks put here are cancelled at the end of the test."""
    tasks: list[asyncio.Task[None]] = []
    yield tasks
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.looptime
async def test_records_wait_for_the_shards_and_then_go(started):
    kinesis = Kinesis()
    kinesis.descriptions = [UnavailableError("stream stream is CREATING"), RefusedError("no permission")]
    stream = Stream(kinesis)
    started.append(asyncio.ensure_future(stream.stream.run()))
    stream.offer(0, b"a", b"b")
    await asyncio.sleep(RETRY_FIRST_S * 2)
    assert "no permission" in (stream.stream.trouble or "")
    assert kinesis.requests == []
    assert stream.line.buffered_bytes > 0
    await asyncio.sleep(RETRY_FIRST_S * 2)
    assert not stream.stream.trouble
    assert [request.datas for request in kinesis.requests] == [[b"a", b"b"]]
    assert stream.line.tracker.committable() == 2
    assert stream.line.buffered_bytes == 0
    assert stream.telemetry.events() == ["stream_trouble", "stream_trouble", "stream_ready"]


@pytest.mark.looptime
@pytest.mark.parametrize(
    ("stream_takes", "request_takes", "halts"),
    [(10 * MIB, 5 * MIB, True), (10 * MIB, 10 * MIB, False), (MIB, 5 * MIB, True)],
)
async def test_a_record_above_what_stream_and_request_take_halts_its_partition(started, stream_takes, request_takes, halts):
    kinesis = Kinesis()
    kinesis.description = StreamDescription(even_shard_map(1), stream_takes)
    stream = Stream(kinesis, RequestLimits(500, request_takes))
    started.append(asyncio.ensure_future(stream.stream.run()))
    await asyncio.sleep(0.01)
    stream.offer(0, b"small", b"x" * (6 * MIB), b"behind")
    await asyncio.sleep(30)
    assert [(halt.reason, halt.offset) for _, halt in stream.halts] == ([("oversize", 1)] if halts else [])
    assert stream.line.tracker.committable() == (1 if halts else 3)


@pytest.mark.looptime
async def test_a_rejected_record_halts_its_partition_by_name(started):
    kinesis = Kinesis()
    kinesis.answers = [PutAnswer(Outcome.REJECTED, code="ValidationException", message="odd key")] * 2
    stream = Stream(kinesis)
    started.append(asyncio.ensure_future(stream.stream.run()))
    stream.offer(0, b"bad", b"behind")
    await asyncio.sleep(1)
    ((line, halt),) = stream.halts
    assert (line, halt.reason, halt.offset) == (stream.line, "rejected", 0)
    assert "ValidationException odd key" in halt.detail
    assert stream.line.tracker.committable() == 0
    assert [request.datas for request in kinesis.requests] == [[b"bad", b"behind"], [b"bad"], [b"behind"]]


@pytest.mark.looptime
async def test_a_record_on_another_shard_makes_it_ask_for_the_shards_at_once(started):
    kinesis = Kinesis()
    stream = Stream(kinesis)
    started.append(asyncio.ensure_future(stream.stream.run()))
    await asyncio.sleep(0.1)
    assert kinesis.described == 1
    kinesis.description = StreamDescription(even_shard_map(2, generation=1), MIB)
    kinesis.answers = [PutAnswer(None, [Outcome.STORED], ["elsewhere"], ["1"])]
    stream.offer(0, b"a")
    await asyncio.sleep(1)
    assert kinesis.described == 2
    assert {labels[1] for _, labels, _ in stream.stream.samples()} == {"shard-1-0", "shard-1-1"}
    await asyncio.sleep(REFRESH_S + 2)
    assert kinesis.described == 3


@pytest.mark.looptime
async def test_a_detached_partition_sends_nothing_more(started):
    kinesis = Kinesis()
    kinesis.answers = [PutAnswer(Outcome.THROTTLED, code="Throttled")] * 2
    stream = Stream(kinesis)
    started.append(asyncio.ensure_future(stream.stream.run()))
    stream.offer(0, b"a")
    await asyncio.sleep(0.05)
    assert len(kinesis.requests) == 1
    stream.stream.detach(stream.line)
    await asyncio.sleep(10)
    assert len(kinesis.requests) == 1
    assert stream.line.buffered_bytes == 0


@pytest.mark.looptime
async def test_a_replica_takes_its_part_of_the_shards(started):
    """One of four partitions of its topic; then others feed the stream too, then they leave."""
    kinesis = Kinesis()
    stream = Stream(kinesis)
    started.append(asyncio.ensure_future(stream.stream.run()))
    await asyncio.sleep(0.01)
    stream.line.ahead_rows = 6000
    stream.offer(0, *[b"x"] * 6000)

    async def sent_in_two_seconds() -> int:
        before = sum(map(len, kinesis.requests))
        await asyncio.sleep(2)
        return sum(map(len, kinesis.requests)) - before

    assert await sent_in_two_seconds() == pytest.approx(500, abs=30)
    stream.stream.shares.set_feeders({Partition("orders", number): None for number in range(10)})
    await asyncio.sleep(1)
    assert await sent_in_two_seconds() == pytest.approx(200, abs=30)
    stream.stream.shares.set_feeders({stream.line.partition: None})
    await asyncio.sleep(1)
    assert await sent_in_two_seconds() == pytest.approx(2000, abs=120)


class Timeless(Kinesis):
    """An endpoint whose answers do not say what time it is."""

    async def describe(self, stream: str) -> StreamDescription:
        return replace(await super().describe(stream), date_s=None)


@pytest.mark.looptime
async def test_a_stream_that_does_not_tell_the_time_says_why_nothing_is_sent(started):
    stream = Stream(Timeless())
    started.append(asyncio.ensure_future(stream.stream.run()))
    await asyncio.sleep(1)
    assert "Date" in (stream.stream.trouble or "")


@pytest.mark.looptime
async def test_a_stream_that_tells_the_time_is_in_no_trouble(started):
    stream = Stream(Kinesis())
    started.append(asyncio.ensure_future(stream.stream.run()))
    await asyncio.sleep(1)
    assert stream.stream.trouble is None
