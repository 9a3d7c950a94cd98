"""What the dead-letter topic answers, as sentences and kinds of error; a producer that ends, is full, or is outdated."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from bridge.adapters.kafka import producing
from bridge.adapters.kafka.dead_letters import DeadLetterTopic, KafkaDeadLetters
from bridge.adapters.kafka.topics import creation_refused
from bridge.adapters.system_clock import SystemClock
from bridge.core.errors import RefusedError, UnavailableError
from bridge.core.records import DeadLetter, Partition
from bridge.core.topics import dead_letters_definition

LETTER = DeadLetter(Partition("orders", 5), 17, 5, b"k", b"v", [], "oversize", "why")


class Stored:
    def offset(self) -> int:
        return 7


class FakeProducer:
    """Reports what `answers` say, one after the other; without any it confirms. `ending` is raised by the next poll."""

    def __init__(self) -> None:
        self.produced: list[dict[str, Any]] = []
        self.answers: deque[KafkaError | None] = deque()
        self.refusals: deque[Exception] = deque()
        self.ending: KafkaException | None = None
        self.silent = False
        self.stale = False
        self.closed = False
        self._reports: deque[Callable[[], None]] = deque()

    def produce(self, topic: str, **message: Any) -> None:
        if self.refusals:
            raise self.refusals.popleft()
        self.produced.append({"topic": topic, **message})
        answer = self.answers.popleft() if self.answers else None
        if not self.silent:
            self._reports.append(lambda: message["on_delivery"](answer, Stored()))

    def poll(self, timeout: float) -> int:
        if self.ending is not None:
            raise self.ending
        while self._reports:
            self._reports.popleft()()
        return 0

    def purge(self) -> None:
        self._reports.clear()

    def close(self) -> None:
        self.closed = True

    def complaint(self) -> str | None:
        return "brokers are down"

    def outdated(self) -> bool:
        return self.stale


class FakeKafka:
    """Clients and topics: `there` is the number of partitions of the topic."""

    def __init__(self) -> None:
        self.producers: list[FakeProducer] = []
        self.next = FakeProducer()
        self.there = 4
        self.made = 0

    def producer(self, owned: dict[str, Any], tuning: dict[str, Any]) -> FakeProducer:
        assert (owned["acks"], owned["enable.idempotence"]) == ("all", True)
        found, self.next = self.next, FakeProducer()
        self.producers.append(found)
        return found

    async def partitions_in(self, topic: str) -> int:
        assert topic == "bridge.dlq"
        return self.there

    async def dead_letters(self, bridge: str, wanted: Callable[[str], bool]) -> Any:
        assert wanted("orders")
        return dead_letters_definition(bridge, 3, 1_000_000)

    async def make(self, definition: Any) -> int:
        self.made += 1
        self.there = int(definition.partitions)
        return self.there


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> FakeKafka:
    monkeypatch.setattr(producing, "POLL_S", 0.01)
    monkeypatch.setattr(producing, "LOOK_S", 0.0)
    return FakeKafka()


@pytest.fixture
async def letters(kafka: FakeKafka) -> Any:
    topic = DeadLetterTopic("bridge", lambda name: name == "orders")
    found = KafkaDeadLetters(topic, kafka, kafka, SystemClock())  # type: ignore[arg-type]
    yield found
    await found.close()
    assert all(producer.closed for producer in kafka.producers)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("not within 10 s")


async def test_the_partition_of_the_origin_decides(kafka, letters):
    await letters.park([LETTER, LETTER])
    await letters.park([LETTER])
    (producer,) = kafka.producers
    assert [(one["topic"], one["partition"]) for one in producer.produced] == [("bridge.dlq", 5 % 4)] * 3
    assert kafka.made == 0


async def test_a_missing_topic_is_made_once(kafka, letters):
    kafka.there = 0
    await letters.park([LETTER])
    await letters.park([LETTER])
    assert (kafka.made, kafka.producers[0].produced[0]["partition"]) == (1, 5 % 3)


@pytest.mark.parametrize(
    ("code", "kind", "text", "goes_on"),
    [
        (KafkaError.MSG_SIZE_TOO_LARGE, RefusedError, "raise its max.message.bytes", True),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, RefusedError, "allow Write on it", True),
        (KafkaError.POLICY_VIOLATION, RefusedError, "look at its settings and policies", True),
        (KafkaError._MSG_TIMED_OUT, UnavailableError, "was not confirmed: .*brokers are down", False),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, UnavailableError, "was not confirmed", False),
        (KafkaError.NOT_ENOUGH_REPLICAS, UnavailableError, "was not confirmed", False),
    ],
)
async def test_what_kafka_answers_is_said(code, kind, text, goes_on, kafka, letters):
    kafka.next.answers.extend([None, KafkaError(code), None])
    with pytest.raises(kind, match=f"topic bridge.dlq: .*{text}"):
        await letters.park([LETTER] * 3)
    await letters.park([LETTER])
    assert len(kafka.producers) == (1 if goes_on else 2)


async def test_a_refusal_of_the_client_itself_is_said(kafka, letters):
    kafka.next.refusals.append(KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)))
    with pytest.raises(RefusedError, match=r"max\.message\.bytes"):
        await letters.park([LETTER])
    await letters.park([LETTER])


async def test_a_full_client_is_waited_for(kafka, letters):
    kafka.next.refusals.extend([BufferError("full")] * 3)
    await letters.park([LETTER] * 2)
    assert len(kafka.producers[0].produced) == 2


async def test_a_client_that_ends_for_good_fails_what_waits_and_is_replaced(kafka, letters):
    producer = kafka.next
    producer.silent = True
    waiting = asyncio.gather(letters.park([LETTER]), letters.park([LETTER, LETTER]), return_exceptions=True)
    await until(lambda: len(producer.produced) == 3)
    producer.ending = KafkaException(KafkaError(KafkaError.CLUSTER_AUTHORIZATION_FAILED))
    for error in await waiting:
        assert isinstance(error, RefusedError)
        assert "allow Write on it" in str(error)
    await letters.park([LETTER])
    assert [one.closed for one in kafka.producers] == [True, False]


async def test_a_park_that_was_given_up_leaves_nothing_behind(kafka, letters):
    kafka.next.silent = True
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await letters.park([LETTER])
    opened = letters._writer._open
    assert opened is not None
    assert opened.producer._waiting == set()


async def test_an_outdated_client_is_replaced(kafka, letters):
    await letters.park([LETTER])
    kafka.producers[0].stale = True
    await until(lambda: letters._writer._open.producer.outdated)
    await letters.park([LETTER])
    assert [one.closed for one in kafka.producers] == [True, False]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, RefusedError),
        (KafkaError.POLICY_VIOLATION, RefusedError),
        (KafkaError._TIMED_OUT, UnavailableError),
        (KafkaError.NOT_CONTROLLER, UnavailableError),
    ],
)
def test_a_refused_creation_says_how_to_make_the_topic_by_hand(code, kind):
    error = creation_refused(dead_letters_definition("bridge", 3, 1_000_000), KafkaError(code))
    assert type(error) is kind
    assert ("kafka-topics.sh --create --topic bridge.dlq --partitions 3" in str(error)) is (kind is RefusedError)
