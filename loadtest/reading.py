"""Reads a shard of a stream from a moment to its end, as any consumer would; packed records are opened by another's code."""

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from loadtest.errors import LoadTestError
from tests.integration.kcl_reader import records_inside
from tests.integration.kinesis_reader import ReadError, raw_records

READ_TIMEOUT_S = 180.0


class StoredRecord(NamedTuple):
    """As an application gets it; `arrived_s` since the epoch."""

    partition_key: str
    value: bytes
    arrived_s: float


def stored_since(client: Any, stream: str, shard: str, start_s: float) -> Iterator[StoredRecord]:  # noqa: ANN401 - botocore has no types
    """Every record that arrived then or later, to the tip. Raises LoadTestError when that is not reached in time."""
    deadline = time.monotonic() + READ_TIMEOUT_S
    try:
        yield from opened(raw_records(client, stream, shard, deadline, start_s))
    except ReadError as error:
        raise LoadTestError(f"{error} ({READ_TIMEOUT_S:g} s)") from error


def opened(records: Iterable[Mapping[str, Any]]) -> Iterator[StoredRecord]:
    """Of answers of Kinesis, the records inside of packed ones too."""
    for record in records:
        arrived_s = record["ApproximateArrivalTimestamp"].timestamp()
        inside = records_inside(record["Data"])
        if inside is None:
            yield StoredRecord(record["PartitionKey"], record["Data"], arrived_s)
            continue
        for _, key, value in inside:
            yield StoredRecord(key, value, arrived_s)
