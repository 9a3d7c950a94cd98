"""Kafka does not let the bridge in: one error that names the key and what to do, until it is mended; then on it goes."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from tests.integration.secure_scenario import LOGIN, Scenario
from tests.integration.test_security import set_password
from tests.servers.kafka_security import HOST, keystore
from tests.servers.process import wait_until

TLS = {"protocol": "SSL", "ca_file": "ca.pem"}
SCRAM = {**LOGIN, **TLS, "protocol": "SASL_SSL", "mechanism": "SCRAM-SHA-512"}
MUTUAL = {**TLS, "certificate_file": "bridge.pem", "key_file": "bridge.key"}


@dataclass(frozen=True)
class Trouble:
    """`said` are pieces of the error; `break_it` before the daemon starts, `mend` while it runs."""

    listener: str
    security: dict[str, str]
    said: tuple[str, ...]
    break_it: Callable[[Scenario], None]
    mend: Callable[[Scenario], None]
    code: str = "_SSL"


def nothing(_scenario: Scenario) -> None:
    """Broken as it is."""


def other_certificate(scenario: Scenario) -> None:
    scenario.copy("other.pem", "bridge.pem")
    scenario.copy("other.key", "bridge.key")


def right_certificate(scenario: Scenario) -> None:
    certificate = scenario.security.client_authority.issue("bridge")
    scenario.write("bridge.pem", certificate.chain)
    scenario.write("bridge.key", certificate.key)


def renew_on_broker(listener: str) -> Callable[[Scenario], None]:
    """A listener gets another certificate while it runs."""

    def renew(scenario: Scenario) -> None:
        settings = keystore(f"listener.name.{listener.lower()}", scenario.security.authority.issue(HOST))
        entries = [ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in settings.items()]
        broker = ConfigResource(ResourceType.BROKER, "1", incremental_configs=entries)
        admin = AdminClient({"bootstrap.servers": scenario.kafka.bootstrap_servers})
        admin.incremental_alter_configs([broker])[broker].result(30)

    return renew


TROUBLES = {
    "wrong password, file corrected": Trouble(
        "BOTH",
        SCRAM,
        ("kafka.security.username bridge: the broker refused the login", "password"),
        lambda scenario: scenario.write("password", "wrong"),
        lambda scenario: scenario.write("password", scenario.security.password),
        "_AUTHENTICATION",
    ),
    "wrong password, broker corrected": Trouble(
        "BOTH",
        {**SCRAM, "username": "late"},
        ("kafka.security.username late: the broker refused the login",),
        lambda scenario: scenario.write("password", "in time"),
        lambda scenario: set_password(scenario.kafka, "late", "in time"),
        "_AUTHENTICATION",
    ),
    "expired certificate": Trouble(
        "EXPIRED",
        TLS,
        ("the broker's certificate is out of date (certificate has expired)", "renew it on the broker"),
        nothing,
        renew_on_broker("EXPIRED"),
    ),
    "wrong host name": Trouble(
        "OTHERHOST",
        TLS,
        ("kafka.bootstrap_servers: the broker's certificate is for another host", HOST),
        nothing,
        renew_on_broker("OTHERHOST"),
    ),
    "unknown authority": Trouble(
        "TLS",
        {**TLS, "ca_file": "own-ca.pem"},
        ("kafka.security.ca_file", "own-ca.pem", "not of a known authority"),
        lambda scenario: scenario.copy("other-ca.pem", "own-ca.pem"),
        lambda scenario: scenario.copy("ca.pem", "own-ca.pem"),
    ),
    "wrong key": Trouble(
        "MUTUAL",
        MUTUAL,
        ("kafka.security.certificate_file", "bridge.pem: the broker refuses this certificate"),
        other_certificate,
        right_certificate,
    ),
}


@pytest.mark.parametrize("name", TROUBLES)
def test_a_refusal_is_said_once_with_what_to_do_and_ends_when_it_is_mended(scenario: Scenario, name: str) -> None:
    trouble = TROUBLES[name]
    trouble.break_it(scenario)
    route = scenario.new_route()
    settings = scenario.settings(route, trouble.listener, trouble.security)
    with scenario.daemon(settings, ready=False) as daemon:
        wait_until(lambda: all(piece in str(daemon.json_of("/readyz")["problems"]) for piece in trouble.said), "the reason")
        assert daemon.json_of("/readyz")["problems"][0].startswith(f"kafka: {trouble.code}: ")
        status, output = scenario.command(settings, "config", "check", "--online")
        assert status == 5, output
        assert all(piece in output for piece in trouble.said), output
        trouble.mend(scenario)
        daemon.wait_ready()
        scenario.carries(route, name.encode())
        log = daemon.log_text()
    assert log.count('"kafka_trouble"') == 1, log
    assert log.count('"kafka_recovered"') == 1, log
    assert scenario.security.password not in log + output


def test_a_client_certificate_that_is_not_configured(scenario: Scenario) -> None:
    route = scenario.new_route()
    with scenario.daemon(scenario.settings(route, "MUTUAL", TLS), ready=False) as daemon:
        said = "kafka.security.certificate_file: the broker asks for a certificate of the bridge"
        wait_until(lambda: said in str(daemon.json_of("/readyz")["problems"]), "the reason")
        assert daemon.log_text().count('"kafka_trouble"') == 1
    status, output = scenario.command(scenario.settings(route, "MUTUAL", TLS), "config", "check", "--online")
    assert (status, said in output) == (5, True), output


@pytest.mark.parametrize(
    ("listener", "security", "said"),
    [
        ("LOGIN", TLS, "kafka.security.protocol SSL: the broker's listener has no TLS"),
        (
            "TOKEN",
            SCRAM,
            "kafka.security.mechanism SCRAM-SHA-512: the broker's listener does not have it: write one of OAUTHBEARER",
        ),
    ],
)
def test_a_listener_of_another_kind_is_said_by_the_online_check(
    scenario: Scenario, listener: str, security: dict[str, str], said: str
) -> None:
    status, output = scenario.command(scenario.settings(scenario.new_route(), listener, security), "config", "check", "--online")
    assert (status, said in output) == (5, True), output


def test_a_listener_that_hangs_up_is_said_with_the_key_to_look_at(scenario: Scenario) -> None:
    with scenario.daemon(scenario.settings(scenario.new_route(), "TLS", {}), ready=False) as daemon:
        said = "write so in kafka.security.protocol (now PLAINTEXT)"
        wait_until(lambda: said in str(daemon.json_of("/readyz")["problems"]), "the reason")


def test_half_of_a_change_is_waited_out(scenario: Scenario) -> None:
    """A certificate without its key: the client cannot be made, until the key has come too."""
    other_certificate(scenario)
    route = scenario.new_route()
    renewed = scenario.security.client_authority.issue("bridge")
    with scenario.daemon(scenario.settings(route, "MUTUAL", MUTUAL), ready=False) as daemon:
        wait_until(lambda: "refuses this certificate" in str(daemon.json_of("/readyz")["problems"]), "the refusal")
        scenario.write("bridge.pem", renewed.chain)
        wait_until(lambda: "kafka.security.key_file" in str(daemon.json_of("/readyz")["problems"]), "half of the change")
        scenario.write("bridge.key", renewed.key)
        daemon.wait_ready()
        scenario.carries(route, b"with the renewed certificate")


def test_a_file_that_is_gone_is_said_with_its_key(scenario: Scenario) -> None:
    status, output = scenario.command(
        scenario.settings(scenario.new_route(), "BOTH", SCRAM | {"password_file": "gone"}), "status"
    )
    assert status == 2, output
    assert "kafka.security.password_file" in output
    assert "no such file" in output
