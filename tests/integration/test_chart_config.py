"""The configuration through the chart: it arrives as written, a drain has the time that it takes, what cannot work is refused."""

import asyncio
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest
import trustme
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.adapters.kafka.admin import KafkaAdmin
from bridge.app.settings import load_settings
from bridge.app.supervisor import STOP_TIMEOUT_S
from bridge.bootstrap import drain_timeout
from tests.consistency.chart import CHART, EXAMPLES, ROOT, config_text, read, readme_values
from tests.integration.daemon import daemon_environment
from tests.integration.manifests import MINIMAL, Manifest, bridge_yaml, container, loaded, one, pod, variables, with_config
from tests.servers.helm import Helm, HelmError

MARGIN_S = 5.0
"""Between the end of everything that a stop may take and the kill."""


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_the_bridge_takes_the_configuration(helm: Helm, file: Path, tmp_path: Path):
    manifests = helm.render(file)
    environment = variables(manifests)
    assert load_settings(bridge_yaml(manifests, tmp_path), environment) == loaded(config_text(file), tmp_path, environment)


# -- the configuration gets through


def test_everything_that_the_configuration_can_say_gets_through(helm: Helm, tmp_path: Path):
    """config/full.yaml, but for what the chart has to know better."""
    text = (ROOT / "config" / "full.yaml").read_text()
    text = text.replace("  host: 127.0.0.1\n", "  host: 0.0.0.0\n")
    file = tmp_path / "values.yaml"
    file.write_text("config:\n" + "".join(f"  {line}\n" for line in text.splitlines()))
    assert load_settings(bridge_yaml(helm.render(file), tmp_path), {}) == loaded(text, tmp_path)


TEXTS = [
    "on",
    "off",
    "yes",
    "No",
    "true",
    "null",
    "~",
    "",
    "1e3",
    "1.0",
    "010",
    "0x1F",
    "0o17",
    "1_000",
    "12:30:45",
    "2026-01-01",
]
TEXTS += [
    ".inf",
    ".nan",
    "=",
    " leading",
    "trailing ",
    "#x",
    "a: b",
    "- a",
    "? a",
    "{x}",
    "[x]",
    "two\nlines\n",
    "\n\nthree",
    "a\tb",
]
TEXTS += [
    "a\r\nb",
    "quote\"'",
    "ünïcode 𝄞",
    "*x",
    "&x",
    "!x",
    "%x",
    "@x",
    "`x",
    "Y",
    "n",
    "|",
    ">",
    "{{ .Values.x }}",
    "long words " * 40,
]


def test_awkward_texts_and_numbers_get_through(helm: Helm, tmp_path: Path):
    properties: dict[str, str | int] = {f"a.{index}": text for index, text in enumerate(TEXTS)}
    properties |= {"b.0": 0, "b.1": -1, "b.2": 2**31 - 1, "b.3": 10**6, "b.4": 2**53, "c.0": True, "c.1": False}
    config = bridge_yaml(with_config(helm, {"kafka.properties": properties}), tmp_path)
    assert load_settings(config, {}).kafka.properties == properties


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(
        st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"])).filter(lambda text: text != "<<"), max_size=30
    )
)
def test_any_text_gets_through(helm: Helm, tmp_path: Path, texts: list[str]):
    properties = {f"a.{index}": text for index, text in enumerate(texts)}
    config = bridge_yaml(with_config(helm, {"kafka.properties": properties}), tmp_path)
    assert load_settings(config, {}).kafka.properties == properties


# -- time to stop


def stop_takes_s(file: Path) -> float:
    """The longest that a stop may take, by the bridge's own account. `classic`: nothing is asked of Kafka."""
    return asyncio.run(drain_timeout(load_settings(file, {}), cast(KafkaAdmin, None))) + STOP_TIMEOUT_S


