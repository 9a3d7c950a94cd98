"""Which error each wrong call gets, on every endpoint that speaks the Kinesis API.

`kinesis_differences` has what kinesalite answers where it differs, and why.
"""

import time
from typing import Any, NamedTuple

import botocore.session
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from bridge.core.quotas import MIB
from bridge.embedded.stream_registry import DEFAULT_ACCOUNT
from tests.contract.conftest import KinesisEndpoint
from tests.contract.kinesis_differences import ANSWERED, DIFFERENCES
from tests.servers.fixtures import unique
from tests.servers.kinesis import REGION, create_stream

FIRST = "shardId-000000000000"
UNKNOWN_SHARD = "shardId-000000000009"
ITS_ARN = "the stream's ARN"
RECORD = {"PartitionKey": "k", "Data": b"x"}


class Wrong(NamedTuple):
    """A call to the stream of three shards (its name is filled in unless the call names one) and its error code."""

    operation: str
    members: dict[str, Any]
    code: str


INVALID, VALIDATION = "InvalidArgumentException", "ValidationException"
NOT_FOUND, IN_USE = "ResourceNotFoundException", "ResourceInUseException"
SERIALIZATION = "SerializationException"

WRONG_CALLS = {
    "create-again": Wrong("create_stream", {"ShardCount": 1}, IN_USE),
    "create-bad-name": Wrong("create_stream", {"StreamName": "a b", "ShardCount": 1}, VALIDATION),
    "create-no-shards": Wrong("create_stream", {"StreamName": "new", "ShardCount": 0}, VALIDATION),
    "create-no-count": Wrong("create_stream", {"StreamName": "new"}, INVALID),
    "create-long-name": Wrong("create_stream", {"StreamName": "s" * 129, "ShardCount": 1}, VALIDATION),
    "create-empty-name": Wrong("create_stream", {"StreamName": "", "ShardCount": 1}, VALIDATION),
    "create-text-count": Wrong("create_stream", {"StreamName": "new", "ShardCount": "1"}, SERIALIZATION),
    "describe-bad-name": Wrong("describe_stream", {"StreamName": "a b"}, VALIDATION),
    "describe-unknown": Wrong("describe_stream", {"StreamName": "unknown"}, NOT_FOUND),
    "describe-none": Wrong("describe_stream", {"StreamName": None}, INVALID),
    "describe-limit-0": Wrong("describe_stream", {"Limit": 0}, VALIDATION),
    "summary-unknown": Wrong("describe_stream_summary", {"StreamName": "unknown"}, NOT_FOUND),
    "delete-unknown": Wrong("delete_stream", {"StreamName": "unknown"}, NOT_FOUND),
    "list-streams-limit-0": Wrong("list_streams", {"StreamName": None, "Limit": 0}, VALIDATION),
    "list-streams-limit-10001": Wrong("list_streams", {"StreamName": None, "Limit": 10_001}, VALIDATION),
    "list-shards-of-nothing": Wrong("list_shards", {"StreamName": None}, INVALID),
    "list-shards-unknown": Wrong("list_shards", {"StreamName": "unknown"}, NOT_FOUND),
    "list-shards-0": Wrong("list_shards", {"MaxResults": 0}, VALIDATION),
    "list-shards-10001": Wrong("list_shards", {"MaxResults": 10_001}, VALIDATION),
    "filter-without-type": Wrong("list_shards", {"ShardFilter": {"ShardId": FIRST}}, VALIDATION),
    "filter-of-no-type": Wrong("list_shards", {"ShardFilter": {"Type": "OPEN"}}, VALIDATION),
    "filter-after-no-shard": Wrong("list_shards", {"ShardFilter": {"Type": "AFTER_SHARD_ID"}}, INVALID),
    "filter-at-no-time": Wrong("list_shards", {"ShardFilter": {"Type": "AT_TIMESTAMP"}}, INVALID),
    "filter-from-no-time": Wrong("list_shards", {"ShardFilter": {"Type": "FROM_TIMESTAMP"}}, INVALID),
    "filter-with-a-shard": Wrong("list_shards", {"ShardFilter": {"Type": "AT_LATEST", "ShardId": FIRST}}, INVALID),
    "filter-with-a-time": Wrong("list_shards", {"ShardFilter": {"Type": "AT_TRIM_HORIZON", "Timestamp": 1}}, INVALID),
    "put-unknown-stream": Wrong("put_record", {**RECORD, "StreamName": "unknown"}, NOT_FOUND),
    "put-empty-key": Wrong("put_record", {**RECORD, "PartitionKey": ""}, VALIDATION),
    "put-long-key": Wrong("put_record", {**RECORD, "PartitionKey": "k" * 257}, VALIDATION),
    "put-long-key-in-utf-16": Wrong("put_record", {**RECORD, "PartitionKey": "\N{GRINNING FACE}" * 129}, VALIDATION),
    "put-key-not-text": Wrong("put_record", {**RECORD, "PartitionKey": 5}, SERIALIZATION),
    "put-no-key": Wrong("put_record", {"Data": b"x"}, VALIDATION),
    "put-no-data": Wrong("put_record", {"PartitionKey": "k"}, VALIDATION),
    "put-hash-key-beyond": Wrong("put_record", {**RECORD, "ExplicitHashKey": str(2**128)}, INVALID),
    "put-hash-key-text": Wrong("put_record", {**RECORD, "ExplicitHashKey": "abc"}, VALIDATION),
    "put-hash-key-empty": Wrong("put_record", {**RECORD, "ExplicitHashKey": ""}, VALIDATION),
    "put-hash-key-with-0": Wrong("put_record", {**RECORD, "ExplicitHashKey": "01"}, VALIDATION),
    "put-bad-ordering": Wrong("put_record", {**RECORD, "SequenceNumberForOrdering": "abc"}, VALIDATION),
    "put-large": Wrong("put_record", {**RECORD, "Data": bytes(MIB + 1)}, INVALID),
    "put-large-with-key": Wrong("put_record", {**RECORD, "Data": bytes(MIB)}, INVALID),
    "put-dry-run": Wrong("put_record", {**RECORD, "DryRun": True}, "DryRunOperationException"),
    "puts-unknown-stream": Wrong("put_records", {"Records": [RECORD], "StreamName": "unknown"}, NOT_FOUND),
    "puts-no-records": Wrong("put_records", {}, VALIDATION),
    "puts-key-not-text": Wrong("put_records", {"Records": [RECORD, {**RECORD, "PartitionKey": 5}]}, SERIALIZATION),
    "puts-empty-key": Wrong("put_records", {"Records": [RECORD, {**RECORD, "PartitionKey": ""}]}, VALIDATION),
    "puts-hash-key-text": Wrong("put_records", {"Records": [{**RECORD, "ExplicitHashKey": "abc"}]}, VALIDATION),
    "puts-one-large": Wrong("put_records", {"Records": [RECORD, {**RECORD, "Data": bytes(MIB + 1)}]}, INVALID),
    "puts-none": Wrong("put_records", {"Records": []}, VALIDATION),
    "puts-501": Wrong("put_records", {"Records": [RECORD] * 501}, VALIDATION),
    "puts-no-key": Wrong("put_records", {"Records": [RECORD, {"Data": b"x"}]}, VALIDATION),
    "puts-no-data": Wrong("put_records", {"Records": [RECORD, {"PartitionKey": "k"}]}, VALIDATION),
    "puts-long-key": Wrong("put_records", {"Records": [RECORD, {**RECORD, "PartitionKey": "k" * 257}]}, VALIDATION),
    "puts-hash-key-beyond": Wrong("put_records", {"Records": [{**RECORD, "ExplicitHashKey": str(2**128)}]}, INVALID),
    "puts-11-mib": Wrong("put_records", {"Records": [{**RECORD, "Data": bytes(MIB - 1)}] * 11}, INVALID),
    "puts-dry-run": Wrong("put_records", {"Records": [RECORD], "DryRun": True}, "DryRunOperationException"),
    "iterator-unknown-shard": Wrong("get_shard_iterator", {"ShardId": UNKNOWN_SHARD, "ShardIteratorType": "LATEST"}, NOT_FOUND),
    "iterator-bad-shard": Wrong("get_shard_iterator", {"ShardId": "abc", "ShardIteratorType": "LATEST"}, NOT_FOUND),
    "iterator-bad-type": Wrong("get_shard_iterator", {"ShardId": FIRST, "ShardIteratorType": "FIRST"}, VALIDATION),
    "iterator-no-number": Wrong("get_shard_iterator", {"ShardId": FIRST, "ShardIteratorType": "AT_SEQUENCE_NUMBER"}, INVALID),
    "iterator-number-with-latest": Wrong(
        "get_shard_iterator", {"ShardId": FIRST, "ShardIteratorType": "LATEST", "StartingSequenceNumber": "5"}, INVALID
    ),
    "iterator-bad-number": Wrong(
        "get_shard_iterator",
        {"ShardId": FIRST, "ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": "abc"},
        VALIDATION,
    ),
    "iterator-foreign-number": Wrong(
        "get_shard_iterator",
        {"ShardId": FIRST, "ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": "5"},
        INVALID,
    ),
    "iterator-no-timestamp": Wrong("get_shard_iterator", {"ShardId": FIRST, "ShardIteratorType": "AT_TIMESTAMP"}, INVALID),
    "iterator-in-the-future": Wrong(
        "get_shard_iterator",
        {"ShardId": FIRST, "ShardIteratorType": "AT_TIMESTAMP", "Timestamp": time.time() + 1e6},
        INVALID,
    ),
    "iterator-no-type": Wrong("get_shard_iterator", {"ShardId": FIRST}, VALIDATION),
    "iterator-no-shard": Wrong("get_shard_iterator", {"ShardIteratorType": "LATEST"}, VALIDATION),
    "iterator-unknown-stream": Wrong(
        "get_shard_iterator", {"StreamName": "unknown", "ShardId": FIRST, "ShardIteratorType": "LATEST"}, NOT_FOUND
    ),
    "get-no-iterator": Wrong("get_records", {"StreamName": None}, VALIDATION),
    "get-limit-0": Wrong("get_records", {"StreamName": None, "ShardIterator": "abc", "Limit": 0}, VALIDATION),
    "get-limit-10001": Wrong("get_records", {"StreamName": None, "ShardIterator": "abc", "Limit": 10_001}, VALIDATION),
    "get-bad-iterator": Wrong("get_records", {"StreamName": None, "ShardIterator": "abc"}, INVALID),
    "split-unknown-stream": Wrong(
        "split_shard", {"StreamName": "unknown", "ShardToSplit": FIRST, "NewStartingHashKey": "9"}, NOT_FOUND
    ),
    "split-no-hash-key": Wrong("split_shard", {"ShardToSplit": FIRST}, VALIDATION),
    "split-unknown": Wrong("split_shard", {"ShardToSplit": UNKNOWN_SHARD, "NewStartingHashKey": "9"}, NOT_FOUND),
    "split-at-start": Wrong("split_shard", {"ShardToSplit": FIRST, "NewStartingHashKey": "0"}, INVALID),
    "split-beside-start": Wrong("split_shard", {"ShardToSplit": FIRST, "NewStartingHashKey": "1"}, INVALID),
    "split-beyond": Wrong("split_shard", {"ShardToSplit": FIRST, "NewStartingHashKey": str(2**128)}, INVALID),
    "split-text": Wrong("split_shard", {"ShardToSplit": FIRST, "NewStartingHashKey": "abc"}, VALIDATION),
    "merge-with-itself": Wrong("merge_shards", {"ShardToMerge": FIRST, "AdjacentShardToMerge": FIRST}, INVALID),
    "merge-apart": Wrong("merge_shards", {"ShardToMerge": FIRST, "AdjacentShardToMerge": "shardId-000000000002"}, INVALID),
    "merge-unknown": Wrong("merge_shards", {"ShardToMerge": FIRST, "AdjacentShardToMerge": UNKNOWN_SHARD}, NOT_FOUND),
    "merge-no-neighbour": Wrong("merge_shards", {"ShardToMerge": FIRST}, VALIDATION),
    "retention-too-short": Wrong("increase_stream_retention_period", {"RetentionPeriodHours": 23}, INVALID),
    "retention-not-longer": Wrong("decrease_stream_retention_period", {"RetentionPeriodHours": 48}, INVALID),
    "retention-too-long": Wrong("increase_stream_retention_period", {"RetentionPeriodHours": 8761}, INVALID),
    "retention-unknown": Wrong(
        "increase_stream_retention_period", {"StreamName": "unknown", "RetentionPeriodHours": 48}, NOT_FOUND
    ),
    "tags-none": Wrong("add_tags_to_stream", {"Tags": {}}, VALIDATION),
    "tags-long-key": Wrong("add_tags_to_stream", {"Tags": {"k" * 129: "v"}}, VALIDATION),
    "tags-long-value": Wrong("add_tags_to_stream", {"Tags": {"k": "v" * 257}}, VALIDATION),
    "tags-unknown-stream": Wrong("list_tags_for_stream", {"StreamName": "unknown"}, NOT_FOUND),
    "untag-none": Wrong("remove_tags_from_stream", {"TagKeys": []}, VALIDATION),
    "monitoring-unknown-metric": Wrong("enable_enhanced_monitoring", {"ShardLevelMetrics": ["Weather"]}, VALIDATION),
    "scale-down-below-half": Wrong("update_shard_count", {"TargetShardCount": 1, "ScalingType": "UNIFORM_SCALING"}, INVALID),
    "scale-otherwise": Wrong("update_shard_count", {"TargetShardCount": 4, "ScalingType": "OTHER"}, VALIDATION),
    "scale-beyond-double": Wrong("update_shard_count", {"TargetShardCount": 7, "ScalingType": "UNIFORM_SCALING"}, INVALID),
    "record-size-too-small": Wrong(
        "update_max_record_size", {"StreamName": None, "StreamARN": ITS_ARN, "MaxRecordSizeInKiB": 5}, VALIDATION
    ),
}


