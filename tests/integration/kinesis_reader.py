"""What is in a Kinesis stream, read with a plain botocore client from every shard, open or closed."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

PAGE = 10_000
THROTTLED = "ProvisionedThroughputExceededException"
EXPIRED = "ExpiredIteratorException"
THROTTLE_PAUSE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class KinesisRecord:
    shard_id: str
    sequence_number: str
    partition_key: str
    data: bytes


class ReadError(Exception):
    """The stream could not be read to its end, or gave a record twice."""


def read_stream(client: Any, stream: str, *, seconds: float = 120.0) -> list[KinesisRecord]:
    """Every record of the stream: a shard's in sequence, and a parent's before its children's.

    So the records of one partition key are in the order in which Kinesis stored them, also over splits and merges.
    """
    deadline = time.monotonic() + seconds
    return [record for shard_id in shards_in_order(client, stream) for record in _read_shard(client, stream, shard_id, deadline)]


def shards_in_order(client: Any, stream: str) -> list[str]:
    """All shards that still hold records or could, parents first."""
    shards = {shard["ShardId"]: shard for shard in _list_shards(client, stream)}
    ordered: dict[str, None] = {}

    def place(shard_id: str) -> None:
        if shard_id in ordered or shard_id not in shards:  # a parent older than the retention is no longer listed
            return
        for parent in ("ParentShardId", "AdjacentParentShardId"):
            if parent in shards[shard_id]:
                place(shards[shard_id][parent])
        ordered[shard_id] = None

    for shard_id in sorted(shards):
        place(shard_id)
    return list(ordered)


def _list_shards(client: Any, stream: str) -> list[dict[str, Any]]:
    answer = client.list_shards(StreamName=stream)
    shards = list(answer["Shards"])
    while answer.get("NextToken"):
        answer = client.list_shards(NextToken=answer["NextToken"])
        shards += answer["Shards"]
    return shards


def _read_shard(client: Any, stream: str, shard_id: str, deadline: float) -> list[KinesisRecord]:
    records: list[KinesisRecord] = []
    last = -1
    for raw in raw_records(client, stream, shard_id, deadline):
        number = int(raw["SequenceNumber"])
        if number <= last:
            raise ReadError(f"{stream} {shard_id}: sequence number {number} came after {last}")
        last = number
        records.append(KinesisRecord(shard_id, raw["SequenceNumber"], raw["PartitionKey"], raw["Data"]))
    return records


def raw_records(
    client: Any, stream: str, shard_id: str, deadline: float, since_s: float | None = None
) -> Iterator[dict[str, Any]]:
    """Of one shard to its end, or its tip, as GetRecords gives them; those that arrived at `since_s` (since the epoch) or later,
    by default all. Raises ReadError where that takes until `deadline` (of the monotonic clock)."""
    start: dict[str, Any] = {"ShardIteratorType": "TRIM_HORIZON"}
    if since_s is not None:
        start = {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": since_s}
    iterator = _iterator(client, stream, shard_id, start)
    while iterator is not None:
        if time.monotonic() > deadline:
            raise ReadError(f"{stream} {shard_id}: its end was not reached in time")
        try:
            page = client.get_records(ShardIterator=iterator, Limit=PAGE)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == EXPIRED:
                iterator = _iterator(client, stream, shard_id, start)
            elif code == THROTTLED:
                time.sleep(THROTTLE_PAUSE_SECONDS)
            else:
                raise
            continue
        yield from page["Records"]
        if page["Records"]:
            start = {
                "ShardIteratorType": "AFTER_SEQUENCE_NUMBER",
                "StartingSequenceNumber": page["Records"][-1]["SequenceNumber"],
            }
        elif page["MillisBehindLatest"] == 0:
            return
        iterator = page.get("NextShardIterator")


def _iterator(client: Any, stream: str, shard_id: str, start: dict[str, Any]) -> str:
    return str(client.get_shard_iterator(StreamName=stream, ShardId=shard_id, **start)["ShardIterator"])
