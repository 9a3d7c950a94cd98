"""Reads the dead-letter topic with a consumer that joins no group: up to the ends that it has when the reading begins."""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, Message, TopicPartition

from bridge.adapters.kafka.admin import KafkaAdmin
from bridge.adapters.kafka.clients import KafkaClients
from bridge.core.delivery.dead_letters import read_message, size_of
from bridge.core.errors import RefusedError, UnavailableError
from bridge.core.records import Partition
from bridge.ports import Place, StoredEntry

MESSAGES_MAX = 500
"""Of one batch."""
WAIT_S = 0.5
SILENCE_S = 20.0
"""So long nothing may come while something is still missing."""
READING: dict[str, Any] = {"queued.max.messages.kbytes": 16 * 1024, "fetch.message.max.bytes": 1024 * 1024}
_OWNED: dict[str, Any] = {
    "group.id": "bridge-reader",
    "enable.auto.commit": False,
    "enable.partition.eof": True,
    "isolation.level": "read_committed",
    "auto.offset.reset": "earliest",  # what retention removed meanwhile is not there any more
}
_REFUSALS = {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED}


@dataclass(slots=True, frozen=True)
class KafkaDeadLetterReader:
    """`DeadLetterReader`."""

    topic: str
    clients: KafkaClients
    admin: KafkaAdmin

    async def entries(self) -> AsyncIterator[Sequence[StoredEntry]]:
        """See `DeadLetterReader`."""
        async for batch in self._read({number: OFFSET_BEGINNING for number in await self._numbers()}, {}):
            yield batch

    async def at(self, places: Collection[Place]) -> AsyncIterator[Sequence[StoredEntry]]:
        """See `DeadLetterReader`."""
        wanted = set(places)
        there = await self._numbers()
        offsets: dict[int, list[int]] = {}
        for place in wanted:
            if place.partition in there:
                offsets.setdefault(place.partition, []).append(place.offset)
        begins = {number: min(found) for number, found in offsets.items()}
        async for batch in self._read(begins, {number: max(found) + 1 for number, found in offsets.items()}):
            if chosen := [entry for entry in batch if entry.place in wanted]:
                yield chosen

    async def _numbers(self) -> set[int]:
        return {p.number for p in await self.admin.partitions_of(lambda topic: topic == self.topic)}

    async def _read(self, begins: Mapping[int, int], no_further: Mapping[int, int]) -> AsyncIterator[Sequence[StoredEntry]]:
        """From these offsets to the ends of now, or `no_further`."""
        found = await self.admin.end_offsets([Partition(self.topic, number) for number in begins]) if begins else {}
        ends = {p.number: min(end, no_further.get(p.number, end)) for p, end in found.items()}
        missing = {number: end for number, end in ends.items() if end > max(0, begins[number])}
        if not missing:
            return
        consumer = await asyncio.to_thread(self.clients.consumer, _OWNED, READING)
        try:
            consumer.assign([TopicPartition(self.topic, number, begins[number]) for number in missing])
            give_up_at = time.monotonic() + SILENCE_S
            while missing:
                messages = await asyncio.to_thread(_consume, consumer)
                if messages:
                    give_up_at = time.monotonic() + SILENCE_S
                elif time.monotonic() > give_up_at:
                    raise UnavailableError(f"topic {self.topic}: nothing came within {SILENCE_S:g} s")
                if batch := self._taken(messages, missing):
                    yield batch
        finally:
            await asyncio.to_thread(consumer.close)

    def _taken(self, messages: Sequence[Message], missing: dict[int, int]) -> list[StoredEntry]:
        """The entries below the ends; partitions that are at theirs leave `missing`."""
        batch = []
        for message in messages:
            number, offset = message.partition(), message.offset()
            if (error := message.error()) is not None and error.code() != KafkaError._PARTITION_EOF:
                if error.code() in _REFUSALS:
                    raise RefusedError(f"topic {self.topic}: {error.str()}: allow Read and Describe on it")
                continue  # the client tries again; what does not come is told above
            if number not in missing or offset is None:
                continue
            if error is None and offset < missing[number]:
                batch.append(_entry(message, Place(number, offset)))
            if error is not None or offset + 1 >= missing[number]:
                del missing[number]
        return batch


def _consume(consumer: Any) -> Sequence[Message]:  # noqa: ANN401 - as the client's
    try:
        return consumer.consume(MESSAGES_MAX, WAIT_S)  # type: ignore[no-any-return]
    except KafkaException as error:
        raise UnavailableError(error.args[0].str()) from error


def _entry(message: Message, place: Place) -> StoredEntry:
    key, value, headers = message.key(), message.value(), message.headers() or []
    return StoredEntry(place, read_message(key, value, headers), size_of(key, value, headers))  # type: ignore[arg-type]
