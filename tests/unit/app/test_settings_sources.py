"""Where settings come from: the YAML file, read strictly, and environment variables over it."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from bridge.app.settings import Problem, Settings, SettingsError, load_settings

MINIMAL = """
name: orders-move
kafka: {bootstrap_servers: b1:9092}
kinesis: {region: eu-central-1}
routes: [{topic: orders, stream: orders}]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "bridge.yaml"


def load(file: Path, text: str = MINIMAL, **env: str) -> Settings:
    file.write_text(text)
    return load_settings(file, env)


def problems(file: Path, text: str = MINIMAL, **env: str) -> list[Problem]:
    with pytest.raises(SettingsError) as raised:
        load(file, text, **env)
    return raised.value.problems


# -- YAML


def test_a_key_that_stands_twice_is_named_with_both_lines_and_with_the_other_problems(file: Path) -> None:
    text = MINIMAL + "log:\n  level: info\n  level: loud\nname: other\n"
    found = problems(file, text)
    assert [problem.path for problem in found] == ["log.level", "name", "log.level"]
    assert found[0].remedy == "keep one: the key stands on line 7 and again on line 8"
    assert "debug, info" in found[2].remedy


def test_a_key_that_stands_twice_in_a_list(file: Path) -> None:
    (found,) = problems(file, MINIMAL.replace("topic: orders,", "topic: orders, topic: orders,"))
    assert found.path == "routes[0].topic"


@pytest.mark.parametrize(
    ("text", "place", "remedy"),
    [
        ("name: a: b", "line 1, column 8", "correct the YAML"),
        ("name: a\nkafka: {", "line 2, column 9", "correct the YAML"),
        ("\tname: a", "line 1, column 1", "indent with blanks"),
        ("name: a\n---\nname: b", "line 2, column 1", "another document"),
        ("a: &x [*x]", "line 1, column 4", "contains itself"),
        ("[" * 5000, "(file)", "less deeply"),
        ("just text", "(file)", "write a mapping with the keys name, kafka"),
        ("- name", "(file)", "write a mapping with the keys name, kafka"),
    ],
)
def test_what_is_no_configuration_says_where(file: Path, text: str, place: str, remedy: str) -> None:
    (found,) = problems(file, text)
    assert found.path == place
    assert remedy in found.remedy


def test_a_file_that_cannot_be_read(file: Path) -> None:
    with pytest.raises(SettingsError, match="name a file that can be read"):
        load_settings(file, {})
    file.write_bytes(b"name: \xff")
    with pytest.raises(SettingsError, match="save it as UTF-8"):
        load_settings(file, {})


def test_an_empty_file_lacks_what_is_required(file: Path) -> None:
    assert [problem.path for problem in problems(file, "")] == ["name", "kafka.bootstrap_servers", "kinesis.region", "routes"]


def test_yaml_does_not_guess(file: Path) -> None:
    assert load(file, MINIMAL.replace("name: orders-move", "name: no")).name == "no"
    text = MINIMAL + "defaults: {start: {timestamp: 2026-01-31 00:00:00}}\n"
    (found,) = problems(file, text)
    assert found.value == {"timestamp": "2026-01-31 00:00:00"}


def test_anchors_and_merges_share_keys_between_routes(file: Path) -> None:
    text = MINIMAL.replace(
        "[{topic: orders, stream: orders}]",
        "\n- &first {topic: a, stream: a, linger: 1ms}\n- {<<: *first, topic: b}",
    )
    assert [(route.topic, route.stream, route.linger) for route in load(file, text).routes] == [
        ("a", "a", 0.001),
        ("b", "a", 0.001),
    ]


# -- environment


def test_variables_override_the_file(file: Path) -> None:
    read = load(
        file,
        BRIDGE_KAFKA__BOOTSTRAP_SERVERS="[::1]:9092",
        BRIDGE_KINESIS__REQUEST_RECORDS_MAX="100",
        BRIDGE_KINESIS__ENDPOINT_URL="null",
        BRIDGE_DEFAULTS="{linger: 3ms}",
        BRIDGE_DEFAULTS__CARRY_ORIGIN="true",
        BRIDGE_DEFAULTS__PARTITION_KEY='{field: "{user_id}"}',
        BRIDGE_ROUTES__0__STREAM="{topic}",
        BRIDGE_ROUTES__1="{topic: second, stream: s}",
        BRIDGE_METRICS__PORT="0",
        OTHER_NAME="x",
    )
    assert read.kafka.bootstrap_servers == "[::1]:9092"
    assert read.kinesis.request_records_max == 100
    assert read.kinesis.endpoint_url is None
    assert [(route.topic, route.stream) for route in read.routes] == [("orders", "{topic}"), ("second", "s")]
    assert {(route.linger, route.carry_origin) for route in read.routes} == {(0.003, True)}
    assert read.metrics.port == 0


