"""A producer at a steady rate, for as long as a test lasts."""

import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from loadtest.keys import make_keys
from loadtest.pacing import Pacer
from tests.integration.flights import produce
from tests.servers.kafka import RunningKafka


class SteadyRecords:
    """Records at a rate until `stop()`; every value is another one."""

    def __init__(self, rate: float, keys: int) -> None:
        self._rate, self._keys = rate, keys
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        keys, numbers, pacer = make_keys(self._keys), itertools.count(), Pacer(self._rate, time.monotonic())
        while not self._stopping.wait(0.01):
            for number in itertools.islice(numbers, pacer.due(time.monotonic())):
                # A stride without a common factor with the number of keys: neighbours differ, every key comes as often.
                yield keys[number * 7 % self._keys], b"record %d" % number


@contextmanager
def producing(kafka: RunningKafka, topic: str, rate: float, keys: int) -> Iterator[list[int]]:
    """Produces during the block; the list has the number of records after it."""
    records, produced = SteadyRecords(rate, keys), list[int]()
    with ThreadPoolExecutor(1, "producer") as threads:
        under_way = threads.submit(produce, kafka.bootstrap_servers, topic, records)
        try:
            yield produced
        finally:
            records.stop()
        produced.append(under_way.result())


def is_past(moment: float) -> bool:
    return time.monotonic() > moment
