"""A source as the daemon opens it, on each Kafka, and a reader that keeps what it handed over."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from bridge.adapters.kafka.admin import KafkaAdmin
from bridge.adapters.kafka.clients import KafkaClients
from bridge.adapters.kafka.handover import Handover
from bridge.adapters.kafka.source import KafkaSource
from bridge.adapters.kafka.topic_ids import TopicIds
from bridge.app.settings import Settings, parse_settings
from bridge.app.telemetry import Telemetry
from bridge.bootstrap import kafka_clients, membership
from bridge.core.delivery.commit_metadata import CommitPoint
from bridge.core.records import Partition, SourceBatch
from bridge.embedded.kafka import PARTITION_BYTES_MAX, PARTITIONS
from bridge.ports import Assigned, AssignedPartition, Lost, PartitionFailed, Revoking, SourceEvent, SourceTrouble
from tests.contract.simulated_kafka import SimulatedKafka
from tests.servers.fixtures import unique
from tests.servers.process import wait_until
from tests.servers.topics import create_topic, delete_topic

SECONDS = 30.0
SESSION_TIMEOUT_S = 4
"""Of a member under the `classic` protocol; with `consumer` the broker of the tests gives 10 s."""
Headline = tuple[bytes | None, bytes | None]


class Broker(NamedTuple):
    """Where a suite runs: `kind` is `mock`, `kafka` or `simulated`, `protocol` the group protocol of its consumers."""

    kind: str
    protocol: str
    bootstrap_servers: str
    simulated: SimulatedKafka | None = None

    def clients(self, settings: Settings) -> KafkaClients:
        """The bridge's."""
        kafka = kafka_clients(settings, Telemetry())
        return kafka if self.simulated is None else self.simulated.clients(kafka.properties())

    def consumer(self, group: str, more: Mapping[str, Any] | None = None) -> Any:
        """One that belongs to no bridge, with further properties."""
        own = {"bootstrap.servers": self.bootstrap_servers, "group.id": group, "enable.auto.commit": False}
        properties = {**own, **(more or {})}
        return Consumer(properties) if self.simulated is None else self.simulated.consumer(properties)


def create(broker: Broker, topic: str, partitions: int = PARTITIONS, settings: Mapping[str, str] | None = None) -> str:
    """By default a topic of as many partitions as the mock gives every topic; it knows no other."""
    if broker.simulated is not None:
        broker.simulated.create_topic(topic, partitions, settings)
        return topic
    if broker.kind == "kafka":
        create_topic(broker.bootstrap_servers, topic, partitions=partitions, settings=settings)
        return topic
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    wait_until(lambda: admin.list_topics(topic, timeout=SECONDS).topics[topic].error is None, f"topic {topic}", SECONDS)
    return topic


def has_assigned(broker: Broker, group: str) -> bool:
    """Whether Kafka has given each member of the group its partitions, whatever the members know of it."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    members = admin.describe_consumer_groups([group])[group].result(SECONDS).members
    return bool(members) and all(member.assignment and member.assignment.topic_partitions for member in members)


def settings_for(broker: Broker, topic: str, group: str, start: Any = "earliest", instance_id: str | None = None) -> Settings:
    kafka: dict[str, Any] = {"bootstrap_servers": broker.bootstrap_servers, "group": group, "group_protocol": broker.protocol}
    if broker.protocol == "classic":
        kafka |= {"session_timeout": f"{SESSION_TIMEOUT_S}s", "properties": {"heartbeat.interval.ms": 200}}
    if instance_id is not None:
        kafka["group_instance_id"] = instance_id
    routes = [{"topic": topic, "stream": "s", "start": start}]
    kinesis = {"region": "us-east-1", "request_timeout": "1s"}
    return parse_settings({"name": "contract", "routes": routes, "kafka": kafka, "kinesis": kinesis})


def new_source(broker: Broker, settings: Settings, drain_timeout_s: float = SECONDS) -> KafkaSource:
    """Subscribed, with its thread not started."""
    kafka = broker.clients(settings)
    admin = KafkaAdmin(kafka)
    start = settings.routes[0].start
    return KafkaSource(
        lambda properties: kafka.consumer(properties, membership(settings).tuning()),
        membership(settings).properties(),
        [settings.routes[0].topic],
        lambda partitions, grown: admin.start_offsets(
            partitions, grown, lambda _: start if isinstance(start, str) else start.milliseconds
        ),
        Handover(asyncio.get_running_loop()),
        drain_timeout_s,
        TopicIds(admin.ids_of_topics),
    )


@dataclass(slots=True)
class Kept:
    """Rows of one partition as they came: offsets, timestamps, (key, value); where reading goes on."""

    offsets: list[int] = field(default_factory=list)
    timestamps_ms: list[int] = field(default_factory=list)
    records: list[Headline] = field(default_factory=list)
    next_offset: int = -1


class Reader:
    """Takes the events of a source and keeps them by kind."""

    def __init__(self, source: KafkaSource) -> None:
        self.source = source
        self.assigned: dict[Partition, AssignedPartition] = {}
        self.kept: dict[Partition, Kept] = {}
        self.revoking: list[Revoking] = []
        self.lost: list[Lost] = []
        self.failed: list[PartitionFailed] = []
        self.troubles: list[SourceTrouble] = []
        self.ended = False

    def of(self, partition: Partition) -> Kept:
        return self.kept.setdefault(partition, Kept())

    async def until(self, condition: Callable[[], bool], what: str, seconds: float = SECONDS) -> None:
        """Takes events until the condition holds."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    events = await self.source.events()
                    self.ended = not events
                    assert events, f"{what}: the source ended, {self.troubles}"
                    self.take(events)
        except TimeoutError as error:
            raise AssertionError(f"{what}: not within {seconds:g} s; assigned {self.assigned}, {self.troubles}") from error

    async def step_until(self, condition: Callable[[], bool], what: str) -> None:
        """Calls `step` of a source whose thread does not run, until the condition holds."""
        deadline = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < deadline, what
            self.source.step()
            with suppress(TimeoutError):
                async with asyncio.timeout(0):
                    self.take(await self.source.events())

    async def until_assigned(self, count: int, seconds: float = SECONDS) -> None:
        await self.until(lambda: len(self.assigned) >= count, f"{count} partitions assigned", seconds)

    async def until_end(self, partition: Partition, end: int) -> None:
        await self.until(lambda: self.of(partition).next_offset == end, f"{end} of {partition}")

    def take(self, events: Iterable[SourceEvent]) -> None:
        for event in events:
            match event:
                case Assigned():
                    self.assigned |= {entry.partition: entry for entry in event.partitions}
                case SourceBatch():
                    self._keep(event)
                case Revoking():
                    self.revoking.append(event)
                case Lost():
                    self.lost.append(event)
                case PartitionFailed():
                    self.failed.append(event)
                case SourceTrouble():
                    self.troubles.append(event)

    def _keep(self, batch: SourceBatch) -> None:
        assert batch.partition in self.assigned, "records before their assignment"
        kept = self.of(batch.partition)
        assert not batch.offsets or batch.next_offset > batch.offsets[-1]
        kept.offsets += batch.offsets
        kept.timestamps_ms += batch.timestamps_ms
        kept.records += list(zip(batch.keys, batch.values, strict=True))
        kept.next_offset = batch.next_offset


