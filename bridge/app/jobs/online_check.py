"""`bridge config check --online`: everything that the bridge needs of Kafka and Kinesis is really tried, nothing is changed."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass

from bridge.app.routing import route_of
from bridge.app.settings import Settings
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
    return [*await _check_kafka(settings, kafka), *await _check_kinesis(settings, kafka, kinesis)]


async def _check_kafka(settings: Settings, kafka: GroupDirectory) -> list[CheckResult]:
    try:
        partitions = await _partitions(settings, kafka)
    except UnavailableError as error:
        return [CheckResult(f"kafka.bootstrap_servers {settings.kafka.bootstrap_servers}", str(error), reachable=False)]
    results = [CheckResult(f"kafka.bootstrap_servers {settings.kafka.bootstrap_servers}")]
    group = settings.kafka.group
    results.append(await _tried(f"kafka.group {group}: read its offsets", kafka.committed(group, partitions)))
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


async def _check_kinesis(settings: Settings, kafka: GroupDirectory, kinesis: ShardDirectory) -> list[CheckResult]:
    results = []
    for stream in await _streams(settings, kafka):
        described = await _tried(f"stream {stream}: describe it and list its shards", kinesis.describe(stream))
        results.append(described)
        if described.problem is None:
            results.append(await _tried(f"stream {stream}: permission to put records", kinesis.try_to_write(stream)))
    return results


async def _streams(settings: Settings, kafka: GroupDirectory) -> list[str]:
    """Streams of the configuration; those named after topics as far as Kafka tells its topics."""
    try:
        topics = {p.topic for p in await _partitions(settings, kafka)}
    except UnavailableError:
        topics = set()
    fixed = {route.stream_for(route.topic) for route in settings.routes if not route.is_pattern}
    named = {route.stream for route in settings.routes if "{" not in route.stream}
    matched = {route.stream_for(topic) for topic in topics if (route := route_of(settings, topic))}
    return sorted(fixed | named | matched)


async def _partitions(settings: Settings, kafka: GroupDirectory) -> Sequence[Partition]:
    return await kafka.partitions_of(lambda topic: route_of(settings, topic) is not None)


async def _tried(subject: str, call: Awaitable[object]) -> CheckResult:
    try:
        await call
    except RefusedError as error:
        return CheckResult(subject, str(error))
    except UnavailableError as error:
        return CheckResult(subject, str(error), reachable=False)
    return CheckResult(subject)
