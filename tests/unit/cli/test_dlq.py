"""`bridge dlq`: what people and scripts see, and the exit statuses."""

import json
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from bridge import bootstrap_jobs
from bridge.app.jobs.dead_letters import Choice
from bridge.app.jobs.replay import Fate, Line, OnProgress, Replaying
from bridge.app.settings import Settings
from bridge.cli import app
from bridge.cli.dlq_show import TEXT_MAX, text_of
from bridge.core.delivery.dead_letters import origin_of, parked_message
from bridge.core.errors import RefusedError, UnavailableError
from bridge.core.records import DeadLetter, Partition
from tests.unit.app.dead_letter_topics import NOW_MS, DeadLetterTopic, letter

CONFIG = """
name: orders-move
kafka: {bootstrap_servers: b1:9092}
kinesis: {region: eu-central-1}
routes: [{topic: orders, stream: orders}]
"""
BYTES = b"\x00\xff"


def filled() -> DeadLetterTopic:
    topic = DeadLetterTopic()
    odd = DeadLetter(Partition("orders", 1), 7, -1, None, BYTES, [("h", None), ("h", BYTES)], "oversize", "too large")
    for one in (letter(1), letter(1), odd):
        topic.append(parked_message(one, "orders-move", topic.now_ms))
    return topic


class Command:
    """Runs a command against a topic in memory, in a thread: asyncio.run would drop the main thread's event loop."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.topic: Any = filled()
        self.file = folder / "bridge.yaml"
        self.file.write_text(CONFIG)
        self.asked: list[Replaying] = []
        self.lines: list[Line] = []
        monkeypatch.setattr(bootstrap_jobs, "dead_letter_reader", lambda settings: self.topic)
        monkeypatch.setattr(bootstrap_jobs, "replay_dead_letters", self._replay)

    async def _replay(self, settings: Settings, how: Replaying, on_progress: OnProgress) -> list[Line]:
        self.asked.append(how)
        on_progress(1, 2)
        return self.lines

    def run(self, *arguments: str) -> Result:
        runner = CliRunner(env={"BRIDGE_CONFIG": str(self.file), "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200"})
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(runner.invoke, app, ["dlq", *arguments]).result()

    def json(self, *arguments: str) -> Any:
        result = self.run(*arguments, "--output", "json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    return Command(monkeypatch, tmp_path)


def test_the_list_for_people(command: Command) -> None:
    result = command.run("list")
    assert result.exit_code == 0
    assert "orders-0@1" in result.stdout
    assert "oversize" in result.stdout
    assert "2023-11-14T22:13:21+00:00" in result.stdout
    assert "orders-move.dlq: 2 of 2 shown" in result.stdout


def test_the_list_for_scripts(command: Command) -> None:
    found = command.json("list")
    assert (found["topic"], found["total"], found["notes"]) == ("orders-move.dlq", 2, [])
    assert found["letters"][1] == {
        "id": "orders-0@1",
        "topic": "orders",
        "partition": 0,
        "offset": 1,
        "timestamp_ms": 5001,
        "route": "orders",
        "reason": "tombstone",
        "size": 5,
        "parked_at_ms": NOW_MS + 1000,
        "copies": 2,
        "replayed_at_ms": None,
    }
    assert [one["id"] for one in command.json("list", "--reason", "oversize")["letters"]] == ["orders-1@7"]
    assert command.json("list", "--topic", "payments")["letters"] == []
    assert len(command.json("list", "--limit", "1")["letters"]) == 1
    assert command.run("list", "--limit", "0").exit_code == 2


def test_a_record_is_shown_with_its_exact_bytes(command: Command) -> None:
    (found,) = command.json("show", "orders-1@7")
    assert (found["key_base64"], b64decode(found["value_base64"]), found["detail"]) == (None, BYTES, "too large")
    assert [header["name"] for header in found["headers"]] == ["h", "h"]
    assert found["headers"][0]["value_base64"] is None


def test_a_record_for_people(command: Command) -> None:
    result = command.run("show", "orders-1@7")
    assert result.exit_code == 0
    for line in ("reason     oversize: too large", "key        null", "value      0x00ff", "written    without a timestamp"):
        assert f"  {line}\n" in result.stdout
    assert 'header     h: "1"' in command.run("show", "orders-0@1").stdout


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (None, "null"),
        (b"", '""'),
        ("é b".encode(), '"é b"'),
        (b"a\nb", "0x610a62"),
        (b"\xff", "0xff"),
        (b"a" * (TEXT_MAX + 1), f'"{"a" * TEXT_MAX}" ... ({TEXT_MAX + 1} bytes)'),
        (b"\x00" * (TEXT_MAX + 1), f"0x{'00' * TEXT_MAX} ... ({TEXT_MAX + 1} bytes)"),
    ],
)
def test_bytes_are_text_where_they_are_one(content: bytes | None, shown: str) -> None:
    assert text_of(content) == shown


def test_a_record_that_is_not_there(command: Command) -> None:
    result = command.run("show", "orders-0@2")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no dead letter orders-0@2" in result.stderr


@pytest.mark.parametrize(
    "arguments", [["show"], ["show", "orders"], ["replay"], ["replay", "x"], ["replay", "--all", "orders-0@1"], []]
)
def test_wrong_usage_is_exit_status_2(command: Command, arguments: list[str]) -> None:
    assert command.run(*arguments).exit_code == 2
    assert command.asked == []


@pytest.mark.parametrize(
    ("fates", "exit_code"),
    [
        ([], 0),
        ([Fate.CARRIED, Fate.ALREADY_REPLAYED, Fate.WOULD_REPLAY], 0),
        ([Fate.CARRIED, Fate.STILL_DEAD], 1),
        ([Fate.FAILED], 1),
        ([Fate.NOT_FOUND], 1),
    ],
)
def test_the_exit_status_of_a_replay_says_whether_all_of_it_was_done(command: Command, fates: list[Fate], exit_code: int) -> None:
    command.lines = [Line(f"orders-0@{i}", fate, "tombstone", "why") for i, fate in enumerate(fates)]
    result = command.run("replay", "--all", "--reason", "tombstone")
    assert result.exit_code == exit_code
    assert command.asked == [Replaying(Choice(reason="tombstone"))]
    assert result.stderr == "1 of 2\n"
    assert ("1 still dead" in result.stdout) is (Fate.STILL_DEAD in fates)
    result = command.run("replay", "--all", "--output", "json")
    assert [line["fate"] for line in json.loads(result.stdout)] == fates


def test_what_is_asked_of_a_replay(command: Command) -> None:
    command.run("replay", "orders-0@1", "a-b-3@9", "--again", "--dry-run")
    places = frozenset([origin_of(letter(1))[:2], (Partition("a-b", 3), 9)])
    assert command.asked == [Replaying(Choice(places), dry_run=True, again=True)]


@pytest.mark.parametrize(("error", "exit_code"), [(UnavailableError("no answer"), 5), (RefusedError("not allowed"), 1)])
def test_trouble_of_kafka_is_told_on_standard_error(command: Command, error: Exception, exit_code: int) -> None:
    class Troubled:
        def entries(self):
            return self

        def __aiter__(self):
            return self

        async def __anext__(self):
            raise error

    command.topic = Troubled()
    result = command.run("list")
    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert str(error) in result.stderr