def produce(broker: Broker, partition: Partition, records: Iterable[Headline], timestamp_ms: int = 0) -> None:
    """Writes and waits for the confirmation; without a timestamp the broker's clock tells it."""
    if broker.simulated is not None:
        broker.simulated.produce(partition, records, timestamp_ms)
        return
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "linger.ms": 0})
    failures: list[object] = []
    for key, value in records:
        producer.produce(
            partition.topic,
            value=value,
            key=key,
            partition=partition.number,
            timestamp=timestamp_ms,
            on_delivery=lambda error, _: failures.append(error) if error else None,
        )
    assert producer.flush(SECONDS) == 0
    producer.close()
    assert not failures


def write_transactions(broker: Broker, partition: Partition, transactions: Iterable[tuple[int, bool]]) -> None:
    """One record for each number, in a transaction of its own, which is committed or aborted."""
    if broker.simulated is not None:
        broker.simulated.write_transactions(partition, transactions)
        return
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "transactional.id": unique("transaction")})
    producer.init_transactions(SECONDS)
    for number, commit in transactions:
        producer.begin_transaction()
        producer.produce(partition.topic, b"value-%d" % number, b"key-%d" % number, partition.number)
        producer.flush(SECONDS)
        if commit:
            producer.commit_transaction(SECONDS)
        else:
            producer.abort_transaction(SECONDS)
    producer.close()


def recreate(broker: Broker, topic: str) -> None:
    """Deleted and created anew under its name."""
    if broker.simulated is not None:
        broker.simulated.recreate_topic(topic)
        return
    delete_topic(broker.bootstrap_servers, topic)
    create(broker, topic)


def truncate(broker: Broker, partition: Partition) -> None:
    """Writes more, then removes the oldest records: on request, or as the mock does with what is beyond its memory."""
    filling: Headline = (None, b"x" * 500_000)
    produce(broker, partition, [filling] * (2 * PARTITION_BYTES_MAX // 500_000 if broker.kind == "mock" else 4))
    if broker.kind != "mock":
        delete_records(broker, partition, 5)


def delete_records(broker: Broker, partition: Partition, before: int) -> None:
    """As retention does. The mock cannot."""
    if broker.simulated is not None:
        broker.simulated.delete_records(partition, before)
        return
    begin = TopicPartition(partition.topic, partition.number, before)
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    admin.delete_records([begin])[begin].result(SECONDS)


def numbered(first: int, end: int) -> list[Headline]:
    return [(b"key-%d" % number, b"value-%d" % number) for number in range(first, end)]


class Committed:
    """A group's offsets, asked and written from outside by a consumer that does not subscribe."""

    def __init__(self, broker: Broker, group: str) -> None:
        self._consumer: Callable[[], Any] = lambda: broker.consumer(group)

    def read(self, *partitions: Partition) -> dict[Partition, CommitPoint]:
        consumer = self._consumer()
        try:
            answers = consumer.committed([TopicPartition(p.topic, p.number) for p in partitions], SECONDS)
        finally:
            consumer.close()
        assert all(answer.error is None for answer in answers)
        return {Partition(a.topic, a.partition): CommitPoint(a.offset, a.metadata or "") for a in answers if a.offset >= 0}

    def write(self, points: Mapping[Partition, CommitPoint]) -> None:
        consumer = self._consumer()
        try:
            offsets = [TopicPartition(p.topic, p.number, point.offset, point.metadata) for p, point in points.items()]
            answers = consumer.commit(offsets=offsets, asynchronous=False)
        finally:
            consumer.close()
        assert answers is not None
        assert all(answer.error is None for answer in answers)
