"""The published examples, the reference and the JSON Schema say what the models say."""

import copy
import functools
import operator
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.app.settings import Settings, SettingsError, json_schema, load_settings, parse_settings, warnings
from bridge.app.settings.reference import GroupReference, reference, reference_markdown

CONFIG = Path(__file__).parents[2] / "config"
MINIMAL = CONFIG / "minimal.yaml"
FULL = CONFIG / "full.yaml"

# For every key another value that can stand beside the rest of full.yaml.
OTHER_VALUES: dict[str, Any] = {
    "lease": "20s",
    "kinesis.settle": "4s",
    "kinesis.clock_margin": "1s",
    "name": "other",
    "kafka.bootstrap_servers": "other:9092",
    "kafka.group": "other",
    "kafka.group_instance_id": None,
    "kafka.session_timeout": "46s",
    "kafka.security.username": "other",
    "kafka.security.password_file": "other",
    "kafka.security.ca_file": "other",
    "kafka.security.certificate_file": "other",
    "kafka.security.key_file": "other",
    "kafka.security.key_password_file": "other",
    "kafka.security.mechanism": "plain",
    "kafka.properties": {"client.rack": "other"},
    "kinesis.region": "us-east-1",
    "kinesis.endpoint_url": "http://localhost:4567",
    "kinesis.role_arn": "arn:aws:iam::123456789012:role/other",
    "kinesis.external_id": "other",
    "kinesis.request_records_max": 1,
    "kinesis.request_bytes_max": "10MiB",
    "kinesis.request_timeout": "100ms",
    "kinesis.requests_in_flight_max": 1,
    "defaults.partition_key": "partition",
    "defaults.null_key": "spread",
    "defaults.carry_origin": False,
    "defaults.format": "raw",
    "defaults.aggregate_bytes_max": "1MiB",
    "defaults.aggregate_records_max": 1,
    "defaults.ordering": "none",
    "defaults.linger": "0ms",
    "defaults.start": "earliest",
    "defaults.shard_share": 1,
    "defaults.on_oversize": "park",
    "defaults.on_long_key": "hash",
    "defaults.on_tombstone": "stop",
    "defaults.on_missing_field": "skip",
    "routes.topic": "^other.*",
    "routes.stream": "other",
    "routes.partition_key": {"field": "{other}"},
    "routes.null_key": "partition",
    "routes.carry_origin": True,
    "routes.format": "raw",
    "routes.aggregate_bytes_max": "1MiB",
    "routes.aggregate_records_max": 1,
    "routes.ordering": "key",
    "routes.linger": "0ms",
    "routes.start": "latest",
    "routes.shard_share": 0.4,
    "routes.on_oversize": "park",
    "routes.on_long_key": "hash",
    "routes.on_tombstone": "park",
    "routes.on_missing_field": "park",
    "buffer_bytes_max": "1MiB",
    "commit_interval": "3s",
    "ledger.slots": 1,
    "ledger.replication_factor": -1,
    "ledger.retention": "25h",
    "switchover.lag_max": "10s",
    "metrics.host": "::1",
    "metrics.port": 0,
    "log.level": "error",
    "log.format": "json",
}
# These change together with another key.
WITH_COMPANIONS: dict[str, dict[str, Any]] = {
    "kafka.group_protocol": {"kafka.group_protocol": "consumer", "kafka.session_timeout": None},
    "kafka.security.protocol": {
        "kafka.security.protocol": "ssl",
        "kafka.security.mechanism": None,
        "kafka.security.username": None,
        "kafka.security.password_file": None,
    },
    "kafka.security.region": {
        "kafka.security.region": "us-east-1",
        "kafka.security.mechanism": "aws_msk_iam",
        "kafka.security.username": None,
        "kafka.security.password_file": None,
    },
}
GROUPS_WITH_COMMENTS = ("kafka", "kafka.security", "kinesis", "defaults")


def document(file: Path) -> dict[str, Any]:
    content = yaml.safe_load(file.read_text())
    assert isinstance(content, dict)
    return content


def model_keys() -> list[str]:
    """Every key by the models, `routes.linger` for any route; groups are not keys of their own."""
    route_keys = [f"routes.{key}" for key in Settings.model_fields["defaults"].annotation.model_fields]  # type: ignore[union-attr]
    return [*(key.path.replace("[]", "") for group in reference() for key in group.keys), *route_keys]


def at(content: dict[str, Any], group: str) -> Any:
    """What stands under `kafka.security`."""
    return functools.reduce(operator.getitem, group.split("."), content)


def changed(key: str, value: object) -> dict[str, Any]:
    """full.yaml with another value; None removes a key that has no other."""
    content = copy.deepcopy(document(FULL))
    *groups, last = key.split(".")
    inner: Any = content
    for group in groups:
        inner = inner[group][0] if group == "routes" else inner[group]
    assert last in inner
    if value is None and last == "session_timeout":
        del inner[last]
    else:
        inner[last] = value
    return content


