"""A whole forward line between a Kafka and a Kinesis that do as told, for tests of the application."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence

from bridge.app.forward import ForwardLine
from bridge.app.forward_setup import ForwardLimits, ForwardPorts
from bridge.app.routing import RoutedTopic
from bridge.app.stream_line import StreamLine
from bridge.core.delivery.commit_metadata import CommitPoint
from bridge.core.delivery.key_strategies import KeyCache, MappingSpec
from bridge.core.delivery.policies import Policies
from bridge.core.quotas import MIB
from bridge.core.records import Partition
from bridge.ports import SourceEvent
from tests.unit.app.ledger_topics import SLOTS, LedgerTopic
from tests.unit.app.lines import LoggingTelemetry
from tests.unit.app.streams import LIMITS, SPEC, DeadLetterTopic, Kinesis, LoopClock


class Kafka:
    """Source and offset directory: hands over what it is told to."""

    def __init__(self) -> None:
        self.pending: asyncio.Queue[Sequence[SourceEvent]] = asyncio.Queue()
        self.paused: set[Partition] = set()
        self.committed: dict[Partition, CommitPoint] = {}
        self.ids: dict[str, str] = {}

    async def events(self) -> Sequence[SourceEvent]:
        return await self.pending.get()

    def hand_over(self, *events: SourceEvent) -> None:
        self.pending.put_nowait(events)

    def pause(self, partitions: Collection[Partition]) -> None:
        self.paused |= set(partitions)

    def resume(self, partitions: Collection[Partition]) -> None:
        self.paused -= set(partitions)

    async def commit(self, points: Mapping[Partition, CommitPoint]) -> Mapping[Partition, str]:
        self.committed |= points
        return {}

    async def close(self) -> None:
        self.pending.put_nowait([])

    async def end_offsets(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        return {}

    async def topic_ids(self, topics: Collection[str]) -> Mapping[str, str]:
        return {topic: self.ids[topic] for topic in topics if topic in self.ids}

    async def partitions_of(self, wanted: Callable[[str], bool]) -> Sequence[Partition]:
        return []


DRAIN_S = 20.0


def forward_line(
    kafka: Kafka,
    kinesis: Kinesis,
    telemetry: LoggingTelemetry,
    buffer_bytes_max: int = 100 * MIB,
    dead_letters: DeadLetterTopic | None = None,
    ledger: LedgerTopic | None = None,
    policies: Policies = SPEC.policies,
) -> ForwardLine:
    """Each topic is a route of its name, to the stream of its name."""
    in_flight, keys = asyncio.Semaphore(64), KeyCache()

    async def open_source() -> Kafka:
        return kafka

    def open_stream(stream: str, share: float) -> StreamLine:
        return StreamLine(stream, (kinesis, kinesis, LoopClock()), telemetry, LIMITS, share, in_flight, keys)

    def route_topic(topic: str, slices: int) -> RoutedTopic:
        return RoutedTopic(topic, topic, 1.0, 0.02, MappingSpec("key", topic, policies=policies))

    limits = ForwardLimits(buffer_bytes_max, 1.0, DRAIN_S, SLOTS)
    ports = ForwardPorts(open_source, kafka, dead_letters or DeadLetterTopic(), ledger or LedgerTopic(), LoopClock(), "owner")
    return ForwardLine(ports, open_stream, route_topic, telemetry, limits)
