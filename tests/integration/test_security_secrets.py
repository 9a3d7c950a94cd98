"""No secret in anything that the bridge says; and the role for Kinesis, from the daemon to AWS STS."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.daemon import Daemon
from tests.integration.secure_scenario import LOGIN, Scenario, run_command
from tests.integration.unsecured_token_bridge import MODULE
from tests.servers.process import wait_until
from tests.servers.sts import FakeSts, running_sts

ROLE = "arn:aws:iam::123456789012:role/streams"
PASSWORD = "canary-password"
KEY_PASSWORD = "canary-key-password"
PROPERTY = "canary-property"
AWS_SECRET_KEY = "canary-aws-secret-key"
AWS_SESSION_TOKEN = "canary-aws-session-token"
ASSUMED_SECRET_KEY = "canary-assumed-secret-key"
ASSUMED_SESSION_TOKEN = "canary-assumed-session-token"
MISPLACED = "canary-misplaced"
CANARIES = (
    PASSWORD, KEY_PASSWORD, PROPERTY, AWS_SECRET_KEY, AWS_SESSION_TOKEN, ASSUMED_SECRET_KEY, ASSUMED_SESSION_TOKEN, MISPLACED,
)  # fmt: skip
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIACANARY",
    "AWS_SECRET_ACCESS_KEY": AWS_SECRET_KEY,
    "AWS_SESSION_TOKEN": AWS_SESSION_TOKEN,
}
TLS = {"protocol": "SASL_SSL", "ca_file": "ca.pem"}
LOGINS: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "PLAIN": ({}, {"BRIDGE_KAFKA__PROPERTIES__SSL_KEYSTORE_PASSWORD": PROPERTY}),
    "SCRAM-SHA-512": (
        {"certificate_file": "bridge.pem", "key_file": "canary.key"},
        {"BRIDGE_KAFKA__SECURITY__KEY_PASSWORD": KEY_PASSWORD},
    ),
}
"""Mechanism -> further keys, and variables with secrets."""
CHATTY = {"debug": "all"}
"""librdkafka says all that it can: its configuration, every message of a login."""


@pytest.fixture
def sts() -> Iterator[FakeSts]:
    with running_sts() as server:
        server.secret_key, server.session_token = ASSUMED_SECRET_KEY, ASSUMED_SESSION_TOKEN
        yield server


def assert_silent(*texts: str) -> None:
    for text in texts:
        assert text
        assert [canary for canary in CANARIES if canary in text] == []


def everything_said(daemon: Daemon) -> list[str]:
    """Log and HTTP of a running daemon."""
    return [daemon.log_text(), json.dumps(daemon.json_of("/readyz")), daemon.text_of("/metrics"), daemon.text_of("/livez")]


def canary_files(scenario: Scenario) -> None:
    scenario.write("password", f"{PASSWORD}\n")
    own = scenario.security.client_authority.issue("bridge")
    scenario.write("bridge.pem", own.chain)
    scenario.write("canary.key", own.encrypted_key(KEY_PASSWORD))


@pytest.mark.parametrize("mechanism", LOGINS)
def test_no_secret_is_said_while_the_login_fails_nor_by_any_command(scenario: Scenario, sts: FakeSts, mechanism: str) -> None:
    canary_files(scenario)
    more, variables = LOGINS[mechanism]
    environment = ENVIRONMENT | variables | {"AWS_ENDPOINT_URL_STS": sts.endpoint_url}
    security = {**LOGIN, **TLS, **more, "mechanism": mechanism}
    settings = scenario.settings(scenario.new_route(), "BOTH", security, log={"level": "debug"})
    settings["kafka"]["properties"] = CHATTY
    settings["kinesis"]["role_arn"] = ROLE
    said = []
    with scenario.daemon(settings, environment=environment, ready=False) as daemon:
        wait_until(lambda: "refused the login" in str(daemon.json_of("/readyz")["problems"]), "the refusal")
        said += everything_said(daemon)
        daemon.terminate()
        daemon.wait_exit()
        said.append(daemon.log_text())
    for command in (["config", "check"], ["config", "check", "--output", "json"], ["config", "check", "--online"], ["status"]):
        said.append(scenario.command(settings, *command, environment=environment)[1])
    assert "kafka_client_log" in said[0]
    assert "***" in said[-4]
    assert len(sts.calls) > 0
    assert_silent(*said)


def test_no_token_is_said_while_it_works(scenario: Scenario) -> None:
    """The token of a login is as good as a password while it is valid. Nor do many log lines stop the consumer."""
    route = scenario.new_route()
    security = {"protocol": "SASL_SSL", "ca_file": "ca.pem", "mechanism": "AWS_MSK_IAM"}
    settings = scenario.settings(route, "TOKEN", security, log={"level": "debug"})
    settings["kafka"]["properties"] = CHATTY
    with scenario.daemon(settings, module=MODULE) as daemon:
        scenario.carries(route, b"value")
        log = daemon.log_text()
    token = (scenario.folder / "signed").read_text().splitlines()[0].split()[1]
    assert "kafka_client_log" in log
    assert token not in log
    assert token.split(".")[1] not in log


def test_secrets_in_wrong_places_are_not_said_back(tmp_path: Path) -> None:
    kafka = {
        "bootstrap_servers": f"sasl_ssl://user:{MISPLACED}@b1:9092 ",
        "properties": {"sasl.password": MISPLACED, "ssl.key.password": [MISPLACED], "ssl.key.pem": {"is": MISPLACED}},
        "security": {"password": MISPLACED, "key_password": {"is": MISPLACED}, "passwrod": MISPLACED},
    }
    kinesis = {
        "region": "eu-central-1",
        "endpoint_url": f"https://user:{MISPLACED}@example.net",
        "secret_access_key": MISPLACED,
        "aws_session_token": MISPLACED,
    }
    routes = [{"topic": "orders", "stream": "orders"}]
    settings: dict[str, Any] = {"name": "x", "kafka": kafka, "kinesis": kinesis, "routes": routes}
    for command in (["config", "check"], ["config", "check", "--output", "json"], ["run"], ["status"]):
        status, output = run_command(tmp_path, settings, *command)
        assert status == 2, output
        assert all(f"{group}.{key}" in output for group in ("kafka", "kinesis") for key in settings[group] if key != "region")
        assert_silent(output)


def test_records_are_put_with_the_assumed_role(scenario: Scenario, sts: FakeSts) -> None:
    route = scenario.new_route()
    settings = scenario.settings(route, "TLS", {"protocol": "SSL", "ca_file": "ca.pem"})
    settings["kinesis"] |= {"role_arn": ROLE, "external_id": "partner-7"}
    sts.lifetime = None
    with scenario.daemon(settings, environment={"AWS_ENDPOINT_URL_STS": sts.endpoint_url}, ready=False) as daemon:
        said = f"kinesis.role_arn {ROLE}: AccessDenied"
        wait_until(lambda: said in str(daemon.json_of("/readyz")["problems"]), "the refusal")
        status, output = scenario.command(
            settings, "config", "check", "--online", environment={"AWS_ENDPOINT_URL_STS": sts.endpoint_url}
        )
        assert (status, said in output) == (1, True), output
        sts.lifetime = timedelta(hours=1)
        daemon.wait_ready()
        scenario.carries(route, b"by a role")
        log = daemon.log_text()
    assert log.count('"stream_trouble"') == 1, log
    assert "Traceback" not in log
    assert {(call["RoleArn"], call["ExternalId"]) for call in sts.calls} == {(ROLE, "partner-7")}
    assert sts.calls[0]["RoleSessionName"] == f"bridge-{route['topic']}"
