"""Dead letters on real servers: listed, replayed once, and what a broker that allows little says."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from bridge import bootstrap
from bridge.app.settings import Settings, parse_settings
from bridge.core.errors import RefusedError
from bridge.core.records import DeadLetter, Partition
from bridge.core.topics import dead_letter_topic
from tests.integration.conftest import StartDaemon
from tests.integration.flights import produce
from tests.integration.kafka_reader import group_positions
from tests.integration.kinesis_reader import read_stream
from tests.integration.scenario import settings_of, wait_committed
from tests.integration.secure_scenario import LOGIN, Scenario, run_command
from tests.servers.fixtures import NewTopic, skip_if, unique
from tests.servers.kafka import RunningKafka, missing_for_kafka, running_secure_kafka
from tests.servers.kafka_security import USER, KafkaSecurity
from tests.servers.kinesis import create_stream, kinesis_client
from tests.servers.process import wait_until
from tests.servers.topics import create_topic

AUTHORIZER = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS",  # whoever comes by the open listener: the broker itself, and the tests
}


def letter(topic: str, number: int, offset: int, value: bytes | None) -> DeadLetter:
    return DeadLetter(Partition(topic, number), offset, 5_000 + offset, b"k", value, [("h", None)], "tombstone", "why")


def park(settings: dict[str, Any] | Settings, letters: Sequence[DeadLetter]) -> None:
    """As the daemon does."""
    parsed = settings if isinstance(settings, Settings) else parse_settings(settings)

    async def park_all() -> None:
        writer = bootstrap.dead_letters(parsed, bootstrap.kafka_clients(parsed), bootstrap.Machine())
        try:
            await writer.park(letters)
        finally:
            await writer.close()

    asyncio.run(park_all())


def test_parked_records_are_listed_shown_and_replayed_once(
    kafka: RunningKafka, embedded_endpoint: str, new_topic: NewTopic, tmp_path: Path
):
    topic, stream = new_topic("dead", partitions=2), unique("dead")
    create_stream(kinesis_client(embedded_endpoint), stream, shards=2)
    settings = settings_of(topic, kafka, embedded_endpoint, [{"topic": topic, "stream": stream}])
    park(settings, [letter(topic, 1, 8, b"8"), letter(topic, 1, 5, b"5"), letter(topic, 0, 3, None), letter(topic, 1, 5, b"5")])

    def bridge(*arguments: str) -> tuple[int, str]:
        return run_command(tmp_path, settings, "dlq", *arguments)

    def replayed() -> dict[str, bool]:
        status, text = bridge("list", "--output", "json")
        assert status == 0, text
        return {one["id"]: one["replayed_at_ms"] is not None for one in json.loads(text)["letters"]}

    def stored() -> list[bytes]:
        return [record.data for record in read_stream(kinesis_client(embedded_endpoint), stream)]

    assert replayed() == {f"{topic}-1@8": False, f"{topic}-1@5": False, f"{topic}-0@3": False}
    status, text = bridge("show", f"{topic}-0@3")
    assert (status, "value      null" in text) == (0, True)
    status, text = bridge("replay", "--all", "--dry-run")
    assert (status, "3 would replay" in text, stored()) == (0, True, [])
    status, text = bridge("replay", "--all")
    assert (status, "1 still dead, 2 carried" in text) == (1, True), text
    assert stored() == [b"5", b"8"]
    assert replayed() == {f"{topic}-1@8": True, f"{topic}-1@5": True, f"{topic}-0@3": False}
    status, text = bridge("replay", f"{topic}-1@8")
    assert (status, "1 already replayed" in text, stored()) == (0, True, [b"5", b"8"])
    assert bridge("replay", f"{topic}-1@8", "--again")[0] == 0
    assert stored() == [b"5", b"8", b"8"]


@pytest.fixture
def guarded(embedded_endpoint: str, tmp_path: Path) -> Iterator[Scenario]:
    """A Kafka on which the bridge's user may do what it was allowed to, and nothing else."""
    skip_if(missing_for_kafka(own=True))
    security = KafkaSecurity()
    with running_secure_kafka(security, unique("guarded-kafka"), AUTHORIZER) as server:
        scenario = Scenario(server, security, embedded_endpoint, tmp_path)
        scenario.write_files()
        wait_until(lambda: coordinator_answers(server), "the coordinator of a fresh broker's groups", 60)
        yield scenario


def coordinator_answers(kafka: RunningKafka) -> bool:
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": "any"})
    try:
        return bool(consumer.committed([TopicPartition("any", 0)], 30))
    except KafkaException:
        return False
    finally:
        consumer.close()


def allow(kafka: RunningKafka, kind: ResourceType, name: str, *operations: AclOperation) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    bindings = [
        AclBinding(kind, name, ResourcePatternType.LITERAL, f"User:{USER}", "*", operation, AclPermissionType.ALLOW)
        for operation in operations
    ]
    for created in admin.create_acls(bindings).values():
        created.result(30)


