"""What an application of the Kinesis Client Library is given of a stream: aggregates opened by another's code, by KCL's rules.

KCL drops a whole aggregate that holds one record outside the hash range of its shard; the explicit hash key decides where there
is one, else the MD5 of the partition key (AggregatorUtil of amazon-kinesis-client 3.5.1).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import md5
from typing import Any

from aws_kinesis_agg import MAGIC
from aws_kinesis_agg.deaggregator import messages_pb2

from tests.integration.kinesis_reader import KinesisRecord, read_stream

DIGEST_BYTES = 16


@dataclass(frozen=True)
class Opened:
    """`records` in the order of the stream, and how many aggregates there were, and how many of them KCL drops."""

    records: Sequence[KinesisRecord]
    aggregates: int
    dropped: int


def read_as_kcl(client: Any, stream: str) -> Opened:
    """Every record of the stream as an application gets it."""
    ranges = _ranges(client, stream)
    records: list[KinesisRecord] = []
    aggregates = dropped = 0
    for stored in read_stream(client, stream):
        inside = records_inside(stored.data)
        if inside is None:
            records.append(stored)
            continue
        aggregates += 1
        low, high = ranges[stored.shard_id]
        if all(low <= place <= high for place, _, _ in inside):
            records += [KinesisRecord(stored.shard_id, stored.sequence_number, key, data) for _, key, data in inside]
        else:
            dropped += 1
    return Opened(records, aggregates, dropped)


def records_inside(data: bytes) -> list[tuple[int, str, bytes]] | None:
    """Place, partition key and data of each record of an aggregate; None for a plain record, which one without a message is."""
    message, digest = data[len(MAGIC) : -DIGEST_BYTES], data[-DIGEST_BYTES:]
    if not data.startswith(MAGIC) or not message or md5(message).digest() != digest:
        return None
    aggregate = messages_pb2.AggregatedRecord()
    aggregate.ParseFromString(message)
    return list(_records(aggregate))


def _records(aggregate: Any) -> Iterator[tuple[int, str, bytes]]:
    for record in aggregate.records:
        key = aggregate.partition_key_table[record.partition_key_index]
        if record.HasField("explicit_hash_key_index"):
            place = int(aggregate.explicit_hash_key_table[record.explicit_hash_key_index])
        else:
            place = int.from_bytes(md5(key.encode()).digest(), "big")
        yield place, key, record.data


def _ranges(client: Any, stream: str) -> dict[str, tuple[int, int]]:
    ranges, answer = {}, client.list_shards(StreamName=stream)
    while True:
        for shard in answer["Shards"]:
            of_shard = shard["HashKeyRange"]
            ranges[shard["ShardId"]] = int(of_shard["StartingHashKey"]), int(of_shard["EndingHashKey"])
        if not answer.get("NextToken"):
            return ranges
        answer = client.list_shards(NextToken=answer["NextToken"])
