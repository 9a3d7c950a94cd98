"""A Kinesis that refuses records, loses answers and fails: everything arrives, in order, once."""

import random
from collections.abc import Iterator

import pytest

from loadtest.keys import make_keys, zipf_weights
from tests.integration.conftest import Figure, StartDaemon
from tests.integration.flights import produce
from tests.integration.kafka_reader import read_topic
from tests.integration.kinesis_reader import read_stream
from tests.integration.scenario import partition_key_of, settings_of, wait_committed
from tests.integration.verdict import compare
from tests.servers.embedded_kinesis import RunningEmbeddedKinesis, running_embedded_kinesis
from tests.servers.fixtures import NewTopic, unique
from tests.servers.kafka import RunningKafka
from tests.servers.kinesis import create_stream, kinesis_client

RECORDS = 300_000
KEYS = 5_000
EXPONENT = 0.1
"""Of Zipf's law. One record of a key is under way at a time, and behind one whose answer was lost the others of its key wait for
seconds, until it is found out what became of it: with a hot key this test would take as long as that has lost answers."""
SHARDS = 128
"""A shard that refuses one record in twenty all the time is sent little, so it takes many of them to end within a minute."""
SEED = 20131202

REFUSALS = [
    {"kind": "record_throttled", "probability": 0.05},
    {"kind": "record_internal_failure", "probability": 0.01},
]
LOST_ANSWERS = [
    {"kind": "connection_closed_after_storing", "probability": 0.01},
    {"kind": "error_after_storing", "probability": 0.01},
]


@pytest.fixture
def faulty_kinesis() -> Iterator[RunningEmbeddedKinesis]:
    with running_embedded_kinesis("faulty-kinesis", "--no-limits") as server:
        server.inject(*REFUSALS, *LOST_ANSWERS, seed=SEED)
        yield server


def zipf_records() -> Iterator[tuple[bytes, bytes]]:
    """Every value is another one, so that each stored record tells which one it is."""
    keys = random.Random(SEED).choices(make_keys(KEYS), zipf_weights(KEYS, EXPONENT), k=RECORDS)
    return ((key, b"record %d" % number) for number, key in enumerate(keys))


def test_every_record_arrives_in_order_and_lost_answers_make_no_copies(
    kafka: RunningKafka,
    faulty_kinesis: RunningEmbeddedKinesis,
    new_topic: NewTopic,
    start_daemon: StartDaemon,
    figure: Figure,
):
    topic, stream = new_topic("faults", partitions=12), unique("faults")
    client = kinesis_client(faulty_kinesis.endpoint_url)
    create_stream(client, stream, shards=SHARDS)
    assert produce(kafka.bootstrap_servers, topic, zipf_records()) == RECORDS
    daemon = start_daemon(settings_of(topic, kafka, faulty_kinesis.endpoint_url, [{"topic": topic, "stream": stream}]))

    wait_committed(kafka, topic, topic)

    metrics, statistics = daemon.metrics(), faulty_kinesis.statistics()
    daemon.terminate()
    assert daemon.wait_exit() == 0, daemon.log_text()
    stored = read_stream(client, stream)
    verdict = compare(read_topic(kafka.bootstrap_servers, topic), stored, partition_key_of)
    injected, seen = statistics["faults"], statistics["streams"][stream]
    lost_answers = sum(injected[str(fault["kind"])] for fault in LOST_ANSWERS)
    in_doubt = metrics.total("bridge_unknown_attempts_total", stream=stream)
    possible = metrics.total("bridge_possible_duplicates_total")
    figure(
        f"{verdict}; {seen['requests']} requests, injected {injected}; attempts in doubt {in_doubt:.0f}, "
        f"records that may be there twice {possible:.0f}"
    )
    assert verdict.sent == RECORDS
    assert verdict.exact, verdict
    for fault in REFUSALS:
        assert injected[str(fault["kind"])] > 0.5 * float(fault["probability"]) * seen["records_offered"]  # type: ignore[arg-type]
    # Every lost answer is one that the bridge knows of, and nothing else put it in doubt.
    assert lost_answers > 0
    assert metrics.total("bridge_put_requests_total", outcome="unknown") == lost_answers
    assert 0 < in_doubt <= lost_answers * seen["largest_request_records"]
    assert possible == 0
    assert metrics.total("bridge_duplicates_total", reason="unknown_attempt") == 0
