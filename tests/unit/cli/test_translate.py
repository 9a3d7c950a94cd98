"""`bridge translate`: what people and scripts see, and the exit statuses."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bridge import bootstrap_jobs
from bridge.app.jobs.translate import Answer, Finding, KafkaPosition, KinesisPosition
from bridge.app.ledger_reading import OnProgress
from bridge.app.settings import Settings
from bridge.cli import app
from bridge.cli import translate as command_file
from bridge.core.errors import RefusedError, UnavailableError

CONFIG = """
name: orders-move
kafka: {bootstrap_servers: b1:9092}
kinesis: {region: eu-central-1}
routes: [{topic: orders, stream: orders}]
"""
NUMBER = "49671234567890123456789012345678901234567890123456789012"
OFFSET = ("--topic", "orders", "--partition", "3", "--offset", "17")
RECORD = ("--stream-name", "orders", "--shard-id", "shardId-000000000002", "--sequence-number", NUMBER)
KAFKA = KafkaPosition("orders", 3, 17)
KINESIS = KinesisPosition("orders", "shardId-000000000002", NUMBER, 4)
DUPLICATE = KinesisPosition("orders", "shardId-000000000002", NUMBER + "0", 0)


class Command:
    """Runs the command with an answer of ours, in a thread: asyncio.run would drop the main thread's event loop."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.file = folder / "bridge.yaml"
        self.file.write_text(CONFIG)
        self.asked: list[KafkaPosition | KinesisPosition] = []
        self.answer = Answer(KAFKA, Finding.EXACT, True, "", KAFKA, KINESIS, [DUPLICATE], ["a note"])
        self.error: Exception | None = None
        monkeypatch.setattr(bootstrap_jobs, "translate", self._translate)

    async def _translate(self, settings: Settings, asked: KafkaPosition | KinesisPosition, on_progress: OnProgress) -> Answer:
        assert settings.name == "orders-move"
        self.asked.append(asked)
        on_progress(1, 2)
        if self.error:
            raise self.error
        return self.answer

    def run(self, *arguments: str) -> Result:
        runner = CliRunner(env={"BRIDGE_CONFIG": str(self.file), "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200"})
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(runner.invoke, app, ["translate", *arguments]).result()


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    return Command(monkeypatch, tmp_path)


def test_what_is_asked(command: Command) -> None:
    assert command.run(*OFFSET).exit_code == 0
    assert command.run(*RECORD).exit_code == 0
    assert command.run(*RECORD[:-1], f"000{NUMBER}", "--sub-sequence-number", "4").exit_code == 0
    assert command.asked == [KAFKA, KinesisPosition("orders", "shardId-000000000002", NUMBER, 0), KINESIS]


def test_an_answer_for_people(command: Command) -> None:
    result = command.run(*OFFSET)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "orders-3@17",
        "  exact      yes",
        "  kafka      orders-3@17",
        "  stream     orders",
        "  shard      shardId-000000000002",
        f"  sequence   {NUMBER}",
        "  sub        4",
        f"  duplicate  orders shardId-000000000002 {NUMBER}0 sub-sequence number 0",
        "  note       a note",
    ]


def test_an_answer_for_scripts(command: Command) -> None:
    result = command.run(*OFFSET, "--output", "json")
    assert result.exit_code == 0
    record = {"stream_name": "orders", "shard_id": "shardId-000000000002"}
    assert json.loads(result.stdout) == {
        "asked": {"topic": "orders", "partition": 3, "offset": 17},
        "finding": "exact",
        "exact": True,
        "why": "",
        "kafka": {"topic": "orders", "partition": 3, "offset": 17},
        "kinesis": {**record, "sequence_number": NUMBER, "sub_sequence_number": 4},
        "duplicates": [{**record, "sequence_number": NUMBER + "0", "sub_sequence_number": 0}],
        "notes": ["a note"],
    }


def test_the_following_record_is_told_with_the_reason(command: Command) -> None:
    command.answer = Answer(KAFKA, Finding.FOLLOWING, False, "parked: tombstone", KafkaPosition("orders", 3, 18), KINESIS)
    result = command.run(*OFFSET)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[:3] == ["orders-3@17", "  exact      no: parked: tombstone", "  kafka      orders-3@18"]


@pytest.mark.parametrize("finding", [Finding.NOT_YET, Finding.OLDER, Finding.NOTHING_FOLLOWS, Finding.NOT_OURS])
def test_without_an_answer_the_exit_status_is_1(command: Command, finding: Finding) -> None:
    command.answer = Answer(KINESIS, finding, exact=False, why="the reason")
    result = command.run(*RECORD)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [f"{KINESIS}", "  exact      no: the reason"]
    result = command.run(*RECORD, "--output", "json")
    assert result.exit_code == 1
    assert (json.loads(result.stdout)["finding"], json.loads(result.stdout)["kafka"]) == (finding, None)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        OFFSET[:4],
        RECORD[:4],
        (*OFFSET, *RECORD),
        (*OFFSET, "--sub-sequence-number", "0"),
        ("--sub-sequence-number", "0"),
        (*OFFSET[:-1], "-1"),
        (*OFFSET[:-1], str(2**63)),
        (*RECORD[:-1], "TRIM_HORIZON"),
        (*RECORD[:-1], "-5"),
        (*RECORD[:-1], "٣"),
        (*RECORD[:-1], "1" * 5000),
        (*RECORD, "--sub-sequence-number", "-1"),
    ],
)
def test_wrong_usage_is_exit_status_2(command: Command, arguments: tuple[str, ...]) -> None:
    assert command.run(*arguments).exit_code == 2
    assert command.asked == []


def test_progress_is_told_on_standard_error(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_file, "PROGRESS_S", 0.0)
    assert command.run(*OFFSET).stderr == "ledger: 1 of 2 messages read\n"


@pytest.mark.parametrize(("error", "exit_code"), [(UnavailableError("no answer"), 5), (RefusedError("not allowed"), 1)])
def test_trouble_of_kafka_is_told_on_standard_error(command: Command, error: Exception, exit_code: int) -> None:
    command.error = error
    result = command.run(*OFFSET)
    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert str(error) in result.stderr
