"""The load tool as people start it: on servers of its own and on given ones, ended by a signal; nothing of it is left."""

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from loadtest.__main__ import EXIT_INTERRUPTED
from tests.integration.conftest import Figure
from tests.integration.daemon import daemon_environment
from tests.integration.kinesis_reader import read_stream
from tests.servers.embedded_kinesis import RunningEmbeddedKinesis, running_embedded_kinesis
from tests.servers.fixtures import unique
from tests.servers.kafka import RunningKafka, missing_for_kafka
from tests.servers.kinesis import REGION, create_stream, kinesis_client
from tests.servers.process import SupervisedProcess, wait_until

SMOKE_SECONDS = 280.0
PART = "co-writer"


@pytest.fixture
def given_kinesis() -> Iterator[RunningEmbeddedKinesis]:
    with running_embedded_kinesis("given-kinesis") as server:
        yield server


def start(folder: Path, *options: str) -> SupervisedProcess:
    command = [sys.executable, "-m", "loadtest", "smoke", "--results", str(folder), *options]
    return SupervisedProcess("loadtest", command, environment=daemon_environment())


def result_of(process: SupervisedProcess, folder: Path) -> dict[str, Any]:
    """The one JSON document of a run that passed."""
    assert process.wait_exit(SMOKE_SECONDS) == 0, process.log_tail()
    (file,) = folder.glob("smoke-*.json")
    return dict(json.loads(file.read_text()))


def topics(kafka: RunningKafka) -> set[str]:
    """But Kafka's own, which come into being with their first use."""
    found = AdminClient({"bootstrap.servers": kafka.bootstrap_servers}).list_topics(timeout=10).topics
    return {name for name in found if not name.startswith("__")}


def groups(kafka: RunningKafka) -> set[str]:
    listing = AdminClient({"bootstrap.servers": kafka.bootstrap_servers}).list_consumer_groups(request_timeout=10).result(20)
    return {group.group_id for group in listing.valid}


@pytest.mark.real
def test_the_smallest_scenario_ends_with_verdicts_and_json(tmp_path: Path, figure: Figure):
    if missing := missing_for_kafka(own=True):
        pytest.skip(missing)
    with start(tmp_path) as process:
        found = result_of(process, tmp_path)
        log = process.log_text()
    assert found["passed"]
    assert found["machine"]["cores"] >= 1
    drain, co_writer, replicas = (part["figures"] for part in found["parts"])
    assert drain["cpu_ratio"] == pytest.approx(drain["records_per_cpu_s"] / drain["baseline_records_per_cpu_s"])
    assert 0 < drain["records_per_request"] <= 500
    assert 0 < co_writer["latency_p50_ms"] <= co_writer["latency_p99_ms"] <= co_writer["latency_max_ms"]
    assert co_writer["latency_p50_ms"] > 5, "less than the round trip"
    assert co_writer["records_per_s"] == pytest.approx(500, rel=0.25)
    assert co_writer["co_writer_kept_share"] == pytest.approx(1, abs=0.5)
    assert co_writer["requests_over_limit"] == 0
    assert 0 < replicas["stored_share"] <= 1.05
    assert 0 < replicas["alone_stored_share"] <= 1.05
    assert all(10 < figures["peak_memory_mib"] < 512 for figures in (drain, co_writer, replicas))
    assert all(verdict["holds"] for part in found["parts"] for verdict in part["verdicts"])
    assert "co-writer: holds: requests over a limit of PutRecords <= 0: 0" in log
    figure(f"drain at {drain['records_per_s']:,.0f} records/s, median latency {co_writer['latency_p50_ms']:.0f} ms")


def test_your_own_servers_keep_the_records_and_nothing_else(
    kafka: RunningKafka, given_kinesis: RunningEmbeddedKinesis, tmp_path: Path
):
    client, stream = kinesis_client(given_kinesis.endpoint_url), unique("yours")
    create_stream(client, stream, shards=3)
    before = topics(kafka), groups(kafka)
    options = ["--stream", stream, "--endpoint-url", given_kinesis.endpoint_url, "--region", REGION]
    with start(tmp_path, "--part", PART, "--bootstrap-servers", kafka.bootstrap_servers, *options) as process:
        found = result_of(process, tmp_path)
        log = process.log_text()
    (part,) = found["parts"]
    assert (topics(kafka), groups(kafka)) == before
    # 500 records/s for 12 s of the window and 5 s around it, and those of the co-writer.
    stored = [record.partition_key for record in read_stream(client, stream)]
    assert sum(key.startswith("key-") for key in stored) >= 17 * 500
    assert "co-writer" in stored
    assert f"to your stream {stream}; they stay there" in log
    # Without the service's own counts the figures are those of metrics and of reading back.
    assert part["figures"]["records_per_s"] == pytest.approx(500, rel=0.3)
    assert part["figures"]["produced_records_per_s"] == pytest.approx(500, rel=0.1)
    assert part["figures"]["co_writer_kept_share"] == pytest.approx(1, abs=0.5)
    unmeasured = [verdict["figure"] for verdict in part["verdicts"] if verdict["holds"] is None]
    assert unmeasured == ["requests_over_limit"]


def test_a_signal_ends_the_run_and_removes_its_topic(kafka: RunningKafka, tmp_path: Path):
    before = topics(kafka)
    with start(tmp_path, "--part", PART, "--bootstrap-servers", kafka.bootstrap_servers) as process:
        process.wait_ready(lambda: "warm-up" in process.log_text(), 60)
        assert topics(kafka) > before
        process.signal(signal.SIGTERM)
        assert process.wait_exit(60) == EXIT_INTERRUPTED, process.log_tail()
    wait_until(lambda: topics(kafka) == before, "the topic is removed", 30)
    assert list(tmp_path.iterdir()) == []
