"""Records through the Kinesis API: what right calls get, on every endpoint that speaks it.

`kinesis_differences` names the tests of which kinesalite gives another answer, and why; such a test then asserts what
kinesalite does instead.
"""

import hashlib
import time
from itertools import pairwise

from bridge.core.quotas import HASH_KEY_MAX, MIB
from tests.contract.kinesis_calls import FIRST, SECOND, error_code, put_numbered, records_of, shards_of, wait_active
from tests.contract.kinesis_differences import DIFFERENCES  # noqa: F401 (the fixture `differs` looks here)


def test_put_records_answers_in_order_with_the_shards_of_the_md5_hashes(client, stream):
    keys = [f"schlüssel-{number}" for number in range(500)]
    answer = client.put_records(
        StreamName=stream, Records=[{"PartitionKey": key, "Data": b"%d" % number} for number, key in enumerate(keys)]
    )
    assert answer["FailedRecordCount"] == 0
    expected = [FIRST if hashlib.md5(key.encode()).digest()[0] < 128 else SECOND for key in keys]
    assert [record["ShardId"] for record in answer["Records"]] == expected
    for shard_id in (FIRST, SECOND):
        written = [
            (record["SequenceNumber"], key, b"%d" % number)
            for number, (key, record) in enumerate(zip(keys, answer["Records"], strict=True))
            if record["ShardId"] == shard_id
        ]
        read = records_of(client, stream, shard_id)
        assert [(record["SequenceNumber"], record["PartitionKey"], record["Data"]) for record in read] == written
        numbers = [int(record["SequenceNumber"]) for record in read]
        assert all(lower < upper for lower, upper in pairwise(numbers))
        assert {len(str(number)) for number in numbers} == {56}
        assert all(abs(record["ApproximateArrivalTimestamp"].timestamp() - time.time()) < 60 for record in read)


def test_an_explicit_hash_key_goes_before_the_partition_key(client, stream):
    records = [{"PartitionKey": "k", "ExplicitHashKey": str(key), "Data": b""} for key in (0, 2**127 - 1, 2**127, HASH_KEY_MAX)]
    answer = client.put_records(StreamName=stream, Records=[*records, {"PartitionKey": "k", "Data": b""}])
    by_md5 = FIRST if hashlib.md5(b"k").digest()[0] < 128 else SECOND
    assert [record["ShardId"] for record in answer["Records"]] == [FIRST, FIRST, SECOND, SECOND, by_md5]


def test_any_bytes_and_any_text_come_back(client, stream):
    data, key = bytes(range(256)) * 5, "\N{GRINNING FACE}" * 128
    for payload in (data, b"", b"x" * (MIB - 4)):
        client.put_record(StreamName=stream, PartitionKey=key[:1], ExplicitHashKey="0", Data=payload)
    client.put_record(StreamName=stream, PartitionKey=key, ExplicitHashKey="0", Data=b"k", SequenceNumberForOrdering="0")
    read = records_of(client, stream, FIRST)
    assert [record["Data"] for record in read] == [data, b"", b"x" * (MIB - 4), b"k"]
    assert read[3]["PartitionKey"] == key


def test_iterators_at_and_after_a_number(client, stream):
    numbers = put_numbered(client, stream, 4)
    for index, number in enumerate(numbers):
        for kind, expected in (("AT_SEQUENCE_NUMBER", numbers[index:]), ("AFTER_SEQUENCE_NUMBER", numbers[index + 1 :])):
            read = records_of(client, stream, FIRST, kind, StartingSequenceNumber=number)
            assert [record["SequenceNumber"] for record in read] == expected


def test_an_iterator_at_the_starting_number_of_a_shard(client, stream):
    numbers = put_numbered(client, stream, 2)
    start = shards_of(client, stream)[0]["SequenceNumberRange"]["StartingSequenceNumber"]
    read = records_of(client, stream, FIRST, "AT_SEQUENCE_NUMBER", StartingSequenceNumber=start)
    assert [record["SequenceNumber"] for record in read] == numbers
    assert int(start) < int(numbers[0])


def test_latest_begins_behind_what_is_there(client, stream):
    put_numbered(client, stream, 2)
    iterator = client.get_shard_iterator(StreamName=stream, ShardId=FIRST, ShardIteratorType="LATEST")["ShardIterator"]
    (number,) = put_numbered(client, stream, 1)
    answer = client.get_records(ShardIterator=iterator)
    assert [record["SequenceNumber"] for record in answer["Records"]] == [number]
    assert answer["MillisBehindLatest"] == 0


def test_an_iterator_at_a_timestamp(client, stream):
    numbers = put_numbered(client, stream, 3)
    arrivals = [record["ApproximateArrivalTimestamp"] for record in records_of(client, stream, FIRST)]
    for timestamp, expected in ((arrivals[0].timestamp() - 60, numbers), (arrivals[2].timestamp(), numbers[-1:])):
        read = records_of(client, stream, FIRST, "AT_TIMESTAMP", Timestamp=timestamp)
        assert [record["SequenceNumber"] for record in read][-len(expected) :] == expected
    # The limit of the JSON protocol is what a client can send: whole seconds.
    assert len(records_of(client, stream, FIRST, "AT_TIMESTAMP", Timestamp=arrivals[0].timestamp() - 60)) == 3


def test_a_read_with_a_limit_goes_on_where_it_stopped(client, stream):
    numbers = put_numbered(client, stream, 5)
    iterator = client.get_shard_iterator(StreamName=stream, ShardId=FIRST, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    pages = []
    for _ in range(3):
        answer = client.get_records(ShardIterator=iterator, Limit=2)
        pages.append([record["SequenceNumber"] for record in answer["Records"]])
        iterator = answer["NextShardIterator"]
    assert pages == [numbers[:2], numbers[2:4], numbers[4:]]


def test_the_end_of_a_closed_shard(client, stream, differs):
    put_numbered(client, stream, 1)
    client.split_shard(StreamName=stream, ShardToSplit=FIRST, NewStartingHashKey=str(2**100))
    wait_active(client, stream)
    iterator = client.get_shard_iterator(StreamName=stream, ShardId=FIRST, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    answer = client.get_records(ShardIterator=iterator)
    assert [record["Data"] for record in answer["Records"]] == [b"0"]
    if differs:
        assert answer.get("NextShardIterator") is not None
        assert "ChildShards" not in answer
        return
    assert answer.get("NextShardIterator") is None
    children = answer["ChildShards"]
    assert [child["ShardId"] for child in children] == ["shardId-000000000002", "shardId-000000000003"]
    assert [child["ParentShards"] for child in children] == [[FIRST], [FIRST]]
    assert children[1]["HashKeyRange"] == {"StartingHashKey": str(2**100), "EndingHashKey": str(2**127 - 1)}


def test_large_records(client, stream, differs):
    arn = client.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamARN"]
    if differs:
        members = {"StreamARN": arn, "MaxRecordSizeInKiB": 10_240}
        assert error_code(client.update_max_record_size, **members) == "UnknownOperationException"
        return
    client.update_max_record_size(StreamARN=arn, MaxRecordSizeInKiB=10_240)
    summary = client.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
    assert summary["MaxRecordSizeInKiB"] == 10_240
    data = b"x" * (10 * MIB - 1)
    answer = client.put_records(StreamName=stream, Records=[{"PartitionKey": "k", "ExplicitHashKey": "0", "Data": data}])
    assert answer["FailedRecordCount"] == 0
    assert [record["Data"] for record in records_of(client, stream, FIRST)] == [data]
