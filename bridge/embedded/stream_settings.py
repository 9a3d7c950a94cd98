"""The operations that change or tell what can be set of a stream: retention, tags, shard-level metrics, largest record.

Shapes, defaults and bounds: the Kinesis Data Streams API reference. Nothing measures the shard-level metrics; that they are
set is told as the service tells it.
"""

from collections.abc import Callable
from typing import Any

from bridge.embedded.kinesis_errors import InvalidArgumentException, constraint_broken
from bridge.embedded.kinesis_model import KinesisModel
from bridge.embedded.request_fields import RequestFields
from bridge.embedded.stream import Stream

Answer = dict[str, Any]

RETENTION_HOURS_MIN = 24
RETENTION_HOURS_MAX = 8760
TAGS_MAX = 50
SHARD_LEVEL_METRICS = (
    "IncomingBytes",
    "IncomingRecords",
    "IteratorAgeMilliseconds",
    "OutgoingBytes",
    "OutgoingRecords",
    "ReadProvisionedThroughputExceeded",
    "WriteProvisionedThroughputExceeded",
)
ALL_METRICS = "ALL"

_TAG_KEY_CHARACTERS_MAX = 128
_TAG_VALUE_CHARACTERS_MAX = 256


def increase_retention(model: KinesisModel, request: RequestFields, now: float) -> Answer:
    stream, hours = _wanted_retention(model, request, now)
    if hours < stream.retention_hours:
        raise InvalidArgumentException(
            f"Requested retention period ({hours} hours) for stream {stream.name} can not be shorter than existing retention "
            f"period ({stream.retention_hours} hours). Use DecreaseRetentionPeriod API."
        )
    stream.keep_for(hours, now)
    return {}


def decrease_retention(model: KinesisModel, request: RequestFields, now: float) -> Answer:
    stream, hours = _wanted_retention(model, request, now)
    if hours > stream.retention_hours:
        raise InvalidArgumentException(
            f"Requested retention period ({hours} hours) for stream {stream.name} can not be longer than existing retention "
            f"period ({stream.retention_hours} hours). Use IncreaseRetentionPeriod API."
        )
    stream.keep_for(hours, now)
    return {}


def add_tags(model: KinesisModel, request: RequestFields, now: float) -> Answer:
    stream = model.streams.find(request.stream(), now)
    tags = request.texts("Tags")
    if not tags:
        raise constraint_broken("{}", "tags", "have length greater than or equal to 1")
    for key, value in tags.items():
        if not 1 <= len(key) <= _TAG_KEY_CHARACTERS_MAX or len(value) > _TAG_VALUE_CHARACTERS_MAX:
            raise constraint_broken(f"{{{key}={value}}}", "tags", "have keys of 1 to 128 and values of up to 256 characters")
    if len({**stream.tags, **tags}) > TAGS_MAX:
        raise InvalidArgumentException(
            f"Failed to add tags to stream {stream.name} under account {model.account.number} because a given stream cannot have "
            f"more than {TAGS_MAX} tags associated with it."
        )
    stream.tags.update(tags)
    return {}


def remove_tags(model: KinesisModel, request: RequestFields, now: float) -> Answer:
    stream = model.streams.find(request.stream(), now)
    for key in _filled(request, "TagKeys"):
        stream.tags.pop(key, None)
    return {}


def list_tags(model: KinesisModel, request: RequestFields, now: float) -> Answer:
    stream = model.streams.find(request.stream(), now)
    limit = request.optional_integer("Limit", (1, TAGS_MAX)) or TAGS_MAX
    after = request.optional_text("ExclusiveStartTagKey") or ""
    keys = sorted(key for key in stream.tags if key > after)
    return {
        "Tags": [{"Key": key, "Value": stream.tags[key]} for key in keys[:limit]],
        "HasMoreTags": len(keys) > limit,
    }


def enable_monitoring(model: KinesisModel, request: RequestFields, now: float) -> Answer:
    return _change_monitoring(model, request, now, lambda current, named: current | named)


def disable_monitoring(model: KinesisModel, request: RequestFields, now: float) -> Answer:
    return _change_monitoring(model, request, now, lambda current, named: current - named)


def update_max_record_size(model: KinesisModel, request: RequestFields, now: float) -> Answer:
    model.update_max_record_size(request.stream(), request.integer("MaxRecordSizeInKiB"), now)
    return {}


def _wanted_retention(model: KinesisModel, request: RequestFields, now: float) -> tuple[Stream, int]:
    hours = request.integer("RetentionPeriodHours")
    stream = model.streams.idle(request.stream(), now)
    if hours < RETENTION_HOURS_MIN:
        raise InvalidArgumentException(
            f"Minimum allowed retention period is {RETENTION_HOURS_MIN} hours. Requested retention period ({hours} hours) is too "
            "short."
        )
    if hours > RETENTION_HOURS_MAX:
        raise InvalidArgumentException(
            f"Maximum allowed retention period is {RETENTION_HOURS_MAX} hours. Requested retention period ({hours} hours) is too "
            "long."
        )
    return stream, hours


def _change_monitoring(
    model: KinesisModel, request: RequestFields, now: float, change: Callable[[set[str], set[str]], set[str]]
) -> Answer:
    named = set(_filled(request, "ShardLevelMetrics"))
    for metric in named - {*SHARD_LEVEL_METRICS, ALL_METRICS}:
        allowed = ", ".join((*SHARD_LEVEL_METRICS, ALL_METRICS))
        raise constraint_broken(metric, "shardLevelMetrics", f"satisfy enum value set: [{allowed}]")
    stream = model.streams.idle(request.stream(), now)
    before = stream.shard_level_metrics
    stream.shard_level_metrics = sorted(change(set(before), set(SHARD_LEVEL_METRICS) if ALL_METRICS in named else named))
    return {
        "StreamName": stream.name,
        "StreamARN": stream.arn,
        "CurrentShardLevelMetrics": before,
        "DesiredShardLevelMetrics": stream.shard_level_metrics,
    }


def _filled(request: RequestFields, member: str) -> list[str]:
    found = request.text_list(member)
    if not found:
        raise constraint_broken("[]", f"{member[0].lower()}{member[1:]}", "have length greater than or equal to 1")
    return found


SETTINGS_OPERATIONS: dict[str, Callable[[KinesisModel, RequestFields, float], Answer]] = {
    "IncreaseStreamRetentionPeriod": increase_retention,
    "DecreaseStreamRetentionPeriod": decrease_retention,
    "AddTagsToStream": add_tags,
    "RemoveTagsFromStream": remove_tags,
    "ListTagsForStream": list_tags,
    "EnableEnhancedMonitoring": enable_monitoring,
    "DisableEnhancedMonitoring": disable_monitoring,
    "UpdateMaxRecordSize": update_max_record_size,
}
