"""Topics and streams that are deleted and created anew: named, halted, nothing sent, until the operator sets the offsets."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.integration.conftest import StartDaemon
from tests.integration.daemon import Daemon, daemon_environment
from tests.integration.kafka_reader import group_positions
from tests.integration.kinesis_reader import read_stream
from tests.integration.scenario import settings_of, wait_committed
from tests.servers.fixtures import NewTopic, unique
from tests.servers.kafka import TOOLS, RunningKafka
from tests.servers.kinesis import create_stream, delete_stream, kinesis_client
from tests.servers.process import wait_until
from tests.servers.topics import create_topic, delete_topic

FOUND_SECONDS = 90.0
"""Topics are compared every 30 s at least."""
FIRST, SECOND = 20, 50
SET_OFFSETS = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"


class Bridge:
    """One route of one partition, carried up to its end."""

    def __init__(self, kafka: RunningKafka, endpoint_url: str, refresh: str, topic: str, start_daemon: StartDaemon) -> None:
        """`refresh` (milliseconds): how often the client asks for its topics, and so leaves one that was deleted."""
        self.kafka, self.topic, self.stream = kafka, topic, topic
        self.client = kinesis_client(endpoint_url)
        create_stream(self.client, self.stream, shards=1)
        send(kafka, topic, "before", FIRST)
        properties = {"topic.metadata.refresh.interval.ms": refresh}
        route = {"topic": topic, "stream": self.stream}
        self.settings = settings_of(topic, kafka, endpoint_url, [route], properties=properties)
        self.daemon: Daemon = start_daemon(self.settings)
        wait_committed(kafka, topic, topic, FOUND_SECONDS)

    def stored(self) -> list[bytes]:
        return [record.data for record in read_stream(self.client, self.stream)]

    def recreate_topic(self) -> None:
        """The new one is longer than the committed offset."""
        delete_topic(self.kafka.bootstrap_servers, self.topic)
        create_topic(self.kafka.bootstrap_servers, self.topic, partitions=1)
        send(self.kafka, self.topic, "after", SECOND)

    def recreate_stream(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Whole seconds apart: kinesalite counts them."""
        delete_stream(self.client, self.stream)
        began = time.monotonic()
        meanwhile()
        wait_until(lambda: time.monotonic() > began + 1, "the next second", 5)
        create_stream(self.client, self.stream, shards=1)

    def wait_halted(self, reason: str, offset: int) -> None:
        wait_until(lambda: self.halted() == [(offset, reason)], f"the halt {reason} at {offset}", FOUND_SECONDS)
        assert self.daemon.status_of("/readyz") == 200
        (document,) = self.daemon.json_of("/readyz")["halted"]
        assert "kafka-consumer-groups.sh" in document["remedy"]
        assert self.daemon.metrics().total("bridge_partition_halted", route=self.topic, reason=reason) == 1
        wait_until(lambda: self.metadata().get("halted") == reason, "the halt beside the committed offset", 30)

    def halted(self) -> list[tuple[int, str]]:
        return [(halt["offset"], halt["reason"]) for halt in self.daemon.json_of("/readyz")["halted"]]

    def metadata(self) -> dict[str, Any]:
        text = group_positions(self.kafka.bootstrap_servers, self.topic, self.topic)[0].metadata
        return dict(json.loads(text)) if text else {}

    def restart(self) -> None:
        self.stop()
        self.daemon.start()

    def stop(self) -> None:
        self.daemon.terminate()
        assert self.daemon.wait_exit() == 0

    def set_offset_to_earliest(self) -> None:
        """With Kafka's own tool, as the remedy says."""
        where = ["--bootstrap-server", self.kafka.bootstrap_servers, "--group", self.topic, "--topic", f"{self.topic}:0"]
        java = ["java", "-cp", str(TOOLS / "libs" / "*"), SET_OFFSETS]
        subprocess.run([*java, *where, "--reset-offsets", "--to-earliest", "--execute"], check=True, timeout=60)
        assert self.metadata() == {}

    def status(self, tmp_path: Any) -> dict[str, Any]:
        """What `bridge status` tells of the partition."""
        config = tmp_path / "bridge.yaml"
        config.write_text(yaml.safe_dump(self.settings))
        command = [sys.executable, "-m", "bridge", "status", "--output", "json", "--config", str(config)]
        done = subprocess.run(command, check=True, capture_output=True, timeout=60, env=daemon_environment())
        return dict(json.loads(done.stdout)["routes"][0]["partitions"][0])


