"""The bridge's way in to Kafka, with simulated clients."""

from collections.abc import Mapping
from typing import Any

from bridge.adapters.kafka.clients import KafkaClients
from tests.simulation.kafka.admin import SimAdmin
from tests.simulation.kafka.cluster import Cluster
from tests.simulation.kafka.consumer import SimConsumer
from tests.simulation.kafka.host import Host
from tests.simulation.kafka.producer import SimProducer


class SimKafkaClients(KafkaClients):
    """All clients of one process."""

    def __init__(self, properties: Mapping[str, Any], cluster: Cluster, host: Host) -> None:
        super().__init__(properties)
        self._cluster = cluster
        self._host = host

    def consumer(self, properties: Mapping[str, Any], tuning: Mapping[str, Any] | None = None) -> Any:
        """See `KafkaClients`."""
        return SimConsumer({**(tuning or {}), **self.properties(), **properties}, self._cluster, self._host)

    def producer(self, properties: Mapping[str, Any], tuning: Mapping[str, Any] | None = None) -> Any:
        """See `KafkaClients`."""
        return SimProducer({**(tuning or {}), **self.properties(), **properties}, self._cluster, self._host)

    def admin(self) -> Any:
        """See `KafkaClients`."""
        return SimAdmin(self.properties(), self._cluster, self._host)
