"""Writes the dead-letter topic: `DeadLetters` and `ReplayMarks` over one idempotent producer.

The producer, and the topic where it does not exist, are made when the first record is parked. A message's timestamp is the moment
of parking, so that a retention that somebody sets counts from there, and no broker refuses it as too old or too new; the
record's own stands in the headers.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from bridge.adapters.kafka.clients import KafkaClients
from bridge.adapters.kafka.producing import RunningProducer
from bridge.adapters.kafka.threads import SystemThreads, Threads
from bridge.adapters.kafka.topics import KafkaTopics
from bridge.core.delivery.dead_letters import Origin, TopicMessage, parked_message, replayed_message
from bridge.core.errors import BridgeError, RefusedError, UnavailableError
from bridge.core.records import DeadLetter
from bridge.core.topics import dead_letter_topic
from bridge.ports import Clock

DELIVERY_S = 20.0
PARK_S = 30.0
"""Longer than a delivery may take, so that the client's own word comes first."""

OWNED: dict[str, Any] = {
    "acks": "all",
    "enable.idempotence": True,
    "delivery.timeout.ms": int(DELIVERY_S * 1000),
    "message.max.bytes": 1_000_000_000,  # the topic's own limit is what counts
    "queue.buffering.max.messages": 10_000,
    "queue.buffering.max.kbytes": 128 * 1024,  # more than a broker takes in one request (socket.request.max.bytes)
}
TUNING: dict[str, Any] = {
    "linger.ms": 5,
    # A record that came compressed has to fit again.
    "compression.type": "zstd",
}

_TOO_LARGE = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE}
_FORBIDDEN = {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED}
_REFUSED = {KafkaError.POLICY_VIOLATION, KafkaError.INVALID_RECORD, KafkaError.INVALID_TIMESTAMP, KafkaError.INVALID_MSG}
_OF_THE_RECORD = _TOO_LARGE | _FORBIDDEN | _REFUSED
"""Definite, and no fault of the client's."""


@dataclass(slots=True, frozen=True)
class DeadLetterTopic:
    """Of one bridge; `wanted` tells the topics whose records it may have to hold."""

    bridge: str
    wanted: Callable[[str], bool]

    @property
    def name(self) -> str:
        return dead_letter_topic(self.bridge)


@dataclass(slots=True)
class _Open:
    producer: RunningProducer
    partitions: int


@dataclass(slots=True)
class KafkaDeadLetters:
    """`DeadLetters` and `ReplayMarks`."""

    topic: DeadLetterTopic
    clients: KafkaClients
    topics: KafkaTopics
    clock: Clock
    threads: Threads = field(default_factory=SystemThreads)
    _open: _Open | None = None
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def park(self, letters: Sequence[DeadLetter]) -> None:
        """See `DeadLetters`."""
        now_ms = self.clock.wall_ms()
        await self._write([parked_message(letter, self.topic.bridge, now_ms) for letter in letters], now_ms)

    async def mark_replayed(self, origins: Sequence[Origin]) -> None:
        """See `ReplayMarks`."""
        now_ms = self.clock.wall_ms()
        await self._write([replayed_message(origin, self.topic.bridge, now_ms) for origin in origins], now_ms)

    async def prepare(self) -> int:
        """Makes the topic where it is not there, as the first `park` does. Returns its partitions.

        Raises UnavailableError, RefusedError.
        """
        there = await self.topics.partitions_in(self.topic.name)
        return there or await self.topics.make(await self.topics.dead_letters(self.topic.bridge, self.topic.wanted))

    async def close(self) -> None:
        """What is not confirmed by now is given up."""
        opened, self._open = self._open, None
        if opened is not None:
            await opened.producer.close()

    async def _write(self, messages: Sequence[TopicMessage], now_ms: float) -> None:
        if not messages:
            return
        opened: _Open | None = None
        try:
            async with asyncio.timeout(PARK_S):
                opened = await self._ready()
                error = await self._deliver(opened, messages, int(now_ms))
        except TimeoutError:
            complaint = opened.producer.complaint() if opened else None
            raise UnavailableError(self._sentence("Kafka has not confirmed a dead letter in time", complaint)) from None
        except KafkaException as refused:
            error = refused.args[0]
        if error is not None:
            if opened is None or opened.producer.broken or error.code() not in _OF_THE_RECORD:
                await self._give_up(opened)
            raise self._explained(error, max(message.size for message in messages), opened)

    async def _deliver(self, opened: _Open, messages: Sequence[TopicMessage], now_ms: int) -> KafkaError | None:
        deliveries = opened.producer.deliveries(len(messages))
        try:
            for message in messages:
                partition = message.origin.partition.number % opened.partitions
                await opened.producer.produce(deliveries, self.topic.name, partition, message, now_ms)
            return await deliveries.done
        finally:
            deliveries.done.cancel()  # where it is not done, nobody waits for it any more

    async def _ready(self) -> _Open:
        async with self._opening:
            if self._open is not None and self._open.producer.outdated:
                await self.close()
            if self._open is None:
                partitions = await self.prepare()
                producer = await asyncio.to_thread(self.clients.producer, OWNED, TUNING)
                self._open = _Open(RunningProducer(producer, self.threads, "kafka-dead-letters"), partitions)
            return self._open

    async def _give_up(self, opened: _Open | None) -> None:
        """Next time everything is made anew: the topic may have gone, or the client be past use."""
        if opened is not None and self._open is opened:
            await self.close()

    def _explained(self, error: KafkaError, size: int, opened: _Open | None) -> BridgeError:
        code, name = error.code(), self.topic.name
        if code in _TOO_LARGE:
            return RefusedError(
                f"topic {name}: it does not take a dead letter of up to {size} bytes: raise its max.message.bytes "
                f"(kafka-configs.sh --alter --topic {name} --add-config max.message.bytes={2 * size})"
            )
        if code in _FORBIDDEN:
            return RefusedError(f"topic {name}: {error.str()}: allow Describe and allow Write on it")
        if code in _REFUSED:
            return RefusedError(f"topic {name}: it refuses a dead letter: {error.str()}: look at its settings and policies")
        complaint = opened.producer.complaint() if opened else None
        return UnavailableError(self._sentence(f"a dead letter was not confirmed: {error.str()}", complaint))

    def _sentence(self, problem: str, complaint: str | None) -> str:
        return f"topic {self.topic.name}: {problem}" + (f" ({complaint})" if complaint else "")
