"""Settings of a route: one topic (or a pattern of topics) -> one stream, and how."""

import re
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, WithJsonSchema

from bridge.app.settings.section import Section, Share, written
from bridge.app.settings.topics import Topic, topic_matches
from bridge.app.settings.units import Duration, Size, Within, refuse
from bridge.core.delivery.policies import OnLongKey, OnMissingField, OnOversize, OnTombstone, Policies

TOPIC_PLACEHOLDER = "{topic}"
STREAM_NAME_MAX = 128

_STREAM_PART = r"(?:[a-zA-Z0-9_.-]|\{topic\})"
_STREAM = re.compile(rf"(?:arn:aws[a-z-]*:kinesis:(?P<region>[a-z0-9-]+):[0-9]{{12}}:stream/)?(?P<name>{_STREAM_PART}+)")
_PLACE = re.compile(r"\{[^{}.]+(\.[^{}.]+)*\}")


def _check_stream(value: str) -> str:
    match = _STREAM.fullmatch(value)
    if not match or len(match["name"].replace(TOPIC_PLACEHOLDER, "x")) > STREAM_NAME_MAX:
        raise refuse(
            "write a stream name (1 to 128 characters out of a-z, A-Z, 0-9, '_', '.' and '-'), a stream's ARN, "
            f"or either with {TOPIC_PLACEHOLDER} where the topic's name goes"
        )
    return value


def _check_template(value: str) -> str:
    rest = _PLACE.sub("", value)
    if "{" in rest or "}" in rest:
        raise refuse("close every brace around the name of a JSON field, such as user_{user_id} or {customer.id}")
    if rest == value:
        raise refuse("name at least one JSON field in braces, such as user_{user_id}: a fixed text would send all to one shard")
    return value


Template = Annotated[
    str,
    AfterValidator(_check_template),
    WithJsonSchema({"type": "string", "pattern": rf"^[^{{}}]*({_PLACE.pattern}[^{{}}]*)+$"}),
]


class FieldTemplate(Section):
    """Partition keys made of JSON fields of the record's value."""

    field: Template = Field(description="Text with at least one `{name}`; `{customer.id}` reads a nested field.")


class StartTimestamp(Section):
    """The first record appended at or after a moment."""

    timestamp: AwareDatetime = Field(description="ISO 8601 with a zone, such as 2026-01-31T00:00:00Z.")

    @property
    def milliseconds(self) -> int:
        """As Kafka looks offsets up."""
        return round(self.timestamp.timestamp() * 1000)


def _check_partition_key(value: object) -> object:
    if value in ("key", "partition") or isinstance(value, FieldTemplate):
        return value
    if not isinstance(value, dict) or set(value) != {"field"} or not isinstance(value["field"], str):
        raise refuse('write key, partition, or {field: "user_{user_id}"}')
    return {"field": _check_template(value["field"])}


def _check_start(value: object) -> object:
    if value in ("earliest", "latest") or isinstance(value, StartTimestamp):
        return value
    if not isinstance(value, dict) or set(value) != {"timestamp"}:
        raise refuse("write earliest, latest, or {timestamp: 2026-01-31T00:00:00Z}")
    return {"timestamp": _moment(value["timestamp"])}


def _moment(value: object) -> datetime:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError as error:
        raise refuse("write the timestamp as ISO 8601 with a zone, such as 2026-01-31T00:00:00Z") from error
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise refuse("write the timestamp with its time and zone, such as 2026-01-31T00:00:00Z or 2026-01-31T01:00:00+01:00")
    if moment.timestamp() < 0:
        raise refuse("write a timestamp after 1970: Kafka has no earlier ones")
    return moment


Stream = Annotated[
    str,
    AfterValidator(_check_stream),
    WithJsonSchema({"type": "string", "pattern": f"^(arn:aws[a-z-]*:kinesis:[a-z0-9-]+:[0-9]{{12}}:stream/)?{_STREAM_PART}+$"}),
]
PartitionKey = Annotated[Literal["key", "partition"] | FieldTemplate, BeforeValidator(_check_partition_key)]
Start = Annotated[Literal["earliest", "latest"] | StartTimestamp, BeforeValidator(_check_start)]


