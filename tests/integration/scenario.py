"""What the integration tests of the forward line share: a configuration, when a group is done, and the verdict."""

from collections.abc import Mapping
from typing import Any

from tests.integration.daemon import Daemon
from tests.integration.kafka_reader import KafkaRecord, group_positions, read_topic
from tests.integration.kinesis_reader import read_stream
from tests.integration.verdict import Verdict, compare
from tests.servers.kafka import RunningKafka
from tests.servers.kinesis import REGION, kinesis_client
from tests.servers.process import wait_until

DELIVERY_SECONDS = 240.0


def settings_of(
    name: str, kafka: RunningKafka, endpoint_url: str, routes: list[dict[str, Any]], **kafka_settings: Any
) -> dict[str, Any]:
    """A configuration for these servers; further keys of its `kafka` section as keyword arguments."""
    return {
        "name": name,
        "routes": routes,
        "kafka": {"bootstrap_servers": kafka.bootstrap_servers, **kafka_settings},
        "kinesis": {"region": REGION, "endpoint_url": endpoint_url},
    }


def wait_committed(kafka: RunningKafka, group: str, topic: str, seconds: float = DELIVERY_SECONDS) -> None:
    """Until the group has committed the end of every partition."""
    wait_until(lambda: behind(kafka, group, topic) == 0, f"group {group} at the end of {topic}", seconds)


def behind(kafka: RunningKafka, group: str, topic: str) -> int:
    """Offsets between what the group committed and the ends."""
    positions = group_positions(kafka.bootstrap_servers, group, topic)
    return sum(position.end - (position.committed or 0) for position in positions.values())


def partition_key_of(record: KafkaRecord) -> str:
    """`partition_key: key` with `null_key: spread`, written down once more, not imported."""
    return f"{record.topic}/{record.partition}/{record.offset}" if record.key is None else record.key.decode()


def verdict_of(kafka: RunningKafka, endpoint_url: str, route: Mapping[str, str]) -> Verdict:
    """Both sides read back and compared."""
    sent = read_topic(kafka.bootstrap_servers, route["topic"])
    return compare(sent, read_stream(kinesis_client(endpoint_url), route["stream"]), partition_key_of)


def acked(daemon: Daemon) -> float:
    """Records that this process has had confirmed; 0 while it does not answer."""
    return daemon.metrics().total("bridge_records_acked_total") if daemon.status_of("/livez") == 200 else 0.0
