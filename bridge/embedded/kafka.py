"""A Kafka broker in memory: the mock cluster that librdkafka brings, held by one client of this process.

It speaks the protocol to any client on this machine: topics appear when first asked for, consumer groups, committed
offsets with metadata. It shows the records of aborted transactions too, creates no topics on request, and it forgets: a
partition keeps about `PARTITION_BYTES_MAX` or `PARTITION_RECORDS_MAX`, read or not.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from confluent_kafka import KafkaException, Producer

PARTITIONS = 4
"""Partitions of every topic: the mock cluster's default."""

PARTITION_BYTES_MAX = 5 * 1024 * 1024
PARTITION_RECORDS_MAX = 100_000
"""Beyond these the oldest records of a partition are dropped (`rdkafka_mock.c`)."""

START_TIMEOUT_S = 10.0
_ERRORS_ONLY = 3


@contextmanager
def embedded_kafka(*topics: str) -> Iterator[str]:
    """Runs until the end of the block, with these topics from the start, and yields `host:port`, on loopback.

    Raises KafkaException when it does not start.

    The broker works in threads of librdkafka, outside Python's lock.
    """
    holder = Producer({"test.mock.num.brokers": 1, "log_level": _ERRORS_ONLY})
    try:
        brokers = holder.list_topics(timeout=START_TIMEOUT_S).brokers.values()
        for topic in topics:
            _create(holder, topic)
        yield ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
    finally:
        holder.close()


def _create(holder: Producer, topic: str) -> None:
    """A topic appears when its metadata are asked for, and stands in the answer to one of the next questions."""
    deadline = monotonic() + START_TIMEOUT_S
    while (error := holder.list_topics(topic, timeout=START_TIMEOUT_S).topics[topic].error) is not None:
        if monotonic() > deadline:
            raise KafkaException(error)
