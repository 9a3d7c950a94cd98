"""Scenarios are data: what is wrong is refused by name, and what is shipped loads and starts a bridge."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.app.settings import load_settings
from loadtest.bridges import bridge_settings, merged
from loadtest.errors import LoadTestError
from loadtest.figures import FIGURES
from loadtest.jobs import KafkaAddress, KinesisAddress
from loadtest.kafka_security import for_the_bridge
from loadtest.scenario import Part, load_scenarios
from loadtest.servers import Kinesis

PART = {"name": "p", "partitions": 1, "keys": {"count": 1}, "value_bytes": 100, "shards": 1}
WINDOW = {"warm_up_s": 1, "duration_s": 5}
KINESIS = Kinesis(KinesisAddress("us-east-1", "http://127.0.0.1:1"), {}, None)
ABSENCE = {"after_s": 3, "duration_s": 6, "rebalance_s": 2}
KILL = {"after_s": 3}


def load(tmp_path: Path, **scenario: Any) -> Any:
    file = tmp_path / "scenarios.yaml"
    file.write_text(yaml.safe_dump({"s": {"about": "x", **scenario}}))
    return load_scenarios(file)["s"]


def test_defaults_are_under_every_part(tmp_path: Path):
    defaults = {key: value for key, value in PART.items() if key != "name"} | {"window": WINDOW}
    found = load(tmp_path, defaults=defaults, parts=[{"name": "a"}, {"name": "b", "shards": 7}])
    assert [(part.name, part.shards, part.value_bytes) for part in found.parts] == [("a", 1, 100), ("b", 7, 100)]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"shard": 3}, "parts.0.shard: "),
        ({"keys": {"count": 1, "exponents": 1}}, "parts.0.keys.exponents: "),
        ({"window": {**WINDOW, "rates": 1}}, "parts.0.window.rates: "),
        ({"verdicts": {"speed": {"min": 1}}}, "no such figure: speed"),
        ({"verdicts": {"cpu_ratio": {"least": 1}}}, "parts.0.verdicts.cpu_ratio.least: "),
        ({"verdicts": {"cpu_ratio": {"min": 1, "max": 2}}}, "either min or max"),
        ({"verdicts": {"cpu_ratio": {}}}, "either min or max"),
        ({"drain": {"backlog_records": 1000, "rounds": 1}}, "either drain or window"),
        ({"window": None}, "either drain or window"),
        ({"value_bytes": 15}, "parts.0.value_bytes"),
        ({"value_bytes": {100: 0}}, "parts.0.value_bytes"),
        ({"value_bytes": {}}, "parts.0.value_bytes"),
        ({"window": {**WINDOW, "duration_s": 1}}, "parts.0.window.duration_s: "),
        ({"window": {**WINDOW, "duration_s": 20, "absence": ABSENCE}}, "replicas: 2 or more"),
        ({"replicas": 2, "window": {**WINDOW, "duration_s": 9, "absence": ABSENCE}}, "duration_s: write more than absence"),
        ({"replicas": 2, "window": {**WINDOW, "absence": {**ABSENCE, "rebalance_s": 4}}}, "absence.duration_s: write more"),
        ({"window": {**WINDOW, "duration_s": 20, "kill": KILL}}, "replicas: 2 or more"),
        ({"replicas": 2, "window": {**WINDOW, "kill": KILL}}, "duration_s: write more than kill.after_s"),
        ({"replicas": 2, "window": {**WINDOW, "duration_s": 20, "kill": KILL, "rate": 5}}, "kill: remove rate"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: dict[str, Any], named: str):
    with pytest.raises(LoadTestError) as caught:
        load(tmp_path, parts=[{**PART, "window": WINDOW, **change}])
    assert named in str(caught.value)


def test_every_problem_is_named_at_once(tmp_path: Path):
    file = tmp_path / "scenarios.yaml"
    file.write_text(yaml.safe_dump({"a": {"about": "x", "parts": [{**PART, "x": 1}]}, "b": {"parts": []}}))
    with pytest.raises(LoadTestError) as caught:
        load_scenarios(file)
    assert all(path in str(caught.value) for path in ("a.parts.0.x", "b.about", "b.parts"))


@pytest.mark.parametrize(("text", "named"), [("[1", "is not YAML"), ("- a", "mapping of scenarios")])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str, named: str):
    file = tmp_path / "scenarios.yaml"
    file.write_text(text)
    with pytest.raises(LoadTestError, match=named):
        load_scenarios(file)


SHIPPED = [(name, part) for name, scenario in load_scenarios().items() for part in scenario.parts]


def test_the_scenarios_that_are_promised_are_there():
    scenarios = load_scenarios()
    assert set(scenarios) == {"line", "latency", "saturate", "hot-key", "replicas", "recovery", "smoke"}
    assert [name for name, scenario in scenarios.items() if not scenario.by_default] == ["smoke"]


@pytest.mark.parametrize(("name", "part"), SHIPPED, ids=lambda value: value if isinstance(value, str) else value.name)
def test_every_part_has_verdicts_and_a_configuration_that_the_bridge_takes(name: str, part: Part, tmp_path: Path):
    assert part.verdicts
    assert set(part.verdicts) <= set(FIGURES)
    settings = bridge_settings(part, KafkaAddress("127.0.0.1:1", {}), KINESIS, "load-1", ("topic", "stream"))
    file = tmp_path / "bridge.yaml"
    file.write_text(yaml.safe_dump(settings))
    assert load_settings(file, {}).name == "load-1"


def test_a_login_becomes_what_the_bridge_takes_and_its_secrets_variables(tmp_path: Path):
    (tmp_path / "ca.pem").touch()
    properties = {
        "security.protocol": "SASL_SSL",
        "sasl.mechanisms": "SCRAM-SHA-512",
        "sasl.username": "someone",
        "sasl.password": "hunter2",
        "ssl.ca.location": str(tmp_path / "ca.pem"),
        "client.rack": "a",
    }
    part = Part.model_validate({**PART, "window": WINDOW})
    settings = bridge_settings(part, KafkaAddress("b:1", properties), KINESIS, "load-1", ("topic", "stream"))
    file = tmp_path / "bridge.yaml"
    file.write_text(yaml.safe_dump(settings))
    assert "hunter2" not in file.read_text()
    loaded = load_settings(file, for_the_bridge(properties).environment)
    assert properties.items() - loaded.kafka.librdkafka_properties().items() <= {
        ("sasl.password", "hunter2"),
        ("sasl.mechanisms", "SCRAM-SHA-512"),
    }
    assert loaded.kafka.security.mechanism == "SCRAM-SHA-512"


def test_a_login_that_the_bridge_has_no_keys_for_stays_properties():
    properties = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "GSSAPI"}
    assert for_the_bridge(properties) == ({"protocol": "SASL_PLAINTEXT"}, {"sasl.mechanism": "GSSAPI"}, {})


def test_the_part_above_wins_in_what_the_bridge_gets():
    below = {"kafka": {"a": 1, "properties": {"x": 1}}, "name": "n"}
    assert merged(below, {"kafka": {"a": 2, "properties": {"y": 2}}}) == {
        "kafka": {"a": 2, "properties": {"x": 1, "y": 2}},
        "name": "n",
    }


def test_the_mean_of_a_distribution_of_sizes():
    part = Part.model_validate({**PART, "value_bytes": {100: 3, 500: 1}, "window": WINDOW})
    assert part.value_bytes_mean == 200
