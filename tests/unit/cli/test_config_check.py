"""`bridge config`: what people and scripts see, and the exit statuses."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from bridge import __version__, bootstrap_jobs
from bridge.app.jobs.online_check import CheckResult
from bridge.app.settings import Settings, json_schema
from bridge.cli import app
from bridge.cli.options import settings_or_exit
from tests.servers.certificates import Authority, write_files

GOOD = """
name: orders-move
kafka: {bootstrap_servers: b1:9092, properties: {ssl.keystore.password: hunter2}}
kinesis: {region: eu-central-1}
routes:
  - {topic: orders, stream: orders, linger: 5ms, ordering: partition, partition_key: partition}
"""
FIVE_MISTAKES = """
name: orders-move
kafka: {bootstrap_servers: b1:9092, properties: {group.id: x}}
kinesis: {region: eu-central-1, request_records_max: 501}
routes:
  - {topic: orders, stream: orders, lingr: 5ms, ordering: partition}
commit_interval: 1
"""


@pytest.fixture
def runner() -> CliRunner:
    return CliRunner(env={"BRIDGE_CONFIG": None, "NO_COLOR": "1", "TERM": "dumb"})


@pytest.fixture
def good(tmp_path: Path) -> Path:
    file = tmp_path / "good.yaml"
    file.write_text(GOOD)
    return file


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    file = tmp_path / "bad.yaml"
    file.write_text(FIVE_MISTAKES)
    return file


def test_five_mistakes_are_five_problems(runner: CliRunner, bad: Path) -> None:
    result = runner.invoke(app, ["config", "check", "--config", str(bad)])
    assert result.exit_code == 2
    lines = result.stdout.splitlines()
    assert lines[0] == f"{bad}: 5 problems"
    assert [line.strip() for line in lines[1::3]] == [
        "kafka.properties.group.id",
        "kinesis.request_records_max",
        "routes[0].lingr",
        "commit_interval",
        "routes[0].ordering",
    ]
    assert len(lines) == 1 + 5 * 3
    assert "    value   501" in lines


def test_problems_for_scripts(runner: CliRunner, bad: Path) -> None:
    result = runner.invoke(app, ["config", "check", "--config", str(bad), "--output", "json"])
    assert result.exit_code == 2
    report = json.loads(result.stdout)
    assert report["valid"] is False
    assert len(report["problems"]) == 5
    assert report["problems"][3] == {"path": "commit_interval", "value": 1, "remedy": "write the unit: 1ms, 1s, 1m, 1h or 1d"}


def test_a_valid_configuration_is_summed_up_without_its_secrets(runner: CliRunner, good: Path) -> None:
    result = runner.invoke(app, ["config", "check", "--config", str(good)])
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{good}: valid\n")
    assert "orders -> orders  partition_key=partition  ordering=partition  linger=5ms\n" in result.stdout
    assert "ssl.keystore.password: ***" in result.stdout
    assert "session_timeout=30s" in result.stdout
    assert f"{good}: 1 warning\n  routes[0].ordering\n" in result.stdout
    assert "hunter2" not in result.output


def test_a_valid_configuration_for_scripts_has_every_effective_value(runner: CliRunner, good: Path) -> None:
    result = runner.invoke(app, ["config", "check", "--config", str(good), "--output", "json"])
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert report["valid"] is True
    assert report["settings"]["kafka"]["properties"] == {"ssl.keystore.password": "***"}
    assert report["settings"]["routes"][0]["linger"] == "5ms"
    assert [warning["path"] for warning in report["warnings"]] == ["routes[0].ordering"]


def test_the_brokers_session_timeout_is_not_claimed_to_be_ours(runner: CliRunner, good: Path) -> None:
    good.write_text(GOOD.replace("properties:", "group_protocol: consumer, properties:"))
    result = runner.invoke(app, ["config", "check", "--config", str(good)])
    assert result.exit_code == 0
    assert "session_timeout" not in result.stdout


def test_the_file_and_overrides_may_come_from_the_environment(runner: CliRunner, good: Path) -> None:
    result = runner.invoke(app, ["config", "check"], env={"BRIDGE_CONFIG": str(good), "BRIDGE_LOG__LEVEL": "debug"})
    assert result.exit_code == 0
    assert "level=debug" in result.stdout


@pytest.mark.parametrize(
    "arguments", [["config", "check"], ["config", "check", "--output", "xml"], ["config", "chek"], ["config"], ["--nothing"], []]
)
def test_wrong_usage_is_exit_status_2(runner: CliRunner, arguments: list[str]) -> None:
    assert runner.invoke(app, arguments).exit_code == 2


def test_a_missing_file_is_a_configuration_error(runner: CliRunner, tmp_path: Path) -> None:
    result = runner.invoke(app, ["config", "check", "--config", str(tmp_path / "none.yaml")])
    assert result.exit_code == 2
    assert "name a file that can be read" in result.stdout


def test_the_schema_is_printed_as_json(runner: CliRunner) -> None:
    result = runner.invoke(app, ["config", "schema"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == json_schema()


def test_the_version(runner: CliRunner) -> None:
    assert runner.invoke(app, ["--version"]).stdout == f"bridge {__version__}\n"


def test_other_commands_tell_problems_on_standard_error(bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as raised:
        settings_or_exit(bad)
    assert raised.value.exit_code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "5 problems" in captured.err


def test_other_commands_get_the_settings(good: Path) -> None:
    assert settings_or_exit(good).routes[0].linger == 0.005


def invoke_apart(runner: CliRunner, arguments: list[str]) -> Result:
    """In a thread: asyncio.run would drop the main thread's event loop, which the test plugins still hold, unclosed."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(runner.invoke, app, arguments).result()


