"""Writes one of the bridge's own topics with confirmation, over an idempotent producer that is made when it is first needed."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from bridge.adapters.kafka.clients import KafkaClients
from bridge.adapters.kafka.producing import Outgoing, RunningProducer
from bridge.adapters.kafka.threads import Threads
from bridge.core.errors import BridgeError, RefusedError, UnavailableError

OWNED: dict[str, Any] = {
    "acks": "all",
    "enable.idempotence": True,
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
class WrittenTopic:
    """What is written, and in which words errors speak of one message: `a dead letter`."""

    name: str
    message: str
    thread: str
    properties: Mapping[str, Any]
    """Of the producer, beside those that every writer has."""
    prepare: Callable[[], Awaitable[int]]
    """Sees to it that the topic is there. Returns its partitions. Raises UnavailableError, RefusedError."""


@dataclass(slots=True)
class _Open:
    producer: RunningProducer
    partitions: int


@dataclass(slots=True)
class TopicWriter:
    """Any number of writes may be under way."""

    topic: WrittenTopic
    clients: KafkaClients
    threads: Threads
    _open: _Open | None = None
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def open(self) -> int:
        """Prepares the topic and makes the producer, as the first `write` does. Returns the topic's partitions.

        Raises UnavailableError, RefusedError.
        """
        return (await self._ready()).partitions

    async def write(self, messages: Sequence[Outgoing], within_s: float) -> list[int]:
        """Returns the offsets once Kafka has confirmed all; after an error some may have been written.

        A message's partition is taken modulo their number. A client that did not deliver is closed before the error
        is raised, which may take up to `CLOSE_S` more. Raises UnavailableError, RefusedError.
        """
        if not messages:
            return []
        opened: _Open | None = None
        try:
            async with asyncio.timeout(within_s):
                opened = await self._ready()
                return await self._deliver(opened, messages)
        except TimeoutError:
            complaint = opened.producer.complaint() if opened else None
            problem = f"Kafka has not confirmed {self.topic.message} in time"
            raise UnavailableError(self._sentence(problem, complaint)) from None
        except KafkaException as refused:
            error = refused.args[0]
        if opened is None or opened.producer.broken or error.code() not in _OF_THE_RECORD:
            await self._give_up(opened)
        raise self._explained(error, max(message.size for message in messages), opened)

    async def close(self) -> None:
        """What is not confirmed by now is given up."""
        opened, self._open = self._open, None
        if opened is not None:
            await opened.producer.close()

    async def _deliver(self, opened: _Open, messages: Sequence[Outgoing]) -> list[int]:
        """Raises KafkaException."""
        deliveries = opened.producer.deliveries(len(messages))
        try:
            for index, message in enumerate(messages):
                placed = message._replace(partition=message.partition % opened.partitions)
                await opened.producer.produce(deliveries, index, self.topic.name, placed)
            error = await deliveries.done
        finally:
            deliveries.done.cancel()  # where it is not done, nobody waits for it any more
        if error is not None:
            raise KafkaException(error)
        return deliveries.offsets

    async def _ready(self) -> _Open:
        async with self._opening:
            if self._open is not None and self._open.producer.outdated:
                await self.close()
            if self._open is None:
                partitions = await self.topic.prepare()
                properties = {**OWNED, **self.topic.properties}
                producer = await asyncio.to_thread(self.clients.producer, properties, TUNING)
                self._open = _Open(RunningProducer(producer, self.threads, self.topic.thread), partitions)
            return self._open

    async def _give_up(self, opened: _Open | None) -> None:
        """Next time everything is made anew: the topic may have gone, or the client be past use."""
        if opened is not None and self._open is opened:
            await self.close()

    def _explained(self, error: KafkaError, size: int, opened: _Open | None) -> BridgeError:
        code, name, message = error.code(), self.topic.name, self.topic.message
        if code in _TOO_LARGE:
            return RefusedError(
                f"topic {name}: it does not take {message} of up to {size} bytes: raise its max.message.bytes "
                f"(kafka-configs.sh --alter --topic {name} --add-config max.message.bytes={2 * size})"
            )
        if code in _FORBIDDEN:
            return RefusedError(f"topic {name}: {error.str()}: allow Describe and allow Write on it")
        if code in _REFUSED:
            return RefusedError(f"topic {name}: it refuses {message}: {error.str()}: look at its settings and policies")
        complaint = opened.producer.complaint() if opened else None
        return UnavailableError(self._sentence(f"{message} was not confirmed: {error.str()}", complaint))

    def _sentence(self, problem: str, complaint: str | None) -> str:
        return f"topic {self.topic.name}: {problem}" + (f" ({complaint})" if complaint else "")
