"""The servers as pytest fixtures: two for the whole run, and fresh ones for tests that stop or pause theirs."""

import itertools
import os
from collections.abc import Callable, Iterator, Mapping

import pytest

from tests.servers.helm import Helm, missing_for_helm
from tests.servers.kafka import RunningKafka, missing_for_kafka, running_kafka, running_secure_kafka
from tests.servers.kafka_security import KafkaSecurity
from tests.servers.kinesalite import RunningKinesalite, missing_for_kinesalite, running_kinesalite
from tests.servers.kinesis import create_stream, kinesis_client
from tests.servers.topics import create_topic

NEEDS_A_SERVER = frozenset({"kafka", "own_kafka", "secure_kafka", "kinesalite", "own_kinesalite", "helm"})
"""A test that asks for one of these gets the marker `real`."""

_number = itertools.count(1)

NewTopic = Callable[..., str]
"""`new_topic("orders", partitions=3, settings={...})` makes a topic of that and a unique suffix; returns its name."""
NewStream = Callable[..., str]
"""`new_stream("orders", shards=2)` makes a stream of that and a unique suffix, waits until it is active; returns its name."""


def unique(name: str) -> str:
    """The process number keeps two runs apart that share a given Kafka."""
    return f"{name}-{os.getpid()}-{next(_number)}"


def skip_if(missing: str | None) -> None:
    if missing is not None:
        pytest.skip(missing)


@pytest.fixture(scope="session")
def kafka() -> Iterator[RunningKafka]:
    skip_if(missing_for_kafka())
    with running_kafka() as server:
        yield server


@pytest.fixture
def own_kafka() -> Iterator[RunningKafka]:
    """A broker of the test's own, to stop, start, pause."""
    skip_if(missing_for_kafka(own=True))
    with running_kafka(unique("own-kafka"), own=True) as server:
        yield server


@pytest.fixture(scope="session")
def secure_kafka() -> Iterator[tuple[RunningKafka, KafkaSecurity]]:
    """A broker of its own with a listener for every way in, and who is who there."""
    skip_if(missing_for_kafka(own=True))
    security = KafkaSecurity()
    with running_secure_kafka(security) as server:
        yield server, security


@pytest.fixture(scope="session")
def kinesalite() -> Iterator[RunningKinesalite]:
    skip_if(missing_for_kinesalite())
    with running_kinesalite() as server:
        yield server


@pytest.fixture
def own_kinesalite() -> Iterator[RunningKinesalite]:
    """A kinesalite of the test's own, to stop, start, pause; its streams are on disk."""
    skip_if(missing_for_kinesalite())
    with running_kinesalite(unique("own-kinesalite"), on_disk=True) as server:
        yield server


@pytest.fixture
def new_topic(kafka: RunningKafka) -> NewTopic:
    def create(name: str = "topic", *, partitions: int = 3, settings: Mapping[str, str] | None = None) -> str:
        topic = unique(name)
        create_topic(kafka.bootstrap_servers, topic, partitions=partitions, settings=settings)
        return topic

    return create


@pytest.fixture
def new_stream(kinesalite: RunningKinesalite) -> NewStream:
    def create(name: str = "stream", *, shards: int = 2) -> str:
        stream = unique(name)
        create_stream(kinesis_client(kinesalite.endpoint_url), stream, shards=shards)
        return stream

    return create


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """No server, but fetched and missed like one."""
    skip_if(missing_for_helm())
    return Helm(tmp_path_factory.mktemp("helm"))
