"""Bytes that other programs wrote or read, kept beside the tests that compare ours with them."""

import json
from base64 import b64decode
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent

KPL = "kpl-1.1.1"
"""Written by Amazon's producer library."""
KINESIS_AGG = "aws-kinesis-agg-1.2.3"
"""Written by an independent implementation of the format."""


class UserRecord(NamedTuple):
    """A record that a program put or got: an aggregate holds many."""

    partition_key: str
    explicit_hash_key: str | None
    data: bytes


class KinesisRecord(NamedTuple):
    """A record as it was in a stream, the hash keys of its shard, and what it holds."""

    name: str
    data: bytes
    partition_key: str
    hash_keys: tuple[int, int]
    aggregated: bool
    user_records: list[UserRecord]


class KclCase(NamedTuple):
    """A record and what Amazon's consumer library delivered of it; None where it failed."""

    name: str
    data: bytes
    delivered: list[tuple[int, bool, str, str | None, bytes]] | None


class KclReads(NamedTuple):
    """Every case, each put with this partition key into a shard of these hash keys."""

    partition_key: str
    hash_keys: tuple[int, int]
    cases: list[KclCase]


def written_by(producer: str) -> list[KinesisRecord]:
    """Every Kinesis record that the producer wrote."""
    return [
        KinesisRecord(
            f"{vector['name']}, record {number}",
            b64decode(record["data_b64"]),
            record["partition_key"],
            hash_keys(vector["shards"][record["shard_index"]]),
            record["aggregated"],
            [UserRecord(user["partition_key"], user["explicit_hash_key"], b64decode(user["data_b64"])) for user in users(record)],
        )
        for vector in read(producer)["vectors"]
        for number, record in enumerate(vector["kinesis_records"])
    ]


def kcl_reads() -> KclReads:
    """What KCL 3.5.1 delivered."""
    file = read("kcl-reads")
    cases = []
    for case in file["cases"]:
        delivered = None if case["delivered"] is None else list(map(delivery, users(case)))
        cases.append(KclCase(case["name"], b64decode(case["data_b64"]), delivered))
    return KclReads(file["outer_partition_key"], hash_keys(file["shard"]), cases)


def read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((HERE / "kpl" / f"{name}.json").read_text(encoding="utf-8"))
    return content


def users(record: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = record["user_records"] if "user_records" in record else record["delivered"]
    return found


def delivery(user: dict[str, Any]) -> tuple[int, bool, str, str | None, bytes]:
    return (
        user["sub_sequence_number"],
        user["aggregated"],
        user["partition_key"],
        user["explicit_hash_key"],
        b64decode(user["data_b64"]),
    )


def hash_keys(shard: dict[str, str]) -> tuple[int, int]:
    return int(shard["starting_hash_key"]), int(shard["ending_hash_key"])
