"""The configuration reference: what a person needs to know of every key, taken from the models."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bridge.app.settings.route import RouteDefaults
from bridge.app.settings.schema import json_schema
from bridge.app.settings.units import DURATION_PATTERN, SIZE_PATTERN

TOP = "At the top"
INTRODUCTION = """# Configuration reference

Made from the models by `python -m bridge.cli.config_reference`; a test compares it with them. `config/minimal.yaml` has the
required keys only, `config/full.yaml` every key.

- A duration is a whole number with its unit: `20ms` `30s` `5m` `24h` `7d`. A size likewise: `512B` `64KiB` `5MiB`
  (powers of 1024).
- A key that is not listed here is an error. So is a key that stands twice.
- An environment variable overrides a key: `BRIDGE_` and the path in capitals, with two underscores between its parts, such as
  `BRIDGE_KAFKA__BOOTSTRAP_SERVERS=b1:9092` or `BRIDGE_ROUTES__0__LINGER=5ms`. Lists and mappings stand in YAML's one-line form:
  `BRIDGE_ROUTES='[{topic: orders, stream: orders}]'`.
- Secrets do not belong in the file: `kafka.security` names files that hold them, or variables do
  (`BRIDGE_KAFKA__SECURITY__PASSWORD`, `BRIDGE_KAFKA__SECURITY__KEY_PASSWORD`). `BRIDGE_KAFKA__PROPERTIES__SSL_KEYSTORE_PASSWORD`
  sets the librdkafka property `ssl.keystore.password` (an underscore stands for a dot).
- `bridge config check` reports everything that is wrong at once; `bridge config schema` prints the JSON Schema.
"""


@dataclass(frozen=True)
class KeyReference:
    """One key, as the reference and the commented example tell it."""

    path: str
    type_text: str
    default: str | None
    """As the user would write it; None where the key is required."""
    description: str


@dataclass(frozen=True)
class GroupReference:
    """One table of the reference."""

    title: str
    description: str
    keys: tuple[KeyReference, ...]


def reference() -> list[GroupReference]:
    """Every group, in the order of the file. What a route shares with `defaults` stands there once."""
    schema = json_schema()
    definitions = schema["$defs"]
    own = {key: value for key, value in definitions["Route"]["properties"].items() if key not in RouteDefaults.model_fields}
    definitions["Route"]["properties"] = own
    return list(_groups(schema, "", definitions))


def reference_markdown() -> str:
    """The page `config/reference.md`."""
    return "\n".join([INTRODUCTION, *(_group_markdown(group) for group in reference())])


def _groups(schema: dict[str, Any], path: str, definitions: dict[str, Any]) -> Iterator[GroupReference]:
    nested: list[tuple[str, dict[str, Any], str]] = []
    keys: list[KeyReference] = []
    required = schema.get("required", [])
    for key, property_schema in schema["properties"].items():
        where = f"{path}.{key}" if path else key
        if inner := _definition_of(property_schema, definitions):
            shown = f"{where}[]" if property_schema.get("type") == "array" else where
            nested.append((shown, inner, property_schema.get("description", inner["description"])))
        else:
            keys.append(_key(where, property_schema, key in required, definitions))
    yield GroupReference(path or TOP, schema["description"], tuple(keys))
    for where, inner, description in nested:
        yield from _groups({**inner, "description": description}, where, definitions)


def _definition_of(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any] | None:
    reference_text = schema.get("$ref") or schema.get("items", {}).get("$ref")
    definition: dict[str, Any] | None = definitions[reference_text.rpartition("/")[2]] if reference_text else None
    return definition


def _key(path: str, schema: dict[str, Any], required: bool, definitions: dict[str, Any]) -> KeyReference:
    default = None if required else _default_text(schema["default"])
    return KeyReference(path, type_text(schema, definitions), default, schema["description"])


def _default_text(default: object) -> str:
    if default is None:
        return "null"
    return str(default).lower() if isinstance(default, bool) else str(default)


def type_text(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """What may stand there, in words."""
    if "anyOf" in schema:
        return " or ".join(type_text(choice, definitions) for choice in schema["anyOf"])
    if definition := _definition_of(schema, definitions):
        return "{" + ", ".join(f"{key}: text" for key in definition["properties"]) + "}"
    if "x-choices" in schema:
        return " or ".join(schema["x-choices"])
    if "enum" in schema:
        return " or ".join(schema["enum"])
    if schema.get("pattern") in (DURATION_PATTERN, SIZE_PATTERN):
        return (
            "duration" if schema["pattern"] == DURATION_PATTERN else "size"
        ) + f", {schema['x-minimum']} to {schema['x-maximum']}"
    return _WORDS[schema["type"]] + _range_text(schema)


_WORDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "mapping",
    "null": "null",
}


def _range_text(schema: dict[str, Any]) -> str:
    if "exclusiveMinimum" in schema:
        return f", above {schema['exclusiveMinimum']} to {schema['maximum']}"
    return f", {schema['minimum']} to {schema['maximum']}" if "minimum" in schema else ""


def _group_markdown(group: GroupReference) -> str:
    title = group.title if group.title == TOP else f"`{group.title}`"
    rows = [
        f"| `{key.path.rpartition('.')[2]}` | {key.type_text} | {_default_cell(key)} | {key.description} |" for key in group.keys
    ]
    head = ["| key | type | default | what it is, and why so |", "|---|---|---|---|"]
    return "\n".join([f"## {title}\n", f"{group.description}\n", *head, *rows, ""])


def _default_cell(key: KeyReference) -> str:
    return "required" if key.default is None else f"`{key.default}`"
