"""What a user can write wrongly is named, with what to do, before anything is started; secrets are not repeated."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.__main__ import EXIT_USAGE
from loadtest.errors import LoadTestError
from loadtest.jobs import KafkaAddress
from loadtest.servers import Kafka
from tests.servers.process import ROOT

SECRET = "hunter2"


def load(*arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "AWS_EC2_METADATA_DISABLED": "true"}
    return subprocess.run(
        [sys.executable, "-m", "loadtest", *arguments],
        cwd=ROOT,
        env=environment | nowhere,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["nonsense"], "'nonsense' is no scenario; there are: line, "),
        (["line", "--part", "2 kB"], "--part '2 kB': line has no such part; it has: 100 B, "),
        (["--part", "100 B"], "--part: name the scenario too"),
        (["smoke", "--endpoint-url", "http://localhost:1"], "need --stream"),
        (["smoke", "--region", "us-east-1"], "need --stream"),
        (["smoke", "--property", "client.rack=a"], "need --bootstrap-servers"),
        (["smoke", "--bootstrap-servers", "b:1", "--property", SECRET], "--property: write NAME=VALUE"),
        (["smoke", "--bootstrap-servers", "b:1", "--properties-file", "missing.properties"], "missing.properties: No such file"),
        (["smoke", "--stream", "orders"], "which region? Write --region"),
        (["smoke", "--stream", "orders", "--region", "us-east-1"], "--stream orders: Unable to locate credentials"),
    ],
)
def test_wrong_usage_is_named(arguments: list[str], named: str):
    result = load(*arguments)
    assert result.returncode == EXIT_USAGE, result.stderr
    assert named in result.stderr
    assert "Traceback" not in result.stderr
    assert SECRET not in result.stderr + result.stdout


def test_a_wrong_line_of_a_properties_file_is_not_shown(tmp_path: Path):
    file = tmp_path / "kafka.properties"
    file.write_text(f"# of the test cluster\nsecurity.protocol=SASL_SSL\n\n{SECRET}\n")
    result = load("smoke", "--bootstrap-servers", "b:1", "--properties-file", str(file))
    assert result.returncode == EXIT_USAGE
    assert f"--properties-file {file}: write NAME=VALUE" in result.stderr
    assert SECRET not in result.stderr


def test_a_property_that_kafkas_client_does_not_know_is_named():
    with pytest.raises(LoadTestError, match=r'Kafka at 127\.0\.0\.1:1: No such configuration property: "no\.such"'):
        Kafka(KafkaAddress("127.0.0.1:1", {"no.such": "x"}))


def test_a_kafka_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("loadtest.servers.ADMIN_TIMEOUT_S", 0.5)
    with pytest.raises(LoadTestError, match=r"Kafka at 127\.0\.0\.1:1: .*(transport|timed out)"):
        Kafka(KafkaAddress("127.0.0.1:1", {}))
