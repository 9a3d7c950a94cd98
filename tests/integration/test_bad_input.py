"""Records that are to stop their partition, and partitions that Kafka no longer has: named, halted, nothing dropped."""

import json
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.integration.conftest import StartDaemon
from tests.integration.kafka_reader import group_positions
from tests.integration.kinesis_reader import read_stream
from tests.integration.scenario import settings_of
from tests.servers.fixtures import NewStream, NewTopic
from tests.servers.kafka import RunningKafka
from tests.servers.kinesalite import RunningKinesalite
from tests.servers.kinesis import kinesis_client
from tests.servers.process import wait_until

BAD: dict[str, tuple[bytes | None, bytes | None]] = {
    "oversize": (b"key", b"x" * 1_048_575),
    "tombstone": (b"key", None),
    "key_too_long": (b"k" * 257, b"value"),
}
STOP = {"on_oversize": "stop", "on_tombstone": "stop", "on_long_key": "stop"}
GOOD = 20


@pytest.mark.parametrize("reason", BAD)
def test_a_record_that_kinesis_would_reject_halts_its_partition_alone(
    reason: str,
    kafka: RunningKafka,
    kinesalite: RunningKinesalite,
    new_topic: NewTopic,
    new_stream: NewStream,
    start_daemon: StartDaemon,
):
    settings_for_topic = {"max.message.bytes": "4000000"}
    route = {"topic": new_topic("bad", partitions=2, settings=settings_for_topic), "stream": new_stream("bad"), **STOP}
    topic = route["topic"]
    fill(kafka, topic, BAD[reason])
    daemon = start_daemon(settings_of(topic, kafka, kinesalite.endpoint_url, [route]))

    wait_until(lambda: bool(daemon.json_of("/readyz")["halted"]), "the halt", 60)
    wait_until(lambda: committed(kafka, topic) == {0: GOOD, 1: 2 * GOOD}, "all that stands before it", 60)

    halted = daemon.json_of("/readyz")["halted"]
    assert [(h["topic"], h["partition"], h["offset"], h["reason"]) for h in halted] == [(topic, 0, GOOD, reason)]
    wait_until(
        lambda: daemon.metrics().total("bridge_kafka_lag_records", partition=f"{topic}-0") == GOOD + 1,
        "lag of a halted partition",
        60,
    )
    metrics = daemon.metrics()
    assert metrics.total("bridge_partition_halted", route=topic, partition=f"{topic}-0", reason=reason) == 1
    assert metrics.total("bridge_kafka_lag_seconds", partition=f"{topic}-0") > 0
    assert metrics.total("bridge_kafka_lag_records", partition=f"{topic}-1") == 0
    assert '"event": "partition_halted"' in daemon.log_text()
    stored = [record.data for record in read_stream(kinesis_client(kinesalite.endpoint_url), route["stream"])]
    assert sorted(stored) == sorted([*values(0, 0, GOOD), *values(1, 0, 2 * GOOD)])
    metadata = json.loads(group_positions(kafka.bootstrap_servers, topic, topic)[0].metadata)
    assert (metadata["halted"], metadata["at"]) == (reason, GOOD)


def test_an_offset_that_kafka_no_longer_has_halts_instead_of_skipping(
    kafka: RunningKafka, kinesalite: RunningKinesalite, new_topic: NewTopic, new_stream: NewStream, start_daemon: StartDaemon
):
    route = {"topic": new_topic("gone", partitions=2), "stream": new_stream("gone")}
    topic = route["topic"]
    fill(kafka, topic, (b"key", b"value"))
    daemon = start_daemon(settings_of(topic, kafka, kinesalite.endpoint_url, [route]))
    wait_until(lambda: committed(kafka, topic) == {0: 2 * GOOD + 1, 1: 2 * GOOD}, "the first records", 60)
    daemon.terminate()
    assert daemon.wait_exit() == 0

    send(kafka, topic, 0, [(b"key", b"lost")] * 5)
    end = 2 * GOOD + 6
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    next(iter(admin.delete_records([TopicPartition(topic, 0, end - 2)]).values())).result(30)
    daemon.start()

    wait_until(lambda: bool(daemon.json_of("/readyz")["halted"]), "the halt", 60)
    (halted,) = daemon.json_of("/readyz")["halted"]
    assert (halted["partition"], halted["offset"], halted["reason"]) == (0, 2 * GOOD + 1, "offset_out_of_range")
    send(kafka, topic, 1, [(b"key", b"neighbour")])
    wait_until(lambda: committed(kafka, topic) == {0: 2 * GOOD + 1, 1: 2 * GOOD + 1}, "the neighbour", 60)


def fill(kafka: RunningKafka, topic: str, record: tuple[bytes | None, bytes | None]) -> None:
    """Good records in both partitions; in the middle of partition 0 the given one."""
    send(kafka, topic, 0, [(b"key-%d" % i, value) for i, value in enumerate(values(0, 0, GOOD))])
    send(kafka, topic, 0, [record])
    send(kafka, topic, 0, [(b"key-%d" % i, value) for i, value in enumerate(values(0, GOOD, 2 * GOOD))])
    send(kafka, topic, 1, [(b"key-%d" % i, value) for i, value in enumerate(values(1, 0, 2 * GOOD))])


def values(partition: int, first: int, end: int) -> list[bytes]:
    return [b"value-%d-%d" % (partition, i) for i in range(first, end)]


def send(kafka: RunningKafka, topic: str, partition: int, records: list[tuple[bytes | None, bytes | None]]) -> None:
    settings: dict[str, Any] = {"bootstrap.servers": kafka.bootstrap_servers, "message.max.bytes": 4_000_000}
    producer = Producer(settings)
    for key, value in records:
        producer.produce(topic, value, key, partition)
    assert producer.flush(30) == 0


def committed(kafka: RunningKafka, topic: str) -> dict[int, int | None]:
    return {number: position.committed for number, position in group_positions(kafka.bootstrap_servers, topic, topic).items()}
