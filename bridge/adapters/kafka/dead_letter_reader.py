"""Reads the dead-letter topic: up to the ends that it has when the reading begins."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import aclosing

from confluent_kafka import Message

from bridge.adapters.kafka.admin import KafkaAdmin
from bridge.adapters.kafka.clients import KafkaClients
from bridge.adapters.kafka.topic_reader import TopicReader
from bridge.core.delivery.dead_letters import Place, StoredEntry, read_message, size_of

BATCH_MESSAGES_MAX = 500


class KafkaDeadLetterReader:
    """`DeadLetterReader`."""

    def __init__(self, topic: str, clients: KafkaClients, admin: KafkaAdmin) -> None:
        self._reader = TopicReader(topic, clients, admin, BATCH_MESSAGES_MAX)

    async def entries(self) -> AsyncIterator[Sequence[StoredEntry]]:
        """See `DeadLetterReader`."""
        ends = await self._reader.ends(await self._reader.numbers())
        async for batch in self._read(dict.fromkeys(ends, 0), ends):
            yield batch

    async def at(self, places: Collection[Place]) -> AsyncIterator[Sequence[StoredEntry]]:
        """See `DeadLetterReader`."""
        wanted = set(places)
        there = await self._reader.numbers()
        offsets: dict[int, list[int]] = {}
        for place in wanted:
            if place.partition in there:
                offsets.setdefault(place.partition, []).append(place.offset)
        ends = await self._reader.ends(set(offsets))
        begins = {number: min(offsets[number]) for number in ends}
        async for batch in self._read(begins, {number: min(end, max(offsets[number]) + 1) for number, end in ends.items()}):
            if chosen := [entry for entry in batch if entry.place in wanted]:
                yield chosen

    async def _read(self, begins: Mapping[int, int], ends: Mapping[int, int]) -> AsyncIterator[Sequence[StoredEntry]]:
        async with aclosing(self._reader.read(begins, ends)) as batches:
            async for messages in batches:
                yield [_entry(message) for message in messages]


def _entry(message: Message) -> StoredEntry:
    key, value, headers = message.key(), message.value(), message.headers() or []
    place = Place(message.partition(), message.offset())  # type: ignore[arg-type] # it is a record, which has both
    return StoredEntry(place, read_message(key, value, headers), size_of(key, value, headers))  # type: ignore[arg-type]
