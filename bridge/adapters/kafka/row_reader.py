"""Reads records of source topics from given offsets to given ends, beside the consumer group."""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing

from bridge.adapters.kafka.admin import KafkaAdmin
from bridge.adapters.kafka.clients import KafkaClients
from bridge.adapters.kafka.columns import events_of
from bridge.adapters.kafka.topic_reader import TopicReader
from bridge.core.records import Partition, SourceBatch

BATCH_MESSAGES_MAX = 500


class KafkaRowReader:
    """`RowReader`. One consumer after the other, each for one topic."""

    def __init__(self, clients: KafkaClients, admin: KafkaAdmin) -> None:
        self._clients = clients
        self._admin = admin

    async def read(self, begins: Mapping[Partition, int], ends: Mapping[Partition, int]) -> AsyncIterator[SourceBatch]:
        """See `RowReader`."""
        numbers: dict[str, list[int]] = defaultdict(list)
        for partition in begins:
            numbers[partition.topic].append(partition.number)
        for topic, of_topic in numbers.items():
            reader = TopicReader(topic, self._clients, self._admin, BATCH_MESSAGES_MAX)
            firsts = {number: begins[Partition(topic, number)] for number in of_topic}
            lasts = {number: ends[Partition(topic, number)] for number in of_topic}
            async with aclosing(reader.read(firsts, lasts)) as batches:
                async for messages in batches:
                    for batch in events_of(messages):
                        if isinstance(batch, SourceBatch):
                            yield batch
