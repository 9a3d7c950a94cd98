"""The bridge's internal topics: their names, and how they have to be."""

from collections.abc import Mapping
from dataclasses import dataclass

DEAD_LETTERS_SUFFIX = ".dlq"


@dataclass(slots=True, frozen=True)
class TopicDefinition:
    """Of a topic that the bridge needs. It takes the cluster's default replication factor."""

    name: str
    partitions: int
    settings: Mapping[str, str]

    def by_hand(self) -> str:
        """The command that creates it, for a cluster on which the bridge may not."""
        settings = " ".join(f"--config {key}={value}" for key, value in self.settings.items())
        return f"kafka-topics.sh --create --topic {self.name} --partitions {self.partitions} {settings}"


def dead_letter_topic(bridge: str) -> str:
    """Its name."""
    return f"{bridge}{DEAD_LETTERS_SUFFIX}"


def dead_letters_definition(bridge: str, partitions: int, record_bytes_max: int) -> TopicDefinition:
    """`partitions` as the widest route's topic has; `record_bytes_max` is the largest record that may have to be parked.

    Nothing expires: a parked record is often the only one left when somebody looks. Whoever wants them to go sets
    `retention.ms`, which counts from the parking.
    """
    settings = {"cleanup.policy": "delete", "retention.ms": "-1", "max.message.bytes": str(record_bytes_max)}
    return TopicDefinition(dead_letter_topic(bridge), partitions, settings)
