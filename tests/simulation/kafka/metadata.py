"""A cluster's topics, as the client library tells them."""

from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    BrokerMetadata,
    ClusterMetadata,
    PartitionMetadata,
    TopicMetadata,
)

from tests.simulation.kafka.errors import error

if TYPE_CHECKING:
    from tests.simulation.kafka.cluster import Cluster


def cluster_metadata(cluster: "Cluster", topic: str | None) -> Any:
    """Of one topic, which may not exist, or of all."""
    metadata: Any = ClusterMetadata()
    metadata.cluster_id, metadata.controller_id = "simulated", 1
    broker: Any = BrokerMetadata()
    broker.id, broker.host, broker.port = 1, "simulated", 9092
    metadata.brokers = {1: broker}
    metadata.topics = {name: _topic(cluster, name) for name in ([topic] if topic is not None else list(cluster.topics))}
    return metadata


def _topic(cluster: "Cluster", name: str) -> Any:
    topic: Any = TopicMetadata()
    topic.topic = name
    for _, number in cluster.topics.get(name, ()):
        partition: Any = PartitionMetadata()
        partition.id, partition.leader, partition.replicas, partition.isrs = number, 1, [1], [1]
        topic.partitions[number] = partition
    if name not in cluster.topics:
        topic.error = error(KafkaError.UNKNOWN_TOPIC_OR_PART)
    return topic