class RouteDefaults(Section):
    """The keys of a route that `defaults` may set for all of them."""

    partition_key: PartitionKey = Field(
        default="key",
        description="What becomes the Kinesis partition key: `key` (the Kafka key, so that order per key survives), `partition` "
        "(topic-partition, each Kafka partition on one shard), or `{field: ...}` (a template over JSON fields).",
    )
    null_key: Literal["spread", "partition"] = Field(
        default="spread",
        description="Records without a key: `spread` over all shards, as Kafka producers spread them over partitions, or kept "
        "together by `partition`, in order.",
    )
    carry_origin: bool = Field(
        default=False,
        description="Makes the partition key `<name>:topic/partition/offset`; shard and order stay the same. Exact recovery "
        "by sight; off by default, because consumers may read the partition key.",
    )
    format: Literal["raw", "aggregated"] = Field(
        default="raw",
        description="`raw`: a Kinesis record for each Kafka record. `aggregated`: many in one, in the format of Amazon's "
        "producer library (KPL), which KCL, Lambda and Firehose can open; a hot key then sends more than one record a round "
        "trip. Raw by default, because every consumer reads it.",
    )
    aggregate_bytes_max: Annotated[Size, Within("1KiB", "1MiB")] = Field(
        default=written("50KiB"),
        description="Largest data of one aggregate; a record that is larger goes in one of its own. 50KiB, as the KPL has it: "
        "two units of 25KB, and twenty of them fill a shard's second.",
    )
    aggregate_records_max: int = Field(
        default=500,
        ge=1,
        le=10_000,
        description="Most records in one aggregate. 500: more make it hardly any cheaper.",
    )
    ordering: Literal["key", "partition", "none"] = Field(
        default="key",
        description="What stays in order: records of one `key` (what Kafka consumers usually rely on), whole Kafka partitions, "
        "or `none` (the fastest).",
    )
    linger: Annotated[Duration, Within("0ms", "10s")] = Field(
        default=written("20ms"),
        description="How long a record may wait for others to fill a request. 20ms fill requests at a few thousand records a "
        "second and add less than one round trip of delay.",
    )
    start: Start = Field(
        default="earliest",
        description="Where to begin, only where the group has no committed offset yet: `earliest` (nothing is left behind), "
        "`latest`, or `{timestamp: ...}`. Partitions that a topic gets later begin at their beginning.",
    )
    shard_share: Share = Field(
        default=1.0,
        gt=0,
        le=1,
        description="The part (0 < share <= 1) of every shard's write limits that is ours. All of it by default; lower it where "
        "others write to the same stream.",
    )
    on_oversize: OnOversize = Field(
        default="park",
        description="A record larger than the stream or a request takes: `park` it in the dead-letter topic `<name>.dlq`, `stop` "
        "its partition, or `skip` it. Parked by default: nothing is lost and nothing waits.",
    )
    on_long_key: OnLongKey = Field(
        default="hash",
        description="A Kafka key that makes a partition key of more than 256 characters: `hash` it, `park` the record, or `stop` "
        "its partition. Hashed by default: the record and its order are kept, only its key cannot be read back.",
    )
    on_tombstone: OnTombstone = Field(
        default="park",
        description="A record whose value is null, which Kinesis cannot hold: `park`, `stop`, `skip`, or `send_empty` (as no "
        "bytes). Parked by default, because only you know whether consumers need the deletions; decide it for compacted topics.",
    )
    on_missing_field: OnMissingField = Field(
        default="park",
        description="A record without the JSON fields of `partition_key: {field: ...}`: `park`, `stop`, `skip`, or "
        "`use_kafka_key`. Parked by default: by another key it would lose its order.",
    )


class Route(RouteDefaults):
    """One topic, or all topics that match a pattern, and the stream that they feed."""

    topic: Topic = Field(
        description="A topic's name, or a pattern that begins with ^ and ends with $ or .* (a regular expression; an exact "
        "name in another route comes before it). No default: what is carried is your decision."
    )
    stream: Stream = Field(
        description=f"A stream's name or ARN; {TOPIC_PLACEHOLDER} in it stands for the topic's name. No default: what is "
        "written to is your decision."
    )

    @property
    def is_pattern(self) -> bool:
        return self.topic.startswith("^")

    def matches(self, topic: str) -> bool:
        """Whether this route carries the topic."""
        return topic_matches(self.topic, topic)

    @property
    def policies(self) -> Policies:
        """What is done with records that cannot be carried as they are."""
        return Policies(self.on_oversize, self.on_long_key, self.on_tombstone, self.on_missing_field)

    @property
    def may_park(self) -> bool:
        """Whether a record of this route can ever reach the dead-letter topic."""
        policies = self.policies
        with_fields = policies.on_missing_field if isinstance(self.partition_key, FieldTemplate) else None
        return "park" in (policies.on_oversize, policies.on_long_key, policies.on_tombstone, with_fields)

    def stream_for(self, topic: str) -> str:
        """The stream's name or ARN for one topic of this route."""
        return self.stream.replace(TOPIC_PLACEHOLDER, topic)


def stream_name(stream: str) -> str:
    """The name in a stream's name or ARN."""
    return stream.rpartition("/")[2]


def stream_region(stream: str) -> str | None:
    """The region in a stream's ARN; a name has none."""
    match = _STREAM.fullmatch(stream)
    return match["region"] if match else None
