"""Which topic an offset is one of, for partitions as they are assigned."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from confluent_kafka import TopicPartition

from bridge.core.delivery.commit_metadata import decode
from bridge.core.records import Partition

Ask = Callable[[Collection[str]], Mapping[str, str]]
"""Kafka's ids of topics; those are left out of which it tells none. Blocking; raises KafkaException."""


class TopicId(NamedTuple):
    """`now` is the id that Kafka names, `begun` that of the topic which the group has begun to read, as far as known.

    They differ where the topic was deleted and created anew.
    """

    now: str | None
    begun: str | None


class TopicIds:
    """Remembers the topics that this process has had partitions of: Kafka forgets the group's offsets with a deleted topic.

    Called by one thread at a time, that of the consumer.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._had: dict[str, str] = {}

    def of(self, committed: Mapping[str, Iterable[str | None]]) -> dict[str, TopicId]:
        """Of each topic, given the ids that stand beside the committed offsets of its partitions. Raises KafkaException."""
        now = self._ask(list(committed))
        return {topic: self._of(topic, now.get(topic), set(ids)) for topic, ids in committed.items()}

    def _of(self, topic: str, now: str | None, committed: set[str | None]) -> TopicId:
        known = sorted(one for one in committed if one is not None) or [one for one in [self._had.get(topic)] if one is not None]
        begun = now if now in known or not known else known[0]
        if begun is not None:
            self._had[topic] = begun
        return TopicId(now, begun)


def ids_beside(committed: Mapping[Partition, TopicPartition]) -> dict[str, list[str | None]]:
    """Of each topic: the ids that stand beside committed offsets."""
    ids: dict[str, list[str | None]] = {}
    for partition, answer in committed.items():
        ids.setdefault(partition.topic, []).append(decode(answer.metadata).topic_id)
    return ids


def unreadable_beside(committed: Mapping[Partition, TopicPartition]) -> dict[str, str]:
    """Topics beside whose committed offsets something stands that cannot be read, with one such text: N of
    `partition_key: partition` may be in it, so that nothing can be begun for their other partitions."""
    return {p.topic: answer.metadata or "" for p, answer in committed.items() if decode(answer.metadata).unreadable is not None}


def slices_beside(topic: str, committed: Mapping[Partition, TopicPartition]) -> int:
    """N: what an earlier commit of this topic says, else its number of partitions now."""
    of_topic = [answer for partition, answer in committed.items() if partition.topic == topic]
    known = [n for answer in of_topic if (n := decode(answer.metadata).slices) is not None]
    return min(known, default=len(of_topic))
