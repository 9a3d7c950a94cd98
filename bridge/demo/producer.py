"""Produces the flights to Kafka on a thread, never far ahead of what the bridge has committed, and keeps the account."""

from collections.abc import Iterable
from contextlib import suppress
from itertools import count
from sys import intern
from threading import Event, Thread
from time import monotonic
from types import TracebackType
from zlib import crc32

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from xxhash import xxh3_64_intdigest

from bridge.demo.backlog import Backlog
from bridge.demo.errors import DemoError
from bridge.demo.flights import Flight
from bridge.demo.verdict import SentPartition
from bridge.embedded.kafka import PARTITIONS

AHEAD_BYTES_MAX = 3 * 1024 * 1024
"""Per partition; the embedded Kafka keeps 5 MiB."""

COMMITTED_INTERVAL_S = 0.1
_KAFKA_TIMEOUT_S = 10.0
_CLOSE_TIMEOUT_S = 15.0
_ERRORS_ONLY = 3


class FlightProducer:
    """Works from the start of the block on, until everything it produced is committed by `group`."""

    def __init__(self, bootstrap: str, topic: str, group: str, flights: Iterable[Flight]) -> None:
        self.sent = [SentPartition() for _ in range(PARTITIONS)]
        self.first_sent_at: float | None = None
        """On the monotonic clock, in seconds, as `committed_at`."""
        self.committed_at: float | None = None
        self._topic = topic
        self._flights = flights
        self._backlog = Backlog(PARTITIONS, AHEAD_BYTES_MAX)
        self._committed_asked = 0.0
        self._stopped = Event()
        self._failure: Exception | None = None
        settings = {"bootstrap.servers": bootstrap, "log_level": _ERRORS_ONLY}
        self._producer = Producer({**settings, "enable.idempotence": True, "linger.ms": 10})
        # It never joins the group: it only asks what the group has committed.
        self._group = Consumer({**settings, "group.id": group, "enable.auto.commit": False})
        self._partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        self._thread = Thread(target=self._run, name="producer", daemon=True)

    @property
    def records(self) -> int:
        """Records that Kafka confirmed."""
        return sum(len(partition.digests) for partition in self.sent)

    @property
    def waiting(self) -> int:
        """Records that were produced and are not committed: the lag."""
        return self._backlog.waiting

    def check(self) -> None:
        """Raises DemoError when producing has failed."""
        if self._failure is not None:
            raise DemoError(f"Producing to Kafka failed: {self._failure}") from self._failure

    def __enter__(self) -> "FlightProducer":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stopped.set()
        self._thread.join(_CLOSE_TIMEOUT_S)
        self._producer.purge()
        self._producer.close()
        self._group.close()

    def _run(self) -> None:
        try:
            self._produce()
            while self._backlog.waiting and not self._stopped.wait(COMMITTED_INTERVAL_S):
                self._ask_committed()
            if not self._backlog.waiting:
                self.committed_at = monotonic()
        except (DemoError, KafkaException, OSError, ValueError) as error:
            self._failure = error

    def _produce(self) -> None:
        keyless = count()
        self.first_sent_at = monotonic()
        for flight in self._flights:
            # A key stays in its partition; records without one take turns.
            partition = (next(keyless) if flight.key is None else crc32(flight.key.encode())) % PARTITIONS
            size = len(flight.value) + len(flight.key or "")
            while not self._backlog.has_room(partition, size):
                self._producer.poll(COMMITTED_INTERVAL_S)
                self._ask_committed()
                if self._stopped.is_set():
                    return
            self._producer.produce(self._topic, flight.value, flight.key, partition, on_delivery=self._delivered)
            self._backlog.produced(partition, size)
            self._producer.poll(0)
        if left := self._producer.flush(_KAFKA_TIMEOUT_S):
            raise DemoError(f"{left} records were not confirmed within {_KAFKA_TIMEOUT_S:g} s")

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if self._stopped.is_set():  # what is purged at an early end is nobody's failure
            return
        if error is not None:
            raise DemoError(str(error))
        partition, offset, key, value = message.partition(), message.offset(), message.key(), message.value()
        if partition is None or value is None:
            raise DemoError("a delivery report without partition or value")
        sent = self.sent[partition]
        if offset != len(sent.digests):
            raise DemoError(f"partition {partition} gave offset {offset} where {len(sent.digests)} was due")
        sent.keys.append(None if key is None else intern(key.decode()))
        sent.digests.append(xxh3_64_intdigest(value))

    def _ask_committed(self) -> None:
        with suppress(KafkaException):  # the group's coordinator may be changing; the next time will tell
            for answer in self._group.committed(self._partitions, timeout=_KAFKA_TIMEOUT_S):
                if answer.error is None:
                    self._backlog.committed(answer.partition, answer.offset)
