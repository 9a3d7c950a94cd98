"""Loading of the configuration: defaults, inheritance, units, and every problem at once with its remedy."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from bridge.app.routing import route_of, routed_topic
from bridge.app.settings import (
    FieldTemplate,
    Problem,
    Settings,
    SettingsError,
    StartTimestamp,
    effective,
    load_settings,
    parse_settings,
    summary_lines,
    warnings,
)
from bridge.app.settings.examination import known_keys
from bridge.core.delivery.policies import Policies

MINIMAL: dict[str, Any] = {
    "name": "orders-move",
    "kafka": {"bootstrap_servers": "b1:9092"},
    "kinesis": {"region": "eu-central-1"},
    "routes": [{"topic": "orders", "stream": "orders"}],
}


def settings(env: dict[str, str] | None = None, **changes: Any) -> Settings:
    return parse_settings({**MINIMAL, **changes}, env)


def problems(env: dict[str, str] | None = None, **changes: Any) -> list[Problem]:
    with pytest.raises(SettingsError) as raised:
        settings(env, **changes)
    return raised.value.problems


def route_problem(**keys: Any) -> Problem:
    """The one problem of a configuration whose only route has these keys."""
    found = problems(routes=[{"topic": "orders", "stream": "orders", **keys}])
    assert len(found) == 1, found
    return found[0]


def kafka(**keys: Any) -> dict[str, Any]:
    return {"kafka": {"bootstrap_servers": "b1:9092", **keys}}


def kinesis(**keys: Any) -> dict[str, Any]:
    return {"kinesis": {"region": "eu-central-1", **keys}}


# -- values


def test_the_required_keys_are_enough_and_the_rest_has_the_documented_defaults() -> None:
    read = settings()
    assert (read.kafka.group, read.kafka.group_protocol, read.kafka.session_timeout) == ("orders-move", "classic", 30.0)
    assert (read.kinesis.request_records_max, read.kinesis.request_bytes_max) == (500, 5 * 1024**2)
    assert (read.kinesis.request_timeout, read.kinesis.requests_in_flight_max) == (6.0, 64)
    route = read.routes[0]
    assert (route.partition_key, route.null_key, route.carry_origin, route.ordering) == ("key", "spread", False, "key")
    assert (route.linger, route.start, route.shard_share) == (0.02, "earliest", 1.0)
    assert (read.buffer_bytes_max, read.commit_interval) == (96 * 1024**2, 1.0)
    assert (read.metrics.host, read.metrics.port, read.log.level, read.log.format) == ("0.0.0.0", 9464, "info", "json")


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        settings().kafka.group = "other"


@pytest.mark.parametrize(
    ("text", "seconds"), [("0ms", 0.0), ("20ms", 0.02), ("3s", 3.0), ("0s", 0.0), ("1m", None), ("11s", None), (" 5ms ", 0.005)]
)
def test_durations_have_units_and_bounds(text: str, seconds: float | None) -> None:
    if seconds is None:
        assert route_problem(linger=text).remedy == "write a value from 0ms to 10s"
    else:
        assert settings(routes=[{"topic": "a", "stream": "b", "linger": text}]).routes[0].linger == seconds


@pytest.mark.parametrize(("text", "seconds"), [("5m", 300.0), ("1h", 3600.0), ("45000ms", 45.0)])
def test_long_durations(text: str, seconds: float) -> None:
    assert settings(**kafka(session_timeout=text)).kafka.session_timeout == seconds


@pytest.mark.parametrize("value", [20, "20"])
def test_a_bare_number_is_refused_with_the_units_to_choose_from(value: object) -> None:
    assert route_problem(linger=value).remedy == "write the unit: 20ms, 20s, 20m, 20h or 20d"
    (size,) = problems(buffer_bytes_max=value)
    assert size == Problem("buffer_bytes_max", value, "write the unit: 20B, 20KiB, 20MiB or 20GiB")


@pytest.mark.parametrize("value", ["20 ms", "1.5s", "-1s", "20sec", "", None, True, 0.5, [], "5MiB"])
def test_what_is_no_duration_is_refused(value: object) -> None:
    found = route_problem(linger=value)
    assert (found.path, found.value) == ("routes[0].linger", value)
    assert "20ms, 30s, 5m, 24h or 7d" in found.remedy


@pytest.mark.parametrize(("text", "size"), [("2097152B", 2**21), ("2048KiB", 2**21), ("2MiB", 2**21), ("1GiB", 2**30)])
def test_sizes(text: str, size: int) -> None:
    assert settings(buffer_bytes_max=text).buffer_bytes_max == size


@pytest.mark.parametrize("value", ["5MB", "5mib", "1.5MiB", "30s"])
def test_what_is_no_size_is_refused(value: str) -> None:
    (found,) = problems(buffer_bytes_max=value)
    assert "512B, 64KiB or 5MiB" in found.remedy


def test_a_field_template_reads_nested_names() -> None:
    template = "user_{user_id}-{customer.id}"
    read = settings(routes=[{"topic": "a", "stream": "b", "partition_key": {"field": template}}])
    assert read.routes[0].partition_key == FieldTemplate(field=template)


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        ({"field": "fixed"}, "name at least one JSON field"),
        ({"field": "a{b"}, "close every brace"),
        ({"field": "a}{b}"}, "close every brace"),
        ({"field": "{}"}, "close every brace"),
        ({"field": "{a..b}"}, "close every brace"),
        ({"field": "{{a}}"}, "close every brace"),
        ({"field": 5}, "write key, partition, or"),
        ({"field": "{a}", "other": 1}, "write key, partition, or"),
        ("hash", "write key, partition, or"),
        (None, "write key, partition, or"),
    ],
)
def test_a_bad_partition_key_is_one_problem(value: object, remedy: str) -> None:
    found = route_problem(partition_key=value)
    assert found.path == "routes[0].partition_key"
    assert remedy in found.remedy
    assert "; " not in found.remedy


def test_start_at_a_moment() -> None:
    read = settings(routes=[{"topic": "a", "stream": "b", "start": {"timestamp": "2026-01-31T01:00:00+01:00"}}])
    start = read.routes[0].start
    assert isinstance(start, StartTimestamp)
    assert start.timestamp == datetime(2026, 1, 31, tzinfo=UTC)
    assert start.milliseconds == 1769817600000


@pytest.mark.parametrize(
    "value",
    [
        "now",
        {"timestamp": "2026-01-31T00:00:00"},
        {"timestamp": "2026-01-31"},
        {"timestamp": "soon"},
        {"timestamp": 1769817600},
        {"timestamp": "1960-01-01T00:00:00Z"},
        {"at": "2026-01-31T00:00:00Z"},
    ],
)
def test_a_start_without_zone_or_sense_is_refused(value: object) -> None:
    assert route_problem(start=value).path == "routes[0].start"


@pytest.mark.parametrize("topic", ["a", "A.b_c-9", "x" * 249, r"^orders\..*", "^(eu|us)-[a-z]+$", "^a{2,3}$", "^.*"])
def test_topics_that_are_accepted(topic: str) -> None:
    assert settings(routes=[{"topic": topic, "stream": "s"}]).routes[0].topic == topic


@pytest.mark.parametrize(
    ("topic", "remedy"),
    [
        ("", "write a topic name"),
        ("a b", "write a topic name"),
        ("..", "write a topic name"),
        ("x" * 250, "write a topic name"),
        ("orders.*", "write a topic name"),
        (7, "write a text"),
        ("^a[$", "valid regular expression"),
        ("^(a$", "valid regular expression"),
        ("^orders", "end it with $ or .*"),
        (r"^orders\.*", "end it with $ or .*"),
        (r"^orders\$", "end it with $ or .*"),
        ("^(?!a).*", "without (?,"),
        (r"^a\d$", r"without \d,"),
        ("^a+?$", "without +?,"),
        ("^[[:alpha:]]$", "without [:,"),
        ("^a|b$", "put the alternatives in parentheses"),
        ("^((a|b)c)|d$", "put the alternatives in parentheses"),
    ],
)
def test_topics_that_are_refused(topic: object, remedy: str) -> None:
    found = route_problem(topic=topic)
    assert found.path == "routes[0].topic"
    assert remedy in found.remedy


def test_a_pattern_means_whole_names() -> None:
    route = settings(routes=[{"topic": "^orders-(eu|us)$", "stream": "copy.{topic}"}]).routes[0]
    assert route.is_pattern
    assert [name for name in ("orders-eu", "orders-eu2", "my-orders-eu") if route.matches(name)] == ["orders-eu"]
    assert route.stream_for("orders-eu") == "copy.orders-eu"


def test_a_name_matches_itself_only() -> None:
    route = settings(routes=[{"topic": "a.b", "stream": "s"}]).routes[0]
    assert route.matches("a.b")
    assert not route.matches("axb")


@pytest.mark.parametrize(
    "stream", ["s", "S_.-9", "x" * 128, "{topic}", "a-{topic}", "arn:aws:kinesis:eu-central-1:123456789012:stream/a"]
)
def test_streams_that_are_accepted(stream: str) -> None:
    assert settings(routes=[{"topic": "t", "stream": stream}]).routes[0].stream == stream


@pytest.mark.parametrize(
    "stream", ["", "a b", "x" * 129, "{name}", "{topic", "arn:aws:s3:::bucket", "arn:aws:kinesis:eu-central-1:1:stream/a"]
)
def test_streams_that_are_refused(stream: str) -> None:
    assert route_problem(stream=stream).remedy.startswith("write a stream name")


@pytest.mark.parametrize("servers", ["b", "b:9092", "b1:1,b2:2", "b1:1, b2:2", "[::1]:9092", "SASL_SSL://b:9093"])
def test_brokers_that_are_accepted(servers: str) -> None:
    assert settings(**kafka(bootstrap_servers=servers)).kafka.bootstrap_servers == servers


@pytest.mark.parametrize("servers", ["", "b1:9092 b2:9092", "b1:9092,", ":9092", "b:port", ["b:9092"]])
def test_brokers_that_are_refused(servers: object) -> None:
    (found,) = problems(**kafka(bootstrap_servers=servers))
    assert found.path == "kafka.bootstrap_servers"


@pytest.mark.parametrize(
    ("changes", "path", "remedy"),
    [
        ({"name": "Orders"}, "name", "a-z, 0-9 and -"),
        ({"name": "x" * 201}, "name", "1 to 200"),
        (kinesis(request_records_max=501), "kinesis.request_records_max", "at most 500"),
        (kinesis(request_records_max=0), "kinesis.request_records_max", "at least 1"),
        (kinesis(request_records_max=True), "kinesis.request_records_max", "write a number"),
        (kinesis(request_records_max=1.5), "kinesis.request_records_max", "whole number"),
        (kinesis(request_records_max="many"), "kinesis.request_records_max", "whole number"),
        (kinesis(request_bytes_max="1MiB"), "kinesis.request_bytes_max", "1025KiB to 10MiB"),
        (kinesis(request_bytes_max="11MiB"), "kinesis.request_bytes_max", "1025KiB to 10MiB"),
        (kinesis(request_timeout="0s"), "kinesis.request_timeout", "100ms to 1m"),
        (kinesis(requests_in_flight_max=0), "kinesis.requests_in_flight_max", "at least 1"),
        (kinesis(region="Frankfurt"), "kinesis.region", "eu-central-1"),
        (kinesis(endpoint_url="localhost:4567"), "kinesis.endpoint_url", "http://"),
        (kafka(group=""), "kafka.group", "not empty"),
        (kafka(group_protocol="eager"), "kafka.group_protocol", "write one of: classic or consumer"),
        ({"metrics": {"port": 65536}}, "metrics.port", "at most 65535"),
        ({"metrics": {"port": -1}}, "metrics.port", "at least 0"),
        ({"log": {"level": "loud"}}, "log.level", "debug, info, warning or error"),
        ({"defaults": {"shard_share": 0}}, "defaults.shard_share", "greater than 0"),
        ({"defaults": {"shard_share": 1.01}}, "defaults.shard_share", "at most 1"),
        ({"defaults": {"shard_share": float("nan")}}, "defaults.shard_share", "number"),
        ({"defaults": {"carry_origin": "perhaps"}}, "defaults.carry_origin", "true or false"),
        ({"defaults": {"topic": "orders"}}, "defaults.topic", "belongs to each route"),
        ({"commit_interval": "11s"}, "commit_interval", "50ms to 10s"),
        ({"kafka": "b1:9092"}, "kafka", "write a mapping with the keys bootstrap_servers, group,"),
        ({"routes": []}, "routes", "at least one route"),
        ({"routes": "orders"}, "routes", "at least one route"),
        ({"routes": ["orders"]}, "routes[0]", "write a mapping with the keys"),
    ],
)
def test_a_bad_value_is_one_problem_at_its_path(changes: dict[str, Any], path: str, remedy: str) -> None:
    (found,) = problems(**changes)
    assert found.path == path
    assert remedy in found.remedy


def test_group_and_session_timeout_may_be_left_to_the_broker() -> None:
    assert settings(**kafka(group_protocol="consumer")).kafka.group_protocol == "consumer"


# -- structure


def test_what_is_missing_is_named_with_its_meaning() -> None:
    with pytest.raises(SettingsError) as raised:
        parse_settings({})
    found = {problem.path: problem for problem in raised.value.problems}
    assert set(found) == {"name", "kafka.bootstrap_servers", "kinesis.region", "routes"}
    assert {problem.value for problem in found.values()} == {"(missing)"}
    assert "AWS region" in found["kinesis.region"].remedy


@pytest.mark.parametrize(
    ("changes", "path", "meant"),
    [
        ({"buffer_byte_max": "1MiB"}, "buffer_byte_max", "did you mean buffer_bytes_max?"),
        (kafka(Group="x"), "kafka.Group", "did you mean group?"),
        ({"routes": [{"topic": "a", "stream": "b", "lingr": "1s"}]}, "routes[0].lingr", "did you mean linger?"),
        ({"defaults": {"shardshare": 1}}, "defaults.shardshare", "did you mean shard_share?"),
        ({"admin": {}}, "admin", "Known here: name, kafka, kinesis, defaults, routes"),
        (kafka(sekurity={"protocol": "SSL"}), "kafka.sekurity", "did you mean security?"),
    ],
)
def test_an_unknown_key_names_the_nearest_and_all_known_ones(changes: dict[str, Any], path: str, meant: str) -> None:
    (found,) = problems(**changes)
    assert found.path == path
    assert found.remedy.startswith("unknown key; ")
    assert meant in found.remedy


@pytest.mark.parametrize(
    "key",
    [
        "settle",
        "reverse_topic",
        "parity",
        "direction",
        "admin",
    ],
)
def test_keys_of_features_that_do_not_exist_yet_are_unknown(key: str) -> None:
    assert route_problem(**{key: "x"}).remedy.startswith("unknown key")
    assert problems(None, **{key: "x"})[0].remedy.startswith("unknown key")


def test_a_route_inherits_from_defaults_and_overrides_them() -> None:
    routes = [{"topic": "a", "stream": "a"}, {"topic": "b", "stream": "b", "linger": "1ms"}]
    read = settings(defaults={"linger": "7ms", "ordering": "none"}, routes=routes)
    assert [(route.linger, route.ordering) for route in read.routes] == [(0.007, "none"), (0.001, "none")]
    assert read.defaults.linger == 0.007


def test_a_mistake_in_defaults_is_reported_once_and_there() -> None:
    routes = [{"topic": name, "stream": name} for name in "abc"]
    (found,) = problems(defaults={"linger": 20}, routes=routes)
    assert found.path == "defaults.linger"


def test_a_mistake_in_defaults_is_reported_even_where_every_route_overrides_it() -> None:
    (found,) = problems(defaults={"linger": 20}, routes=[{"topic": "a", "stream": "a", "linger": "1ms"}])
    assert found.path == "defaults.linger"


def test_an_empty_group_is_as_good_as_none() -> None:
    assert settings(defaults=None, log=None, metrics=None, **kafka(properties=None, security=None)) == settings()


KEYS = [*sorted(known_keys()), "client.rack", "sasl.password", "group.id", "nonsense", ""]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text("ab9:{}^/.$@ ", max_size=6)
    | st.sampled_from(["20ms", "5MiB", "^a.*", "partition"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)
ANY_ROUTE = st.fixed_dictionaries(
    {"topic": st.just("a") | VALUES, "stream": st.just("b") | VALUES}, optional={"linger": VALUES, "start": VALUES}
)


@given(st.dictionaries(st.sampled_from(KEYS), VALUES), st.lists(ANY_ROUTE, max_size=3))
def test_whatever_the_file_holds_is_settings_or_problems(changes: dict[str, Any], routes: list[Any]) -> None:
    found: list[Problem] = []
    try:
        shown = list(summary_lines(parse_settings({**MINIMAL, "routes": routes, **changes})))
    except SettingsError as error:
        shown, found = [], error.problems
    assert bool(shown) != bool(found)
    assert all(problem.remedy and str(problem) for problem in found)


# -- contradictions


def test_order_of_a_partition_needs_the_partition_as_key() -> None:
    found = route_problem(ordering="partition")
    assert (found.path, found.value) == ("routes[0].ordering", "partition")
    assert "partition_key: partition" in found.remedy
    assert settings(routes=[{"topic": "a", "stream": "b", "ordering": "partition", "partition_key": "partition"}])


def test_a_contradiction_out_of_defaults_is_reported_once_and_there() -> None:
    routes = [{"topic": name, "stream": name} for name in "abc"]
    (found,) = problems(defaults={"ordering": "partition"}, routes=routes)
    assert (found.path, found.value) == ("defaults.ordering", "partition")


def test_a_topic_has_one_route() -> None:
    found = problems(routes=[{"topic": "a", "stream": stream} for stream in "xyz"])
    assert [problem.path for problem in found] == ["routes[1].topic", "routes[2].topic"]
    assert "routes[0] has it" in found[0].remedy


def test_many_topics_may_feed_one_stream() -> None:
    assert len(settings(routes=[{"topic": topic, "stream": "all"} for topic in "abc"]).routes) == 3


def test_the_origin_must_fit_in_a_partition_key() -> None:
    fits = 256 - len(":") - len("/") * 2 - 10 - 19
    topic = "t" * (fits - len("orders-move"))
    assert settings(routes=[{"topic": topic, "stream": "s", "carry_origin": True}])
    (found,) = problems(routes=[{"topic": topic + "t", "stream": "s", "carry_origin": True}])
    assert (found.path, found.value) == ("routes[0].carry_origin", True)
    assert "1 shorter" in found.remedy
    assert settings(routes=[{"topic": topic + "t", "stream": "s"}])


def test_the_session_must_outlast_the_drain() -> None:
    assert settings(**kafka(session_timeout="9s"))
    (found,) = problems(**kafka(session_timeout="8999ms"))
    assert (found.path, found.value) == ("kafka.session_timeout", "8999ms")
    assert "at least 9s" in found.remedy


def test_a_default_in_a_contradiction_is_shown_as_it_would_be_written() -> None:
    (found,) = problems(commit_interval="10s", lease="2m", **kinesis(request_timeout="20s"))
    assert (found.path, found.value) == ("kafka.session_timeout", "30s")
    assert "at least 50s" in found.remedy


def test_a_lease_outlasts_a_request_and_three_commits() -> None:
    (found,) = problems(lease="9s")
    assert (found.path, found.value) == ("lease", "9s")
    assert "more than 9s" in found.remedy
    assert settings(lease="10s").lease == 10.0


def test_with_the_consumer_protocol_the_brokers_session_timeout_counts() -> None:
    (found,) = problems(**kafka(group_protocol="consumer", session_timeout="1s"))
    assert found.path == "kafka.session_timeout"
    assert "remove it" in found.remedy


def test_a_stream_name_must_fit_with_the_topic_in_it() -> None:
    found = problems(routes=[{"topic": "t" * 125, "stream": "copy{topic}"}])
    assert [problem.path for problem in found] == ["routes[0].stream"]
    assert settings(routes=[{"topic": "t" * 124, "stream": "copy{topic}"}])


def test_an_arn_must_be_of_the_region_unless_an_emulator_names_it() -> None:
    arn = "arn:aws:kinesis:us-east-1:123456789012:stream/a"
    found = route_problem(stream=arn)
    assert (found.path, found.value) == ("routes[0].stream", arn)
    assert settings(routes=[{"topic": "a", "stream": arn}], **kinesis(endpoint_url="http://localhost:4567"))


def test_one_mistake_hides_no_other_and_makes_no_false_ones() -> None:
    found = problems(
        name="Orders",
        commit_interval=1,
        routes=[
            {"topic": "a", "stream": "b", "ordering": "partition", "linger": 3},
            {"topic": "a", "stream": "c", "partition_key": "hash", "ordering": "partition"},
        ],
        **kafka(session_timeout="1s"),
    )
    assert [problem.path for problem in found] == [
        "name",
        "routes[0].linger",
        "routes[1].partition_key",
        "commit_interval",
        "routes[0].ordering",
        "routes[1].topic",
    ]


# -- librdkafka properties and secrets

OWNED = [
    "bootstrap.servers",
    "group.id",
    "group.protocol",
    "group.instance.id",
    "session.timeout.ms",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.offset.reset",
    "isolation.level",
    "partition.assignment.strategy",
    "enable.partition.eof",
    "rebalance_cb",
    "on_commit",
]


@pytest.mark.parametrize("name", OWNED)
def test_properties_that_the_bridge_owns_are_refused_with_the_reason(name: str) -> None:
    (found,) = problems(**kafka(properties={name: "x"}))
    assert found.path == f"kafka.properties.{name}"
    assert found.remedy.startswith(f"the bridge must own {name}; remove it: ")


@pytest.mark.parametrize("value", [None, 1.5, ["x"], {"y": 1}])
def test_properties_are_texts_whole_numbers_or_booleans(value: object) -> None:
    (found,) = problems(**kafka(properties={"client.rack": value}))
    assert found.path == "kafka.properties.client.rack"


def test_a_property_is_written_as_librdkafka_does() -> None:
    assert "lower case" in problems(**kafka(properties={"Client Rack": "x"}))[0].remedy
    assert problems(**kafka(properties="client.rack=x"))[0].value == "(a text)"


def test_the_client_gets_plain_values() -> None:
    properties = {"fetch.min.bytes": 1, "socket.keepalive.enable": True, "client.rack": "a", "ssl.keystore.password": 12345}
    read = settings(**kafka(properties=properties))
    assert read.kafka.librdkafka_properties() == {
        "fetch.min.bytes": 1,
        "socket.keepalive.enable": "true",
        "client.rack": "a",
        "ssl.keystore.password": "12345",
        "security.protocol": "PLAINTEXT",
    }
    assert read.kafka.properties["ssl.keystore.password"] == SecretStr("12345")
    assert read.kafka.properties["client.rack"] == "a"


SECRETS = ["ssl.keystore.password", "ssl.key.pem", "sasl.oauthbearer.client.secret", "sasl.oauthbearer.config"]


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_in_nothing_that_is_shown(name: str) -> None:
    read = settings(**kafka(properties={name: "hunter2"}))
    shown = [repr(read), str(read), repr(read.kafka), read.model_dump_json(), str(read.model_dump()), str(effective(read))]
    assert not [text for text in (*shown, *summary_lines(read)) if "hunter2" in text]
    assert read.kafka.librdkafka_properties()[name] == "hunter2"
    assert effective(read)["kafka"]["properties"] == {name: "***"}


@pytest.mark.parametrize(
    "changes",
    [
        kafka(properties={"sasl.password": ["hunter2"]}),
        kafka(properties={"sasl": {"password": "hunter2"}}),
        kafka(properties="sasl.password=hunter2"),
        kafka(properties=["sasl.password=hunter2"]),
        kafka(security={"username": "u", "password": "hunter2"}),
        kafka(security={"key_password": ["hunter2"]}),
        kafka(security="hunter2"),
        kafka(properties={"sasl.password": "hunter2"}),
        kafka(properties={"ssl.key.password": "hunter2"}),
        kafka(sasl_password="hunter2"),
        kafka(bootstrap_servers="u:hunter2@b1:9092 "),
        kafka(bootstrap_servers="SASL_SSL://u:hun/ter2,hunter2@b1:9092"),
        kinesis(endpoint_url="https://u:hunter2@localhost"),
        kinesis(secret_access_key="hunter2"),
        {"kafka": "hunter2"},
        {"routes": "hunter2"},
        {"admin": {"tokens": [{"token": "hunter2"}]}},
    ],
)
def test_a_secret_in_a_wrong_place_is_in_no_error(changes: dict[str, Any]) -> None:
    found = problems(**changes)
    assert not [problem for problem in found if "hunter2" in str(problem) or "hunter2" in str(problem.value)]


def test_a_secret_in_a_broken_file_is_in_no_error(tmp_path: Path) -> None:
    for text in ("*hunter2", "!hunter2 x", "&hunter2 &hunter2 x", "%hunter2", "@hunter2", "a: b: hunter2", '"hunter2'):
        file = tmp_path / "bridge.yaml"
        file.write_text(f"kafka:\n  properties:\n    sasl.password: {text}\n")
        with pytest.raises(SettingsError) as raised:
            load_settings(file, {})
        assert "hunter2" not in str(raised.value)
        assert raised.value.problems[0].path.startswith("line ")


# -- warnings


def test_order_of_a_partition_in_raw_records_is_slow_and_says_so() -> None:
    (found,) = warnings(settings(routes=[{"topic": "a", "stream": "b", "ordering": "partition", "partition_key": "partition"}]))
    assert found.path == "routes[0].ordering"
    assert "1000 / round trip in ms" in found.remedy


def test_a_pattern_beside_an_exact_name_says_which_counts() -> None:
    (found,) = warnings(settings(routes=[{"topic": "^orders.*", "stream": "{topic}"}, {"topic": "orders-eu", "stream": "eu"}]))
    assert found.path == "routes[0].topic"
    assert "orders-eu to go by routes[1]" in found.remedy


def test_carried_origins_limit_the_topics_of_a_pattern() -> None:
    (found,) = warnings(settings(routes=[{"topic": "^a.*", "stream": "{topic}", "carry_origin": True}]))
    assert "within 213 characters" in found.remedy


def test_a_buffer_below_one_request_is_pointed_out() -> None:
    (found,) = warnings(settings(buffer_bytes_max="2MiB"))
    assert (found.path, found.value) == ("buffer_bytes_max", "2MiB")


def test_an_ordinary_configuration_has_no_warnings() -> None:
    assert warnings(settings()) == []


def test_routes_into_one_stream_share_its_shards():
    routes: list[dict[str, Any]] = [{"topic": "a", "stream": "one"}, {"topic": "b", "stream": "one", "shard_share": 0.5}]
    (problem,) = problems(routes=routes)
    assert problem.path == "routes[1].shard_share"
    assert "routes[0]" in problem.remedy
    assert settings(routes=[{**route, "shard_share": 0.5} for route in routes]).routes[0].shard_share == 0.5


def test_policies_lose_nothing_and_stop_nothing_by_default() -> None:
    read = settings()
    assert read.routes[0].policies == Policies("park", "hash", "park", "park")
    assert (read.may_park, read.dead_letter_topic) == (True, "orders-move.dlq")


@pytest.mark.parametrize("key", ["on_oversize", "on_long_key", "on_tombstone", "on_missing_field"])
def test_a_policy_that_does_not_exist_is_refused_with_those_that_do(key: str) -> None:
    found = route_problem(**{key: "drop"})
    assert found.path == f"routes[0].{key}"
    assert found.remedy.startswith("write one of: ")
    assert "park" in found.remedy


@pytest.mark.parametrize(
    ("changes", "may_park"),
    [
        ({"on_oversize": "stop", "on_tombstone": "skip"}, False),
        ({"on_oversize": "stop", "on_tombstone": "send_empty", "on_long_key": "park"}, True),
        ({"on_oversize": "stop", "on_tombstone": "skip", "partition_key": {"field": "{a}"}}, True),
        ({"on_oversize": "stop", "on_tombstone": "skip", "partition_key": {"field": "{a}"}, "on_missing_field": "skip"}, False),
        ({"on_oversize": "stop"}, True),
        ({"on_tombstone": "stop"}, True),
    ],
)
def test_the_dead_letter_topic_is_needed_where_a_route_may_park(changes: dict[str, Any], may_park: bool) -> None:
    never = {"topic": "b", "stream": "b", "on_oversize": "skip", "on_tombstone": "skip"}
    assert settings(routes=[never, {"topic": "a", "stream": "b", **changes}]).may_park is may_park


def test_a_route_of_the_bridges_own_ledger_is_refused() -> None:
    (found,) = problems(routes=[{"topic": "orders-move.ledger", "stream": "s"}])
    assert (found.path, found.value) == ("routes[0].topic", "orders-move.ledger")
    assert found.remedy.startswith("remove this route")
    assert settings(routes=[{"topic": "other.ledger", "stream": "s"}]).routes


@pytest.mark.parametrize("topic", ["orders-move.ledger", "orders-move.dlq"])
def test_a_pattern_does_not_carry_the_bridges_own_topics(topic: str) -> None:
    read = settings(routes=[{"topic": "^.*", "stream": "s"}])
    assert route_of(read, topic) is None
    assert routed_topic(read, topic, 1) is None
    assert route_of(read, "other.ledger") is read.routes[0]


def test_the_ledger_has_defaults_that_are_safe() -> None:
    read = settings()
    assert (read.ledger.slots, read.ledger.replication_factor, read.ledger.retention) == (16, -1, 8 * 86_400.0)
    assert read.ledger_definition.by_hand() == (
        "kafka-topics.sh --create --topic orders-move.ledger --partitions 16 --config cleanup.policy=delete "
        "--config retention.ms=691200000 --config retention.bytes=-1 --config message.timestamp.type=LogAppendTime "
        "--config max.message.bytes=4259840"
    )
    chosen = settings(ledger={"slots": 4, "replication_factor": 3, "retention": "30d"}).ledger_definition
    assert chosen.by_hand("b1:9092").startswith(
        "kafka-topics.sh --bootstrap-server b1:9092 --create --topic orders-move.ledger --partitions 4 --replication-factor 3 "
        "--config cleanup.policy=delete --config retention.ms=2592000000 "
    )


@pytest.mark.parametrize(
    ("ledger", "remedy"),
    [
        ({"slots": 0}, "1"),
        ({"slots": 257}, "256"),
        ({"slots": True}, "number"),
        ({"replication_factor": 0}, "write -1 for the cluster's default"),
        ({"replication_factor": -2}, "-1"),
        ({"retention": "24h"}, "write a value from 25h"),
        ({"retention": 8}, "write the unit"),
        ({"slot": 16}, "slots"),
    ],
)
def test_a_wrong_ledger_is_told(ledger: dict[str, Any], remedy: str) -> None:
    (found,) = problems(ledger=ledger)
    assert found.path == f"ledger.{next(iter(ledger))}"
    assert remedy in found.remedy


def test_a_route_of_the_bridges_own_dead_letters_is_refused() -> None:
    (found,) = problems(routes=[{"topic": "orders-move.dlq", "stream": "s"}])
    assert (found.path, found.value) == ("routes[0].topic", "orders-move.dlq")
    assert "bridge dlq replay" in found.remedy
    assert settings(routes=[{"topic": "other.dlq", "stream": "s"}, {"topic": "^orders.*", "stream": "s"}]).routes


def test_a_policy_for_fields_without_fields_is_worth_a_warning() -> None:
    changed = {"topic": "a", "stream": "b", "on_missing_field": "stop", "partition_key": "partition"}
    (found,) = warnings(settings(routes=[changed]))
    assert (found.path, found.value) == ("routes[0].on_missing_field", "stop")
    assert warnings(settings(routes=[{**changed, "partition_key": {"field": "{a}"}}])) == []
    assert warnings(settings(defaults={"on_missing_field": "stop"})) == []
