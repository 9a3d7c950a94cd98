"""`bridge config check --online`: everything that the bridge needs of Kafka and Kinesis is really tried, nothing is changed."""

from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from bridge.app.routing import route_of
from bridge.app.settings import Settings
from bridge.app.settings.route import TOPIC_PLACEHOLDER
from bridge.app.settings.units import format_duration
from bridge.core.delivery.stream_description import StreamDescription
from bridge.core.errors import RefusedError, UnavailableError
from bridge.core.records import Partition
from bridge.ports import GroupDirectory, ShardDirectory, TopicDirectory

DAY_S = 86_400
COMPACTED = (
    "its null values are deletions, and each of them will be parked (on_tombstone: park is the default): decide it for this "
    "route, such as send_empty where its consumers read no bytes as a deletion, or park to keep it so"
)


@dataclass(slots=True, frozen=True)
class CheckResult:
    """One thing that was tried. `problem` is None where it worked; `reachable` is False where nothing answered at all.

    `warning` is what to think about where it worked.
    """

    subject: str
    problem: str | None = None
    reachable: bool = True
    warning: str | None = None


class Kafka(GroupDirectory, TopicDirectory, Protocol):
    """What is asked of Kafka."""


async def check_online(settings: Settings, kafka: Kafka, kinesis: ShardDirectory) -> list[CheckResult]:
    """Tries topics, group, streams and the permission to write, each by an empty-effect call."""
    brokers = f"kafka.bootstrap_servers {settings.kafka.bootstrap_servers}"
    try:
        partitions = await kafka.partitions_of(lambda topic: route_of(settings, topic) is not None)
    except UnavailableError as error:
        topics: set[str] = set()
        results = [CheckResult(brokers, str(error), reachable=False)]
    else:
        topics = {p.topic for p in partitions}
        results = [CheckResult(brokers), *await _check_kafka(settings, kafka, partitions)]
        results += [*await _check_compacted(settings, kafka, topics), *await _check_dead_letters(settings, kafka)]
        for own in (settings.ledger_definition, settings.control_definition):
            results.append(await _tried(f"topic {own.name}: make it, or read and write it", kafka.try_topic(own)))
    return [*results, *await _check_kinesis(settings, kinesis, topics)]


async def _check_kafka(settings: Settings, kafka: GroupDirectory, partitions: Sequence[Partition]) -> list[CheckResult]:
    group = settings.kafka.group
    results = [await _tried(f"kafka.group {group}: read its offsets", kafka.committed(group, partitions))]
    for i, route in enumerate(settings.routes):
        where = f"routes[{i}].topic {route.topic}"
        topics = sorted({p.topic for p in partitions if route_of(settings, p.topic) is route})
        if not topics:
            problem = "no topic matches this pattern" if route.is_pattern else "the topic does not exist, or may not be described"
            results.append(CheckResult(where, f"{problem}: create it, or correct the name"))
        for topic in topics:
            first = next(p for p in partitions if p.topic == topic)
            results.append(await _tried(f"{where}: read {first}", kafka.try_to_read(first)))
    return results


async def _check_compacted(settings: Settings, kafka: TopicDirectory, topics: set[str]) -> list[CheckResult]:
    """In a compacted topic a null value is a deletion, so what becomes of it wants a decision."""
    undecided = {topic for topic in topics if _leaves_tombstones_open(settings, topic)}
    try:
        found = await kafka.settings_of(undecided)
    except UnavailableError as error:
        return [CheckResult("cleanup.policy of the topics", str(error), reachable=False)]
    compacted = sorted(topic for topic, values in found.items() if "compact" in values.get("cleanup.policy", ""))
    return [CheckResult(f"topic {topic}: cleanup.policy compact", warning=COMPACTED) for topic in compacted]


def _leaves_tombstones_open(settings: Settings, topic: str) -> bool:
    route = route_of(settings, topic)
    return route is not None and "on_tombstone" not in route.model_fields_set


async def _check_dead_letters(settings: Settings, kafka: TopicDirectory) -> list[CheckResult]:
    if not settings.may_park:
        return []
    trying = kafka.try_to_park(settings.name, lambda topic: route_of(settings, topic) is not None)
    return [await _tried(f"topic {settings.dead_letter_topic}: park records there", trying)]


async def _check_kinesis(settings: Settings, kinesis: ShardDirectory, topics: set[str]) -> list[CheckResult]:
    """Streams of the configuration; those named after topics as far as Kafka tells its topics."""
    results = []
    fixed = {route.stream_for(route.topic) for route in settings.routes if not route.is_pattern}
    fixed |= {route.stream for route in settings.routes if TOPIC_PLACEHOLDER not in route.stream}
    for stream in sorted(fixed | {route.stream_for(topic) for topic in topics if (route := route_of(settings, topic))}):
        descriptions: list[StreamDescription] = []
        results.append(
            await _tried(f"stream {stream}: describe it and list its shards", _describe(stream, kinesis, descriptions))
        )
        for description in descriptions:
            results.append(await _tried(f"stream {stream}: permission to put records", kinesis.try_to_write(stream)))
            results.append(await _tried(f"stream {stream}: permission to read records back", kinesis.try_to_read(stream)))
            results += _check_retention(settings, stream, description.retention_ms)
    return results


async def _describe(stream: str, kinesis: ShardDirectory, descriptions: list[StreamDescription]) -> None:
    descriptions.append(await kinesis.describe(stream))


def _check_retention(settings: Settings, stream: str, retention_ms: int | None) -> Iterator[CheckResult]:
    """The ledger has to remember each record for as long as it can be read from its stream."""
    if retention_ms is None:
        return
    ours, theirs = settings.ledger.retention, retention_ms / 1000
    subject = (
        f"ledger.retention {format_duration(ours)}: longer than stream {stream} keeps its records ({format_duration(theirs)})"
    )
    problem = (
        f"write {format_duration(theirs + DAY_S)} or more; where topic {settings.ledger_definition.name} is there already, "
        "set its retention.ms to the same"
    )
    yield CheckResult(subject, None if ours > theirs else problem)


async def _tried(subject: str, call: Awaitable[object]) -> CheckResult:
    try:
        await call
    except RefusedError as error:
        return CheckResult(subject, str(error))
    except UnavailableError as error:
        return CheckResult(subject, str(error), reachable=False)
    return CheckResult(subject)