@pytest.fixture(scope="module")
def stream(kinesis_endpoint: KinesisEndpoint) -> str:
    name = unique("errors")
    create_stream(kinesis_endpoint.client, name, shards=3)
    return name


@pytest.mark.parametrize("name", WRONG_CALLS)
def test_a_wrong_call_gets_the_error_of_the_service(kinesis_endpoint, stream, name):
    wrong = WRONG_CALLS[name]
    members = {member: value for member, value in {"StreamName": stream, **wrong.members}.items() if value is not None}
    if members.get("StreamARN") == ITS_ARN:
        members["StreamARN"] = DEFAULT_ACCOUNT.arn(stream)
    expected = wrong.code
    if kinesis_endpoint.kind == "kinesalite" and name in DIFFERENCES:
        expected = DIFFERENCES[name].kinesalite
    try:
        getattr(kinesis_endpoint.client, wrong.operation)(**members)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    else:
        code, status = ANSWERED, 200
    assert code == expected
    assert status == {ANSWERED: 200, "413": 413}.get(expected, 400)


def test_a_call_without_signature_is_refused(kinesis_endpoint):
    client = botocore.session.Session().create_client(
        "kinesis",
        region_name=REGION,
        endpoint_url=kinesis_endpoint.url,
        config=Config(signature_version=UNSIGNED, proxies={}),
    )
    with pytest.raises(ClientError) as caught:
        client.list_streams()
    assert caught.value.response["Error"]["Code"] == "MissingAuthenticationTokenException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