@pytest.mark.parametrize("file", [MINIMAL, FULL], ids=lambda file: file.name)
def test_examples_load(file: Path) -> None:
    assert load_settings(file, {}).name == "orders-move"


def test_the_minimal_example_has_the_required_keys_and_no_others() -> None:
    required = {key.path for group in reference() for key in group.keys if key.default is None}
    content = document(MINIMAL)
    written = {f"{group}.{key}" for group in ("kafka", "kinesis") for key in content[group]}
    written |= {f"routes[].{key}" for key in content["routes"][0]} | (set(content) - {"kafka", "kinesis", "routes"})
    assert written == required
    assert warnings(load_settings(MINIMAL, {})) == []


def test_the_full_example_sets_every_key() -> None:
    content = document(FULL)
    groups = {group.title for group in reference()} & {"kafka.security", *content} - {"routes"}
    written = {f"{group}.{key}" for group in groups for key in at(content, group)} - groups
    written |= {f"routes.{key}" for key in content["routes"][0]} | (set(content) - groups - {"routes"})
    assert written == set(model_keys())


def test_every_key_has_another_value_to_be_tried() -> None:
    assert sorted([*OTHER_VALUES, *WITH_COMPANIONS]) == sorted(model_keys())


@pytest.mark.parametrize("key", sorted(OTHER_VALUES))
def test_every_key_of_the_full_example_has_an_effect(key: str) -> None:
    assert parse_settings(changed(key, OTHER_VALUES[key])) != load_settings(FULL, {})


@pytest.mark.parametrize("key", sorted(WITH_COMPANIONS))
def test_every_key_that_needs_a_companion_has_an_effect(key: str) -> None:
    content = document(FULL)
    for changed_key, value in WITH_COMPANIONS[key].items():
        group, _, last = changed_key.rpartition(".")
        if value is None:
            del at(content, group)[last]
        else:
            at(content, group)[last] = value
    value_of = operator.attrgetter(key)
    assert value_of(parse_settings(content)) != value_of(load_settings(FULL, {}))


@pytest.mark.parametrize("key", [key for key in OTHER_VALUES if key.startswith("defaults.")])
def test_every_default_of_routes_reaches_the_routes(key: str) -> None:
    name = key.partition(".")[2]
    before, after = load_settings(FULL, {}).routes[1], parse_settings(changed(key, OTHER_VALUES[key])).routes[1]
    assert getattr(before, name) != getattr(after, name)


def test_every_key_of_the_full_example_is_commented_as_the_models_describe_it() -> None:
    expected = {
        key.path.replace("[]", ""): f"{key.type_text}; {_default(key.default)}. {key.description}"
        for group in reference()
        for key in group.keys
    } | {group.title.replace("[]", ""): group.description for group in reference() if group.title in GROUPS_WITH_COMMENTS}
    found = comments(FULL)
    assert {path: found.get(path) for path in expected} == expected


def _default(default: str | None) -> str:
    return "required" if default is None else f"default {default}"


def comments(file: Path) -> dict[str, str]:
    """The block of comment lines above the first occurrence of each key."""
    found: dict[str, str] = {}
    block: list[str] = []
    inside: list[tuple[int, str]] = []  # column and name of each key around the line
    for line in file.read_text().splitlines():
        key = re.match(r"([ -]*)([a-z_]+):", line)
        if line.strip().startswith("#"):
            block.append(line.strip().removeprefix("# "))
        elif key:
            inside = [*((column, name) for column, name in inside if column < len(key[1])), (len(key[1]), key[2])]
            if block:
                found.setdefault(".".join(name for _, name in inside), " ".join(block))
            block = []
        else:
            block = []
    return found


def test_the_reference_is_made_from_the_models() -> None:
    assert (CONFIG / "reference.md").read_text() == reference_markdown(), (
        "run: python -m bridge.cli.config_reference > config/reference.md"
    )


@pytest.mark.parametrize("group", reference(), ids=lambda group: group.title)
def test_every_key_is_described_with_its_reason(group: GroupReference) -> None:
    assert group.description
    for key in group.keys:
        assert len(key.description) > 30, key.path
        if key.default is None:
            assert "No default:" in key.description, key.path


# -- the JSON Schema, read by a validator of the few keywords that it uses

KEYWORDS = {
    "$schema", "$defs", "$ref", "title", "description", "default", "type", "properties", "required", "additionalProperties",
    "propertyNames", "items", "minItems", "enum", "anyOf", "pattern", "not", "minimum", "maximum", "exclusiveMinimum", "format",
    "x-minimum", "x-maximum", "x-choices",
}  # fmt: skip
TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float), "null": type(None),
}  # fmt: skip


