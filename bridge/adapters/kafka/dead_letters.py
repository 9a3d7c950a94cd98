"""Writes the dead-letter topic: `DeadLetters` and `ReplayMarks`.

The producer, and the topic where it does not exist, are made when the first record is parked. A message's timestamp is the moment
of parking, so that a retention that somebody sets counts from there, and no broker refuses it as too old or too new; the
record's own stands in the headers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bridge.adapters.kafka.clients import KafkaClients
from bridge.adapters.kafka.producing import Outgoing
from bridge.adapters.kafka.threads import SystemThreads, Threads
from bridge.adapters.kafka.topic_writer import TopicWriter, WrittenTopic
from bridge.adapters.kafka.topics import KafkaTopics
from bridge.core.delivery.dead_letters import Origin, TopicMessage, parked_message, replayed_message
from bridge.core.records import DeadLetter
from bridge.core.topics import dead_letter_topic
from bridge.ports import Clock

DELIVERY_S = 20.0
PARK_S = 30.0
"""Longer than a delivery may take, so that the client's own word comes first."""
OWNED: dict[str, Any] = {"delivery.timeout.ms": int(DELIVERY_S * 1000)}


@dataclass(slots=True, frozen=True)
class DeadLetterTopic:
    """Of one bridge; `wanted` tells the topics whose records it may have to hold."""

    bridge: str
    wanted: Callable[[str], bool]

    @property
    def name(self) -> str:
        return dead_letter_topic(self.bridge)


@dataclass(slots=True)
class KafkaDeadLetters:
    """`DeadLetters` and `ReplayMarks`."""

    topic: DeadLetterTopic
    clients: KafkaClients
    topics: KafkaTopics
    clock: Clock
    threads: Threads = field(default_factory=SystemThreads)
    _writer: TopicWriter = field(init=False)

    def __post_init__(self) -> None:
        written = WrittenTopic(self.topic.name, "a dead letter", "kafka-dead-letters", OWNED, self.prepare)
        self._writer = TopicWriter(written, self.clients, self.threads)

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
        """See `DeadLetters`."""
        await self._writer.close()

    async def _write(self, messages: Sequence[TopicMessage], now_ms: float) -> None:
        await self._writer.write(
            [Outgoing(m.origin.partition.number, m.value, m.key, m.headers, int(now_ms)) for m in messages], PARK_S
        )
