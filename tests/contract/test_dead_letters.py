"""The dead-letter topic on every Kafka: made where it is missing, written with confirmation, read to its end.

DIFFERENCES names the tests in which the mock broker inside librdkafka behaves otherwise than Kafka, and why; such a test
then asserts what the mock does instead.
"""

import random
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType  # type: ignore[attr-defined]

from bridge.adapters.kafka import dead_letters
from bridge.adapters.kafka.dead_letter_reader import KafkaDeadLetterReader
from bridge.adapters.kafka.dead_letters import DeadLetterTopic, KafkaDeadLetters
from bridge.adapters.kafka.topics import RECORD_BYTES_DEFAULT, KafkaTopics
from bridge.adapters.system_clock import SystemClock
from bridge.core.delivery.dead_letters import Parked, Place, Replayed, StoredEntry, origin_of
from bridge.core.errors import RefusedError, UnavailableError
from bridge.core.records import DeadLetter, Partition
from bridge.core.topics import HEADROOM_BYTES
from bridge.embedded.kafka import PARTITIONS
from tests.contract.kafka_sources import Broker, create, produce, settings_for
from tests.servers.fixtures import unique
from tests.servers.topics import create_topic

DIFFERENCES = {
    "test_the_topic_is_made_as_it_has_to_be": "it makes every topic by itself, all of them alike",
    "test_the_settings_of_topics": "nobody answers: it has no controller",
    "test_whether_the_topic_could_be_made": "nobody answers: it has no controller",
}
KINDS = (
    pytest.param(("mock", "classic"), id="mock"),
    pytest.param(("simulated", "classic"), id="simulated"),
    pytest.param(("kafka", "classic"), id="kafka", marks=pytest.mark.real),
)
ONLY_KAFKA = KINDS[2:]
every_kafka = pytest.mark.parametrize("broker", KINDS, indirect=True)
only_kafka = pytest.mark.parametrize("broker", ONLY_KAFKA, indirect=True)
ODD_HEADERS = [("a", b"1"), ("a", None), ("bridge-dlq-version", b"1"), ("b", b"\x00\xff"), ("empty", b"")]


def letter(topic: str, number: int, offset: int, value: bytes | None = b"value", reason: str = "oversize") -> DeadLetter:
    return DeadLetter(Partition(topic, number), offset, 5_000 + offset, b"k", value, ODD_HEADERS, reason, "why")


class Topic:
    """The dead-letter topic of a bridge of its own."""

    def __init__(self, broker: Broker, source: str) -> None:
        self.broker = broker
        self.clients = broker.clients(settings_for(broker, source, unique("group")))
        self.topics = KafkaTopics(self.clients)
        self.of = DeadLetterTopic(unique("bridge"), lambda topic: topic == source)
        self.write_to(self.of)
        self.reader = KafkaDeadLetterReader(self.of.name, self.clients, self.topics)

    def write_to(self, topic: DeadLetterTopic) -> None:
        self.letters = KafkaDeadLetters(topic, self.clients, self.topics, SystemClock())

    async def entries(self) -> list[StoredEntry]:
        return [entry async for batch in self.reader.entries() for entry in batch]


@pytest.fixture
async def dlq(broker: Broker, topic: str) -> AsyncIterator[Topic]:
    found = Topic(broker, topic)
    yield found
    await found.letters.close()


@every_kafka
async def test_what_is_parked_is_read_as_it_was(dlq, topic):
    before_ms = time.time() * 1000
    parked = [letter(topic, 1, 7), letter(topic, 1, 8, None, "tombstone"), letter(topic, 6, 3, b"")]
    await dlq.letters.park(parked)
    await dlq.letters.mark_replayed([origin_of(parked[1])])
    entries = await dlq.entries()
    found = [entry.entry for entry in entries]
    assert [one.letter for one in found if isinstance(one, Parked) and one.letter.partition.number == 1] == parked[:2]
    assert [one.letter for one in found if isinstance(one, Parked) and one.letter.partition.number == 6] == parked[2:]
    assert [one.origin for one in found if isinstance(one, Replayed)] == [origin_of(parked[1])]
    assert all(before_ms - 1 <= one.parked_at_ms <= time.time() * 1000 for one in found if isinstance(one, Parked))
    # The partition of the origin decides, so that what belongs together stands together.
    assert {entry.place.partition for entry in entries if entry.entry.origin.partition.number == 1} == {1}
    assert {entry.place.partition for entry in entries if entry.entry.origin.partition.number == 6} == {6 % PARTITIONS}


