"""A member of a group by its client's properties."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.simulation.kafka.group import Joining

if TYPE_CHECKING:
    from tests.simulation.kafka.cluster import ClusterSettings


@dataclass(frozen=True, slots=True)
class MemberSettings:
    """Seconds."""

    group: str
    joining: Joining
    heartbeat_s: float
    max_poll_interval_s: float
    metadata_refresh_s: float


def member_settings(properties: Mapping[str, Any], topics: Sequence[str], broker: "ClusterSettings") -> MemberSettings:
    """With the client library's defaults. Under the `consumer` protocol heartbeats and session are the broker's to set."""

    def seconds(name: str, default_ms: int) -> float:
        return float(properties.get(name, default_ms)) / 1000

    by_broker = properties.get("group.protocol") == "consumer"
    max_poll_interval_s = seconds("max.poll.interval.ms", 300_000)
    joining = Joining(
        str(properties.get("client.id", "rdkafka")),
        _subscription(topics),
        broker.consumer_session_timeout_s if by_broker else seconds("session.timeout.ms", 45_000),
        max_poll_interval_s,
        properties.get("group.instance.id"),
    )
    heartbeat_s = broker.consumer_heartbeat_s if by_broker else seconds("heartbeat.interval.ms", 3000)
    refresh_s = seconds("topic.metadata.refresh.interval.ms", 300_000)
    return MemberSettings(str(properties["group.id"]), joining, heartbeat_s, max_poll_interval_s, refresh_s)


def _subscription(topics: Sequence[str]) -> Callable[[Iterable[str]], frozenset[str]]:
    names = {topic for topic in topics if not topic.startswith("^")}
    patterns = [re.compile(topic) for topic in topics if topic.startswith("^")]
    return lambda known: frozenset(
        topic for topic in known if topic in names or any(pattern.search(topic) for pattern in patterns)
    )
