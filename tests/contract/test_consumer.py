"""What `KafkaSource` relies on in the client library itself, on every Kafka: positions, ends, pauses and seeks."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import KafkaException, TopicPartition

from bridge.core.records import Partition
from tests.contract.kafka_sources import SECONDS, Broker, numbered, produce

AS_THE_BRIDGES = {"auto.offset.reset": "error", "enable.partition.eof": True, "isolation.level": "read_committed"}
NOTHING_COMES_S = 1.2
"""Longer than a fetch waits for records."""


class Reading:
    """A consumer of ten records, without a subscription."""

    def __init__(self, broker: Broker, topic: str, group: str) -> None:
        produce(broker, Partition(topic, 0), numbered(0, 10))
        self.place = TopicPartition(topic, 0)
        self.consumer = broker.consumer(group, AS_THE_BRIDGES)

    def at(self, offset: int) -> TopicPartition:
        return TopicPartition(self.place.topic, self.place.partition, offset)

    def assign(self, offset: int) -> None:
        self.consumer.incremental_assign([self.at(offset)])

    def take(self, count: int) -> list[Any]:
        """Offsets, and the names of errors, of so many messages."""
        taken: list[Any] = []
        deadline = time.monotonic() + SECONDS
        while len(taken) < count and time.monotonic() < deadline:
            for message in self.consumer.consume(count - len(taken), 0.2):
                taken.append(message.error().name() if message.error() else message.offset())
        return taken

    def is_silent(self) -> bool:
        return not self.consumer.consume(1, NOTHING_COMES_S)


@pytest.fixture
def reading(broker: Broker, topic: str, group: str) -> Iterator[Reading]:
    reading = Reading(broker, topic, group)
    yield reading
    reading.consumer.close()


def test_the_end_is_told_once_for_each_time_it_is_reached(broker, reading):
    reading.assign(8)
    assert reading.take(3) == [8, 9, "_PARTITION_EOF"]
    assert reading.is_silent()
    produce(broker, Partition(reading.place.topic, 0), numbered(10, 11))
    assert reading.take(2) == [10, "_PARTITION_EOF"]
    reading.consumer.pause([reading.place])
    reading.consumer.resume([reading.place])
    assert reading.take(1) == ["_PARTITION_EOF"]


def test_what_was_not_taken_before_a_pause_comes_after_it(reading):
    reading.assign(0)
    assert reading.take(4) == [0, 1, 2, 3]
    reading.consumer.pause([reading.place])
    assert reading.is_silent()
    reading.consumer.resume([reading.place])
    assert reading.take(7) == [4, 5, 6, 7, 8, 9, "_PARTITION_EOF"]


def test_a_pause_outlasts_the_assignment(reading):
    """So whoever gets a partition back has to resume it."""
    reading.assign(0)
    assert reading.take(1) == [0]
    reading.consumer.pause([reading.place])
    reading.consumer.incremental_unassign([reading.place])
    reading.assign(5)
    assert reading.is_silent()
    reading.consumer.resume([reading.place])
    assert reading.take(2) == [5, 6]


def test_a_seek(reading):
    with pytest.raises(KafkaException, match="Unknown partition"):
        reading.consumer.seek(reading.at(3))
    reading.assign(0)
    assert reading.take(2) == [0, 1]
    reading.consumer.seek(reading.at(7))
    assert reading.take(4) == [7, 8, 9, "_PARTITION_EOF"]


def test_an_offset_out_of_range_fails_the_partition_until_it_is_assigned_anew(reading):
    reading.assign(100)
    assert reading.take(1) == ["_AUTO_OFFSET_RESET"]
    reading.consumer.pause([reading.place])
    reading.consumer.resume([reading.place])
    assert reading.is_silent()
    with pytest.raises(KafkaException, match="Erroneous state"):
        reading.consumer.seek(reading.at(3))
    reading.consumer.incremental_unassign([reading.place])
    reading.assign(8)
    assert reading.take(3) == [8, 9, "_PARTITION_EOF"]


def test_an_assignment_without_an_offset_and_without_a_committed_one(reading):
    reading.consumer.incremental_assign([reading.place])
    assert reading.take(1) == ["_AUTO_OFFSET_RESET"]


def test_assignments_that_do_not_add_up(reading):
    with pytest.raises(KafkaException, match="empty assignment"):
        reading.consumer.incremental_unassign([reading.place])
    reading.assign(0)
    with pytest.raises(KafkaException, match="already part"):
        reading.assign(0)
    reading.consumer.close()
    with pytest.raises(RuntimeError, match="Consumer closed"):
        reading.consumer.poll(0)
