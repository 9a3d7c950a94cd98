"""Which route carries a topic: an exact name before a pattern, patterns in the order of the configuration."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

from bridge.app.settings import Route, Settings
from bridge.core.delivery.aggregate_limits import AggregateLimits
from bridge.core.delivery.key_strategies import MappingSpec

REMEMBERED_TOPICS_MAX = 10_000


@dataclass(slots=True, frozen=True)
class RoutedTopic:
    """A topic, its route (named by the configured topic or pattern), and how its records are mapped."""

    route: str
    stream: str
    shard_share: float
    linger_s: float
    mapping: MappingSpec
    aggregates: AggregateLimits | None = None
    """None: each record is a Kinesis record of its own."""

    @property
    def is_marked(self) -> bool:
        """Whether every record carries the coordinates of its origin."""
        return self.mapping.is_marked


RouteTopic = Callable[[str, int], RoutedTopic | None]
"""How a topic is carried, with so many slices; None for one of the bridge's own. Raises KeyError where no route carries it."""


def route_of(settings: Settings, topic: str) -> Route | None:
    """The route that carries a topic; None when there is none, and for the bridge's own topics, which a pattern may match."""
    if topic in settings.own_topics:
        return None
    routes: Sequence[Route] = settings.routes
    matching = (route for route in sorted(routes, key=lambda route: route.is_pattern) if route.matches(topic))
    return next(matching, None)


def routed_topic(settings: Settings, topic: str, slices: int) -> RoutedTopic | None:
    """How a topic that Kafka assigned is carried, None for one of the bridge's own; `slices` is N of `partition_key: partition`.

    Raises KeyError for a topic that no route carries: Kafka and Python read a pattern differently.
    """
    if topic in settings.own_topics:
        return None
    route = route_of(settings, topic)
    if route is None:
        raise KeyError(f"no route carries topic {topic!r}: Kafka's reading of a routes[].topic pattern differs from Python's")
    template = "" if isinstance(route.partition_key, str) else route.partition_key.field
    mapping = MappingSpec(
        strategy="field" if template else str(route.partition_key),
        topic=topic,
        null_key=route.null_key,
        template=template,
        carry_origin=settings.name if route.carry_origin else None,
        ordering=route.ordering,
        slices=slices,
        aggregates_of=settings.name if route.format == "aggregated" else None,
        policies=route.policies,
    )
    limits = AggregateLimits(route.aggregate_bytes_max, route.aggregate_records_max, settings.name)
    aggregates = limits if route.format == "aggregated" else None
    return RoutedTopic(route.topic, route.stream_for(topic), route.shard_share, route.linger, mapping, aggregates)


def remembering_routes(settings: Settings) -> RouteTopic:
    """`routed_topic`, which remembers what it said: all topics are asked about every few seconds, and patterns are dear."""
    return lru_cache(maxsize=REMEMBERED_TOPICS_MAX)(partial(routed_topic, settings))
