"""The chart says what the bridge says. What it renders is tested where Helm is: tests/integration/test_chart.py."""

import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge import __version__
from bridge.app.settings import MetricsSettings, load_settings, parse_settings
from bridge.app.settings.units import parse_duration
from bridge.app.supervisor import STOP_TIMEOUT_S
from bridge.bootstrap import CONSUMER_SESSION_TIMEOUT_S
from tests.consistency.chart import (
    CHART,
    EXAMPLES,
    README,
    ROOT,
    SCHEMA,
    TABLE,
    VALUES,
    at,
    config_text,
    leaves,
    read,
    readme_values,
    schema_with_settings,
    table,
    values,
)
from tests.consistency.dockerfile import environment_of_the_image, exec_form, one
from tests.integration.test_flights import MEMORY_MAX

jsonschema: Any = importlib.import_module("jsonschema")  # it has no types

DEFAULTS: dict[str, Any] = yaml.safe_load(VALUES.read_text())
TEMPLATES = sorted((CHART / "templates").iterdir())
MAKE_ANEW = "run: python -m tests.consistency.chart"

FREE = {
    "global",
    "extraEnv[].valueFrom",
    "extraVolumes[]",
    "extraVolumeMounts[]",
    "resources.requests",
    "resources.limits",
    "resources.claims[]",
    "podSecurityContext",
    "securityContext",
    "affinity.nodeAffinity",
    "affinity.podAffinity",
    "affinity.podAntiAffinity",
    "topologySpreadConstraints[]",
}
"""Kubernetes's own objects, which it checks itself."""
MAPS = {
    "secretEnv",
    "serviceAccount.annotations",
    "service.annotations",
    "podMonitor.labels",
    "podAnnotations",
    "podLabels",
    "nodeSelector",
}
"""Whose keys are the user's, whose values are not."""


def example(name: str) -> Any:
    return read((CHART / "ci" / f"{name}-values.yaml").read_text())


def problems(content: Any) -> list[str]:
    """What the schema says against a file of values, put over the defaults as Helm does."""
    return [error.message for error in jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).iter_errors(content)]


# -- the schema


def test_the_schema_of_config_is_the_bridges_own() -> None:
    assert json.loads(SCHEMA.read_text()) == schema_with_settings(), MAKE_ANEW


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(SCHEMA.read_text()))


def patterns(schema: Any) -> Iterator[str]:
    """Every regular expression in a schema."""
    for key, inner in schema.items() if isinstance(schema, dict) else enumerate(schema) if isinstance(schema, list) else ():
        if key == "pattern" and isinstance(inner, str):
            yield inner
        yield from patterns(inner)


def beyond_go(pattern: str) -> bool:
    """Go's regular expressions, which Helm uses, have no look-around, no references back, and repeat at most 1000 times."""
    repeats = [int(count) for counts in re.findall(r"\{([0-9,]+)\}", pattern) for count in counts.split(",") if count]
    return bool(re.search(r"\(\?[=!<]|\\[1-9]", pattern)) or max(repeats, default=0) > 1000


def test_helm_can_read_every_pattern() -> None:
    found = list(patterns(json.loads(SCHEMA.read_text())))
    assert len(found) > 20
    assert [pattern for pattern in found if beyond_go(pattern)] == []


@pytest.mark.parametrize("pattern", ["^a{2,1224}$", "^a{1001}", "^(?!a)b", r"^(a)\1$"])
def test_a_pattern_that_helm_cannot_read_is_noticed(pattern: str) -> None:
    assert beyond_go(pattern)