def test_a_whole_configuration_can_come_from_variables(file: Path) -> None:
    read = load(
        file,
        "",
        BRIDGE_NAME="orders-move",
        BRIDGE_KAFKA__BOOTSTRAP_SERVERS="b1:9092",
        BRIDGE_KINESIS="{region: eu-central-1}",
        BRIDGE_ROUTES__0__TOPIC="orders",
        BRIDGE_ROUTES__0__STREAM="orders",
    )
    assert read == load(file)


def test_a_secret_property_from_a_variable_stays_the_text_that_it_is(file: Path) -> None:
    read = load(file, BRIDGE_KAFKA__PROPERTIES__SSL_KEYSTORE_PASSWORD="{hunter2: [", BRIDGE_KAFKA__PROPERTIES__CLIENT_RACK="null")
    assert read.kafka.properties == {"ssl.keystore.password": SecretStr("{hunter2: ["), "client.rack": "null"}
    assert read.kafka.librdkafka_properties()["ssl.keystore.password"] == "{hunter2: ["


def test_a_bad_value_names_its_variable(file: Path) -> None:
    (found,) = problems(file, BRIDGE_DEFAULTS__LINGER="20")
    assert (found.path, found.value) == ("defaults.linger", "20")
    assert found.remedy.endswith("(the value comes from the variable BRIDGE_DEFAULTS__LINGER)")


def test_a_problem_inside_an_overridden_mapping_names_the_variable(file: Path) -> None:
    (found,) = problems(file, BRIDGE_METRICS="{port: 70000}")
    assert found.path == "metrics.port"
    assert found.remedy.endswith("(the value comes from the variable BRIDGE_METRICS)")


@pytest.mark.parametrize(
    ("name", "value", "path", "remedy"),
    [
        ("BRIDGE_KAFKA__GROP", "x", "kafka.grop", "did you mean group?"),
        ("BRIDGE_KAFKA__SASL_PASSWORD", "hunter2", "kafka.sasl_password", "unknown key"),
        ("BRIDGE_BUFER_BYTES_MAX", "1MiB", "BRIDGE_BUFER_BYTES_MAX", "did you mean BRIDGE_BUFFER_BYTES_MAX?"),
        ("BRIDGE_KAFKKA__PASSWORD", "hunter2", "BRIDGE_KAFKKA__PASSWORD", "did you mean BRIDGE_KAFKA?"),
        ("BRIDGE_PARITY__WINDOW", "1s", "BRIDGE_PARITY__WINDOW", "unknown key"),
        ("BRIDGE_ROUTES__2__LINGER", "1s", "BRIDGE_ROUTES__2__LINGER", "0 to 0), or 1 to add one"),
        ("BRIDGE_ROUTES__FIRST", "1s", "BRIDGE_ROUTES__FIRST", "number of an existing entry"),
        ("BRIDGE_KAFKA", "{hunter2", "BRIDGE_KAFKA", "correct the YAML"),
        ("BRIDGE_KAFKA__PROPERTIES", "{sasl.password: 1, sasl.password: 2}", "BRIDGE_KAFKA__PROPERTIES", "keep one"),
    ],
)
def test_a_variable_that_cannot_be_applied(file: Path, name: str, value: str, path: str, remedy: str) -> None:
    (found,) = problems(file, **{name: value})
    assert found.path == path
    assert remedy in found.remedy
    assert "hunter2" not in str(found)


def test_variables_of_others_are_left_alone(file: Path) -> None:
    others = {
        "BRIDGE_CONFIG": "bridge.yaml",
        "BRIDGE_REQUIRE_REAL": "1",
        "BRIDGE_PORT": "tcp://10.0.0.1:9464",
        "BRIDGE_PORT_9464_TCP_ADDR": "10.0.0.1",
        "BRIDGE_SERVICE_HOST": "10.0.0.1",
        "BRIDGE_METRICS_SERVICE_PORT_HTTP": "9464",
        "BRIDGE_": "x",
    }
    assert load(file, **others) == load(file)


def test_a_variable_below_a_value_of_the_wrong_shape_leaves_that_problem_to_be_reported(file: Path) -> None:
    (found,) = problems(file, MINIMAL + "log: loud\n", BRIDGE_LOG__LEVEL="info")
    assert (found.path, found.value) == ("log", "(a text)")


def test_without_an_environment_the_process_has_its_say(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(MINIMAL)
    monkeypatch.setenv("BRIDGE_LOG__LEVEL", "debug")
    assert load_settings(file).log.level == "debug"
