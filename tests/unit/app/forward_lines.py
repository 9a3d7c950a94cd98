"""A whole forward line between a Kafka and a Kinesis that do as told, for tests of the application."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from bridge.app.forward import ForwardLine
from bridge.app.forward_setup import ForwardLimits, ForwardPorts
from bridge.app.owners import LeaseTerms
from bridge.app.read_back_round import RecoveryTerms
from bridge.app.routing import RoutedTopic
from bridge.app.service_time import ServiceTime
from bridge.app.stream_line import StreamLine
from bridge.core.delivery.aggregate_limits import AggregateLimits
from bridge.core.delivery.commit_metadata import CommitPoint
from bridge.core.delivery.key_strategies import KeyCache, MappingSpec
from bridge.core.delivery.policies import Policies
from bridge.core.quotas import MIB
from bridge.core.records import Partition
from bridge.ports import Assigned, AssignedPartition, SourceEvent
from tests.unit.app.control_topics import ControlTopic
from tests.unit.app.ledger_topics import SLOTS, LedgerTopic
from tests.unit.app.lines import LoggingTelemetry
from tests.unit.app.shard_worlds import HOUR_MS, Group, Reader, Shards
from tests.unit.app.streams import LIMITS, SPEC, DeadLetterTopic, Kinesis, LoopClock, stream_ports


class Kafka:
    """Source and offset directory: hands over what it is told to."""

    def __init__(self) -> None:
        self.pending: asyncio.Queue[Sequence[SourceEvent]] = asyncio.Queue()
        self.paused: set[Partition] = set()
        self.committed: dict[Partition, CommitPoint] = {}
        self.ids: dict[str, str] = {}
        self.begun_anew: list[AssignedPartition] = []

    async def events(self) -> Sequence[SourceEvent]:
        return await self.pending.get()

    def hand_over(self, *events: SourceEvent) -> None:
        self.pending.put_nowait(events)

    def pause(self, partitions: Collection[Partition]) -> None:
        self.paused |= set(partitions)

    def resume(self, partitions: Collection[Partition]) -> None:
        self.paused -= set(partitions)

    def again(self, assigned: AssignedPartition) -> None:
        self.begun_anew.append(assigned)
        self.hand_over(Assigned([assigned]))

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


@dataclass
class Behind:
    """What is looked at behind the line: the shards of every stream, and the group with what the topics hold."""

    shards: Shards = field(default_factory=Shards)
    group: Group = field(default_factory=Group)
    control: ControlTopic = field(default_factory=ControlTopic)
    carry_origin: str | None = None
    is_aggregated: bool = False
    owner: str = "owner"
    lease_ms: float = 600_000
    ledger_retention_ms: float = 8 * 24 * HOUR_MS


def forward_line(
    kafka: Kafka,
    kinesis: Kinesis,
    telemetry: LoggingTelemetry,
    buffer_bytes_max: int = 100 * MIB,
    dead_letters: DeadLetterTopic | None = None,
    ledger: LedgerTopic | None = None,
    policies: Policies = SPEC.policies,
    behind: Behind | None = None,
) -> ForwardLine:
    """Each topic is a route of its name, to the stream of its name."""
    offsets, behind = behind.group if behind else kafka, behind or Behind()
    in_flight, keys, time = asyncio.Semaphore(64), KeyCache(), ServiceTime(LoopClock())

    async def open_source() -> Kafka:
        return kafka

    def open_stream(stream: str, share: float) -> StreamLine:
        return StreamLine(stream, stream_ports(kinesis, time), telemetry, LIMITS, share, in_flight, keys)

    def route_topic(topic: str, slices: int) -> RoutedTopic:
        spec = MappingSpec("key", topic, policies=policies, carry_origin=behind.carry_origin)
        aggregates = AggregateLimits(50_000, 500, "bridge") if behind.is_aggregated else None
        return RoutedTopic(topic, topic, 1.0, 0.02, replace(spec, aggregates_of="bridge" if aggregates else None), aggregates)

    terms = RecoveryTerms("bridge", "group", 5000, 2000, 12_000, 30_000, behind.ledger_retention_ms)
    limits = ForwardLimits(buffer_bytes_max, 1.0, DRAIN_S, SLOTS, LeaseTerms(behind.lease_ms, 6_000), terms)
    ports = ForwardPorts(
        open_source,
        offsets,
        dead_letters or DeadLetterTopic(),
        ledger or LedgerTopic(),
        behind.control,
        LoopClock(),
        behind.group,
        Reader(behind.shards),
        behind.group,
        behind.owner,
    )
    return ForwardLine(ports, open_stream, route_topic, telemetry, limits, time)


@asynccontextmanager
async def running(line: ForwardLine) -> AsyncIterator[None]:
    """Cancelled at the end."""
    task = asyncio.ensure_future(line.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
