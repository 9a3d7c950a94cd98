"""The composition root: reads the configuration, makes the adapters, wires the line. The only importer of adapters."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import uuid4

import uvloop
from aiobotocore.config import AioConfig
from confluent_kafka import Consumer, KafkaException
from confluent_kafka.admin import AdminClient

from bridge import __version__
from bridge.adapters.kafka.admin import KafkaAdmin
from bridge.adapters.kafka.clients import KafkaClients
from bridge.adapters.kafka.control import KafkaControl
from bridge.adapters.kafka.dead_letters import DeadLetterTopic, KafkaDeadLetters
from bridge.adapters.kafka.handover import Handover
from bridge.adapters.kafka.ledger import KafkaLedger
from bridge.adapters.kafka.membership import RECONNECT_MS, Membership
from bridge.adapters.kafka.opening import OpeningSource
from bridge.adapters.kafka.row_reader import KafkaRowReader
from bridge.adapters.kafka.security import Security, creation_problem
from bridge.adapters.kafka.source import KafkaSource
from bridge.adapters.kafka.threads import SystemThreads, Threads
from bridge.adapters.kafka.tokens import MskSigner, Tokens
from bridge.adapters.kafka.topic_ids import TopicIds
from bridge.adapters.kafka.topics import KafkaTopics
from bridge.adapters.kinesis.credentials import AssumedRole, kinesis_session
from bridge.adapters.kinesis.shard_directory import KinesisShardDirectory
from bridge.adapters.kinesis.shard_reader import KinesisShardReader
from bridge.adapters.kinesis.sink import open_sink
from bridge.adapters.system_clock import SystemClock
from bridge.app.collector import calm_collector
from bridge.app.forward import ForwardLine
from bridge.app.forward_setup import ForwardLimits, ForwardPorts
from bridge.app.http_api import metrics_app, serving
from bridge.app.log_output import configure_logging
from bridge.app.owners import LeaseTerms
from bridge.app.read_back_round import RecoveryTerms
from bridge.app.routing import remembering_routes, route_of
from bridge.app.sending import StreamPorts
from bridge.app.service_time import ServiceTime
from bridge.app.settings import MSK_IAM, Problem, SecretFileError, Settings, security_secrets
from bridge.app.stream_line import StreamLine
from bridge.app.supervisor import supervise
from bridge.app.telemetry import Telemetry
from bridge.core.delivery.key_strategies import KeyCache
from bridge.core.delivery.requests import RequestLimits
from bridge.core.errors import UnavailableError
from bridge.ports import Clock, ControlStore, Ledger, Sink, Source

CONSUMER_SESSION_TIMEOUT_S = 45.0
"""Default of `group.consumer.session.timeout.ms`, where the broker does not name its setting."""
CONNECTIONS_MAX = 40
"""Beside those of the sink: so many shards are read back at once, and streams are described meanwhile."""
HANDOVER_MARGIN_S = 0.5
"""The consumer's thread waits that much longer for a drain than the drain itself may take."""


def kafka_clients(settings: Settings, telemetry: Telemetry | None = None) -> KafkaClients:
    """Makes every Kafka client of the bridge. Without telemetry the client library is silent."""
    security = settings.kafka.security
    region = security.region or settings.kinesis.region
    properties = {
        "bootstrap.servers": settings.kafka.bootstrap_servers,
        "client.id": f"bridge-{settings.name}",
        "reconnect.backoff.max.ms": RECONNECT_MS,
        **settings.kafka.librdkafka_properties(),
    }

    def secrets() -> dict[str, str]:
        try:
            return security_secrets(security)
        except SecretFileError as error:
            raise UnavailableError(str(error)) from None

    return KafkaClients(
        properties,
        Security(**{**security.model_dump(include=set(security.file_keys())), "region": region}),
        secrets,
        Tokens(MskSigner(region)) if security.mechanism == MSK_IAM else None,
        None if telemetry is None else lambda line: telemetry.log("debug", "kafka_client_log", message=line),
    )


def membership(settings: Settings) -> Membership:
    """The bridge in its consumer group."""
    kafka = settings.kafka
    return Membership(kafka.group, kafka.group_protocol, kafka.session_timeout, kafka.group_instance_id)


