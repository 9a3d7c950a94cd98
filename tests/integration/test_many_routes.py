"""400 topics with 2,000 partitions: how soon the first record is there, and what it costs while nothing comes."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from typing import Any

import pytest

from loadtest.usage import cpu_s
from tests.integration.conftest import Figure, StartDaemon
from tests.integration.daemon import Daemon, running_daemon
from tests.integration.flights import produce
from tests.integration.kafka_reader import read_topic
from tests.integration.kinesis_reader import read_stream
from tests.integration.scenario import partition_key_of, settings_of
from tests.integration.verdict import compare
from tests.servers.embedded_kinesis import RunningEmbeddedKinesis, running_embedded_kinesis
from tests.servers.fixtures import skip_if, unique
from tests.servers.kafka import RunningKafka, missing_for_kafka, running_kafka
from tests.servers.kinesis import create_stream, kinesis_client
from tests.servers.process import wait_until
from tests.servers.topics import create_topics

pytestmark = pytest.mark.real

AREAS = ("orders", "payments", "stock")
OF_AREA = 120
NAMED = 40
PARTITIONS = 5
SHARDS = 4
TOPICS = [
    *(f"{area}.{number:03d}" for area in AREAS for number in range(OF_AREA)),
    *(f"{AREAS[number % len(AREAS)]}.named-{number:02d}" for number in range(NAMED)),
]
BUSY = TOPICS[:: len(TOPICS) // 50]
"""Of every area, and named ones. The others stay idle."""
RECORDS_OF_TOPIC = 20
CLIENTS = 10
"""Producers and readers at the same time: each waits most of a second for Kafka and does little."""

START_SECONDS = 30.0
IDLE_SECONDS = 20.0
IDLE_CORES_MAX = 0.05
MEMORY_MAX = 256 * 1024 * 1024
DEADLINE_SECONDS = 90.0


def stream_of(topic: str) -> str:
    """The route of a topic's own name comes before the pattern that matches it too."""
    area, _, rest = topic.partition(".")
    return "named" if rest.startswith("named") else area


def routes() -> list[dict[str, Any]]:
    patterns = [{"topic": rf"^{area}\..*", "stream": area} for area in AREAS]
    return [*patterns, *({"topic": topic, "stream": "named"} for topic in TOPICS if stream_of(topic) == "named")]


@pytest.fixture(scope="module")
def wide_kafka() -> Iterator[RunningKafka]:
    """A Kafka of its own: its topics would be on the way of other tests, which list topics."""
    skip_if(missing_for_kafka(own=True))
    with running_kafka("wide-kafka", own=True) as server:
        create_topics(server.bootstrap_servers, TOPICS, partitions=PARTITIONS)
        yield server


@pytest.fixture
def kinesis() -> Iterator[RunningEmbeddedKinesis]:
    with running_embedded_kinesis("wide-kinesis") as server:
        for stream in (*AREAS, "named"):
            create_stream(kinesis_client(server.endpoint_url), stream, shards=SHARDS)
        yield server


def settings(kafka: RunningKafka, kinesis: RunningEmbeddedKinesis) -> dict[str, Any]:
    """A group of its own; the records of earlier tests are carried too."""
    return settings_of(unique("wide"), kafka, kinesis.endpoint_url, routes(), session_timeout="10s")


def produce_some(kafka: RunningKafka, topics: Sequence[str]) -> None:
    def produce_to(topic: str) -> int:
        made = unique(topic)
        records = ((b"key-%d" % (number % 7), f"{made} {number}".encode()) for number in range(RECORDS_OF_TOPIC))
        return produce(kafka.bootstrap_servers, topic, records)

    with ThreadPoolExecutor(CLIENTS) as threads:
        assert sum(threads.map(produce_to, topics)) == RECORDS_OF_TOPIC * len(topics)


def puts(kinesis: RunningEmbeddedKinesis) -> int:
    return int(kinesis.statistics()["calls"].get("PutRecords", 0))


def assigned(daemon: Daemon) -> int:
    """Partitions that this process has; 0 while it does not answer."""
    return len(daemon.metrics().by_label("bridge_kafka_lag_records", "partition")) if daemon.status_of("/livez") == 200 else 0


def lag(daemons: Sequence[Daemon]) -> float:
    return sum(daemon.metrics().total("bridge_kafka_lag_records") for daemon in daemons)


def acked(daemons: Sequence[Daemon]) -> float:
    return sum(daemon.metrics().total("bridge_records_acked_total") for daemon in daemons)


