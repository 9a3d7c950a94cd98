"""The port `ShardReader` through the real client, on every endpoint that speaks the Kinesis API.

DIFFERENCES names the tests in which kinesalite answers otherwise than the service; such a test then asserts what it does.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from itertools import pairwise
from math import inf
from random import Random

import pytest

from bridge.adapters.kinesis.shard_reader import PACE_S, KinesisShardReader
from bridge.adapters.system_clock import SystemClock
from bridge.bootstrap import KinesisClients, open_kinesis
from bridge.core.delivery.partition_keys import hash_key
from bridge.core.errors import RefusedError, UnavailableError
from bridge.core.proof.shard_reads import ReadStart, ShardRead
from bridge.core.quotas import HASH_KEY_MAX
from bridge.core.records import ShardRecords
from bridge.embedded.kinesis_model import KinesisModel
from bridge.embedded.kinesis_server import serve_kinesis
from tests.contract.kinesis_calls import FIRST, SECOND, put_numbered, wait_active
from tests.contract.kinesis_sinks import RawServer, raw_server, request_of, respond, settings_for, use_credentials
from tests.servers.kinesis import delete_stream
from tests.servers.process import wait_until

THIRD, FOURTH = "shardId-000000000002", "shardId-000000000003"
BEGINNING = ReadStart(at_ms=0)
DIFFERENCES = {"test_a_stream_by_its_arn": "it knows no StreamARN, of 2022"}


@pytest.fixture
async def kinesis(kinesis_endpoint, monkeypatch) -> AsyncIterator[KinesisClients]:
    use_credentials(monkeypatch)
    async with open_kinesis(settings_for(kinesis_endpoint.url)) as clients:
        yield clients


@pytest.fixture
def reader(kinesis) -> KinesisShardReader:
    return KinesisShardReader(kinesis.client, SystemClock(), Random(1))


async def read_to_tip(reader: KinesisShardReader, stream: str, shard_id: str, start: ReadStart = BEGINNING) -> ShardRecords:
    """Everything that is there now."""
    records = ShardRecords()
    async with aclosing(reader.read(stream, shard_id, start)) as reads:
        async for read in reads:
            for column in ("sequence_numbers", "arrivals_ms", "partition_keys", "datas"):
                getattr(records, column).extend(getattr(read.records, column))
            if read.is_at_tip:
                break
    return records


async def test_records_come_whole_and_in_order(reader, client, stream):
    before_ms = time.time() * 1000
    numbers = await asyncio.to_thread(put_numbered, client, stream, 5)
    records = await read_to_tip(reader, stream, FIRST)
    assert records.sequence_numbers == list(map(int, numbers))
    assert records.datas == [b"%d" % number for number in range(5)]
    assert records.partition_keys == ["k"] * 5
    assert all(before_ms - 1000 < arrival_ms < time.time() * 1000 + 1000 for arrival_ms in records.arrivals_ms)
    assert len(await read_to_tip(reader, stream, SECOND)) == 0


async def test_reading_begins_behind_a_sequence_number(reader, client, stream):
    numbers = await asyncio.to_thread(put_numbered, client, stream, 3)
    records = await read_to_tip(reader, stream, FIRST, ReadStart(after=int(numbers[0])))
    assert records.sequence_numbers == list(map(int, numbers[1:]))


async def test_reading_begins_at_a_moment_or_up_to_a_second_before(reader, client, stream):
    await asyncio.to_thread(put_numbered, client, stream, 1)
    stored_at = time.time()
    await asyncio.to_thread(wait_until, lambda: time.time() > stored_at + 2.1, "a moment two seconds later")
    at_ms = round(time.time() * 1000)
    await asyncio.to_thread(put_numbered, client, stream, 2)
    assert len(await read_to_tip(reader, stream, FIRST, ReadStart(at_ms=at_ms))) == 2
    assert len(await read_to_tip(reader, stream, FIRST, ReadStart(at_ms=0))) == 3


async def test_it_goes_on_at_the_tip_at_a_modest_pace(reader, client, stream):
    reads: list[ShardRead] = []
    async with aclosing(reader.read(stream, FIRST, BEGINNING)) as every:
        async for read in every:
            reads.append(read)
            if len(reads) == 2:
                await asyncio.to_thread(put_numbered, client, stream, 1)
            if len(reads) == 4:
                break
    assert [len(read.records) for read in reads] == [0, 0, 1, 0]
    assert all(read.is_at_tip and not read.has_ended for read in reads)
    assert all(later.sent_at - read.sent_at >= PACE_S - 0.01 for read, later in pairwise(reads))
    assert all(read.sent_at <= read.received_at for read in reads)
    assert all(read.date_s is not None and abs(read.date_s - time.time()) < 5 for read in reads)


async def test_the_shards_of_a_stream(reader, client, stream):
    listed = await reader.shards(stream)
    assert [(shard.shard_id, shard.parents, shard.is_closed) for shard in listed.shards] == [
        (FIRST, (), False),
        (SECOND, (), False),
    ]
    assert [shard.starting_hash_key for shard in listed.shards] == [0, 2**127]
    assert listed.shards[-1].ending_hash_key == HASH_KEY_MAX
    assert listed.retention_ms == 24 * 3_600_000
    assert listed.created_ms is not None


async def test_a_split_and_a_merge_while_it_is_read(reader, client, stream):
    reads = reader.read(stream, FIRST, BEGINNING)
    async with aclosing(reads):
        await asyncio.to_thread(put_numbered, client, stream, 2)
        assert len((await anext(reads)).records) == 2
        client.split_shard(StreamName=stream, ShardToSplit=FIRST, NewStartingHashKey=str(2**100))
        await asyncio.to_thread(wait_active, client, stream)
        rest = [read async for read in reads]
        assert rest[-1].has_ended
        assert rest[-1].is_at_tip
        assert sum(len(read.records) for read in rest) == 0
    await asyncio.to_thread(put_numbered, client, stream, 3)
    client.merge_shards(StreamName=stream, ShardToMerge=FOURTH, AdjacentShardToMerge=SECOND)
    await asyncio.to_thread(wait_active, client, stream)
    listed = (await reader.shards(stream)).shards
    parents = {shard.shard_id: set(shard.parents) for shard in listed}
    assert parents == {
        FIRST: set(),
        SECOND: set(),
        THIRD: {FIRST},
        FOURTH: {FIRST},
        "shardId-000000000004": {FOURTH, SECOND},
    }
    assert {shard.shard_id for shard in listed if shard.is_closed} == {FIRST, SECOND, FOURTH}
    places = [shard.shard_id for shard in listed]
    assert all(places.index(parent) < places.index(shard) for shard, of in parents.items() for parent in of)
    assert len(await read_to_tip(reader, stream, THIRD)) == 3


async def test_what_was_put_can_be_read(reader, kinesis, stream):
    answer = await kinesis.sink.put(stream, request_of(*((f"schlüssel-{i}", bytes([i]) * i) for i in range(40))), inf)
    found = {}
    for shard in (await reader.shards(stream)).shards:
        records = await read_to_tip(reader, stream, shard.shard_id)
        for key, number, data in zip(records.partition_keys, records.sequence_numbers, records.datas, strict=True):
            assert shard.starting_hash_key <= hash_key(key) <= shard.ending_hash_key
            found[key] = (shard.shard_id, str(number), data)
    expected = zip(answer.shard_ids, answer.sequence_numbers, (bytes([i]) * i for i in range(40)), strict=True)
    assert [found[f"schlüssel-{i}"] for i in range(40)] == list(expected)


async def test_a_stream_by_its_arn(reader, client, stream, differs):
    arn = client.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamARN"]
    if differs:
        with pytest.raises(RefusedError):
            await reader.shards(arn)
        return
    await asyncio.to_thread(put_numbered, client, stream, 1)
    assert len((await reader.shards(arn)).shards) == 2
    assert len(await read_to_tip(reader, arn, FIRST)) == 1


async def test_what_is_not_there_is_refused(reader, client, stream):
    with pytest.raises(RefusedError, match="ResourceNotFoundException"):
        await reader.shards("no-such-stream")
    with pytest.raises(RefusedError, match="ResourceNotFoundException"):
        await read_to_tip(reader, "no-such-stream", FIRST)
    reads = reader.read(stream, FIRST, BEGINNING)
    async with aclosing(reads):
        await anext(reads)
        await asyncio.to_thread(delete_stream, client, stream)
        with pytest.raises(RefusedError):
            await anext(reads)


# With a server of its own, in this event loop: what takes minutes, and what others do to a shard


class OwnKinesis:
    """An embedded Kinesis with a clock that can be moved, and a reader of it."""

    def __init__(self, model: KinesisModel) -> None:
        self.model = model
        self.ahead_s = 0.0

    def now(self) -> float:
        return time.time() + self.ahead_s

    def put(self, datas: list[bytes]) -> None:
        self.model.put_records("orders", ["k"] * len(datas), None, datas, self.now())


@pytest.fixture
async def own(monkeypatch) -> AsyncIterator[tuple[OwnKinesis, KinesisShardReader]]:
    use_credentials(monkeypatch)
    kinesis = OwnKinesis(KinesisModel(transition_s=0.0))
    async with serve_kinesis(kinesis.model, clock=kinesis.now) as url, open_kinesis(settings_for(url)) as clients:
        kinesis.model.streams.create("orders", 1, kinesis.now())
        yield kinesis, KinesisShardReader(clients.client, SystemClock(), Random(1))


@pytest.mark.parametrize("before", [0, 2])
async def test_an_expired_iterator_is_replaced(own, before):
    kinesis, reader = own
    if before:
        kinesis.put([b"before"] * before)
    reads = reader.read("orders", FIRST, BEGINNING)
    async with aclosing(reads):
        assert len((await anext(reads)).records) == before
        kinesis.ahead_s += 301
        kinesis.put([b"0", b"1"])
        assert (await anext(reads)).records.datas == [b"0", b"1"]


async def test_it_gives_way_where_others_read(own):
    """Another reader uses up the calls of each second for a while; nothing is lost, and the other is served too."""
    kinesis, reader = own
    kinesis.put([b"0", b"1", b"2"])
    iterator = kinesis.model.get_shard_iterator("orders", FIRST, "TRIM_HORIZON", kinesis.now())
    for _ in range(5):
        kinesis.model.get_records(iterator, kinesis.now())
    began = time.monotonic()
    reads = reader.read("orders", FIRST, BEGINNING)
    async with aclosing(reads):
        assert len((await anext(reads)).records) == 3
    assert time.monotonic() - began > 0.4


async def test_it_takes_no_more_bytes_than_a_shard_gives(own):
    kinesis, reader = own
    for _ in range(3):
        kinesis.put([b"x" * 1_000_000])
        kinesis.ahead_s += 1.5
    reads = reader.read("orders", FIRST, BEGINNING)
    async with aclosing(reads):
        first = await anext(reads)
        assert len(first.records) == 3
        second = await anext(reads)
    assert second.sent_at - first.sent_at > 1.4
    assert second.is_at_tip


@pytest.fixture
async def told(monkeypatch) -> AsyncIterator[tuple[RawServer, KinesisShardReader]]:
    use_credentials(monkeypatch)
    async with raw_server() as server, open_kinesis(settings_for(server.url)) as clients:
        yield server, KinesisShardReader(clients.client, SystemClock(), Random(1))


async def test_no_answer_and_failures_are_unavailable(told):
    server, reader = told
    for answer in (respond(500, b'{"__type": "InternalFailure"}'), respond(200, b"{}", length=50)):
        server.answer = answer
        with pytest.raises(UnavailableError):
            await read_to_tip(reader, "orders", FIRST)
        with pytest.raises(UnavailableError):
            await reader.shards("orders")


async def test_an_answer_that_is_not_as_expected_is_left_to_the_library(told):
    server, reader = told
    record = b'{"SequenceNumber": "7", "ApproximateArrivalTimestamp": 1.5, "PartitionKey": "k", "Data": "eA==", "More": {}}'
    answers = iter(
        [
            b'{"ShardIterator": "i"}',
            b'{"Records": [' + record + b'], "NextShardIterator": "j", "MillisBehindLatest": 5}',
            b'{"Records": [' + record.replace(b"1.5", b'"1970-01-01T00:00:01.500Z"') + b'], "MillisBehindLatest": 0}',
        ]
    )

    async def answer(writer: asyncio.StreamWriter) -> None:
        await respond(200, next(answers))(writer)

    server.answer = answer
    reads = [read async for read in reader.read("orders", FIRST, BEGINNING)]
    expected = ShardRecords([7], [1500], ["k"], [b"x"])
    assert [(read.records, read.is_at_tip, read.has_ended) for read in reads] == [
        (expected, False, False),
        (expected, True, True),
    ]
    assert [read.date_s for read in reads] == [None, None]