@pytest.mark.parametrize("session", [None, "12s", "45s", "60s", "1m", "90500ms", "2m", "1h"])
@pytest.mark.parametrize("interval", [None, "50ms", "1500ms"])
@pytest.mark.parametrize("lease", [None, "1m", "10m"])
def test_a_drain_has_the_time_that_it_may_take(
    helm: Helm, session: str | None, interval: str | None, lease: str | None, tmp_path: Path
):
    change = {"kafka.session_timeout": session, "commit_interval": interval, "lease": lease}
    manifests = with_config(helm, {path: value for path, value in change.items() if value})
    grace = pod(manifests)["terminationGracePeriodSeconds"]
    takes_s = stop_takes_s(bridge_yaml(manifests, tmp_path))
    assert takes_s + MARGIN_S <= grace <= takes_s + 20 + MARGIN_S


def test_with_the_consumer_protocol_the_brokers_default_counts(helm: Helm):
    grace = pod(with_config(helm, {"kafka.group_protocol": "consumer", "lease": "10m"}))["terminationGracePeriodSeconds"]
    assert grace == 45 + 20 + 10


def test_a_longer_time_to_stop_is_taken(helm: Helm):
    assert pod(with_config(helm, {}, terminationGracePeriodSeconds=300))["terminationGracePeriodSeconds"] == 300


# -- what is refused


@pytest.mark.parametrize(
    ("change", "others", "said"),
    [
        (
            {"kafka.session_timeout": "1m", "lease": "2m"},
            {"terminationGracePeriodSeconds": 60},
            "terminationGracePeriodSeconds 60: write at least 90",
        ),
        ({"metrics.port": 0}, {}, "config.metrics.port 0: "),
        ({"metrics.host": "127.0.0.1"}, {}, "config.metrics.host 127.0.0.1: leave it out"),
        ({"metrics.host": "::1"}, {}, "config.metrics.host ::1: leave it out"),
        (
            {"kafka.group_instance_id": "a"},
            {"replicas": 2},
            "config.kafka.group_instance_id a: leave it out, or write replicas: 1",
        ),
        ({"kafka.properties": {"sasl.password": "hunter2"}}, {}, "invalid propertyName 'sasl.password'"),
        ({"kafka.security": {"password": "hunter2"}}, {}, "additional properties 'password' not allowed"),
        (
            {"kafka.properties": {"sasl.oauthbearer.client.secret": "hunter2"}},
            {},
            "secretEnv, as BRIDGE_KAFKA__PROPERTIES__SASL_OAUTHBEARER_CLIENT_SECRET",
        ),
        ({"kafka.properties": {"ssl.key.pem": "hunter2"}}, {}, "config.kafka.properties.ssl.key.pem: put it into a Secret"),
        (
            {"kafka.properties": {"sasl.oauthbearer.config": "hunter2"}},
            {},
            "config.kafka.properties.sasl.oauthbearer.config: put",
        ),
        (
            {},
            {"extraEnv": [{"name": "AWS_SECRET_ACCESS_KEY", "value": "hunter2"}]},
            "extraEnv AWS_SECRET_ACCESS_KEY: put it into",
        ),
        ({}, {"extraEnv": [{"name": "BRIDGE_METRICS__PORT", "value": "1"}]}, "extraEnv BRIDGE_METRICS__PORT: write it in config"),
        ({}, {"secretEnv": {"BRIDGE_KAFKA": {"secret": "a", "key": "b"}}}, "secretEnv.BRIDGE_KAFKA: write it in config"),
        (
            {},
            {"secretEnv": {"A": {"secret": "a", "key": "b"}}, "extraEnv": [{"name": "A", "value": "1"}]},
            "extraEnv A: remove it: secretEnv has it already",
        ),
        ({"lingr": "5ms"}, {}, "additional properties 'lingr' not allowed"),
        ({"kafka.session_timeout": 30}, {}, "/config/kafka/session_timeout"),
        ({}, {"replica": 2}, "additional properties 'replica' not allowed"),
    ],
    ids=str,
)
def test_what_cannot_work_is_refused(helm: Helm, change: dict[str, Any], others: dict[str, Any], said: str):
    with pytest.raises(HelmError) as refusal:
        with_config(helm, change, **others)
    assert said in str(refusal.value)
    assert "hunter2" not in str(refusal.value)


