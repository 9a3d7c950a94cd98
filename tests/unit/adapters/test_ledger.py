"""What of the ledger's topic no Kafka of the tests brings about."""

from typing import Any

import pytest

from bridge.adapters.kafka import producing
from bridge.adapters.kafka.ledger import KafkaLedger
from bridge.adapters.kafka.threads import SystemThreads
from bridge.core.errors import RefusedError, UnavailableError
from bridge.core.topics import TopicDefinition, ledger_definition
from tests.unit.adapters.test_dead_letters import FakeProducer

DEFINITION = ledger_definition("bridge", 4, 8 * 86_400.0, -1)


class Kafka:
    """Clients and topics. The topic has so many partitions."""

    def __init__(self) -> None:
        self.made: list[FakeProducer] = []
        self.there = 4

    def producer(self, owned: dict[str, Any], tuning: dict[str, Any]) -> FakeProducer:
        assert (owned["acks"], owned["enable.idempotence"], owned["delivery.timeout.ms"]) == ("all", True, 5000)
        assert tuning["compression.type"] == "zstd"
        self.made.append(FakeProducer())
        return self.made[-1]

    async def partitions_in(self, topic: str) -> int:
        assert topic == "bridge.ledger"
        return self.there

    async def check(self, definition: TopicDefinition, partitions: int) -> None:
        assert (definition, partitions) == (DEFINITION, 4)


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> Kafka:
    monkeypatch.setattr(producing, "POLL_S", 0.01)
    return Kafka()


@pytest.fixture
async def ledger(kafka: Kafka) -> Any:
    found = KafkaLedger(DEFINITION, kafka, kafka, SystemThreads())  # type: ignore[arg-type]
    yield found
    await found.close()
    assert all(producer.closed for producer in kafka.made)


async def test_messages_go_to_their_slots_without_a_key(kafka, ledger):
    assert await ledger.write([(3, b"a"), (0, b"b")]) == [7, 7]
    (producer,) = kafka.made
    sent = [(one["topic"], one["partition"], one["key"], one["value"], one["timestamp"]) for one in producer.produced]
    assert sent == [("bridge.ledger", 3, None, b"a", 0), ("bridge.ledger", 0, None, b"b", 0)]


async def test_a_confirmation_without_an_offset_is_none(ledger, monkeypatch):
    monkeypatch.setattr("tests.unit.adapters.test_dead_letters.Stored.offset", lambda _: -1001)
    with pytest.raises(UnavailableError, match="without saying where it stands"):
        await ledger.write([(0, b"a")])


async def test_a_topic_that_has_gone_is_refused(kafka, ledger):
    await ledger.write([(0, b"a")])
    await ledger.close()
    kafka.there = 0
    with pytest.raises(RefusedError, match="not there any more"):
        await ledger.write([(0, b"a")])
