"""A Kinesis that refuses records, loses answers and fails: everything arrives, in order, and each repeat has its reason."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest

from loadtest.keys import make_keys, zipf_weights
from tests.integration.conftest import Figure, StartDaemon
from tests.integration.flights import produce
from tests.integration.kafka_reader import read_topic
from tests.integration.kinesis_reader import KinesisRecord, read_stream
from tests.integration.scenario import partition_key_of, settings_of, wait_committed
from tests.integration.verdict import compare
from tests.servers.embedded_kinesis import RunningEmbeddedKinesis, running_embedded_kinesis
from tests.servers.fixtures import NewTopic, unique
from tests.servers.kafka import RunningKafka
from tests.servers.kinesis import create_stream, kinesis_client

RECORDS = 300_000
KEYS = 5_000
EXPONENT = 0.6
"""Of Zipf's law: the first key has 1 % of the records. One record of a key is under way at a time, which bounds its rate."""
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


def copies_of(stored: Sequence[KinesisRecord]) -> Counter[bytes]:
    """How often each value is there that is there more than once."""
    counted = Counter(record.data for record in stored)
    return Counter({data: count for data, count in counted.items() if count > 1})


def test_every_record_arrives_in_order_and_only_lost_answers_make_copies(
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
    verdict, copies = compare(read_topic(kafka.bootstrap_servers, topic), stored, partition_key_of), copies_of(stored)
    injected, seen = statistics["faults"], statistics["streams"][stream]
    lost_answers = sum(injected[str(fault["kind"])] for fault in LOST_ANSWERS)
    in_doubt = metrics.total("bridge_unknown_attempts_total", stream=stream)
    repeated = metrics.total("bridge_duplicates_total", reason="unknown_attempt")
    figure(
        f"{verdict}; {seen['requests']} requests, injected {injected}; attempts in doubt {in_doubt:.0f}, "
        f"records that may be there twice {repeated:.0f}, that are {len(copies)}"
    )
    assert verdict.sent == RECORDS
    assert verdict.complete_in_order, verdict
    for fault in REFUSALS:
        assert injected[str(fault["kind"])] > 0.5 * float(fault["probability"]) * seen["records_offered"]  # type: ignore[arg-type]
    # Every lost answer is one that the bridge knows of, and nothing else put it in doubt.
    assert lost_answers > 0
    assert metrics.total("bridge_put_requests_total", outcome="unknown") == lost_answers
    assert in_doubt <= lost_answers * seen["largest_request_records"]
    # What such a request stored is there twice. Some of its records were refused, so there are fewer copies than attempts.
    assert 0 < verdict.duplicates <= in_doubt
    assert 0 < len(copies) <= repeated
    assert verdict.duplicates == copies.total() - len(copies)
