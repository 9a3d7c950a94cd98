"""Every way into Kafka that the configuration has: records pass through the real daemon, and the online check agrees."""

import time

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from tests.integration.secure_scenario import LOGIN, Scenario
from tests.integration.unsecured_token_bridge import LIFETIME_VARIABLE, MODULE
from tests.servers.kafka import RunningKafka
from tests.servers.kafka_security import REAUTHENTICATION_MS
from tests.servers.process import ROOT, wait_until

TLS = {"protocol": "SSL", "ca_file": "ca.pem"}
MATRIX: dict[str, tuple[str, dict[str, str]]] = {
    "TLS": ("TLS", TLS),
    "TLS, client certificate": ("MUTUAL", {**TLS, "certificate_file": "bridge.pem", "key_file": "bridge.key"}),
    "TLS, client certificate with an encrypted key": (
        "MUTUAL",
        {**TLS, "certificate_file": "bridge.pem", "key_file": "encrypted.key", "key_password_file": "key-password"},
    ),
    "PLAIN": ("LOGIN", {**LOGIN, "protocol": "SASL_PLAINTEXT", "mechanism": "PLAIN"}),
    "TLS, PLAIN": ("BOTH", {**LOGIN, **TLS, "protocol": "SASL_SSL", "mechanism": "plain"}),
    "TLS, SCRAM-SHA-256": ("BOTH", {**LOGIN, **TLS, "protocol": "sasl_ssl", "mechanism": "SCRAM-SHA-256"}),
    "TLS, SCRAM-SHA-512": ("BOTH", {**LOGIN, **TLS, "protocol": "SASL_SSL", "mechanism": "SCRAM-SHA-512"}),
    "TLS, tokens": ("TOKEN", {**TLS, "protocol": "SASL_SSL", "mechanism": "AWS_MSK_IAM"}),
}
"""Way in -> listener, and keys of `kafka.security`. ARCHITECTURE.md shows this table."""


def test_the_architecture_shows_every_way_in() -> None:
    table = (ROOT / "ARCHITECTURE.md").read_text().partition("| way in |")[2].partition("\n\n")[0]
    assert [row.split("|")[1].strip() for row in table.splitlines()[2:]] == list(MATRIX)


@pytest.mark.parametrize("way", MATRIX)
def test_records_pass_every_way_in(scenario: Scenario, way: str) -> None:
    listener, security = MATRIX[way]
    module = MODULE if listener == "TOKEN" else "bridge"
    route = scenario.new_route()
    settings = scenario.settings(route, listener, security)
    with scenario.daemon(settings, module=module) as daemon:
        scenario.carries(route, way.encode())
        status, output = scenario.command(settings, "config", "check", "--online", module=module)
        assert status == 0, output
        assert "kafka_trouble" not in daemon.log_text()


def test_secrets_come_from_variables_too(scenario: Scenario) -> None:
    listener, security = MATRIX["TLS, SCRAM-SHA-512"]
    route = scenario.new_route()
    settings = scenario.settings(route, listener, {key: value for key, value in security.items() if key != "password_file"})
    password = (scenario.folder / "password").read_text().strip()
    with scenario.daemon(settings, environment={"BRIDGE_KAFKA__SECURITY__PASSWORD": password}):
        scenario.carries(route, b"by a variable")


def test_tokens_are_renewed_while_records_flow(scenario: Scenario) -> None:
    """The broker drops a connection that does not log in again in time, with a token that is valid then."""
    listener, security = MATRIX["TLS, tokens"]
    route = scenario.new_route()
    lifetime_s = 4 * REAUTHENTICATION_MS / 1000
    variables = {LIFETIME_VARIABLE: str(lifetime_s)}
    with scenario.daemon(scenario.settings(route, listener, security), module=MODULE, environment=variables) as daemon:
        carry_for(scenario, route, 1.5 * lifetime_s)
        assert len((scenario.folder / "signed").read_text().splitlines()) >= 2
        log = daemon.log_text()
    assert [word for word in ("kafka_trouble", "partitions_lost", "kafka_consumer_restarting") if word in log] == []


def test_a_token_that_cannot_be_had_is_said_once_and_awaited(scenario: Scenario) -> None:
    listener, security = MATRIX["TLS, tokens"]
    route = scenario.new_route()
    problem = "kafka.security.mechanism AWS_MSK_IAM: no AWS credentials were found"
    scenario.write("no-token", problem)
    with scenario.daemon(scenario.settings(route, listener, security), module=MODULE, ready=False) as daemon:
        wait_until(lambda: problem in str(daemon.json_of("/readyz")["problems"]), "the reason")
        status, output = scenario.command(scenario.settings(route, listener, security), "status", module=MODULE)
        assert (status, problem in output) == (5, True), output
        (scenario.folder / "no-token").unlink()
        daemon.wait_ready()
        scenario.carries(route, b"with a token")
        assert daemon.log_text().count("kafka_trouble") == 1


def test_a_new_password_reaches_the_open_clients(scenario: Scenario) -> None:
    """Changed in its file and on the broker: connections log in again with it, and no partition leaves the replica."""
    listener, security = MATRIX["TLS, SCRAM-SHA-512"]
    user = "rotating"
    set_password(scenario.kafka, user, "before")
    scenario.write("password", "before")
    route = scenario.new_route()
    with scenario.daemon(scenario.settings(route, listener, {**security, "username": user})) as daemon:
        scenario.carries(route, b"old password")
        scenario.write("password", "after")
        set_password(scenario.kafka, user, "after")
        carry_for(scenario, route, 3 * REAUTHENTICATION_MS / 1000)
        daemon.wait_ready()
        log = daemon.log_text()
    assert [word for word in ("partitions_lost", "kafka_consumer_restarting") if word in log] == []


def carry_for(scenario: Scenario, route: dict[str, str], seconds: float) -> None:
    """Records one by one, for at least so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        scenario.carries(route, str(time.monotonic()).encode())


def set_password(kafka: RunningKafka, user: str, password: str) -> None:
    """For SCRAM-SHA-512."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    information = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    upsertion = UserScramCredentialUpsertion(user, information, password.encode())
    admin.alter_user_scram_credentials([upsertion])[user].result(30)
