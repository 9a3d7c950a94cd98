"""The ledger topic: `Ledger` over one idempotent producer, and a consumer for each reading.

To this adapter a message is opaque. A message without a confirmation in `DELIVERY_S` is given up, so that its writer knows well
before its lease ends.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from bridge.adapters.kafka.clients import KafkaClients
from bridge.adapters.kafka.producing import Outgoing
from bridge.adapters.kafka.threads import Threads
from bridge.adapters.kafka.topic_reader import TopicReader
from bridge.adapters.kafka.topic_writer import TopicWriter, WrittenTopic
from bridge.adapters.kafka.topics import KafkaTopics
from bridge.core.errors import RefusedError, UnavailableError
from bridge.core.proof.ledger_layout import LedgerMessage
from bridge.core.topics import TopicDefinition

DELIVERY_S = 5.0
WRITE_S = 6.0
"""Longer than a delivery may take, so that the client's own word comes first."""
ENDS_S = 10.0
BATCH_MESSAGES_MAX = 20
"""Of one batch that is read: a message may have some megabytes."""
OWNED: dict[str, Any] = {"delivery.timeout.ms": int(DELIVERY_S * 1000)}


class KafkaLedger:
    """`Ledger`."""

    def __init__(self, definition: TopicDefinition, clients: KafkaClients, topics: KafkaTopics, threads: Threads) -> None:
        self._definition = definition
        self._topics = topics
        self._slots = set(range(definition.partitions))
        self._reader = TopicReader(definition.name, clients, topics, BATCH_MESSAGES_MAX)
        written = WrittenTopic(definition.name, "a ledger message", "kafka-ledger", OWNED, self._prepare)
        self._writer = TopicWriter(written, clients, threads)
        self._seen = False

    async def open(self) -> Mapping[int, int]:
        """See `Ledger`."""
        await self._writer.open()
        return await self.ends()

    async def write(self, messages: Sequence[tuple[int, bytes]]) -> Sequence[int]:
        """See `Ledger`."""
        if not {slot for slot, _ in messages} <= self._slots:
            raise ValueError(f"slots are 0 to {self._definition.partitions - 1}")
        offsets = await self._writer.write([Outgoing(slot, value) for slot, value in messages], WRITE_S)
        if any(offset < 0 for offset in offsets):
            raise UnavailableError(f"topic {self._definition.name}: Kafka has confirmed a message without saying where it stands")
        return offsets

    async def ends(self) -> Mapping[int, int]:
        """See `Ledger`."""
        return await self._reader.every_end(self._slots, ENDS_S)

    async def offsets_at(self, wall_ms: int) -> Mapping[int, int]:
        """See `Ledger`."""
        try:
            async with asyncio.timeout(ENDS_S):
                return await self._reader.offsets_at(self._slots, wall_ms)
        except TimeoutError:
            raise UnavailableError(f"topic {self._definition.name}: Kafka has not told offsets by time in {ENDS_S:g} s") from None

    async def read(self, begins: Mapping[int, int], ends: Mapping[int, int]) -> AsyncIterator[Sequence[LedgerMessage]]:
        """See `Ledger`."""
        async with aclosing(self._reader.read(begins, ends)) as batches:
            async for batch in batches:
                yield [LedgerMessage(m.partition(), m.offset(), m.value() or b"") for m in batch]  # type: ignore[arg-type]

    async def close(self) -> None:
        """See `Ledger`."""
        await self._writer.close()

    async def _prepare(self) -> int:
        """A topic that was there and has gone is not made again: what it held is missing, and somebody has to know."""
        name = self._definition.name
        there = await self._topics.partitions_in(name)
        if not there and self._seen:
            raise RefusedError(
                f"topic {name}: it is not there any more, and with it what it held: restart the bridge to make it anew"
            )
        there = there or await self._topics.make(self._definition)
        await self._topics.check(self._definition, there)
        self._seen = True
        return there
