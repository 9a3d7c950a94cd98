"""Endpoints that speak the Kinesis API, and Kafkas under the port `Source`, for suites that are to hold on each of them."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import pytest

from bridge.adapters.kafka.source import KafkaSource
from bridge.embedded.kafka import embedded_kafka
from bridge.embedded.kinesis_model import KinesisModel
from bridge.embedded.kinesis_server import serve_kinesis
from tests.contract.kafka_sources import Broker, Reader, create, new_source, settings_for
from tests.contract.simulated_kafka import SimulatedKafka
from tests.servers.fixtures import unique
from tests.servers.kinesis import create_stream, kinesis_client

ENDPOINTS = ("embedded", pytest.param("kinesalite", marks=pytest.mark.real))
TRANSITION_SECONDS = 0.02


class KinesisEndpoint(NamedTuple):
    """Where a suite runs: `client` is a plain botocore client that does not check what it sends."""

    kind: str
    url: str
    client: Any


@pytest.fixture(scope="session")
def embedded_kinesis() -> Iterator[str]:
    """URL of an embedded Kinesis without shard limits, served from a thread, so that synchronous clients can call it."""
    started: Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        stop = asyncio.Event()
        model = KinesisModel(enforce_limits=False, transition_s=TRANSITION_SECONDS)
        async with serve_kinesis(model) as url:
            started.set_result((url, asyncio.get_running_loop(), stop))
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="embedded-kinesis")
    thread.start()
    url, loop, stop = started.result(timeout=10)
    yield url
    loop.call_soon_threadsafe(stop.set)
    thread.join(timeout=10)


@pytest.fixture(scope="session", params=ENDPOINTS)
def kinesis_endpoint(request: pytest.FixtureRequest) -> KinesisEndpoint:
    if request.param == "embedded":
        url = request.getfixturevalue("embedded_kinesis")
    else:
        url = request.getfixturevalue("kinesalite").endpoint_url
    return KinesisEndpoint(request.param, url, kinesis_client(url))


@pytest.fixture
def client(kinesis_endpoint: KinesisEndpoint) -> Any:
    return kinesis_endpoint.client


@pytest.fixture
def stream(client: Any) -> str:
    """A stream of two shards."""
    name = unique("calls")
    create_stream(client, name, shards=2)
    return name


@pytest.fixture
def differs(request: pytest.FixtureRequest) -> bool:
    """True where this test's module says that the server gives another answer: kinesalite, the mock Kafka."""
    assert request.function.__name__ in request.module.DIFFERENCES
    server = "broker" if "broker" in request.fixturenames else "kinesis_endpoint"
    return request.getfixturevalue(server).kind in ("kinesalite", "mock")


# -- Kafka

BROKERS = (
    pytest.param(("mock", "classic"), id="mock"),
    pytest.param(("simulated", "classic"), id="simulated-classic"),
    pytest.param(("simulated", "consumer"), id="simulated-consumer"),
    pytest.param(("kafka", "classic"), id="kafka-classic", marks=pytest.mark.real),
    pytest.param(("kafka", "consumer"), id="kafka-consumer", marks=pytest.mark.real),
)


@pytest.fixture(scope="session")
def mock_kafka() -> Iterator[str]:
    with embedded_kafka() as bootstrap_servers:
        yield bootstrap_servers


@pytest.fixture(scope="session", params=BROKERS)
def broker(request: pytest.FixtureRequest) -> Broker:
    kind, protocol = request.param
    if kind == "simulated":
        return Broker(kind, protocol, "kafka.invalid:9092", SimulatedKafka())
    if kind == "mock":
        return Broker(kind, protocol, request.getfixturevalue("mock_kafka"))
    return Broker(kind, protocol, request.getfixturevalue("kafka").bootstrap_servers)


@pytest.fixture
def topic(broker: Broker) -> str:
    """A topic of four partitions."""
    return create(broker, unique("source"))


@pytest.fixture
def group() -> str:
    return unique("group")


OpenReader = Callable[..., Awaitable[Reader]]


@pytest.fixture
async def open_reader(broker: Broker, topic: str, group: str) -> AsyncIterator[OpenReader]:
    """`open_reader(start=..., group=..., drain_timeout_s=..., instance_id=...)` starts a source; closed when the test ends."""
    async with AsyncExitStack() as stack:

        async def start_one(
            start: Any = "earliest", group: str = group, drain_timeout_s: float = 10.0, instance_id: str | None = None
        ) -> Reader:
            source = new_source(broker, settings_for(broker, topic, group, start, instance_id), drain_timeout_s)
            source.start()
            stack.push_async_callback(source.close)
            return Reader(source)

        yield start_one


@pytest.fixture
async def stepped_source(broker: Broker, topic: str, group: str) -> AsyncIterator[KafkaSource]:
    """A source whose thread does not run: the test calls `step`."""
    source = new_source(broker, settings_for(broker, topic, group))
    yield source
    source._closing.set()
    source._consumer.close()
