"""What a stream is like now, as the service tells it."""

from dataclasses import dataclass

from bridge.core.delivery.shard_map import ShardMap


@dataclass(slots=True, frozen=True)
class StreamDescription:
    """An ACTIVE or UPDATING stream: its open shards and the largest record (data and partition key) it takes, in bytes.

    `created_ms` tells it from one of the same name that was deleted; `retention_ms`: for so long it keeps its records; `date_s`:
    what the service said its time was (whole seconds since the epoch). None where the service does not tell it.
    """

    shard_map: ShardMap
    record_bytes_max: int
    created_ms: int | None = None
    retention_ms: int | None = None
    date_s: int | None = None
