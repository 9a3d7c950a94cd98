"""Topics made by tests."""

import functools
from collections.abc import Mapping, Sequence

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.servers.process import wait_until

SECONDS = 30.0
TOPICS_AT_ONCE = 50
"""A broker makes the folders and files of all partitions of a request before it answers it."""


def create_topic(bootstrap_servers: str, topic: str, *, partitions: int = 3, settings: Mapping[str, str] | None = None) -> None:
    """Returns when every partition has a leader: before that a producer's first request fails and is tried again."""
    create_topics(bootstrap_servers, [topic], partitions=partitions, settings=settings)


def create_topics(
    bootstrap_servers: str, topics: Sequence[str], *, partitions: int = 3, settings: Mapping[str, str] | None = None
) -> None:
    """As `create_topic`, for many of them."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    for first in range(0, len(topics), TOPICS_AT_ONCE):
        together = topics[first : first + TOPICS_AT_ONCE]
        new = [
            NewTopic(topic, num_partitions=partitions, replication_factor=1, config=dict(settings or {})) for topic in together
        ]
        for created in admin.create_topics(new, operation_timeout=SECONDS).values():
            created.result(SECONDS)
        wait_until(functools.partial(_have_leaders, admin, together, partitions), f"leaders of {together[0]} ...", SECONDS)


def delete_topic(bootstrap_servers: str, topic: str) -> None:
    """Returns when no broker knows it any more, so that one of its name can be created."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    admin.delete_topics([topic], operation_timeout=SECONDS)[topic].result(SECONDS)
    wait_until(lambda: topic not in admin.list_topics(timeout=SECONDS).topics, f"the end of topic {topic}", SECONDS)


def _have_leaders(admin: AdminClient, topics: Sequence[str], partitions: int) -> bool:
    every = admin.list_topics(topics[0] if len(topics) == 1 else None, timeout=SECONDS).topics
    found = [every[topic].partitions for topic in topics if topic in every]
    return len(found) == len(topics) and all(
        len(numbers) == partitions and all(partition.leader >= 0 for partition in numbers.values()) for numbers in found
    )
