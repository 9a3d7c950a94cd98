"""What the bridge writes beside a committed offset, so that any process with access to Kafka can tell its state.

Format: compact JSON, `v` its version, at most 4096 bytes (default of the broker's `offset.metadata.max.bytes`). A field that a
version of the bridge does not know is passed over. Text of another version, or with a known field that is not as this version
writes it, is `unreadable`: it may say that somebody has attempts under way, so who reads it must not take it for nothing. Text
without `v` is another program's and says nothing.
"""

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Any, NamedTuple

import orjson

from bridge.core.delivery.ownership import OWNERSHIP_FIELDS, Ownership, fields_of, is_demand, ownership_in

VERSION = 1
METADATA_BYTES_MAX = 4096


class CommitPoint(NamedTuple):
    """An offset to commit (next to read) with its metadata."""

    offset: int
    metadata: str


@dataclass(slots=True, frozen=True)
class HotLane:
    """A lane that has more than one record per round trip carries: the first hexadecimal digits of its hash key, what it sends a
    second, and how many of its records one aggregate would carry in place of one."""

    hash_key: str
    records_per_s: float
    aggregate_records: int


@dataclass(slots=True, frozen=True)
class CommitMetadata:
    """`slices` is N of `partition_key: partition`, frozen when the partition was first assigned.

    `halted` and `halted_at` name the reason and the offset at which the partition stands still. `topic_id` is Kafka's id of the
    topic that the offset is one of, `stream_created_ms` when the `stream` was created to which the records below it went: a
    topic or stream of that name with another one was created anew. `hot_lane` is the one that holds the partition up.
    `ownership` is who committed it, and what a successor has to know; None in what was written before there was a ledger.
    `unreadable` says, in words, why a text of a bridge cannot be read; then all else is empty, and it is never written.
    """

    slices: int | None = None
    halted: str | None = None
    halted_at: int | None = None
    topic_id: str | None = None
    stream: str | None = None
    stream_created_ms: int | None = None
    hot_lane: HotLane | None = None
    ownership: Ownership | None = None
    unreadable: str | None = None


def encode(metadata: CommitMetadata) -> str:
    """Text for the metadata field of an offset commit.

    Raises:
        ValueError: the ownership is out of range (see `ownership.fields_of`), or the metadata unreadable.
    """
    if metadata.unreadable is not None:
        raise ValueError(f"what cannot be read is not written: {metadata.unreadable}")
    fields: dict[str, Any] = {"v": VERSION}
    if metadata.slices is not None:
        fields["n"] = metadata.slices
    if metadata.halted is not None:
        fields["halted"] = metadata.halted
        fields["at"] = metadata.halted_at
    if metadata.topic_id is not None:
        fields["t"] = metadata.topic_id
    if metadata.stream is not None and metadata.stream_created_ms is not None:
        fields["s"] = [metadata.stream, metadata.stream_created_ms]
    if metadata.hot_lane is not None:
        fields["hot"] = astuple(metadata.hot_lane)
    if metadata.ownership is not None:
        fields |= fields_of(metadata.ownership)
    return orjson.dumps(fields).decode()


def decode(text: str | None) -> CommitMetadata:
    """The metadata of a committed offset; empty for what another program wrote there, and see `unreadable`."""
    try:
        fields = orjson.loads(text or "")
    except orjson.JSONDecodeError:
        return CommitMetadata()
    if not isinstance(fields, dict) or "v" not in fields:
        return CommitMetadata()
    if fields["v"] != VERSION:
        written = orjson.dumps(fields["v"]).decode()[:20]
        return CommitMetadata(unreadable=f"its format has version {written}, and this version of the bridge knows {VERSION}")
    slices, halted, halted_at, topic_id = fields.get("n"), fields.get("halted"), fields.get("at"), fields.get("t")
    match fields.get("s"):
        case [str() as stream, int() as created_ms] if not isinstance(created_ms, bool):
            of_stream: tuple[str | None, int | None] = stream, created_ms
        case _:
            of_stream = None, None
    match fields.get("hot"):
        case [str() as hash_key, int() | float() as records_per_s, int() as aggregate_records]:
            hot_lane: HotLane | None = HotLane(hash_key, records_per_s, aggregate_records)
        case _:
            hot_lane = None
    known = CommitMetadata(
        slices if isinstance(slices, int) and slices > 0 else None,
        halted if isinstance(halted, str) else None,
        halted_at if isinstance(halted_at, int) else None,
        topic_id if isinstance(topic_id, str) else None,
        *of_stream,
        hot_lane,
        ownership_in(fields),
    )
    damaged = _damaged(fields, known)
    return known if not damaged else CommitMetadata(unreadable=f"it cannot be read: {', '.join(damaged)}")


def demand_in(text: str | None) -> float:
    """What a partition says to want, without the rest, which costs more to read; 1 where it does not say it."""
    try:
        fields = orjson.loads(text or "")
    except orjson.JSONDecodeError:
        return 1.0
    demand = fields.get("d") if isinstance(fields, dict) and fields.get("v") == VERSION else None
    return float(demand) if demand is not None and is_demand(demand) else 1.0


def _damaged(fields: Mapping[str, Any], known: CommitMetadata) -> list[str]:
    """Names of the fields that are there and were not understood. The hot lane only tells people, and may be left out."""
    read: dict[str, object] = {
        "n": known.slices,
        "halted": known.halted,
        "at": known.halted_at,
        "t": known.topic_id,
        "s": known.stream,
    }
    read |= dict.fromkeys(OWNERSHIP_FIELDS, known.ownership)
    return [name for name, value in read.items() if name in fields and value is None]
