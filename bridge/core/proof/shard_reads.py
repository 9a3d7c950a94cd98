"""Shards as they are read back, and what a read of one gives."""

from dataclasses import dataclass
from typing import NamedTuple

from bridge.core.records import ShardRecords


@dataclass(slots=True, frozen=True)
class ReadableShard:
    """A shard of which records may be left, open or closed; its hash keys, both ends inclusive, and the shards that it came
    from."""

    shard_id: str
    starting_hash_key: int
    ending_hash_key: int
    parents: tuple[str, ...]
    is_closed: bool


@dataclass(slots=True, frozen=True)
class ReadableStream:
    """The shards of a stream, parents before their children; how long it keeps records. `created_ms` as in StreamDescription."""

    shards: tuple[ReadableShard, ...]
    retention_ms: int
    created_ms: int | None


class ReadStart(NamedTuple):
    """Where reading begins: behind a sequence number, or else with what arrived at a moment (Kinesis's clock, milliseconds) or
    up to a second before."""

    at_ms: int = 0
    after: int | None = None


@dataclass(slots=True, frozen=True)
class ShardRead:
    """What one read of a shard gave. `sent_at` and `received_at` are moments of the port `Clock`; `date_s` is what the service
    said its time was (whole seconds since the epoch), None where it did not.

    `is_at_tip`: everything is given that was in the shard when the read was sent for. `has_ended`: the shard is closed, and
    there is no more.
    """

    records: ShardRecords
    sent_at: float
    received_at: float
    date_s: int | None
    is_at_tip: bool
    has_ended: bool
