"""What is in Kafka, read back with a plain consumer that is no member of any group."""

import time
from collections.abc import Iterable
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition
from confluent_kafka.cimpl import OFFSET_BEGINNING, OFFSET_INVALID

BATCH = 5000
BATCH_SECONDS = 0.1
SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class KafkaRecord:
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True, slots=True)
class GroupPosition:
    committed: int | None
    """The group's next offset to read; None where it never committed one."""
    metadata: str
    end: int
    """High watermark: the offset that the next record gets."""


class ReadError(Exception):
    """The topic could not be read to its end."""


def read_topic(bootstrap_servers: str, topic: str, *, silent_seconds: float = SECONDS) -> list[KafkaRecord]:
    """Every committed record of the topic, from the beginning to the end it has on arrival there, partition by partition.

    An end lies before the first transaction that is still open, as for any consumer with read_committed.
    """
    consumer = _consumer(bootstrap_servers)
    try:
        partitions = _partitions(consumer, topic)
        found: dict[int, list[KafkaRecord]] = {partition: [] for partition in partitions}
        unfinished = set(partitions)
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
        heard = time.monotonic()
        while unfinished:
            # This waits its whole time for a batch that the end of the topic leaves unfilled, so the time is short.
            messages = consumer.consume(BATCH, timeout=BATCH_SECONDS)
            if messages:
                heard = time.monotonic()
            elif time.monotonic() - heard > silent_seconds:
                raise ReadError(f"{topic}: nothing for {silent_seconds:g} s, partitions {sorted(unfinished)} not at their end")
            for message in messages:
                if _is_end(message):
                    unfinished.discard(message.partition() or 0)
                else:
                    record = _record(message)
                    found[record.partition].append(record)
        return [record for partition in sorted(found) for record in found[partition]]
    finally:
        consumer.close()


def group_positions(bootstrap_servers: str, group: str, topic: str) -> dict[int, GroupPosition]:
    """Committed offset and high watermark of each partition; asks the coordinator and does not join the group."""
    consumer = _consumer(bootstrap_servers)
    try:
        partitions = _partitions(consumer, topic)
        members = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": group, "enable.auto.commit": False})
        try:
            answer = members.committed([TopicPartition(topic, partition) for partition in partitions], SECONDS)
        finally:
            members.close()
        positions = {}
        for committed in answer:
            if committed.error is not None:
                raise ReadError(f"{group}: {committed.error}")
            _, end = consumer.get_watermark_offsets(TopicPartition(topic, committed.partition), timeout=SECONDS)
            offset = None if committed.offset == OFFSET_INVALID else committed.offset
            positions[committed.partition] = GroupPosition(offset, committed.metadata or "", end)
        return positions
    finally:
        consumer.close()


class GroupReader:
    """Committed offsets of a group, asked again and again with one client. It is a consumer: an admin client ends the process
    where the coordinator is not ready yet."""

    def __init__(self, bootstrap_servers: str, group: str, places: Iterable[tuple[str, int]]) -> None:
        self._consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": group, "enable.auto.commit": False})
        self._places = [TopicPartition(*place) for place in places]

    def committed(self) -> dict[tuple[str, int], int]:
        """Of each partition that has one."""
        found = self._consumer.committed(self._places, SECONDS)
        return {(place.topic, place.partition): place.offset for place in found if place.offset >= 0}


def _consumer(bootstrap_servers: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            # librdkafka wants a name; nothing is committed under it.
            "group.id": "independent-checker",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
        }
    )


def _partitions(consumer: Consumer, topic: str) -> list[int]:
    metadata = consumer.list_topics(topic, timeout=SECONDS).topics[topic]
    if metadata.error is not None:
        raise ReadError(f"{topic}: {metadata.error}")
    return sorted(metadata.partitions)


def _is_end(message: Message) -> bool:
    error = message.error()
    if error is None:
        return False
    if error.code() == KafkaError._PARTITION_EOF:
        return True
    raise ReadError(str(error))


def _record(message: Message) -> KafkaRecord:
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    return KafkaRecord(topic, partition, offset, _bytes(message.key()), _bytes(message.value()))


def _bytes(content: str | bytes | None) -> bytes | None:
    return content.encode() if isinstance(content, str) else content
