"""The producer of the demonstration against the embedded Kafka: it waits for commits, and keeps an exact account."""

from collections.abc import Callable, Iterator
from itertools import repeat

import pytest
from confluent_kafka import Consumer, TopicPartition
from xxhash import xxh3_64_intdigest

from bridge.demo.errors import DemoError
from bridge.demo.flights import Flight
from bridge.demo.producer import AHEAD_BYTES_MAX, FlightProducer
from bridge.embedded.kafka import PARTITIONS, embedded_kafka
from tests.servers.process import wait_until

VALUE = b"x" * 1000
GROUP = "demo"


def commit(bootstrap: str, offsets: list[int]) -> None:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": GROUP, "enable.auto.commit": False})
    wanted = [TopicPartition("t", number, offset) for number, offset in enumerate(offsets)]
    consumer.commit(offsets=wanted, asynchronous=False)
    consumer.close()


def full_and_still(producer: FlightProducer) -> Callable[[], bool]:
    """Holds when every partition is nearly full and none grew since the last question but nine."""
    seen: list[list[int]] = []

    def holds() -> bool:
        seen.append([len(partition.digests) * len(VALUE) for partition in producer.sent])
        return min(seen[-1]) > AHEAD_BYTES_MAX * 0.9 and len(seen) > 10 and all(sizes == seen[-1] for sizes in seen[-10:])

    return holds


def test_it_stops_where_the_limit_is_and_goes_on_with_the_commits():
    count = 4 * PARTITIONS * (AHEAD_BYTES_MAX // len(VALUE)) // 2
    with (
        embedded_kafka("t") as bootstrap,
        FlightProducer(bootstrap, "t", GROUP, repeat(Flight(None, VALUE), count)) as producer,
    ):
        wait_until(full_and_still(producer), "the producer's stop")
        assert all(len(partition.digests) * len(VALUE) <= AHEAD_BYTES_MAX for partition in producer.sent)
        assert producer.committed_at is None

        def everything_committed() -> bool:
            commit(bootstrap, [len(partition.digests) for partition in producer.sent])
            producer.check()
            return producer.committed_at is not None

        wait_until(everything_committed, "the end")
        assert (producer.records, producer.waiting) == (count, 0)


def test_the_account_has_what_kafka_confirmed_and_a_key_stays_in_its_partition():
    flights = [Flight(None if n % 5 == 0 else f"N{n % 7}", b"%d" % n) for n in range(500)]
    with embedded_kafka("t") as bootstrap, FlightProducer(bootstrap, "t", GROUP, flights) as producer:
        wait_until(lambda: producer.records == len(flights), "the delivery reports")
        rows = [(key, digest) for sent in producer.sent for key, digest in zip(sent.keys, sent.digests, strict=True)]
        assert sorted(rows, key=str) == sorted(((key, xxh3_64_intdigest(value)) for key, value in flights), key=str)
        homes = [{key for key in partition.keys if key is not None} for partition in producer.sent]
        assert sum(map(len, homes)) == len(set().union(*homes)) == 7
        assert all(None in partition.keys for partition in producer.sent)


def test_flights_that_cannot_be_read_are_its_failure():
    def broken() -> Iterator[Flight]:
        yield Flight("N1", b"1")
        raise DemoError("no more flights")

    with embedded_kafka("t") as bootstrap, FlightProducer(bootstrap, "t", GROUP, broken()) as producer:
        wait_until(lambda: producer._failure is not None, "the failure")
        with pytest.raises(DemoError, match="no more flights"):
            producer.check()
