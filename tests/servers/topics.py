"""Topics made by tests."""

import functools
from collections.abc import Mapping

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.servers.process import wait_until

SECONDS = 30.0


def create_topic(bootstrap_servers: str, topic: str, *, partitions: int = 3, settings: Mapping[str, str] | None = None) -> None:
    """Returns when every partition has a leader: before that a producer's first request fails and is tried again."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    new = NewTopic(topic, num_partitions=partitions, replication_factor=1, config=dict(settings or {}))
    admin.create_topics([new], operation_timeout=SECONDS)[topic].result(SECONDS)
    wait_until(functools.partial(_has_leaders, admin, topic, partitions), f"leaders of {topic}", SECONDS)


def _has_leaders(admin: AdminClient, topic: str, partitions: int) -> bool:
    found = admin.list_topics(topic, timeout=SECONDS).topics[topic].partitions
    return len(found) == partitions and all(partition.leader >= 0 for partition in found.values())