def test_without_values_what_is_missing_is_named(helm: Helm):
    with pytest.raises(HelmError, match="missing properties 'name', 'kafka', 'kinesis', 'routes'"):
        helm.render({})


def test_paths_of_files_are_no_secrets(helm: Helm, tmp_path: Path):
    properties = {"ssl.keystore.location": "/secrets/a/store", "sasl.oauthbearer.token.endpoint.url": "https://example.net"}
    config = bridge_yaml(with_config(helm, {"kafka.properties": properties}), tmp_path)
    assert yaml.safe_load(config.read_text())["kafka"]["properties"] == properties


# -- what is said after an installation


def notes(helm: Helm, content: Mapping[str, Any], folder: Path) -> str:
    """Helm shows the notes only where it has a cluster: here they are a manifest of a copy of the chart."""
    chart = folder / "bridge"
    shutil.copytree(CHART, chart)
    shutil.move(chart / "templates" / "NOTES.txt", chart / "notes.txt")
    (chart / "templates" / "notes.yaml").write_text('kind: Notes\ntext: {{ tpl (.Files.Get "notes.txt") . | toJson }}\n')
    return str(one(helm.render(content, chart=chart), "Notes")["text"])


def test_the_notes_name_the_deployment(helm: Helm, tmp_path: Path):
    said = notes(helm, read(MINIMAL.read_text()), tmp_path)
    assert "kubectl --namespace bridges exec deployment/orders-bridge -- bridge status" in said


def mount(manifests: list[Manifest], folder: Path) -> Path:
    """The configuration with the files that it names, as the pod has them, below a folder.

    Raises AssertionError where one is of a Secret that is not mounted.
    """
    authority = trustme.CA()
    certificate = authority.issue_cert("bridge.example.net")
    content = {
        "ca.crt": authority.cert_pem.bytes(),
        "tls.crt": certificate.cert_chain_pems[0].bytes(),
        "tls.key": certificate.private_key_pem.bytes(),
        "password": b"out of a secret",
    }
    config = bridge_yaml(manifests, folder)
    mounted = [mount["mountPath"] for mount in container(manifests)["volumeMounts"]]
    text = config.read_text()
    for secret, key in re.findall(r"(/secrets/[^/\s]+)/(\S+)", text):
        assert secret in mounted
        file = folder / secret.lstrip("/") / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content[key])
    config.write_text(text.replace("/secrets/", f"{folder}/secrets/"))
    return config


def config_check(manifests: list[Manifest], folder: Path) -> subprocess.CompletedProcess[str]:
    """The command itself, with the variables and the files of the container: it asks the Kafka client library too."""
    command = [sys.executable, "-m", "bridge", "config", "check", "--config", str(mount(manifests, folder)), "--output", "json"]
    environment = daemon_environment(variables(manifests))
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_bridge_config_check_takes_it_where_the_pod_runs(helm: Helm, file: Path, tmp_path: Path):
    result = config_check(helm.render(file), tmp_path)
    assert (result.returncode, json.loads(result.stdout)["valid"]) == (0, True), result.stdout


@pytest.mark.parametrize("block", readme_values())
def test_files_of_values_in_the_readme_work(helm: Helm, block: str, tmp_path: Path):
    result = config_check(helm.render(read(block)), tmp_path)
    assert result.returncode == 0, result.stdout


def test_a_configuration_that_does_not_work_is_noticed(helm: Helm, tmp_path: Path):
    """The schema of the values does not know what cannot stand together."""
    result = config_check(with_config(helm, {"kafka.session_timeout": "2s"}), tmp_path)
    assert (result.returncode, json.loads(result.stdout)["valid"]) == (2, False)
