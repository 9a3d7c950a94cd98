"""The operations that change or describe streams, from a request's JSON members to the members of its answer.

Shapes, defaults and bounds: the Kinesis Data Streams API reference. Timestamps are seconds since the epoch.
"""

from collections.abc import Callable
from typing import Any

from bridge.core.quotas import ITERATOR_LIFETIME_S, RECORD_BYTES_MAX_DEFAULT
from bridge.embedded.kinesis_errors import (
    ExpiredNextTokenException,
    InvalidArgumentException,
    ResourceNotFoundException,
    constraint_broken,
)
from bridge.embedded.kinesis_model import KinesisModel
from bridge.embedded.position_tokens import ShardPage, read_page
from bridge.embedded.request_fields import RequestFields, hash_key_number
from bridge.embedded.shard import milliseconds
from bridge.embedded.shard_listing import FILTER_MEMBERS, FILTER_TYPES, ShardFilter, filtered_shards, kept_shards, shard_shape
from bridge.embedded.stream import Stream, max_record_bytes
from bridge.embedded.stream_settings import SETTINGS_OPERATIONS

Answer = dict[str, Any]
Operation = Callable[[KinesisModel, RequestFields, float], Answer]

LIST_SHARDS_MAX = 1000
DESCRIBE_STREAM_SHARDS_MAX = 100
LIST_STREAMS_MAX = 100
ON_DEMAND_SHARDS = 4

_PAGE_BOUNDS = (1, 10_000)
_MODES = ("PROVISIONED", "ON_DEMAND")
_DISTRIBUTIONS = ("USER_PARTITION_KEY", "AUTO")


def create_stream(model: KinesisModel, request: RequestFields, now: float) -> Answer:
    mode = _mode(request)
    count = request.optional_integer("ShardCount")
    if mode == "ON_DEMAND":
        if count is not None:
            raise InvalidArgumentException("ShardCount must not be given for a stream in the ON_DEMAND mode.")
        count = ON_DEMAND_SHARDS
    elif count is None:
        raise InvalidArgumentException("ShardCount must be given for a stream in the PROVISIONED mode.")
    distribution = _one_of(_DISTRIBUTIONS, request.optional_text("RecordDistributionStrategy"), "recordDistributionStrategy")
    _check_distribution(distribution, mode)
    record_kib = request.optional_integer("MaxRecordSizeInKiB")
    record_bytes = RECORD_BYTES_MAX_DEFAULT if record_kib is None else max_record_bytes(record_kib)
    stream = model.streams.create(request.text("StreamName"), count, now)
    stream.mode, stream.distribution, stream.max_record_bytes = mode, distribution, record_bytes
    stream.tags.update(request.texts("Tags"))
    return {}


def delete_stream(model: KinesisModel, request: RequestFields, now: float) -> Answer:
    model.streams.delete(request.stream(), now)
    return {}


def describe_stream(model: KinesisModel, request: RequestFields, now: float) -> Answer:
    stream = model.streams.find(request.stream(), now)
    limit = min(request.optional_integer("Limit", _PAGE_BOUNDS) or DESCRIBE_STREAM_SHARDS_MAX, DESCRIBE_STREAM_SHARDS_MAX)
    after = request.optional_text("ExclusiveStartShardId")
    shards = [] if stream.status(now) in ("CREATING", "DELETING") else kept_shards(stream, now)
    shards = [shard for shard in shards if after is None or shard.shard_id > after]
    description = _description(stream, now) | {
        "Shards": [shard_shape(shard) for shard in shards[:limit]],
        "HasMoreShards": len(shards) > limit,
    }
    return {"StreamDescription": description}


def describe_stream_summary(model: KinesisModel, request: RequestFields, now: float) -> Answer:
    stream = model.streams.find(request.stream(), now)
    summary = _description(stream, now) | {
        "OpenShardCount": 0 if stream.status(now) == "CREATING" else len(stream.open_shards),
        "ConsumerCount": 0,
        "MaxRecordSizeInKiB": stream.max_record_kib,
        "RecordDistributionStrategy": stream.distribution,
    }
    return {"StreamDescriptionSummary": summary}


def list_streams(model: KinesisModel, request: RequestFields, now: float) -> Answer:
    limit = min(request.optional_integer("Limit", _PAGE_BOUNDS) or LIST_STREAMS_MAX, LIST_STREAMS_MAX)
    after = request.optional_text("NextToken") or request.optional_text("ExclusiveStartStreamName") or ""
    streams = [stream for stream in model.streams.all(now) if stream.name > after]
    page = streams[:limit]
    answer: Answer = {
        "StreamNames": [stream.name for stream in page],
        "HasMoreStreams": len(streams) > limit,
        "StreamSummaries": [
            {
                "StreamName": stream.name,
                "StreamARN": stream.arn,
                "StreamStatus": stream.status(now),
                "StreamModeDetails": {"StreamMode": stream.mode},
                "StreamCreationTimestamp": stream.created_at,
            }
            for stream in page
        ],
    }
    if len(streams) > limit:
        answer["NextToken"] = page[-1].name
    return answer


