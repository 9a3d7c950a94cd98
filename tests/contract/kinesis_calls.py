"""Calls that the suites over the Kinesis API share, with a plain botocore client."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.servers.kinesis import is_active
from tests.servers.process import wait_until

FIRST = "shardId-000000000000"
SECOND = "shardId-000000000001"


def error_code(call: Any, **members: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**members)
    return str(caught.value.response["Error"]["Code"])


def shards_of(client: Any, stream: str) -> list[dict[str, Any]]:
    shards: list[dict[str, Any]] = client.list_shards(StreamName=stream)["Shards"]
    return shards


def records_of(client: Any, stream: str, shard_id: str, kind: str = "TRIM_HORIZON", **start: Any) -> list[dict[str, Any]]:
    """From the iterator to the tip or the end: two answers without records in a row."""
    iterator = client.get_shard_iterator(StreamName=stream, ShardId=shard_id, ShardIteratorType=kind, **start)["ShardIterator"]
    records: list[dict[str, Any]] = []
    empty = 0
    while iterator is not None and empty < 2:
        answer = client.get_records(ShardIterator=iterator)
        records += answer["Records"]
        empty = 0 if answer["Records"] else empty + 1
        iterator = answer.get("NextShardIterator")
    return records


def wait_active(client: Any, stream: str) -> None:
    wait_until(lambda: is_active(client, stream), f"stream {stream}")


def put_numbered(client: Any, stream: str, count: int, hash_key: int = 0) -> list[str]:
    """Records 0, 1, ... on the shard of the hash key; returns their sequence numbers."""
    return [
        client.put_record(StreamName=stream, PartitionKey="k", ExplicitHashKey=str(hash_key), Data=b"%d" % number)[
            "SequenceNumber"
        ]
        for number in range(count)
    ]
