"""`bridge config topics`: for people and for scripts."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bridge.adapters.kafka.topics import KafkaTopics
from bridge.cli import app
from bridge.core.errors import UnavailableError
from bridge.core.topics import TopicDefinition, dead_letters_definition

CONFIG = """
name: orders-move
kafka: {bootstrap_servers: b1:9092}
kinesis: {region: eu-central-1}
defaults: {on_oversize: %s, on_tombstone: skip}
routes: [{topic: orders, stream: orders}]
ledger: {replication_factor: 3}
"""
LEDGER = (
    "kafka-topics.sh --bootstrap-server b1:9092 --create --topic orders-move.ledger --partitions 16 --replication-factor 3 "
    "--config cleanup.policy=delete --config retention.ms=691200000 --config retention.bytes=-1 "
    "--config message.timestamp.type=LogAppendTime --config max.message.bytes=4259840"
)
CONTROL = (
    "kafka-topics.sh --bootstrap-server b1:9092 --create --topic orders-move.control --partitions 1 --replication-factor 3 "
    "--config cleanup.policy=compact"
)
DEAD_LETTERS = (
    "kafka-topics.sh --bootstrap-server b1:9092 --create --topic orders-move.dlq --partitions 12 "
    "--config cleanup.policy=delete --config retention.ms=-1 --config max.message.bytes=2000000"
)


@pytest.fixture
def runner() -> CliRunner:
    return CliRunner(env={"BRIDGE_CONFIG": None, "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "120"})


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "bridge.yaml"
    file.write_text(CONFIG % "park")
    return file


@pytest.fixture
def _kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    async def dead_letters(_: KafkaTopics, bridge: str, wanted: Callable[[str], bool]) -> TopicDefinition:
        assert (wanted("orders"), wanted("orders-move.ledger")) == (True, False)
        return dead_letters_definition(bridge, 12, 2_000_000)

    monkeypatch.setattr(KafkaTopics, "dead_letters", dead_letters)


@pytest.mark.usefixtures("_kafka")
def test_the_topics_are_shown_with_their_commands(runner: CliRunner, config: Path) -> None:
    result = runner.invoke(app, ["config", "topics", "--config", str(config)])
    assert result.exit_code == 0
    assert "the cluster's" in result.stdout
    assert "retention.bytes=-1" in result.stdout
    assert result.stdout.splitlines()[-3:] == [LEDGER, CONTROL, DEAD_LETTERS]


@pytest.mark.usefixtures("_kafka")
def test_scripts_get_them_as_json(runner: CliRunner, config: Path) -> None:
    result = runner.invoke(app, ["config", "topics", "--config", str(config), "--output", "json"])
    ledger, control, letters = json.loads(result.stdout)
    settings = {
        "cleanup.policy": "delete",
        "retention.ms": "691200000",
        "retention.bytes": "-1",
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": "4259840",
    }
    assert ledger == {
        "name": "orders-move.ledger",
        "partitions": 16,
        "replication_factor": 3,
        "settings": settings,
        "command": LEDGER,
    }
    assert (control["partitions"], control["settings"], control["command"]) == (1, {"cleanup.policy": "compact"}, CONTROL)
    assert (letters["replication_factor"], letters["command"]) == (-1, DEAD_LETTERS)


def test_without_dead_letters_kafka_is_not_asked(runner: CliRunner, config: Path) -> None:
    config.write_text(CONFIG % "stop")
    result = runner.invoke(app, ["config", "topics", "--config", str(config), "--output", "json"])
    assert [topic["name"] for topic in json.loads(result.stdout)] == ["orders-move.ledger", "orders-move.control"]


def test_a_kafka_that_does_not_answer_is_told(runner: CliRunner, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def dead_letters(*_: object) -> TopicDefinition:
        raise UnavailableError("no answer")

    monkeypatch.setattr(KafkaTopics, "dead_letters", dead_letters)
    result = runner.invoke(app, ["config", "topics", "--config", str(config)])
    assert (result.exit_code, result.stderr) == (5, "not reachable: no answer\n")


def test_a_faulty_configuration_is_told(runner: CliRunner, config: Path) -> None:
    config.write_text("name: x")
    assert runner.invoke(app, ["config", "topics", "--config", str(config)]).exit_code == 2