def is_valid(value: object, schema: Any, root: dict[str, Any]) -> bool:
    if schema in (True, False):
        return schema is True
    assert set(schema) <= KEYWORDS, set(schema) - KEYWORDS
    if "$ref" in schema and not is_valid(value, root["$defs"][schema["$ref"].rpartition("/")[2]], root):
        return False
    if "anyOf" in schema and not any(is_valid(value, choice, root) for choice in schema["anyOf"]):
        return False
    if "not" in schema and is_valid(value, schema["not"], root):
        return False
    return _has_type(value, schema) and _is_within(value, schema) and _has_valid_parts(value, schema, root)


def _has_type(value: object, schema: dict[str, Any]) -> bool:
    kinds = schema.get("type", list(TYPES))
    kinds = [kinds] if isinstance(kinds, str) else kinds
    return any(isinstance(value, TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool)) for kind in kinds)


def _is_within(value: object, schema: dict[str, Any]) -> bool:
    if isinstance(value, str) and "pattern" in schema and not re.search(schema["pattern"], value):
        return False
    if isinstance(value, int | float) and not isinstance(value, bool):
        above = value > schema.get("exclusiveMinimum", float("-inf"))
        return bool(above and schema.get("minimum", float("-inf")) <= value <= schema.get("maximum", float("inf")))
    return value in schema.get("enum", [value])


def _has_valid_parts(value: object, schema: dict[str, Any], root: dict[str, Any]) -> bool:
    if isinstance(value, list):
        return len(value) >= schema.get("minItems", 0) and all(is_valid(item, schema.get("items", True), root) for item in value)
    if not isinstance(value, dict):
        return True
    properties = schema.get("properties", {})
    rest = schema.get("additionalProperties", True)
    return (
        set(schema.get("required", [])) <= set(value)
        and all(is_valid(key, schema.get("propertyNames", True), root) for key in value)
        and all(is_valid(inner, properties.get(key, rest), root) for key, inner in value.items())
    )


def as_json(file: Path) -> Any:
    """As a YAML 1.2 reader of an editor sees the file: timestamps are texts."""
    return _texts(document(file))


def _texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _texts(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_texts(inner) for inner in value]
    return value.isoformat() if hasattr(value, "isoformat") else value


@pytest.mark.parametrize("file", [MINIMAL, FULL], ids=lambda file: file.name)
def test_examples_satisfy_the_schema(file: Path) -> None:
    schema = json_schema()
    assert is_valid(as_json(file), schema, schema)


def test_other_values_satisfy_the_schema_too() -> None:
    schema = json_schema()
    for key, value in OTHER_VALUES.items():
        assert is_valid(_texts(changed(key, value)), schema, schema), key


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "Orders"),
        ("defaults.linger", "20"),
        ("defaults.linger", 20),
        ("buffer_bytes_max", "5MB"),
        ("metrics.port", 65536),
        ("metrics.port", True),
        ("ledger.replication_factor", 0),
        ("ledger.slots", 0),
        ("defaults.shard_share", 0),
        ("defaults.ordering", "any"),
        ("defaults.partition_key", {"field": "fixed"}),
        ("defaults.partition_key", {"fields": "{a}"}),
        ("routes.topic", "a b"),
        ("routes.topic", "^orders"),
        ("routes.stream", "a b"),
        ("kafka.bootstrap_servers", "a b"),
        ("kafka.properties", {"group.id": "x"}),
        ("kafka.properties", {"sasl.password": "x"}),
        ("kafka.security.protocol", "TLS"),
        ("kafka.security.mechanism", "GSSAPI"),
        ("kafka.security.region", "Frankfurt"),
        ("kinesis.role_arn", "arn:aws:iam::123456789012:user/bridge"),
        ("kinesis.external_id", "x"),
        ("kafka.properties", {"client.rack": 1.5}),
    ],
)
def test_the_schema_refuses_what_the_models_refuse(key: str, value: object) -> None:
    schema = json_schema()
    content = changed(key, value)
    assert not is_valid(_texts(content), schema, schema)
    with pytest.raises(SettingsError):
        parse_settings(content)


def test_the_schema_refuses_unknown_keys_everywhere() -> None:
    schema = json_schema()
    objects = [schema, *schema["$defs"].values()]
    assert [part.get("additionalProperties") for part in objects] == [False] * len(objects)


def test_the_defaults_of_the_schema_are_what_a_user_would_write() -> None:
    schema = json_schema()
    for definition in [schema, *schema["$defs"].values()]:
        for key, part in definition["properties"].items():
            if "default" in part and key not in ("group", "defaults", "ledger", "metrics", "log", "security"):
                assert is_valid(part["default"], part, schema), key