def list_shards(model: KinesisModel, request: RequestFields, now: float) -> Answer:
    limit = min(request.optional_integer("MaxResults", _PAGE_BOUNDS) or LIST_SHARDS_MAX, LIST_SHARDS_MAX)
    if request.has("NextToken"):
        stream, wanted, first = _continued(model, request, now)
    else:
        stream = model.streams.find(request.stream(), now)
        created_at = request.timestamp("StreamCreationTimestamp")
        if created_at is not None and int(created_at) != int(stream.created_at):
            raise ResourceNotFoundException(f"No stream {stream.name} was created at {created_at}.")
        wanted, first = _shard_filter(request), 0
    if stream.status(now) in ("CREATING", "DELETING"):
        raise model.streams.in_use(stream, now)
    after = request.optional_text("ExclusiveStartShardId")
    found = [shard for shard in filtered_shards(stream, wanted, now) if shard.index >= first]
    if after is not None:
        found = [shard for shard in found if shard.shard_id > after]
    found.sort(key=lambda shard: shard.index)
    answer: Answer = {"Shards": [shard_shape(shard) for shard in found[:limit]]}
    if len(found) > limit:
        value = milliseconds(wanted.timestamp or 0.0)
        type_index = FILTER_TYPES.index(wanted.type)
        if wanted.type == "AFTER_SHARD_ID":
            type_index = 0
        page = ShardPage(stream.name, milliseconds(stream.created_at), milliseconds(now), found[limit].index, type_index, value)
        answer["NextToken"] = page.token()
    return answer


def update_distribution(model: KinesisModel, request: RequestFields, now: float) -> Answer:
    strategy = _one_of(_DISTRIBUTIONS, request.text("RecordDistributionStrategy"), "recordDistributionStrategy")
    stream = model.streams.idle(request.stream(), now)
    _check_distribution(strategy, stream.mode)
    stream.distribution = strategy
    return {}


def split_shard(model: KinesisModel, request: RequestFields, now: float) -> Answer:
    hash_key = hash_key_number(request.text("NewStartingHashKey"), "NewStartingHashKey")
    model.split_shard(request.stream(), request.text("ShardToSplit"), hash_key, now)
    return {}


def merge_shards(model: KinesisModel, request: RequestFields, now: float) -> Answer:
    model.merge_shards(request.stream(), request.text("ShardToMerge"), request.text("AdjacentShardToMerge"), now)
    return {}


def update_shard_count(model: KinesisModel, request: RequestFields, now: float) -> Answer:
    target = request.integer("TargetShardCount")
    _one_of(("UNIFORM_SCALING",), request.text("ScalingType"), "scalingType")
    stream = model.streams.find(request.stream(), now)
    current = model.update_shard_count(stream.name, target, now)
    return {
        "StreamName": stream.name,
        "StreamARN": stream.arn,
        "CurrentShardCount": current,
        "TargetShardCount": target,
    }


def _description(stream: Stream, now: float) -> Answer:
    return {
        "StreamName": stream.name,
        "StreamARN": stream.arn,
        "StreamStatus": stream.status(now),
        "StreamModeDetails": {"StreamMode": stream.mode},
        "RetentionPeriodHours": stream.retention_hours,
        "StreamCreationTimestamp": stream.created_at,
        "EnhancedMonitoring": [{"ShardLevelMetrics": stream.shard_level_metrics}],
        "EncryptionType": "NONE",
    }


def _continued(model: KinesisModel, request: RequestFields, now: float) -> tuple[Stream, ShardFilter, int]:
    for other in ("StreamName", "StreamARN", "StreamCreationTimestamp", "ExclusiveStartShardId", "ShardFilter"):
        if request.has(other):
            raise InvalidArgumentException(f"NextToken and {other} cannot be provided together.")
    page = read_page(request.text("NextToken"))
    stream = model.streams.find(page.stream, now)
    if milliseconds(now) - page.issued_ms > ITERATOR_LIFETIME_S * 1000 or page.created_ms != milliseconds(stream.created_at):
        raise ExpiredNextTokenException("NextToken has expired: it was issued more than 300 seconds ago.")
    return stream, ShardFilter(FILTER_TYPES[page.filter_type], None, page.filter_value / 1000), page.next_index


def _shard_filter(request: RequestFields) -> ShardFilter:
    members = request.structure("ShardFilter")
    if members is None:
        return ShardFilter()
    kind = _one_of(FILTER_TYPES, members.text("Type"), "shardFilter.type")
    for member, types in FILTER_MEMBERS.items():
        if members.has(member) and kind not in types:
            raise InvalidArgumentException(f"{member} must not be given with a ShardFilter of type {kind}.")
    return ShardFilter(kind, members.optional_text("ShardId"), members.timestamp("Timestamp"))


def _mode(request: RequestFields) -> str:
    details = request.structure("StreamModeDetails")
    return _one_of(_MODES, None if details is None else details.text("StreamMode"), "streamModeDetails.streamMode")


def _check_distribution(strategy: str, mode: str) -> None:
    if strategy == "AUTO" and mode != "ON_DEMAND":
        raise InvalidArgumentException("RecordDistributionStrategy AUTO needs a stream in the ON_DEMAND mode.")


def _one_of(allowed: tuple[str, ...], value: str | None, member: str) -> str:
    """The value, or the first allowed one when it is missing; raises ValidationException."""
    if value is None:
        return allowed[0]
    if value not in allowed:
        raise constraint_broken(value, member, f"satisfy enum value set: [{', '.join(allowed)}]")
    return value


CONTROL_OPERATIONS: dict[str, Operation] = {
    "CreateStream": create_stream,
    "DeleteStream": delete_stream,
    "DescribeStream": describe_stream,
    "DescribeStreamSummary": describe_stream_summary,
    "ListStreams": list_streams,
    "ListShards": list_shards,
    "SplitShard": split_shard,
    "MergeShards": merge_shards,
    "UpdateShardCount": update_shard_count,
    "UpdateStreamRecordDistributionStrategy": update_distribution,
    **SETTINGS_OPERATIONS,
}
