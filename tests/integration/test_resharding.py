"""Shards that split, merge and are scaled under load, with faults: nothing lost, order exact, for readers as KCL is one."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from loadtest.keys import make_keys
from tests.integration.conftest import Figure, StartDaemon
from tests.integration.daemon import Daemon
from tests.integration.flights import produce
from tests.integration.kafka_reader import read_topic
from tests.integration.kcl_reader import read_as_kcl
from tests.integration.scenario import acked, partition_key_of, settings_of, wait_committed
from tests.integration.verdict import compare
from tests.servers.embedded_kinesis import RunningEmbeddedKinesis, running_embedded_kinesis
from tests.servers.fixtures import NewTopic, unique
from tests.servers.kafka import RunningKafka
from tests.servers.kinesis import create_stream, kinesis_client
from tests.servers.process import wait_until

RECORDS = 30_000
KEYS = 2_000
SHARDS = 4
FAULTS = [
    {"kind": "record_throttled", "probability": 0.05},
    {"kind": "record_internal_failure", "probability": 0.01},
    {"kind": "connection_closed_after_storing", "probability": 0.01},
    {"kind": "error_after_storing", "probability": 0.01},
]
ROUTES: dict[str, dict[str, Any]] = {
    "raw": {"linger": "5ms"},
    "raw, carry_origin": {"carry_origin": True, "linger": "5ms"},
    "aggregated": {"format": "aggregated", "aggregate_records_max": 40, "linger": "5ms"},
}


@pytest.fixture
def kinesis() -> Iterator[RunningEmbeddedKinesis]:
    """Resharding takes a moment, as in the service; a round trip of 20 ms keeps requests under way meanwhile."""
    with running_embedded_kinesis("resharded-kinesis", "--transition", "0.5", "--latency", "0.02") as server:
        server.inject(*FAULTS, seed=7)
        yield server


def open_shards(client: Any, stream: str) -> list[dict[str, Any]]:
    """In the order of their hash ranges."""
    shards = [
        s for s in client.list_shards(StreamName=stream)["Shards"] if "EndingSequenceNumber" not in s["SequenceNumberRange"]
    ]
    return sorted(shards, key=lambda shard: int(shard["HashKeyRange"]["StartingHashKey"]))


def split(client: Any, stream: str) -> None:
    """The first shard, not in its middle."""
    shard = open_shards(client, stream)[0]
    low, high = (int(shard["HashKeyRange"][name]) for name in ("StartingHashKey", "EndingHashKey"))
    client.split_shard(StreamName=stream, ShardToSplit=shard["ShardId"], NewStartingHashKey=str(low + (high - low) // 3))


def merge(client: Any, stream: str) -> None:
    """The last two."""
    left, right = open_shards(client, stream)[-2:]
    client.merge_shards(StreamName=stream, ShardToMerge=left["ShardId"], AdjacentShardToMerge=right["ShardId"])


def scale(client: Any, stream: str) -> None:
    """To more shards than there are: every one that is open closes."""
    client.update_shard_count(StreamName=stream, TargetShardCount=6, ScalingType="UNIFORM_SCALING")


RESHARDS: list[Callable[[Any, str], None]] = [split, merge, scale]


@pytest.mark.parametrize("route", ROUTES)
def test_reshards_under_load_lose_nothing_and_keep_the_order(
    route: str,
    kafka: RunningKafka,
    kinesis: RunningEmbeddedKinesis,
    new_topic: NewTopic,
    start_daemon: StartDaemon,
    figure: Figure,
):
    topic, stream = new_topic("reshard", partitions=6), unique("reshard")
    client = kinesis_client(kinesis.endpoint_url)
    create_stream(client, stream, shards=SHARDS)
    keys = make_keys(KEYS)
    records = ((keys[i * 7919 % KEYS], b"%d:%s" % (i, b"x" * (i % 300))) for i in range(RECORDS))
    assert produce(kafka.bootstrap_servers, topic, records) == RECORDS
    daemon = start_daemon(settings_of(topic, kafka, kinesis.endpoint_url, [{"topic": topic, "stream": stream, **ROUTES[route]}]))

    shards_before = {shard["ShardId"] for shard in open_shards(client, stream)}
    for number, reshard in enumerate(RESHARDS, 1):
        wait_acked(daemon, RECORDS * number // (2 * len(RESHARDS)))
        assert acked(daemon) < RECORDS, "everything had been carried before the shards changed"
        reshard(client, stream)
        wait_until(lambda: status_of(client, stream) == "ACTIVE", "the end of the reshard", 30)
    wait_committed(kafka, topic, topic)
    replaced = shards_before - {shard["ShardId"] for shard in open_shards(client, stream)}

    metrics = daemon.metrics()
    daemon.terminate()
    assert daemon.wait_exit() == 0, daemon.log_text()
    opened = read_as_kcl(client, stream)
    marked = ROUTES[route].get("carry_origin", False)
    verdict = compare(
        read_topic(kafka.bootstrap_servers, topic),
        opened.records,
        (lambda record: f"{topic}:{record.topic}/{record.partition}/{record.offset}") if marked else partition_key_of,
        lane_of=lambda record: (record.partition, record.key),
    )
    in_doubt, wrong = (
        metrics.total("bridge_unknown_attempts_total"),
        metrics.total("bridge_duplicates_total", reason="wrong_shard"),
    )
    figure(
        f"{route}: {verdict}; {opened.aggregates} aggregates, {opened.dropped} dropped by KCL; attempts in doubt {in_doubt:.0f}, "
        f"sent again because of their shard {wrong:.0f}"
    )
    assert replaced == shards_before
    assert verdict.sent == RECORDS
    assert verdict.exact, verdict
    assert (opened.aggregates > 0) == (route == "aggregated")
    # An aggregate that KCL drops may stand there, but its records do so once more, and they were counted.
    assert opened.dropped == 0 or wrong > 0


def status_of(client: Any, stream: str) -> str:
    return str(client.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamStatus"])


def wait_acked(daemon: Daemon, records: float) -> None:
    wait_until(lambda: acked(daemon) >= records, f"{records:.0f} records confirmed", 120)
