"""`bridge config check --online`: everything that the bridge needs of Kafka and Kinesis is really tried, nothing is changed."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass

from bridge.app.routing import route_of
from bridge.app.settings import Settings
from bridge.app.settings.route import TOPIC_PLACEHOLDER
from bridge.core.errors import RefusedError, UnavailableError
from bridge.core.records import Partition
from bridge.ports import GroupDirectory, ShardDirectory


@dataclass(slots=True, frozen=True)
class CheckResult:
    """One thing that was tried. `problem` is None where it worked; `reachable` is False where nothing answered at all."""

    subject: str
    problem: str | None = None
    reachable: bool = True


async def check_online(settings: Settings, kafka: GroupDirectory, kinesis: ShardDirectory) -> list[CheckResult]:
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


async def _check_kinesis(settings: Settings, kinesis: ShardDirectory, topics: set[str]) -> list[CheckResult]:
    """Streams of the configuration; those named after topics as far as Kafka tells its topics."""
    results = []
    fixed = {route.stream_for(route.topic) for route in settings.routes if not route.is_pattern}
    fixed |= {route.stream for route in settings.routes if TOPIC_PLACEHOLDER not in route.stream}
    for stream in sorted(fixed | {route.stream_for(topic) for topic in topics if (route := route_of(settings, topic))}):
        described = await _tried(f"stream {stream}: describe it and list its shards", kinesis.describe(stream))
        results.append(described)
        if described.problem is None:
            results.append(await _tried(f"stream {stream}: permission to put records", kinesis.try_to_write(stream)))
    return results


async def _tried(subject: str, call: Awaitable[object]) -> CheckResult:
    try:
        await call
    except RefusedError as error:
        return CheckResult(subject, str(error))
    except UnavailableError as error:
        return CheckResult(subject, str(error), reachable=False)
    return CheckResult(subject)