@every_kafka
async def test_nothing_is_read_where_there_is_no_topic(dlq):
    assert await dlq.entries() == []
    assert [entry async for entry in dlq.reader.at([Place(0, 0)])] == []


@every_kafka
async def test_single_messages_are_read_by_their_places(dlq, topic):
    await dlq.letters.park([letter(topic, number, offset) for number in (0, 1) for offset in range(10)])
    wanted = [Place(0, 3), Place(0, 9), Place(1, 0), Place(1, 99), Place(77, 0)]
    found = {entry.place: entry.entry async for batch in dlq.reader.at(wanted) for entry in batch}
    origins = {place: entry.origin.id for place, entry in found.items()}
    assert origins == {Place(0, 3): f"{topic}-0@3", Place(0, 9): f"{topic}-0@9", Place(1, 0): f"{topic}-1@0"}


@every_kafka
async def test_more_letters_than_the_client_queues_are_parked_in_their_order(dlq, topic, monkeypatch):
    monkeypatch.setitem(dead_letters.OWNED, "queue.buffering.max.messages", 10)
    await dlq.letters.park([letter(topic, 2, offset) for offset in range(300)])
    assert [entry.entry.letter.offset for entry in await dlq.entries()] == list(range(300))


@every_kafka
async def test_a_message_that_no_bridge_wrote_is_told_as_such(dlq, broker, topic):
    await dlq.letters.park([letter(topic, 0, 1)])
    produce(broker, Partition(dlq.of.name, 0), [(b"k", b"v")])
    assert [entry.entry is None for entry in await dlq.entries()] == [False, True]


@every_kafka
async def test_the_topic_is_made_as_it_has_to_be(dlq, broker, topic, differs):
    wide = create(broker, unique("wide"))
    dlq.write_to(DeadLetterTopic(dlq.of.bridge, lambda name: name in (topic, wide)))
    definition = await dlq.topics.dead_letters(dlq.of.bridge, lambda name: name in (topic, wide))
    assert definition.partitions == PARTITIONS
    await dlq.letters.park([letter(topic, 0, 0)])
    assert await dlq.topics.partitions_in(dlq.of.name) == PARTITIONS
    found = (await dlq.topics.settings_of([dlq.of.name])).get(dlq.of.name, {})
    expected = {"cleanup.policy": "delete", "retention.ms": "-1"}
    expected["max.message.bytes"] = str(RECORD_BYTES_DEFAULT + HEADROOM_BYTES)
    assert {name: found.get(name) for name in expected} == (dict.fromkeys(expected) if differs else expected)
    assert await dlq.letters.prepare() == PARTITIONS


@every_kafka
async def test_the_settings_of_topics(dlq, topic, differs):
    found = await dlq.topics.settings_of([topic, "no-such-topic"])
    assert found.keys() == (set() if differs else {topic})
    assert found.get(topic, {}).get("cleanup.policy") == (None if differs else "delete")


@every_kafka
async def test_whether_the_topic_could_be_made(dlq, broker, topic, differs):
    def made() -> Any:
        return dlq.topics.partitions_in(dlq.of.name)

    await dlq.topics.try_to_park(dlq.of.bridge, dlq.of.wanted)
    assert not await made()
    await dlq.letters.park([letter(topic, 0, 0)])
    await dlq.topics.try_to_park(dlq.of.bridge, dlq.of.wanted)
    assert len(await dlq.entries()) == 1
    impossible = "x" * 260
    if broker.kind == "kafka":
        with pytest.raises(RefusedError, match=r"kafka-topics.sh --create --topic x+\.dlq --partitions 4 --config"):
            await dlq.topics.try_to_park(impossible, dlq.of.wanted)
    elif differs:
        await dlq.topics.try_to_park(impossible, dlq.of.wanted)