@dataclass(slots=True)
class KinesisClients:
    """What talks to Kinesis."""

    sink: Sink
    directory: KinesisShardDirectory
    client: Any
    endpoint_url: str


@asynccontextmanager
async def open_kinesis(settings: Settings) -> AsyncIterator[KinesisClients]:
    """Clients for Kinesis; endpoint, and without a role the credentials, as botocore finds them. Raises BotoCoreError."""
    kinesis = settings.kinesis
    role = AssumedRole(kinesis.role_arn, kinesis.external_id, f"bridge-{settings.name}") if kinesis.role_arn else None
    session = kinesis_session(role, kinesis.region)
    # Retries are decided in one place, the scheduler; botocore's own are turned off.
    config = AioConfig(
        connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 1}, max_pool_connections=CONNECTIONS_MAX
    )
    async with AsyncExitStack() as stack:
        client: Any = await stack.enter_async_context(
            session.create_client("kinesis", region_name=kinesis.region, endpoint_url=kinesis.endpoint_url, config=config)
        )
        endpoint_url: str = client.meta.endpoint_url
        sink = await stack.enter_async_context(
            open_sink(
                session, endpoint_url, kinesis.region, kinesis.request_timeout, kinesis.requests_in_flight_max, SystemClock()
            )
        )
        yield KinesisClients(sink, KinesisShardDirectory(client), client, endpoint_url)


@dataclass(slots=True, frozen=True)
class Machine:
    """What the line takes of the machine it runs on; a simulation brings its own."""

    clock: Clock = field(default_factory=SystemClock)
    threads: Threads = field(default_factory=SystemThreads)
    name: str = field(default_factory=lambda: uuid4().hex[:12])
    """Tells this process from all others, and from those before it."""


def stream_opener(
    settings: Settings, kinesis: KinesisClients, telemetry: Telemetry, clock: Clock, time: ServiceTime
) -> Callable[[str, float], StreamLine]:
    """Opens streams, with our share of their shards, that are together within the limits of the configuration."""
    keys = KeyCache()
    in_flight = asyncio.Semaphore(settings.kinesis.requests_in_flight_max)
    limits = RequestLimits(settings.kinesis.request_records_max, settings.kinesis.request_bytes_max)
    ports = StreamPorts(kinesis.sink, kinesis.directory, clock, time, settings.kinesis.request_timeout)
    return lambda stream, share: StreamLine(stream, ports, telemetry, limits, share, in_flight, keys)


def dead_letters(settings: Settings, kafka: KafkaClients, machine: Machine) -> KafkaDeadLetters:
    """Writes the dead-letter topic. Nothing is asked of Kafka before the first record is parked."""
    topic = DeadLetterTopic(settings.name, lambda name: route_of(settings, name) is not None)
    return KafkaDeadLetters(topic, kafka, KafkaTopics(kafka), machine.clock, machine.threads)


def ledger(settings: Settings, kafka: KafkaClients, machine: Machine) -> Ledger:
    """The ledger topic. Nothing is asked of Kafka before it is opened."""
    return KafkaLedger(settings.ledger_definition, kafka, KafkaTopics(kafka), machine.threads)


def control(settings: Settings, kafka: KafkaClients) -> ControlStore:
    """The control topic. Nothing is asked of Kafka before it is opened or read."""
    return KafkaControl(settings.control_definition, kafka, KafkaTopics(kafka))


def forward_line(
    settings: Settings,
    kafka: KafkaClients,
    admin: KafkaAdmin,
    kinesis: KinesisClients,
    telemetry: Telemetry,
    drain_timeout_s: float,
    machine: Machine,
) -> ForwardLine:
    """Wires the forward line."""

    time = ServiceTime(machine.clock)
    topic_ids = TopicIds(admin.ids_of_topics)  # outlives each consumer

    recovery = RecoveryTerms(
        settings.name,
        settings.kafka.group,
        settings.kinesis.settle * 1000,
        settings.kinesis.clock_margin * 1000,
        settings.lease * 1000,
        settings.kafka.session_timeout * 1000,
        settings.ledger.retention * 1000,
    )
    terms = LeaseTerms(settings.lease * 1000, settings.kinesis.request_timeout * 1000)

    async def open_source() -> Source:
        return OpeningSource(lambda: kafka_source(settings, kafka, admin, drain_timeout_s, machine.threads, topic_ids))

    return ForwardLine(
        ForwardPorts(
            open_source,
            admin,
            dead_letters(settings, kafka, machine),
            ledger(settings, kafka, machine),
            control(settings, kafka),
            machine.clock,
            admin,
            KinesisShardReader(kinesis.client, machine.clock, Random(machine.name)),
            KafkaRowReader(kafka, admin),
            machine.name,
        ),
        stream_opener(settings, kinesis, telemetry, machine.clock, time),
        remembering_routes(settings),
        telemetry,
        ForwardLimits(
            settings.buffer_bytes_max, settings.commit_interval, drain_timeout_s, settings.ledger.slots, terms, recovery
        ),
        time,
    )


