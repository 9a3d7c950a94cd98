"""`bridge route resume` on real servers: a halted partition of a running daemon goes on by the operator's word."""

import json
from pathlib import Path
from typing import Any

import pytest

from bridge.core.delivery.halts import HALTS
from tests.integration.conftest import StartDaemon
from tests.integration.daemon import Daemon
from tests.integration.flights import produce
from tests.integration.kinesis_reader import read_stream
from tests.integration.scenario import settings_of, wait_committed
from tests.integration.secure_scenario import run_command
from tests.servers.fixtures import NewTopic
from tests.servers.kafka import RunningKafka
from tests.servers.kinesis import create_stream, kinesis_client
from tests.servers.process import wait_until

SECONDS = 60.0


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_halted_partition_goes_on_by_the_operators_word(
    start_daemon: StartDaemon, kafka: RunningKafka, embedded_endpoint: str, new_topic: NewTopic, tmp_path: Path, protocol: str
):
    topic = new_topic("resume", partitions=1)
    create_stream(kinesis_client(embedded_endpoint), topic, shards=1)
    route = {"topic": topic, "stream": topic, "on_tombstone": "stop"}
    settings = settings_of(topic, kafka, embedded_endpoint, [route], group_protocol=protocol)
    daemon = start_daemon(settings)

    def word(*arguments: str) -> tuple[int, str]:
        where = ("--route", topic, "--partition", "0", "--reason", "of no use to anybody")
        return run_command(tmp_path, settings, "route", "resume", *where, *arguments)

    records = [(b"k", b"0"), (b"k", None), (b"k", b"2"), (b"k", None), (b"k", b"4")]
    produce(kafka.bootstrap_servers, topic, records)
    wait_halted_at(daemon, 1)
    wait_until(lambda: says_halted(tmp_path, settings), "the halt in what is committed", SECONDS)

    status, output = word("--resend", "--output", "json")
    assert status == 0, output
    said = json.loads(output)
    assert (said["route"], said["partition"], said["offset"], said["reason"], said["way"]) == (topic, 0, 1, "tombstone", "resend")
    wait_until(lambda: daemon.log_text().count('"partition_halted"') == 2, "the same record once more", SECONDS)
    wait_halted_at(daemon, 1)
    wait_until(lambda: says_halted(tmp_path, settings), "the halt in what is committed once more", SECONDS)

    status, output = word("--skip")
    assert (status, "the record at offset 1 (tombstone) is left out" in output) == (0, True), output
    wait_halted_at(daemon, 3)
    wait_until(lambda: says_halted(tmp_path, settings, 3), "the next halt in what is committed", SECONDS)
    status, output = word("--park")
    assert status == 0, output
    wait_committed(kafka, topic, topic, SECONDS)
    wait_until(lambda: daemon.json_of("/readyz")["halted"] == [], "nothing halted", SECONDS)

    assert [record.data for record in read_stream(kinesis_client(embedded_endpoint), topic)] == [b"0", b"2", b"4"]
    metrics = daemon.metrics()
    assert metrics.total("bridge_records_skipped_total", route=topic, reason="tombstone") == 1.0
    assert metrics.total("bridge_records_parked_total", route=topic, reason="tombstone") == 1.0
    status, output = run_command(tmp_path, settings, "dlq", "list", "--output", "json")
    assert [letter["id"] for letter in json.loads(output)["letters"]] == [f"{topic}-0@3"], output
    status, output = word("--skip")
    assert (status, "it is not halted" in output) == (1, True), output
    assert daemon.log_text().count('"partition_resumed"') == 3

    daemon.terminate()
    assert daemon.wait_exit() == 0


def test_a_word_that_came_while_no_daemon_ran_is_heeded_by_the_next(
    start_daemon: StartDaemon, kafka: RunningKafka, embedded_endpoint: str, new_topic: NewTopic, tmp_path: Path
):
    topic = new_topic("resume", partitions=1)
    create_stream(kinesis_client(embedded_endpoint), topic, shards=1)
    settings = settings_of(topic, kafka, embedded_endpoint, [{"topic": topic, "stream": topic, "on_tombstone": "stop"}])
    daemon = start_daemon(settings)
    produce(kafka.bootstrap_servers, topic, [(b"k", None), (b"k", b"1")])
    wait_halted_at(daemon, 0)
    wait_until(lambda: says_halted(tmp_path, settings, 0), "the halt in what is committed", SECONDS)
    daemon.terminate()
    assert daemon.wait_exit() == 0
    arguments = ("--route", topic, "--partition", "0", "--reason", "why", "--skip")
    assert run_command(tmp_path, settings, "route", "resume", *arguments)[0] == 0
    daemon.start()
    wait_committed(kafka, topic, topic, SECONDS)
    assert [record.data for record in read_stream(kinesis_client(embedded_endpoint), topic)] == [b"1"]
    assert daemon.json_of("/readyz")["halted"] == []


def wait_halted_at(daemon: Daemon, offset: int) -> None:
    wait_until(lambda: [one["offset"] for one in daemon.json_of("/readyz")["halted"]] == [offset], f"a halt at {offset}", SECONDS)


def says_halted(folder: Path, settings: dict[str, Any], offset: int = 1) -> bool:
    """What others see of it."""
    status, output = run_command(folder, settings, "status", "--output", "json")
    if status != 0:
        return False
    (row,) = json.loads(output)["routes"][0]["partitions"]
    assert row["remedy"] in (None, HALTS["tombstone"].remedy)
    return bool(row["halted_at"] == offset)