@only_kafka
async def test_a_topic_that_cannot_be_made_is_refused_with_what_to_do(dlq, topic):
    dlq.write_to(DeadLetterTopic("x" * 260, dlq.of.wanted))
    with pytest.raises(RefusedError, match=r"or create it by hand: kafka-topics\.sh"):
        await dlq.letters.park([letter(topic, 0, 0)])


@only_kafka
async def test_the_topic_takes_the_largest_record_of_its_sources(dlq, broker, topic):
    wide = unique("wide")
    create_topic(broker.bootstrap_servers, wide, partitions=7, settings={"max.message.bytes": "3000000"})
    dlq.write_to(DeadLetterTopic(dlq.of.bridge, lambda name: name in (topic, wide)))
    large = letter(wide, 6, 0, bytes(range(256)) * 11_000)
    await dlq.letters.park([large])
    assert await dlq.topics.partitions_in(dlq.of.name) == 7
    assert [entry.entry.letter for entry in await dlq.entries()] == [large]


@only_kafka
async def test_a_letter_that_the_topic_does_not_take_is_refused_with_what_to_do(dlq, broker, topic):
    create_topic(broker.bootstrap_servers, dlq.of.name, partitions=1, settings={"max.message.bytes": "1000"})
    noise = random_bytes(5_000)
    with pytest.raises(RefusedError, match=r"raise its max\.message\.bytes .*--add-config max\.message\.bytes=1\d{4}"):
        await dlq.letters.park([letter(topic, 0, 0, noise)])
    await dlq.letters.park([letter(topic, 3, 1)])
    assert [entry.entry.origin.id for entry in await dlq.entries()] == [f"{topic}-3@1"]


def random_bytes(count: int) -> bytes:
    """What no compression makes smaller."""
    return random.Random(1).randbytes(count)


@only_kafka
async def test_a_topic_that_was_removed_is_made_again(dlq, broker, topic, monkeypatch):
    monkeypatch.setitem(dead_letters.OWNED, "delivery.timeout.ms", 2000)
    monkeypatch.setitem(dead_letters.OWNED, "topic.metadata.propagation.max.ms", 1000)
    await dlq.letters.park([letter(topic, 0, 0)])
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    admin.delete_topics([dlq.of.name])[dlq.of.name].result(30)
    with pytest.raises(UnavailableError, match="not confirmed"):
        await dlq.letters.park([letter(topic, 0, 1)])
    await dlq.letters.park([letter(topic, 0, 1)])
    assert [entry.entry.origin.id for entry in await dlq.entries()] == [f"{topic}-0@1"]
    resource = ConfigResource(ResourceType.TOPIC, dlq.of.name)
    assert admin.describe_configs([resource])[resource].result(30)["retention.ms"].value == "-1"


@pytest.mark.parametrize("broker", KINDS[1:2], indirect=True)
async def test_what_kafka_does_not_confirm_in_time_is_told_and_may_be_parked_again(dlq, broker, topic, monkeypatch):
    first, second = letter(topic, 0, 0), letter(topic, 0, 1)
    await dlq.letters.park([first])
    monkeypatch.setattr(dead_letters, "PARK_S", 0.5)
    with broker.simulated.cluster.lock:
        broker.simulated.cluster.broker_down(time.monotonic() + 1.0)
    with pytest.raises(UnavailableError, match="not confirmed a dead letter in time"):
        await dlq.letters.park([second])
    monkeypatch.setattr(dead_letters, "PARK_S", 20.0)
    await dlq.letters.park([second])
    origins = {entry.entry.origin.id for entry in await dlq.entries()}
    assert origins == {origin_of(first).id, origin_of(second).id}


@every_kafka
async def test_after_its_end_it_may_be_used_again(dlq, topic):
    await dlq.letters.park([letter(topic, 0, 0)])
    await dlq.letters.close()
    await dlq.letters.close()
    await dlq.letters.park([letter(topic, 0, 1)])
    assert [entry.entry.origin.offset for entry in await dlq.entries()] == [0, 1]


@every_kafka
async def test_nothing_to_park_asks_nobody(dlq):
    await dlq.letters.park([])
    assert not await dlq.topics.partitions_in(dlq.of.name)
