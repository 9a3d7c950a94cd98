"""The bridge as users run it: configuration, process, and what it says about itself."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from loadtest import usage
from loadtest.cores import Cores, pinned
from loadtest.jobs import KafkaAddress
from loadtest.kafka_security import for_the_bridge
from loadtest.scenario import Part
from loadtest.series import ShardSample
from loadtest.servers import Kinesis
from loadtest.stage import Stage
from tests.integration.daemon import Daemon
from tests.servers.process import temporary_folder


@dataclass(frozen=True, slots=True)
class Sample:
    """Counters at one moment. `at_s` is of the monotonic clock, `cpu_s` user and system time of the process."""

    at_s: float
    cpu_s: float
    records: float
    """Confirmed by Kinesis."""
    requests: float = 0.0
    put_records: float = 0.0
    """Sent in requests, repeated ones too."""
    throttled: float = 0.0
    wall_s: float = 0.0
    shards: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    """By shard: records put, records throttled, bytes put."""
    busy_s: tuple[float, float] = (0.0, 0.0)
    """Work of the bridge's cores and of the others, by whatever process."""
    delivery: Mapping[str, float] = field(default_factory=dict)
    """The histogram of deliveries: upper edge -> cumulative count."""

    def of_shards(self) -> ShardSample:
        """As series are made of."""
        return ShardSample(self.wall_s, self.shards)


def bridge_settings(part: Part, kafka: KafkaAddress, kinesis: Kinesis, name: str, route: tuple[str, str]) -> dict[str, Any]:
    """The configuration file; `route` is (topic, stream). What the part does not set has the default of production."""
    topic, stream = route
    connection = for_the_bridge(kafka.properties)
    own: dict[str, Any] = {
        "name": name,
        "kafka": {"bootstrap_servers": kafka.bootstrap_servers, "properties": connection.properties},
        "kinesis": {"region": kinesis.address.region},
        "routes": [{"topic": topic, "stream": stream, **part.bridge.get("route", {})}],
    }
    if connection.security:
        own["kafka"]["security"] = connection.security
    if kinesis.address.endpoint_url is not None:
        own["kinesis"]["endpoint_url"] = kinesis.address.endpoint_url
    return merged(own, {key: value for key, value in part.bridge.items() if key != "route"})


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both mappings in one, inner ones too; `above` wins."""
    found = dict(below)
    for key, value in above.items():
        inner = found.get(key)
        found[key] = merged(inner, value) if isinstance(inner, Mapping) and isinstance(value, Mapping) else value
    return found


@contextlib.contextmanager
def running_bridge(stage: Stage, settings: Mapping[str, Any], replica: int = 0) -> Iterator[Daemon]:
    """A replica on its core that is ready; killed at the end of the block if it still runs."""
    environment = stage.kinesis.environment | for_the_bridge(stage.kafka.address.properties).environment
    with temporary_folder(f"load-{settings['name']}") as folder:
        daemon = Daemon(folder, settings, environment)
        try:
            start_bridge(daemon, stage.cores, replica)
            yield daemon
        finally:
            daemon.kill()


def start_bridge(daemon: Daemon, cores: Cores, replica: int = 0) -> None:
    """Also again, after its end."""
    with pinned(cores.of_replica(replica)):
        daemon.start(ready=False)
    daemon.wait_ready()


def sample(daemon: Daemon, cores: Cores) -> Sample:
    """What the process has done so far; the clocks, /proc and its metrics are read in direct succession."""
    metrics = daemon.metrics()
    at_s, wall_s, cpu_s = time.monotonic(), time.time(), usage.cpu_s(daemon.process.pid)
    put = metrics.by_label("bridge_put_records_total", "shard")
    throttled = metrics.by_label("bridge_throttled_records_total", "shard")
    size = metrics.by_label("bridge_put_bytes_total", "shard")
    return Sample(
        at_s=at_s,
        cpu_s=cpu_s,
        records=metrics.total("bridge_records_acked_total"),
        requests=metrics.total("bridge_put_requests_total"),
        put_records=sum(put.values()),
        throttled=sum(throttled.values()),
        wall_s=wall_s,
        shards={shard: (records, throttled.get(shard, 0.0), size.get(shard, 0.0)) for shard, records in put.items()},
        busy_s=(usage.busy_s(cores.bridge), usage.busy_s(cores.others)),
        delivery=metrics.by_label("bridge_delivery_seconds_bucket", "le"),
    )
