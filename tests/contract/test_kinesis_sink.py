"""The ports `Sink` and `ShardDirectory` through the real clients, on every endpoint that speaks the Kinesis API.

DIFFERENCES names the tests in which kinesalite answers otherwise than the service; such a test then asserts what it does.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from math import inf

import pytest

from bridge.bootstrap import KinesisClients, open_kinesis
from bridge.core.delivery.partition_keys import hash_key
from bridge.core.errors import RefusedError
from bridge.core.quotas import HASH_KEY_MAX, KIB, MIB
from bridge.core.records import Outcome
from tests.contract.kinesis_calls import FIRST, SECOND, records_of, shards_of, wait_active
from tests.contract.kinesis_sinks import request_of, settings_for, use_credentials
from tests.servers.kinesis import create_stream, delete_stream
from tests.servers.process import wait_until

DIFFERENCES = {
    "test_a_stream_by_its_arn": "it knows no StreamARN, of 2022",
    "test_describe_tells_the_largest_record": "it does not know UpdateMaxRecordSize, of 2025",
}
ODD_KEYS = [
    '"',
    "\\",
    '\\"\\\\',
    "a\nb\tc\x00\x01\x1f\x7f",
    "schlüssel",
    "\N{GRINNING FACE}" * 128,
    "</script>",
    "\u2028",
    " ",
    "~k:b_w",
]


@pytest.fixture
async def kinesis(kinesis_endpoint, monkeypatch) -> AsyncIterator[KinesisClients]:
    use_credentials(monkeypatch)
    async with open_kinesis(settings_for(kinesis_endpoint.url)) as clients:
        yield clients


async def test_one_outcome_per_record_in_the_order_of_the_request(kinesis, client, stream):
    keys = [f"schlüssel-{number}" for number in range(500)]
    answer = await kinesis.sink.put(stream, request_of(*((key, b"%d" % number) for number, key in enumerate(keys))), inf)
    assert answer.whole is None
    assert answer.outcomes == [Outcome.STORED] * 500
    assert answer.codes == {}
    found = {}
    for shard_id in (FIRST, SECOND):
        for record in records_of(client, stream, shard_id):
            found[record["PartitionKey"]] = (shard_id, record["SequenceNumber"], record["Data"])
    expected = zip(answer.shard_ids, answer.sequence_numbers, (b"%d" % number for number in range(500)), strict=True)
    assert [found[key] for key in keys] == list(expected)
    shard_map = (await kinesis.directory.describe(stream)).shard_map
    assert answer.shard_ids == [shard_map.shards[shard_map.locate(hash_key(key))].shard_id for key in keys]


async def test_any_bytes_and_any_partition_key_arrive_as_they_are(kinesis, client, stream):
    datas = [bytes(range(256)), b"", b"\x00", b'{"a": "\xc3\xbc"}', b"x" * 700_000]
    records = [(key, b"data-%d" % i, "0") for i, key in enumerate(ODD_KEYS)] + [("k", data, "0") for data in datas]
    answer = await kinesis.sink.put(stream, request_of(*records), inf)
    assert answer.outcomes == [Outcome.STORED] * len(records)
    read = records_of(client, stream, FIRST)
    assert [(record["PartitionKey"], record["Data"], "0") for record in read] == records
    assert [record["SequenceNumber"] for record in read] == answer.sequence_numbers


async def test_a_request_of_several_mebibytes(kinesis, client, stream):
    answer = await kinesis.sink.put(stream, request_of(*(("k", b"x" * 1_000_000, "0") for _ in range(4))), inf)
    assert answer.outcomes == [Outcome.STORED] * 4
    assert [len(record["Data"]) for record in records_of(client, stream, FIRST)] == [1_000_000] * 4


async def test_an_explicit_hash_key_decides_where_it_is_given(kinesis, stream):
    records = [("k", b"", str(place)) for place in (0, 2**127 - 1, 2**127, HASH_KEY_MAX)]
    by_md5 = FIRST if hash_key("k") < 2**127 else SECOND
    answer = await kinesis.sink.put(stream, request_of(*records, ("k", b"")), inf)
    assert answer.shard_ids == [FIRST, FIRST, SECOND, SECOND, by_md5]


async def test_a_stream_by_its_arn(kinesis, client, stream, differs):
    arn = client.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamARN"]
    answer = await kinesis.sink.put(arn, request_of(("k", b"by arn", "0")), inf)
    if differs:
        assert answer.whole is not None
        with pytest.raises(RefusedError):
            await kinesis.directory.describe(arn)
        return
    assert answer.outcomes == [Outcome.STORED]
    assert [record["Data"] for record in records_of(client, stream, FIRST)] == [b"by arn"]
    assert await kinesis.directory.describe(arn) == await kinesis.directory.describe(stream)
    await kinesis.directory.try_to_write(arn)


async def test_a_stream_created_anew_was_created_at_another_time(kinesis, client, stream):
    before = (await kinesis.directory.describe(stream)).created_ms
    asked_at = time.time()
    assert before is not None
    assert abs(before / 1000 - asked_at) < 60
    assert (await kinesis.directory.describe(stream)).created_ms == before
    delete_stream(client, stream)
    wait_until(lambda: time.time() > asked_at + 1, "the next second: kinesalite counts whole ones", 5)
    create_stream(client, stream, shards=2)
    assert (await kinesis.directory.describe(stream)).created_ms not in (None, before)


async def test_a_missing_stream_needs_a_person(kinesis):
    answer = await kinesis.sink.put("no-such-stream", request_of(("k", b"x")), inf)
    assert (answer.whole, answer.code) == (Outcome.FATAL, "ResourceNotFoundException")
    assert answer.message
    with pytest.raises(RefusedError, match="ResourceNotFoundException"):
        await kinesis.directory.describe("no-such-stream")


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(("", b"x"), id="empty key"),
        pytest.param(("k" * 257, b"x"), id="long key"),
        pytest.param(("k", b"x", str(HASH_KEY_MAX + 1)), id="hash key"),
        pytest.param(("k", b"x" * (MIB + 1)), id="oversize"),
    ],
)
async def test_one_invalid_record_rejects_the_whole_request(kinesis, client, stream, bad):
    answer = await kinesis.sink.put(stream, request_of(("k", b"good"), bad), inf)
    assert answer.whole == Outcome.REJECTED
    assert answer.outcomes == []
    assert answer.code in ("ValidationException", "InvalidArgumentException")
    assert answer.message
    assert records_of(client, stream, FIRST) == records_of(client, stream, SECOND) == []


async def test_describe_names_the_shards_after_a_reshard(kinesis, client, stream):
    before = (await kinesis.directory.describe(stream)).shard_map
    assert [shard.shard_id for shard in before.shards] == [FIRST, SECOND]
    client.split_shard(StreamName=stream, ShardToSplit=FIRST, NewStartingHashKey=str(2**100))
    wait_active(client, stream)
    after = (await kinesis.directory.describe(stream)).shard_map
    assert [shard.shard_id for shard in after.shards] == ["shardId-000000000002", "shardId-000000000003", SECOND]
    assert [shard.starting_hash_key for shard in after.shards] == [0, 2**100, 2**127]
    assert after.shards[-1].ending_hash_key == HASH_KEY_MAX
    assert after.closed == {FIRST: before.shards[0]}
    assert len(shards_of(client, stream)) == 4


async def test_describe_tells_how_long_records_are_kept(kinesis, client, stream):
    assert (await kinesis.directory.describe(stream)).retention_ms == 24 * 3_600_000
    client.increase_stream_retention_period(StreamName=stream, RetentionPeriodHours=48)
    for _ in range(50):
        if (found := (await kinesis.directory.describe(stream)).retention_ms) != 24 * 3_600_000:
            break
        await asyncio.sleep(0.05)
    assert found == 48 * 3_600_000


async def test_describe_tells_the_largest_record(kinesis, client, stream, differs):
    assert (await kinesis.directory.describe(stream)).record_bytes_max == MIB
    if differs:
        return
    arn = client.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamARN"]
    client.update_max_record_size(StreamARN=arn, MaxRecordSizeInKiB=4096)
    wait_active(client, stream)
    assert (await kinesis.directory.describe(stream)).record_bytes_max == 4096 * KIB


async def test_reading_back_can_be_tried(kinesis, stream):
    await kinesis.directory.try_to_read(stream)


async def test_trying_to_write_writes_nothing(kinesis, client, stream):
    await kinesis.directory.try_to_write(stream)
    assert records_of(client, stream, FIRST) == records_of(client, stream, SECOND) == []