def objects(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of the chart's own part of the schema, with its path."""
    if schema.get("type") == "object":
        yield path, schema
    for key, inner in schema.get("properties", {}).items():
        if (path, key) != ("", "config"):
            yield from objects(inner, f"{path}.{key}".removeprefix("."))
    if isinstance(schema.get("additionalProperties"), dict):
        yield from objects(schema["additionalProperties"], f"{path}.*")
    if "items" in schema:
        yield from objects(schema["items"], f"{path}[]")


def test_the_schema_is_closed_but_where_the_keys_are_not_the_charts() -> None:
    found = dict(objects(json.loads(SCHEMA.read_text())))
    assert {path for path, schema in found.items() if "additionalProperties" not in schema} == FREE
    assert {path for path, schema in found.items() if isinstance(schema.get("additionalProperties"), dict)} == MAPS
    closed = {path for path, schema in found.items() if schema.get("additionalProperties") is False}
    assert closed == set(found) - FREE - MAPS


def test_the_schema_has_the_values_that_there_are() -> None:
    schema = json.loads(SCHEMA.read_text())
    assert set(schema["properties"]) == {*DEFAULTS, "global"}
    for key, inner in schema["properties"].items():
        if isinstance(DEFAULTS.get(key), dict) and "properties" in inner and key not in ("config", "affinity", "resources"):
            assert set(inner["properties"]) == set(DEFAULTS[key]), key


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_examples_satisfy_the_schema(file: Path) -> None:
    assert problems({**DEFAULTS, **read(file.read_text())}) == []


@pytest.mark.parametrize(
    "change",
    [
        {"replica": 2},
        {"replicas": "2"},
        {"replicas": -1},
        {"config": {}},
        {"config": {**example("minimal")["config"], "lingr": "5ms"}},
        {"image": {"repository": ""}},
        {"image": {"digest": "0123"}},
        {"image": {"registry": "registry.example.net"}},
        {"secretEnv": {"A": "a secret"}},
        {"secretEnv": {"A": {"secret": "a", "key": "b", "value": "a secret"}}},
        {"secretEnv": {"A-B": {"secret": "a", "key": "b"}}},
        {"secretFiles": [{"secret": "a"}]},
        {"secretFiles": ["a", "a"]},
        {"secretFiles": ["a/../b"]},
        {"extraEnv": [{"name": "A", "value": 1}]},
        {"extraEnv": [{"name": "A", "value": "1", "valueFrom": {}}]},
        {"podMonitor": {"create": "yes"}},
        {"podMonitor": {"interval": "30"}},
        {"podDisruptionBudget": {"create": True}},
        {"podDisruptionBudget": {"maxUnavailable": 0}},
        {"terminationGracePeriodSeconds": "60s"},
        {"podLabels": {"a": 1}},
        {"tolerations": [{"keys": "a"}]},
    ],
    ids=str,
)
def test_the_schema_refuses(change: dict[str, Any]) -> None:
    assert problems({**DEFAULTS, **example("minimal"), **change}) != []


# -- values, documents, examples


def test_every_value_is_described_and_every_description_has_a_value() -> None:
    documented = {value.path for value in values()}
    assert set(leaves(DEFAULTS, documented)) == documented


def test_the_table_of_values_is_made_from_the_values() -> None:
    text = README.read_text()
    assert text.count(TABLE[0]) == text.count(TABLE[1]) == 1
    assert text.partition(TABLE[0])[2].partition(TABLE[1])[0].strip() == table(), MAKE_ANEW


def test_the_full_example_sets_every_value_and_none_to_its_default() -> None:
    documented = {value.path for value in values()}
    full = example("full")
    assert set(leaves(full, documented)) == documented
    same = [path for path in documented if at(full, path) == at(DEFAULTS, path)]
    assert same == []


def test_the_minimal_example_has_what_the_bridge_requires_and_nothing_else() -> None:
    assert example("minimal").keys() == {"config"}
    required = read((ROOT / "config" / "minimal.yaml").read_text())
    assert set(leaves(example("minimal")["config"], set())) == set(leaves(required, set()))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_the_configurations_of_the_examples_load(file: Path, tmp_path: Path) -> None:
    config = tmp_path / "bridge.yaml"
    config.write_text(config_text(file))
    out_of_secrets = dict.fromkeys(read(file.read_text()).get("secretEnv", {}), "a secret")
    assert load_settings(config, out_of_secrets).name == "orders-move"


def test_files_of_values_in_the_readme_are_right() -> None:
    assert readme_values() != []
    for block in readme_values():
        assert problems({**DEFAULTS, **read(block)}) == []


# -- what the chart repeats of the bridge and of the image


def test_the_versions_are_the_packages() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)


def test_the_defaults_that_the_templates_repeat_are_the_settings() -> None:
    block = re.search(
        r'define "bridge.defaults" -}}\n(.*?){{-', (CHART / "templates" / "_helpers.tpl").read_text(), flags=re.DOTALL
    )
    assert block
    repeated = yaml.safe_load(block[1])
    settings = parse_settings(example("minimal")["config"])
    kafka = settings.kafka
    assert repeated.pop("metricsPort") == MetricsSettings().port
    assert repeated.pop("groupProtocol") == kafka.group_protocol
    seconds = {name: parse_duration(text) for name, text in repeated.items()}
    assert seconds == {
        "sessionTimeout": kafka.session_timeout,
        "brokerSessionTimeout": CONSUMER_SESSION_TIMEOUT_S,
        "lease": settings.lease,
        "leaving": STOP_TIMEOUT_S,
    }


def test_the_pod_fits_the_image() -> None:
    context = DEFAULTS["podSecurityContext"]
    user, _, group = one("USER").text.partition(":")
    assert (context["runAsUser"], context["runAsGroup"]) == (int(user), int(group))
    deployment = (CHART / "templates" / "deployment.yaml").read_text()
    (arguments,) = re.findall(r"args: \[(.*)\]", deployment)
    config = environment_of_the_image()["BRIDGE_CONFIG"]
    assert arguments.split(", ") == [*exec_form("CMD"), "--config", config]
    assert f"mountPath: {config.removesuffix('/bridge.yaml')}," in deployment
    assert f"IMAGE ?= {DEFAULTS['image']['repository']}\n" in (ROOT / "Makefile").read_text()


def test_the_memory_is_what_was_measured() -> None:
    assert DEFAULTS["resources"]["requests"]["memory"] == f"{MEMORY_MAX // 2**20}Mi"


def test_every_value_is_used_and_every_used_one_is_there() -> None:
    used = set()
    for template in TEMPLATES:
        used |= set(re.findall(r"\.Values\.([A-Za-z]+)", template.read_text()))
    assert used == set(DEFAULTS)