@pytest.fixture(params=[("embedded", "500"), ("kinesalite", "300000")], ids=["embedded", "kinesalite"])
def bridge(request: pytest.FixtureRequest, kafka: RunningKafka, new_topic: NewTopic, start_daemon: StartDaemon) -> Bridge:
    kind, refresh = request.param
    found = request.getfixturevalue("embedded_endpoint" if kind == "embedded" else kind)
    return Bridge(
        kafka, found if kind == "embedded" else found.endpoint_url, refresh, new_topic(unique("anew"), partitions=1), start_daemon
    )


def test_a_topic_created_anew_under_a_running_bridge(bridge: Bridge, tmp_path: Any) -> None:
    before = bridge.stored()
    assert len(before) == FIRST
    bridge.recreate_topic()
    wait_until(lambda: [reason for _, reason in bridge.halted()] == ["topic_recreated"], "the halt", FOUND_SECONDS)
    ((offset, _),) = bridge.halted()
    bridge.wait_halted("topic_recreated", offset)
    halted = bridge.stored()
    # Offset 0 where the group gave the partition up and got it back: Kafka had forgotten the committed one with the topic.
    # Else the client reads on at its offset, until a second or so later the ids are compared.
    assert halted == [*before, *values("after", SECOND)[FIRST:offset]]
    status = bridge.status(tmp_path)
    assert (status["halted"], status["halted_at"]) == ("topic_recreated", offset)
    assert "kafka-consumer-groups.sh" in status["remedy"]

    bridge.restart()
    bridge.wait_halted("topic_recreated", offset)
    assert bridge.stored() == halted

    bridge.stop()
    bridge.set_offset_to_earliest()
    bridge.daemon.start()
    wait_committed(bridge.kafka, bridge.topic, bridge.topic, FOUND_SECONDS)
    assert bridge.halted() == []
    assert bridge.stored()[len(halted) :] == values("after", SECOND)
    assert "halted" not in bridge.metadata()


def test_an_offset_that_outlived_its_topic_is_not_taken_for_one_of_the_next(bridge: Bridge) -> None:
    """Kafka forgets offsets with their topic, unless the group's coordinator is away, or a late commit brings them back."""
    before, metadata = bridge.stored(), group_positions(bridge.kafka.bootstrap_servers, bridge.topic, bridge.topic)[0].metadata
    bridge.stop()
    bridge.recreate_topic()
    outlived = ConsumerGroupTopicPartitions(bridge.topic, [TopicPartition(bridge.topic, 0, FIRST, metadata)])
    admin = AdminClient({"bootstrap.servers": bridge.kafka.bootstrap_servers})
    admin.alter_consumer_group_offsets([outlived])[bridge.topic].result(30)
    bridge.daemon.start()
    bridge.wait_halted("topic_recreated", FIRST)
    assert bridge.stored() == before


def test_a_stream_created_anew_under_a_running_bridge(bridge: Bridge) -> None:
    """Which finds that the stream is gone when it wants to write, and does not write before it knows which one is there."""

    def write() -> None:
        send(bridge.kafka, bridge.topic, "after", SECOND)
        wait_until(lambda: bridge.daemon.status_of("/readyz") == 503, "the trouble", 30)

    bridge.recreate_stream(write)
    wait_until(lambda: bool(bridge.halted()), "the halt", FOUND_SECONDS)
    bridge.wait_halted("stream_recreated", FIRST)
    bridge.restart()
    bridge.wait_halted("stream_recreated", FIRST)
    assert bridge.stored() == []


def test_a_stream_created_anew_under_a_stopped_bridge(bridge: Bridge) -> None:
    bridge.stop()
    bridge.recreate_stream()
    send(bridge.kafka, bridge.topic, "after", SECOND)
    bridge.daemon.start()
    bridge.wait_halted("stream_recreated", FIRST)
    assert bridge.stored() == []
    bridge.stop()
    bridge.set_offset_to_earliest()
    bridge.daemon.start()
    wait_committed(bridge.kafka, bridge.topic, bridge.topic, FOUND_SECONDS)
    assert bridge.stored() == [*values("before", FIRST), *values("after", SECOND)]


def values(name: str, count: int) -> list[bytes]:
    return [f"{name}-{number}".encode() for number in range(count)]


def send(kafka: RunningKafka, topic: str, name: str, count: int) -> None:
    """All under one key, in order."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    for value in values(name, count):
        producer.produce(topic, value, b"key", 0)
    assert producer.flush(30) == 0