async def kafka_source(
    settings: Settings,
    kafka: KafkaClients,
    admin: KafkaAdmin,
    drain_timeout_s: float,
    threads: Threads,
    topic_ids: TopicIds,
) -> Source:
    """A consumer that is subscribed and running. Raises UnavailableError where it cannot be made."""
    handover, member = Handover(asyncio.get_running_loop(), threads), membership(settings)
    source = await asyncio.to_thread(
        KafkaSource,
        lambda properties: kafka.consumer(properties, member.tuning()),
        member.properties(),
        [route.topic for route in settings.routes],
        lambda partitions, grown: admin.start_offsets(partitions, grown, lambda topic: _start(settings, topic)),
        handover,
        drain_timeout_s + HANDOVER_MARGIN_S,
        topic_ids,
    )
    source.start()
    return source


def _start(settings: Settings, topic: str) -> str | int:
    route = route_of(settings, topic)
    start = route.start if route else "earliest"
    return start if isinstance(start, str) else start.milliseconds


async def drain_timeout(settings: Settings, admin: KafkaAdmin) -> float:
    """A drain ends before the group would give the partitions away, and before their leases end, in seconds."""
    session_timeout_s = settings.kafka.session_timeout
    if settings.kafka.group_protocol == "consumer":
        try:
            session_timeout_s = await admin.group_session_timeout_s(settings.kafka.group) or CONSUMER_SESSION_TIMEOUT_S
        except UnavailableError:
            session_timeout_s = CONSUMER_SESSION_TIMEOUT_S
    until_given_away_s = session_timeout_s - 2 * settings.commit_interval - HANDOVER_MARGIN_S
    return max(1.0, min(until_given_away_s, settings.lease - 3 * settings.commit_interval))


def check_client(settings: Settings) -> Problem | None:
    """What the Kafka client library says against its properties, None where it takes them. Connects to nothing."""
    nowhere = {"bootstrap.servers": ""}
    try:
        properties = {**kafka_clients(settings).properties(), **nowhere}
        AdminClient(properties)
        member = membership(settings)
        Consumer({**member.tuning(), **properties, **member.properties()}).close()
    except KafkaException as error:
        path, _, remedy = creation_problem(error.args[0].str()).partition(": ")
    except UnavailableError as error:
        path, _, remedy = str(error).partition(": ")
    else:
        return None
    return Problem(path, ", ".join(sorted(settings.kafka.properties)) or None, remedy)


def run(settings: Settings) -> bool:
    """`bridge run`: works until a signal. Returns whether it ended with everything settled and committed."""
    configure_logging(settings.log)
    calm_collector()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(settings))


async def _run(settings: Settings) -> bool:
    telemetry = Telemetry()
    telemetry.gauges(lambda: [("bridge_build_info", (__version__, settings.name), 1)])
    kafka = kafka_clients(settings, telemetry)
    admin = KafkaAdmin(kafka)
    async with open_kinesis(settings) as kinesis:
        drain_timeout_s = await drain_timeout(settings, admin)
        forward = forward_line(settings, kafka, admin, kinesis, telemetry, drain_timeout_s, Machine())
        async with serving(metrics_app(forward, telemetry), settings.metrics.host, settings.metrics.port) as port:
            telemetry.log("info", "bridge_started", version=__version__, name=settings.name, metrics_port=port)
            return await supervise(forward, telemetry, drain_timeout_s)
