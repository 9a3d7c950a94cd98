"""The bridge's internal topics: their names, and how they have to be."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

DEAD_LETTERS_SUFFIX = ".dlq"
LEDGER_SUFFIX = ".ledger"
CONTROL_SUFFIX = ".control"
OF_THE_CLUSTER = -1
"""As replication factor: the cluster's default."""
FOREVER = "-1"
"""As `retention.ms`, and as `retention.bytes`."""
LEDGER_MESSAGE_BYTES_MAX = 4 * 1024 * 1024
"""Of one message of the ledger, before it is compressed: what the most entries that it may hold can take."""
HEADROOM_BYTES = 64 * 1024
"""What Kafka's own batch around a message, and headers, may add to it."""


@dataclass(slots=True, frozen=True)
class TopicDefinition:
    """Of a topic that the bridge needs."""

    name: str
    partitions: int
    settings: Mapping[str, str]
    replication_factor: int = OF_THE_CLUSTER

    def by_hand(self, bootstrap_servers: str | None = None) -> str:
        """The command that creates it, for a cluster on which the bridge may not."""
        server = f"--bootstrap-server {bootstrap_servers} " if bootstrap_servers else ""
        replicas = "" if self.replication_factor == OF_THE_CLUSTER else f"--replication-factor {self.replication_factor} "
        settings = " ".join(f"--config {key}={value}" for key, value in self.settings.items())
        return f"kafka-topics.sh {server}--create --topic {self.name} --partitions {self.partitions} {replicas}{settings}"


def own_topics(bridge: str) -> frozenset[str]:
    """All that belong to this bridge: no route carries one of them."""
    return frozenset((dead_letter_topic(bridge), ledger_topic(bridge), control_topic(bridge)))


def dead_letter_topic(bridge: str) -> str:
    """Its name."""
    return f"{bridge}{DEAD_LETTERS_SUFFIX}"


def ledger_topic(bridge: str) -> str:
    """Its name."""
    return f"{bridge}{LEDGER_SUFFIX}"


def control_topic(bridge: str) -> str:
    """Its name, and the transactional id of its writer."""
    return f"{bridge}{CONTROL_SUFFIX}"


def dead_letters_definition(bridge: str, partitions: int, record_bytes_max: int) -> TopicDefinition:
    """`partitions` as the widest route's topic has; `record_bytes_max` is the largest record that may have to be parked.

    Nothing expires: a parked record is often the only one left when somebody looks. Whoever wants them to go sets
    `retention.ms`, which counts from the parking.
    """
    settings = {"cleanup.policy": "delete", "retention.ms": FOREVER, "max.message.bytes": str(record_bytes_max)}
    return TopicDefinition(dead_letter_topic(bridge), partitions, settings)


def ledger_definition(bridge: str, slots: int, retention_s: float, replication_factor: int) -> TopicDefinition:
    """An entry may go when its record in Kinesis has gone, and not before, however many there are.

    It is found by the time at which a broker took it: a recovery looks for what was written since a moment, and the clocks of
    the replicas are not to be trusted.
    """
    settings = {
        "cleanup.policy": "delete",
        "retention.ms": str(round(retention_s * 1000)),
        "retention.bytes": FOREVER,
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(LEDGER_MESSAGE_BYTES_MAX + HEADROOM_BYTES),
    }
    return TopicDefinition(ledger_topic(bridge), slots, settings, replication_factor)


def control_definition(bridge: str, replication_factor: int) -> TopicDefinition:
    """One partition, so that all changes stand in one order. The last message of each key stays for ever."""
    return TopicDefinition(control_topic(bridge), 1, {"cleanup.policy": "compact"}, replication_factor)


def deviations(definition: TopicDefinition, partitions: int, settings: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with a topic that is there: setting, its value, the one wanted, and what to do.

    Of `settings` those that are not told count as right; and so does the replication factor, which is the cluster's business.
    """
    if partitions != definition.partitions:
        yield (
            f"partitions are {partitions}, wanted {definition.partitions}: configure the number that it has, or delete it where "
            "nothing that counts was written to it yet"
        )
    for name, wanted in definition.settings.items():
        found = settings.get(name, wanted)
        if not _will_do(name, found, wanted):
            at_least = " or more" if name in _AT_LEAST and wanted != FOREVER else ""
            yield (
                f"{name} is {found}, wanted {wanted}{at_least}: kafka-configs.sh --alter --entity-type topics "
                f"--entity-name {definition.name} --add-config {name}={wanted}"
            )


_AT_LEAST = ("retention.ms", "max.message.bytes")


def _will_do(name: str, found: str, wanted: str) -> bool:
    if found == wanted:
        return True
    if name not in _AT_LEAST:
        return False
    return found == FOREVER or (wanted != FOREVER and int(found) >= int(wanted))