def idle_cores(daemons: Sequence[Daemon]) -> list[float]:
    """CPU time over time of each process while nothing is asked of it."""
    pids = [daemon.process.pid for daemon in daemons]
    began, before = time.monotonic(), list(map(cpu_s, pids))
    wait_until(lambda: time.monotonic() > began + IDLE_SECONDS, "the idle time", 2 * IDLE_SECONDS)
    seconds = time.monotonic() - began
    return [(after - earlier) / seconds for after, earlier in zip(map(cpu_s, pids), before, strict=True)]


def check_all_there(kafka: RunningKafka, kinesis: RunningEmbeddedKinesis) -> Counter[str]:
    """Everything that is in the busy topics is in the stream of its route, in order; how many of each stream."""
    with ThreadPoolExecutor(CLIENTS) as threads:
        sent = list(chain.from_iterable(threads.map(partial(read_topic, kafka.bootstrap_servers), BUSY)))
    client, counted = kinesis_client(kinesis.endpoint_url), Counter[str]()
    for stream in (*AREAS, "named"):
        of_stream = [record for record in sent if stream_of(record.topic) == stream]
        verdict = compare(of_stream, read_stream(client, stream), partition_key_of)
        assert of_stream
        assert verdict.complete_in_order, f"{stream}: {verdict}"
        counted[stream] = verdict.stored
    return counted


def wait_stored(daemons: Sequence[Daemon], records: float) -> None:
    wait_until(lambda: acked(daemons) >= records, f"{records:.0f} records", DEADLINE_SECONDS)
    wait_until(lambda: lag(daemons) == 0, "no lag", DEADLINE_SECONDS)


def shown(cores: Sequence[float], daemons: Sequence[Daemon]) -> str:
    memory = " and ".join(f"{daemon.peak_memory_bytes() / 2**20:.0f}" for daemon in daemons)
    return f"idle {' and '.join(f'{100 * part:.1f}' for part in cores)} % of a core, peak memory {memory} MiB"


def test_one_process(wide_kafka: RunningKafka, kinesis: RunningEmbeddedKinesis, figure: Figure):
    produce_some(wide_kafka, BUSY[:1])
    began = time.monotonic()
    with running_daemon(settings(wide_kafka, kinesis), ready=False) as daemon:
        wait_until(lambda: puts(kinesis) > 0, "the first record", DEADLINE_SECONDS)
        first_seconds = time.monotonic() - began
        wait_until(lambda: assigned(daemon) == len(TOPICS) * PARTITIONS, "all partitions", DEADLINE_SECONDS)
        wait_stored([daemon], RECORDS_OF_TOPIC)
        cores = idle_cores([daemon])
        produce_some(wide_kafka, BUSY)
        wait_stored([daemon], RECORDS_OF_TOPIC * (1 + len(BUSY)))
        figure(f"first record after {first_seconds:.1f} s; {shown(cores, [daemon])}")
        assert daemon.peak_memory_bytes() <= MEMORY_MAX
        daemon.terminate()
        assert daemon.wait_exit() == 0, daemon.log_text()
    assert check_all_there(wide_kafka, kinesis).total() == RECORDS_OF_TOPIC * (1 + len(BUSY))
    assert first_seconds <= START_SECONDS
    assert cores[0] <= IDLE_CORES_MAX


def test_a_second_process_takes_its_part(
    wide_kafka: RunningKafka, kinesis: RunningEmbeddedKinesis, start_daemon: StartDaemon, figure: Figure
):
    every = len(TOPICS) * PARTITIONS
    configuration = settings(wide_kafka, kinesis)
    first = start_daemon(configuration)
    wait_until(lambda: assigned(first) == every, "all partitions", DEADLINE_SECONDS)
    began = time.monotonic()
    second = start_daemon(configuration)
    both = [first, second]
    wait_until(lambda: list(map(assigned, both)) == [every // 2] * 2, "a half for each", DEADLINE_SECONDS)
    shared_seconds = time.monotonic() - began
    wait_until(lambda: lag(both) == 0, "no lag", DEADLINE_SECONDS)
    before, cores = acked(both), idle_cores(both)
    produce_some(wide_kafka, BUSY)
    wait_stored(both, before + RECORDS_OF_TOPIC * len(BUSY))
    figure(f"shared out after {shared_seconds:.1f} s; {shown(cores, both)}")
    for daemon in both:
        assert daemon.peak_memory_bytes() <= MEMORY_MAX
        daemon.terminate()
        assert daemon.wait_exit() == 0, daemon.log_text()
    check_all_there(wide_kafka, kinesis)
    assert max(cores) <= IDLE_CORES_MAX