WORKS = CheckResult("kafka.bootstrap_servers b1:9092")
REFUSED = CheckResult("routes[0].topic orders", "the topic does not exist")
SILENT = CheckResult("stream orders", "no answer", reachable=False)


@pytest.mark.parametrize(
    ("results", "exit_code", "lines"),
    [
        ([WORKS], 0, ["kafka.bootstrap_servers b1:9092: works"]),
        ([WORKS, REFUSED], 1, ["routes[0].topic orders: fails: the topic does not exist"]),
        ([REFUSED, SILENT], 5, ["stream orders: not reachable: no answer"]),
    ],
)
def test_what_was_tried_online_is_told_and_makes_the_exit_status(
    runner: CliRunner, good: Path, monkeypatch: pytest.MonkeyPatch, results: list[CheckResult], exit_code: int, lines: list[str]
) -> None:
    async def tried(settings: Settings) -> list[CheckResult]:
        assert settings.name == "orders-move"
        return results

    monkeypatch.setattr(bootstrap_jobs, "check_online", tried)
    result = invoke_apart(runner, ["config", "check", "--online", "--config", str(good)])
    assert result.exit_code == exit_code
    assert set(lines) <= set(result.stdout.splitlines())
    result = invoke_apart(runner, ["config", "check", "--online", "--config", str(good), "--output", "json"])
    assert result.exit_code == exit_code
    assert json.loads(result.stdout)["online"] == [asdict(one) for one in results]


def test_a_bad_configuration_is_not_tried_online(runner: CliRunner, bad: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def tried(settings: Settings) -> list[CheckResult]:
        raise AssertionError(f"tried {settings.name}")

    monkeypatch.setattr(bootstrap_jobs, "check_online", tried)
    result = runner.invoke(app, ["config", "check", "--online", "--config", str(bad)])
    assert result.exit_code == 2
    assert "5 problems" in result.stdout


def test_the_full_example_passes_the_check_of_the_client_library_too(tmp_path: Path):
    text = (Path(__file__).parents[3] / "config" / "full.yaml").read_text()
    authority = Authority()
    own = authority.issue("bridge.example.net")
    contents = {
        "kafka-password": "hunter2\n",
        "key-password": "hunter3\n",
        "kafka-ca.pem": authority.certificate,
        "bridge.pem": own.chain,
        "bridge.key": own.encrypted_key("hunter3"),
    }
    write_files(tmp_path, contents)
    file = tmp_path / "full.yaml"
    file.write_text(re.sub(r"(/run/secrets|/etc/bridge)/", f"{tmp_path}/", text))
    result = CliRunner().invoke(app, ["config", "check", "--config", str(file)])
    assert result.exit_code == 0, result.output
    assert "hunter" not in result.output
