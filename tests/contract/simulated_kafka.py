"""The simulated Kafka for clients in real threads and real time."""

import random
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

from bridge.core.records import Partition
from tests.simulation.kafka.clients import SimKafkaClients
from tests.simulation.kafka.cluster import Cluster
from tests.simulation.kafka.consumer import SimConsumer
from tests.simulation.kafka.log import Record

TURN_S = 0.005
"""A waiting thread lets the cluster's time go on that often."""
SESSION_TIMEOUT_S = 10.0


class RealTimeParking:
    """See `Parking`. Waiting lets go of the cluster's lock."""

    def __init__(self, lock: threading.RLock) -> None:
        self._woken = threading.Condition(lock)

    def wait(self, until: float) -> None:
        self._woken.wait(max(0.0, min(TURN_S, until - time.monotonic())))

    def wake(self) -> None:
        with self._woken:
            self._woken.notify_all()


class RealTimeHost:
    """See `Host`. It always runs, and is always connected."""

    connected = True

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock

    def beating(self, _now: float) -> bool:
        return True

    def parking(self) -> RealTimeParking:
        return RealTimeParking(self._lock)


class SimulatedKafka:
    """One cluster, with the settings of the real one in the tests, and one process that all clients live in."""

    def __init__(self) -> None:
        lock = threading.RLock()
        self.cluster = Cluster(time.monotonic, random.Random(1), lambda: time.time() * 1000)
        self.cluster.lock = lock
        self.cluster.settings.initial_rebalance_delay_s = 0.0
        self.cluster.settings.consumer_session_timeout_s = SESSION_TIMEOUT_S
        self.cluster.settings.consumer_heartbeat_s = 0.5
        self._host = RealTimeHost(lock)

    def create_topic(self, topic: str, partitions: int, settings: Mapping[str, str] | None = None) -> None:
        with self.cluster.lock:
            self.cluster.create_topic(topic, partitions, settings)

    def produce(self, partition: Partition, records: Iterable[Record], timestamp_ms: int) -> None:
        """Without a timestamp the clock tells it."""
        with self.cluster.lock:
            self.cluster.produce(partition.topic, partition.number, records, timestamp_ms or None)

    def write_transactions(self, partition: Partition, transactions: Iterable[tuple[int, bool]]) -> None:
        """What an aborted one leaves for readers of committed records: offsets without any."""
        for number, commit in transactions:
            with self.cluster.lock:
                if commit:
                    self.cluster.produce(*_place(partition), [(b"key-%d" % number, b"value-%d" % number)])
                self.cluster.append_hole(*_place(partition), 1 if commit else 2)

    def delete_records(self, partition: Partition, before: int) -> None:
        with self.cluster.lock:
            self.cluster.delete_records(*_place(partition), before)

    def recreate_topic(self, topic: str) -> None:
        with self.cluster.lock:
            self.cluster.recreate_topic(topic)

    def clients(self, properties: Mapping[str, Any]) -> SimKafkaClients:
        return SimKafkaClients(properties, self.cluster, self._host)

    def consumer(self, properties: dict[str, Any]) -> SimConsumer:
        return SimConsumer(properties, self.cluster, self._host)


def _place(partition: Partition) -> tuple[str, int]:
    return partition.topic, partition.number
