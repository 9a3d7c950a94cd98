"""A fake Apache Kafka at the level of the client library's methods, in whatever time it is given."""

from tests.simulation.kafka.clients import SimKafkaClients
from tests.simulation.kafka.cluster import Cluster
from tests.simulation.kafka.consumer import SimConsumer
from tests.simulation.kafka.producer import SimProducer

__all__ = ["Cluster", "SimConsumer", "SimKafkaClients", "SimProducer"]
