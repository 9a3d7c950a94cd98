"""Streams and shards through the Kinesis API: what right calls get, on every endpoint that speaks it.

`kinesis_differences` names the tests of which kinesalite gives another answer, and why; such a test then asserts what
kinesalite does instead.
"""

import time
from typing import Any

from botocore.exceptions import ClientError

from bridge.core.quotas import HASH_KEY_MAX
from tests.contract.kinesis_calls import FIRST, SECOND, error_code, put_numbered, records_of, shards_of, wait_active
from tests.contract.kinesis_differences import DIFFERENCES  # noqa: F401 (the fixture `differs` looks here)
from tests.servers.fixtures import unique
from tests.servers.kinesis import create_stream
from tests.servers.process import wait_until


def test_a_new_stream_tiles_the_hash_keys_with_equal_open_shards(client, stream):
    summary = client.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
    assert (summary["StreamName"], summary["StreamStatus"], summary["OpenShardCount"]) == (stream, "ACTIVE", 2)
    assert summary["StreamARN"].endswith(f":stream/{stream}")
    assert summary["RetentionPeriodHours"] == 24
    assert abs(summary["StreamCreationTimestamp"].timestamp() - time.time()) < 60
    shards = shards_of(client, stream)
    assert [shard["ShardId"] for shard in shards] == [FIRST, SECOND]
    assert [shard["HashKeyRange"] for shard in shards] == [
        {"StartingHashKey": "0", "EndingHashKey": str(2**127 - 1)},
        {"StartingHashKey": str(2**127), "EndingHashKey": str(HASH_KEY_MAX)},
    ]
    assert all("EndingSequenceNumber" not in shard["SequenceNumberRange"] for shard in shards)
    assert client.describe_stream(StreamName=stream)["StreamDescription"]["Shards"] == shards


def test_a_split_shard_is_closed_and_its_children_go_on(client, stream):
    before = put_numbered(client, stream, 2)
    client.split_shard(StreamName=stream, ShardToSplit=FIRST, NewStartingHashKey=str(2**100))
    wait_active(client, stream)
    parent, _, low, high = shards_of(client, stream)
    assert (low["ParentShardId"], high["ParentShardId"]) == (FIRST, FIRST)
    assert low["HashKeyRange"] == {"StartingHashKey": "0", "EndingHashKey": str(2**100 - 1)}
    assert high["HashKeyRange"] == {"StartingHashKey": str(2**100), "EndingHashKey": str(2**127 - 1)}
    (after,) = put_numbered(client, stream, 1)
    ending = parent["SequenceNumberRange"]["EndingSequenceNumber"]
    starting = low["SequenceNumberRange"]["StartingSequenceNumber"]
    order = [*before, ending, starting, after]
    assert order == sorted(order, key=int)
    assert [record["SequenceNumber"] for record in records_of(client, stream, FIRST)] == before
    assert [record["SequenceNumber"] for record in records_of(client, stream, low["ShardId"])] == [after]
    assert client.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["OpenShardCount"] == 3


def test_merged_shards_have_one_child_with_two_parents(client, stream):
    client.merge_shards(StreamName=stream, ShardToMerge=FIRST, AdjacentShardToMerge=SECOND)
    wait_active(client, stream)
    child = shards_of(client, stream)[2]
    assert (child["ParentShardId"], child["AdjacentParentShardId"]) == (FIRST, SECOND)
    assert child["HashKeyRange"] == {"StartingHashKey": "0", "EndingHashKey": str(HASH_KEY_MAX)}


def test_merging_names_the_shards_in_either_order(client, stream, differs):
    members = {"StreamName": stream, "ShardToMerge": SECOND, "AdjacentShardToMerge": FIRST}
    if differs:
        assert error_code(client.merge_shards, **members) == "InvalidArgumentException"
        return
    client.merge_shards(**members)
    wait_active(client, stream)
    assert len(shards_of(client, stream)) == 3


def test_shards_after_one(client, stream):
    answer = client.list_shards(StreamName=stream, ExclusiveStartShardId=FIRST)
    assert [shard["ShardId"] for shard in answer["Shards"]] == [SECOND]


