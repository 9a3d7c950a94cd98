"""Samples of daemons and servers: resident memory, and what Kafka keeps on disk of the bridge's topics."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from bridge.core.topics import control_topic, ledger_topic
from loadtest import usage
from loadtest.soak.judging import LedgerKeeping, Sample
from tests.integration.daemon import Daemon
from tests.servers.kafka import RunningKafka
from tests.servers.process import SupervisedProcess

OFFSETS_TOPIC = "__consumer_offsets"
SECONDS = 20.0


class Watch:
    """`bridge` is its name. Without `with_memory` the daemons come and go."""

    def __init__(
        self, kafka: RunningKafka, kinesis: SupervisedProcess, bridge: str, daemons: Sequence[Daemon], with_memory: bool
    ) -> None:
        self._data, self._kinesis, self._bridge = kafka.data, kinesis, bridge
        self._daemons = daemons if with_memory else []
        self._consumer = Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": "soak-watch", "log_level": 2})
        ledger = self._consumer.list_topics(ledger_topic(bridge), timeout=SECONDS).topics[ledger_topic(bridge)]
        self._slots = sorted(ledger.partitions)

    def sample(self, at_s: float) -> Sample:
        """Now, which is `at_s` from the beginning."""
        places = [TopicPartition(ledger_topic(self._bridge), slot) for slot in self._slots]
        ends = [self._consumer.get_watermark_offsets(place, timeout=SECONDS) for place in places]
        return Sample(
            at_s,
            max((usage.memory_bytes(daemon.process.pid) for daemon in self._daemons), default=None),
            usage.memory_bytes(self._kinesis.pid),
            bytes_on_disk(self._data, ledger_topic(self._bridge)),
            sum(low for low, _ in ends),
            sum(high for _, high in ends),
            bytes_on_disk(self._data, OFFSETS_TOPIC),
            bytes_on_disk(self._data, control_topic(self._bridge)),
        )

    def close(self) -> None:
        self._consumer.close()


def bytes_on_disk(data: Path, topic: str) -> int:
    """Of all segments that a broker has of a topic, without those that it has given up."""
    total = 0
    for file in data.glob(f"{topic}-*/*.log"):
        if file.parent.name.removeprefix(f"{topic}-").isdecimal():
            with contextlib.suppress(FileNotFoundError):  # it has gone in this moment
                total += file.stat().st_size
    return total


def keep_ledger(kafka: RunningKafka, bridge: str, keeping: LedgerKeeping) -> None:
    """So short that a run sees what expires.

    The configuration allows no less than 25 h, and a daemon that starts refuses a topic that keeps less than was configured: so
    this comes when it has started, and it must not start again.
    """
    wanted = {"retention.ms": keeping.retention_s, "segment.ms": keeping.segment_s}
    entries = [
        ConfigEntry(name, str(round(seconds * 1000)), incremental_operation=AlterConfigOpType.SET)
        for name, seconds in wanted.items()
    ]
    resource = ConfigResource(ResourceType.TOPIC, ledger_topic(bridge), incremental_configs=entries)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 2})
    admin.incremental_alter_configs([resource])[resource].result(SECONDS)
