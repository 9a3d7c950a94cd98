"""Reads one topic from given offsets to given ends, with a consumer that joins no group."""

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
LOOK_AGAIN_S = 0.2
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

    async def offsets_at(self, numbers: set[int], wall_ms: int) -> dict[int, int]:
        """The first offset in each of these partitions with this timestamp or a later one, else its end. Raises
        UnavailableError, also where Kafka does not tell all of them."""
        found = await self.admin.offsets_at({Partition(self.topic, number): wall_ms for number in numbers})
        if missing := numbers - {partition.number for partition in found}:
            raise UnavailableError(f"topic {self.topic}: Kafka does not tell offsets by time of partition {min(missing)}")
        return {partition.number: offset for partition, offset in found.items()}

    async def every_end(self, numbers: set[int], within_s: float) -> dict[int, int]:
        """End offsets of all these partitions. Those that were just made, or change their leader, have none for a moment.

        Raises UnavailableError.
        """
        found: dict[int, int] = {}
        try:
            async with asyncio.timeout(within_s):
                found = await self.ends(numbers)
                while missing := numbers - found.keys():
                    await asyncio.sleep(LOOK_AGAIN_S)
                    found |= await self.ends(missing)
        except TimeoutError:
            number = min(numbers - found.keys())
            raise UnavailableError(f"topic {self.topic}: Kafka has not told the end of partition {number} in time") from None
        return found

    async def read(self, begins: Mapping[int, int], ends: Mapping[int, int]) -> AsyncGenerator[Sequence[Message], None]:
        """The partitions of `begins`, each in its order, from its begin, or where retention has left it later, up to its end.
        What the client hands over twice is given once.

        Raises UnavailableError, also where a partition turns out to end below its end; RefusedError where it may not be read.
        """
        missing = {number: ends[number] for number, begin in begins.items() if begin < ends[number]}
        if not missing:
            return
        consumer = await asyncio.to_thread(self.clients.consumer, _OWNED, READING)
        now = asyncio.get_running_loop().time
        try:
            consumer.assign([TopicPartition(self.topic, number, begins[number]) for number in missing])
            give_up_at, read_to = now() + SILENCE_S, dict(begins)
            while missing:
                messages = await asyncio.to_thread(_take, consumer, self.batch_messages_max)
                batch = self._wanted(messages, read_to, missing)
                if batch:
                    give_up_at = now() + SILENCE_S
                    yield batch
                elif missing and now() > give_up_at:
                    raise UnavailableError(self._silence(missing))
        finally:
            await asyncio.to_thread(consumer.close)

    def _wanted(self, messages: Sequence[Message], read_to: dict[int, int], missing: dict[int, int]) -> list[Message]:
        """Those behind what was read, up to the ends; partitions that are at their ends leave `missing`."""
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
            if not at_end and read_to[number] <= offset < missing[number]:
                batch.append(message)
                read_to[number] = offset + 1
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