def test_paging_of_list_shards(client, stream, differs):
    first = client.list_shards(StreamName=stream, MaxResults=1)
    if differs:
        assert "NextToken" not in first
        return
    second = client.list_shards(NextToken=first["NextToken"])
    assert [shard["ShardId"] for shard in (*first["Shards"], *second["Shards"])] == [FIRST, SECOND]
    assert "NextToken" not in second
    both = {"StreamName": stream, "NextToken": first["NextToken"]}
    assert error_code(client.list_shards, **both) == "InvalidArgumentException"
    assert error_code(client.list_shards, NextToken="abc") == "InvalidArgumentException"


def test_paging_of_describe_stream(client, stream, differs):
    first = client.describe_stream(StreamName=stream, Limit=1)["StreamDescription"]
    rest = client.describe_stream(StreamName=stream, ExclusiveStartShardId=FIRST)["StreamDescription"]
    if differs:
        assert len(first["Shards"]) == len(rest["Shards"]) == 2
        return
    assert ([shard["ShardId"] for shard in first["Shards"]], first["HasMoreShards"]) == ([FIRST], True)
    assert ([shard["ShardId"] for shard in rest["Shards"]], rest["HasMoreShards"]) == ([SECOND], False)


def test_shard_filter(client, stream, differs):
    client.split_shard(StreamName=stream, ShardToSplit=FIRST, NewStartingHashKey=str(2**100))
    wait_active(client, stream)

    def indices(**members: Any) -> list[int]:
        answer = client.list_shards(StreamName=stream, ShardFilter=members)
        return [int(shard["ShardId"][-3:]) for shard in answer["Shards"]]

    if differs:
        assert indices(Type="AT_LATEST") == [0, 1, 2, 3]
        return
    assert indices(Type="AT_LATEST") == [1, 2, 3]
    assert indices(Type="AT_TRIM_HORIZON") == [0, 1]
    assert indices(Type="FROM_TRIM_HORIZON") == [0, 1, 2, 3]
    assert indices(Type="AFTER_SHARD_ID", ShardId=SECOND) == [2, 3]
    assert indices(Type="FROM_TIMESTAMP", Timestamp=time.time() - 60) == [0, 1, 2, 3]


def test_streams_are_listed_by_name_in_pages(client, stream):
    other = unique("calls")
    create_stream(client, other, shards=1)
    found: list[str] = []
    more = True
    while more:
        answer = client.list_streams(Limit=1, **({"ExclusiveStartStreamName": found[-1]} if found else {}))
        found += answer["StreamNames"]
        more = answer["HasMoreStreams"]
    assert found == sorted(found)
    assert {stream, other} <= set(found)


def test_a_stream_by_its_arn(client, stream, differs):
    arn = client.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamARN"]
    if differs:
        assert error_code(client.describe_stream_summary, StreamARN=arn) == "ValidationException"
        return
    assert client.describe_stream_summary(StreamARN=arn)["StreamDescriptionSummary"]["StreamName"] == stream
    client.put_record(StreamARN=arn, PartitionKey="k", Data=b"x")


def test_uniform_scaling(client, stream, differs):
    members = {"StreamName": stream, "TargetShardCount": 3, "ScalingType": "UNIFORM_SCALING"}
    if differs:
        assert error_code(client.update_shard_count, **members) == "UnknownOperationException"
        return
    answer = client.update_shard_count(**members)
    assert (answer["CurrentShardCount"], answer["TargetShardCount"]) == (2, 3)
    wait_active(client, stream)
    ranges = sorted(
        int(shard["HashKeyRange"]["StartingHashKey"])
        for shard in shards_of(client, stream)
        if "EndingSequenceNumber" not in shard["SequenceNumberRange"]
    )
    assert ranges == [2**128 * part // 3 for part in range(3)]


def test_a_deleted_stream_is_gone(client, stream):
    client.delete_stream(StreamName=stream)

    def gone() -> bool:
        try:
            client.describe_stream_summary(StreamName=stream)
        except ClientError as error:
            return bool(error.response["Error"]["Code"] == "ResourceNotFoundException")
        return False

    wait_until(gone, f"deletion of {stream}")
    assert stream not in client.list_streams()["StreamNames"]