@pytest.mark.real
def test_what_is_not_allowed_is_said_with_what_to_do_and_found_before_it_hurts(guarded: Scenario):
    route = guarded.new_route()
    topic, dlq = route["topic"], dead_letter_topic(route["topic"])
    login = {**LOGIN, "protocol": "SASL_PLAINTEXT", "mechanism": "SCRAM-SHA-512"}
    settings = guarded.settings(route, "BOTH", {**login, "protocol": "SASL_SSL", "ca_file": "ca.pem"})
    allow(guarded.kafka, ResourceType.TOPIC, topic, AclOperation.READ, AclOperation.DESCRIBE_CONFIGS)
    allow(guarded.kafka, ResourceType.GROUP, topic, AclOperation.READ)
    allow(guarded.kafka, ResourceType.GROUP, "bridge-reader", AclOperation.READ)
    for own in (f"{topic}.ledger", f"{topic}.control"):
        allow(guarded.kafka, ResourceType.TOPIC, own, AclOperation.CREATE, AclOperation.READ, AclOperation.WRITE)
    allow(guarded.kafka, ResourceType.TRANSACTIONAL_ID, f"{topic}.control", AclOperation.DESCRIBE, AclOperation.WRITE)
    one = letter(topic, 0, 3, b"3")

    def check(expected: int) -> str:
        """What is said of the dead-letter topic."""
        status, text = guarded.command(settings, "config", "check", "--online")
        assert status == expected, text
        (line,) = [line for line in text.splitlines() if line.startswith(f"topic {dlq}: ")]
        return line

    def refused(text: str) -> None:
        with pytest.raises(RefusedError, match=text):
            park(settings, [one])
        assert text in check(1)

    refused(f"or create it by hand: kafka-topics.sh --create --topic {dlq} --partitions 1")
    create_topic(guarded.kafka.bootstrap_servers, dlq, partitions=1)
    refused("Allow Describe and Write on it")
    allow(guarded.kafka, ResourceType.TOPIC, dlq, AclOperation.READ)
    refused("llow Write on it")
    allow(guarded.kafka, ResourceType.TOPIC, dlq, AclOperation.WRITE)
    park(settings, [one])
    assert check(0) == f"topic {dlq}: park records there: works"
    status, text = guarded.command(settings, "dlq", "list", "--output", "json")
    assert (status, [row["id"] for row in json.loads(text)["letters"]]) == (0, [f"{topic}-0@3"])


def letters_in(kafka: RunningKafka, topic: str) -> list[dict[str, str]]:
    """The headers of every message of a dead-letter topic, read by a plain consumer; none before there is a topic."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    if topic not in admin.list_topics(timeout=30).topics:
        return []
    found = []
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": "checker", "enable.partition.eof": True})
    try:
        partitions = list(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
        unfinished = set(partitions)
        while unfinished:
            message = consumer.poll(30)
            assert message is not None, f"{topic}: nothing came"
            if (error := message.error()) is not None:
                assert error.code() == KafkaError._PARTITION_EOF, error
                unfinished.discard(message.partition() or 0)
            else:
                found.append({name: bytes(content or b"").decode() for name, content in dict(message.headers() or []).items()})  # type: ignore[arg-type]
        return found
    finally:
        consumer.close()


def test_a_parked_record_outlives_a_kill_before_its_offset_is_committed_and_is_replayed(
    kafka: RunningKafka, embedded_endpoint: str, new_topic: NewTopic, start_daemon: StartDaemon, tmp_path: Path
):
    topic, stream = new_topic("parked", partitions=1), unique("parked")
    dlq = dead_letter_topic(topic)
    create_stream(kinesis_client(embedded_endpoint), stream, shards=1)
    route = {"topic": topic, "stream": stream}
    # So seldom that the kill comes between the parking and the commit, for certain.
    settings = {**settings_of(topic, kafka, embedded_endpoint, [route]), "commit_interval": "10s", "lease": "1m"}
    settings["kafka"]["session_timeout"] = "45s"
    daemon = start_daemon(settings)
    assert produce(kafka.bootstrap_servers, topic, [(b"a", b"1"), (b"gone", None), (b"b", b"2")]) == 3
    wait_until(lambda: len(letters_in(kafka, dlq)) == 1, "the dead letter", 60)
    position = group_positions(kafka.bootstrap_servers, topic, topic)[0]
    daemon.kill()
    assert (position.committed or 0) <= 1, "the offset had passed before the kill"

    daemon.start()
    wait_committed(kafka, topic, topic)
    daemon.terminate()
    assert daemon.wait_exit() == 0

    letters = letters_in(kafka, dlq)
    origins = {
        (h["bridge-dlq-topic"], h["bridge-dlq-partition"], h["bridge-dlq-offset"], h["bridge-dlq-timestamp"]) for h in letters
    }
    assert 1 <= len(letters) <= 2
    assert [origin[:3] for origin in origins] == [(topic, "0", "1")]
    assert {headers["bridge-dlq-reason"] for headers in letters} == {"tombstone"}
    stored = [record.data for record in read_stream(kinesis_client(embedded_endpoint), stream)]
    assert list(dict.fromkeys(stored)) == [b"1", b"2"]
    settings["routes"] = [{**route, "on_tombstone": "send_empty"}]
    status, text = run_command(tmp_path, settings, "dlq", "replay", "--all")
    assert (status, "1 carried" in text) == (0, True), text
    replayed = read_stream(kinesis_client(embedded_endpoint), stream)[len(stored) :]
    assert [(record.partition_key, record.data) for record in replayed] == [("gone", b"")]
