"""ListShards' filters and the shapes in which shards are described."""

from typing import NamedTuple

from bridge.embedded.kinesis_errors import InvalidArgumentException
from bridge.embedded.shard import Shard
from bridge.embedded.stream import Stream

FILTER_TYPES = (
    "FROM_TRIM_HORIZON",
    "AT_TRIM_HORIZON",
    "AT_LATEST",
    "AFTER_SHARD_ID",
    "AT_TIMESTAMP",
    "FROM_TIMESTAMP",
)


FILTER_MEMBERS = {"ShardId": ("AFTER_SHARD_ID",), "Timestamp": ("AT_TIMESTAMP", "FROM_TIMESTAMP")}
"""Members that go with some types only."""


class ShardFilter(NamedTuple):
    """`shard_id` goes with AFTER_SHARD_ID, `timestamp` (seconds since the epoch) with AT_TIMESTAMP and FROM_TIMESTAMP."""

    type: str = "FROM_TRIM_HORIZON"
    shard_id: str | None = None
    timestamp: float | None = None


def kept_shards(stream: Stream, now: float) -> list[Shard]:
    """Shards by index without the expired ones, which closed before the trim horizon."""
    horizon = stream.trim_horizon(now)
    return [shard for shard in stream.shards if shard.closed_at is None or shard.closed_at >= horizon]


def filtered_shards(stream: Stream, wanted: ShardFilter, now: float) -> list[Shard]:
    """The shards that a filter selects, by index; raises InvalidArgumentException when its value is missing."""
    kept = kept_shards(stream, now)
    if wanted.type == "FROM_TRIM_HORIZON":
        return kept
    if wanted.type == "AT_LATEST":
        return stream.open_shards
    if wanted.type == "AT_TRIM_HORIZON":
        # The oldest generation: with its descendants it holds every record once, and it tiles the hash key space.
        indices = {shard.index for shard in kept}
        return [shard for shard in kept if not any(parent.index in indices for parent in shard.parents)]
    if wanted.type == "AFTER_SHARD_ID":
        if wanted.shard_id is None:
            raise InvalidArgumentException("ShardFilter of type AFTER_SHARD_ID requires a ShardId.")
        return [shard for shard in kept if shard.shard_id > wanted.shard_id]
    if wanted.type not in FILTER_TYPES:
        raise InvalidArgumentException(f"{wanted.type!r} is not a type of ShardFilter; it is one of {', '.join(FILTER_TYPES)}.")
    if wanted.timestamp is None:
        raise InvalidArgumentException(f"ShardFilter of type {wanted.type} requires a Timestamp.")
    moment = max(wanted.timestamp, stream.trim_horizon(now))
    ended_later = [shard for shard in kept if shard.closed_at is None or shard.closed_at >= moment]
    if wanted.type == "FROM_TIMESTAMP":
        return ended_later
    return [shard for shard in ended_later if shard.created_at <= moment]


def shard_shape(shard: Shard) -> dict[str, object]:
    """Shape `Shard`."""
    numbers = {"StartingSequenceNumber": shard.starting_sequence_number}
    if (ending := shard.ending_sequence_number) is not None:
        numbers["EndingSequenceNumber"] = ending
    shape: dict[str, object] = {
        "ShardId": shard.shard_id,
        "HashKeyRange": hash_key_range(shard),
        "SequenceNumberRange": numbers,
    }
    for name, parent in zip(("ParentShardId", "AdjacentParentShardId"), shard.parents, strict=False):
        shape[name] = parent.shard_id
    return shape


def child_shard_shape(child: Shard) -> dict[str, object]:
    """Shape `ChildShard` of GetRecords."""
    return {
        "ShardId": child.shard_id,
        "ParentShards": [parent.shard_id for parent in child.parents],
        "HashKeyRange": hash_key_range(child),
    }


def hash_key_range(shard: Shard) -> dict[str, str]:
    """Shape `HashKeyRange`; both ends belong to it."""
    return {"StartingHashKey": str(shard.start_hash_key), "EndingHashKey": str(shard.end_hash_key)}
