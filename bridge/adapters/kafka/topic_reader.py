"""Reads one of the bridge's own topics from given offsets to given ends, with a consumer that joins no group."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from bridge.adapters.kafka.admin import KafkaAdmin
from bridge.adapters.kafka.clients import KafkaClients
from bridge.core.errors import RefusedError, UnavailableError
from bridge.core.records import Partition

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
class TopicReader:
    """Each `read` makes a consumer of its own."""

    topic: str
    clients: KafkaClients
    admin: KafkaAdmin
    batch_messages_max: int

    async def numbers(self) -> set[int]:
        """The topic's partitions; none where there is no such topic. Raises UnavailableError."""
        return {p.number for p in await self.admin.partitions_of(lambda topic: topic == self.topic)}

    async def ends(self, numbers: set[int]) -> dict[int, int]:
        """End offsets of these partitions, as far as Kafka tells them. Raises UnavailableError."""
        if not numbers:
            return {}
        found = await self.admin.end_offsets([Partition(self.topic, number) for number in numbers])
        return {partition.number: end for partition, end in found.items()}

    async def read(self, begins: Mapping[int, int], ends: Mapping[int, int]) -> AsyncGenerator[Sequence[Message], None]:
        """The partitions of `begins`, each in its order, from its begin, or where retention has left it later, up to its end.

        Raises UnavailableError, also where a partition turns out to end below its end; RefusedError where it may not be read.
        """
        missing = {number: ends[number] for number, begin in begins.items() if begin < ends[number]}
        if not missing:
            return
        consumer = await asyncio.to_thread(self.clients.consumer, _OWNED, READING)
        now = asyncio.get_running_loop().time
        try:
            consumer.assign([TopicPartition(self.topic, number, begins[number]) for number in missing])
            give_up_at = now() + SILENCE_S
            while missing:
                messages = await asyncio.to_thread(_take, consumer, self.batch_messages_max)
                batch = self._wanted(messages, begins, missing)
                if batch:
                    give_up_at = now() + SILENCE_S
                    yield batch
                elif missing and now() > give_up_at:
                    raise UnavailableError(self._silence(missing))
        finally:
            await asyncio.to_thread(consumer.close)

    def _wanted(self, messages: Sequence[Message], begins: Mapping[int, int], missing: dict[int, int]) -> list[Message]:
        """Those between begins and ends; partitions that are at their ends leave `missing`."""
        batch = []
        for message in messages:
            number, offset, error = message.partition(), message.offset(), message.error()
            at_end = error is not None and error.code() == KafkaError._PARTITION_EOF
            if error is not None and not at_end:
                if error.code() in _REFUSALS:
                    raise RefusedError(f"topic {self.topic}: {error.str()}: allow Read and Describe on it")
                continue  # the client tries again; what does not come is told above
            if number not in missing or offset is None:
                continue
            if not at_end and begins[number] <= offset < missing[number]:
                batch.append(message)
            if (offset if at_end else offset + 1) >= missing[number]:
                del missing[number]  # a broker that has just become the leader may tell an earlier end for a moment
        return batch

    def _silence(self, missing: Mapping[int, int]) -> str:
        number, end = next(iter(missing.items()))
        return f"topic {self.topic}: nothing came within {SILENCE_S:g} s of what is missing: partition {number} up to {end}"


def _take(consumer: Any, count: int) -> Sequence[Message]:  # noqa: ANN401 - as the client's
    """What is there, or comes first."""
    try:
        first = consumer.poll(WAIT_S)
        return [] if first is None else [first, *consumer.consume(count - 1, 0)]
    except KafkaException as error:
        raise UnavailableError(error.args[0].str()) from error
