"""What can be set of a stream, and how it can be named, on every endpoint that speaks the Kinesis API.

`kinesis_differences` names the tests of which kinesalite gives another answer, and why; such a test then asserts what
kinesalite does instead.
"""

from typing import Any

import pytest

from tests.contract.kinesis_calls import FIRST, error_code, wait_active
from tests.contract.kinesis_differences import DIFFERENCES  # noqa: F401 (the fixture `differs` looks here)
from tests.servers.fixtures import unique
from tests.servers.kinesis import create_stream

BY_ARN: dict[str, dict[str, Any]] = {
    "describe_stream": {},
    "describe_stream_summary": {},
    "list_shards": {},
    "list_tags_for_stream": {},
    "put_record": {"PartitionKey": "k", "Data": b"x"},
    "put_records": {"Records": [{"PartitionKey": "k", "Data": b"x"}]},
    "get_shard_iterator": {"ShardId": FIRST, "ShardIteratorType": "LATEST"},
    "add_tags_to_stream": {"Tags": {"a": "b"}},
    "increase_stream_retention_period": {"RetentionPeriodHours": 48},
    "split_shard": {"ShardToSplit": FIRST, "NewStartingHashKey": str(2**100)},
}
"""Operations that take a StreamARN in place of a StreamName."""


def summary_of(client: Any, stream: str) -> dict[str, Any]:
    summary: dict[str, Any] = client.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
    return summary


def test_retention_can_be_longer_and_shorter_again(client, stream):
    client.increase_stream_retention_period(StreamName=stream, RetentionPeriodHours=48)
    assert summary_of(client, stream)["RetentionPeriodHours"] == 48
    shrunk = {"StreamName": stream, "RetentionPeriodHours": 30}
    assert error_code(client.increase_stream_retention_period, **shrunk) == "InvalidArgumentException"
    client.decrease_stream_retention_period(**shrunk)
    assert summary_of(client, stream)["RetentionPeriodHours"] == 30
    assert client.describe_stream(StreamName=stream)["StreamDescription"]["RetentionPeriodHours"] == 30


def test_tags_are_added_listed_in_pages_and_removed(client, stream):
    client.add_tags_to_stream(StreamName=stream, Tags={"owner": "a", "team": "b", "cost": "c"})
    client.add_tags_to_stream(StreamName=stream, Tags={"team": "d"})
    first = client.list_tags_for_stream(StreamName=stream, Limit=2)
    assert (first["Tags"], first["HasMoreTags"]) == ([{"Key": "cost", "Value": "c"}, {"Key": "owner", "Value": "a"}], True)
    rest = client.list_tags_for_stream(StreamName=stream, ExclusiveStartTagKey="owner")
    assert (rest["Tags"], rest["HasMoreTags"]) == ([{"Key": "team", "Value": "d"}], False)
    client.remove_tags_from_stream(StreamName=stream, TagKeys=["owner", "unknown"])
    assert [tag["Key"] for tag in client.list_tags_for_stream(StreamName=stream)["Tags"]] == ["cost", "team"]


def test_a_stream_has_fifty_tags_at_most(client, stream):
    for batch in range(5):
        client.add_tags_to_stream(StreamName=stream, Tags={f"tag-{batch}-{number}": "" for number in range(10)})
    client.add_tags_to_stream(StreamName=stream, Tags={"tag-0-0": "again"})
    one_more = {"StreamName": stream, "Tags": {"one-more": ""}}
    assert error_code(client.add_tags_to_stream, **one_more) == "InvalidArgumentException"


def test_shard_level_metrics(client, stream, differs):
    members = {"StreamName": stream, "ShardLevelMetrics": ["IncomingBytes", "OutgoingBytes"]}
    if differs:
        assert error_code(client.enable_enhanced_monitoring, **members) == "UnknownOperationException"
        return
    answer = client.enable_enhanced_monitoring(**members)
    assert (answer["CurrentShardLevelMetrics"], answer["DesiredShardLevelMetrics"]) == ([], ["IncomingBytes", "OutgoingBytes"])
    client.disable_enhanced_monitoring(StreamName=stream, ShardLevelMetrics=["IncomingBytes"])
    assert summary_of(client, stream)["EnhancedMonitoring"] == [{"ShardLevelMetrics": ["OutgoingBytes"]}]
    assert len(client.enable_enhanced_monitoring(StreamName=stream, ShardLevelMetrics=["ALL"])["DesiredShardLevelMetrics"]) == 7
    client.disable_enhanced_monitoring(StreamName=stream, ShardLevelMetrics=["ALL"])
    assert summary_of(client, stream)["EnhancedMonitoring"] == [{"ShardLevelMetrics": []}]


def test_a_name_of_128_characters(client):
    name = unique("long").ljust(128, ".")
    create_stream(client, name, shards=1)
    assert summary_of(client, name)["StreamName"] == name
    client.put_record(StreamName=name, PartitionKey="k", Data=b"x")


@pytest.mark.parametrize("operation", BY_ARN)
def test_operations_by_arn(client, stream, differs, operation):
    arn = summary_of(client, stream)["StreamARN"]
    members = BY_ARN[operation]
    if differs:
        code = "InvalidArgumentException" if operation == "list_shards" else "ValidationException"
        assert error_code(getattr(client, operation), StreamARN=arn, **members) == code
        return
    getattr(client, operation)(StreamARN=arn, **members)
    wait_active(client, stream)
    client.describe_stream_summary(StreamARN=arn, StreamName=stream)
    other = arn.replace(stream, f"{stream}-other")
    assert error_code(getattr(client, operation), StreamARN=other, **members) == "ResourceNotFoundException"
    elsewhere = arn.replace("us-east-1", "eu-west-1")
    assert error_code(getattr(client, operation), StreamARN=elsewhere, **members) == "ResourceNotFoundException"


def test_a_name_and_an_arn_that_disagree(client, stream, differs):
    members = {"StreamName": stream, "StreamARN": summary_of(client, stream)["StreamARN"] + "-other"}
    if differs:
        client.describe_stream_summary(**members)
        return
    assert error_code(client.describe_stream_summary, **members) == "InvalidArgumentException"


def test_streams_are_listed_on_by_token(client, stream, differs):
    create_stream(client, unique("calls"), shards=1)
    first = client.list_streams(Limit=1)
    assert first["HasMoreStreams"]
    if differs:
        assert "NextToken" not in first
        return
    second = client.list_streams(Limit=1, NextToken=first["NextToken"])
    assert first["StreamNames"] < second["StreamNames"]
    assert second["StreamSummaries"][0]["StreamStatus"] == "ACTIVE"
