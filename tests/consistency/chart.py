"""Reads the chart without Helm: its values with their comments, its schema, its examples."""

import json
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bridge.app.settings import json_schema
from bridge.app.settings.yaml_source import parse_yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "bridge"
VALUES = CHART / "values.yaml"
SCHEMA = CHART / "values.schema.json"
EXAMPLES = sorted((CHART / "ci").glob("*.yaml"))
README = ROOT / "README.md"
TABLE = ("<!-- values: begin (made by `python -m tests.consistency.chart`) -->", "<!-- values: end -->")


@dataclass(frozen=True)
class Value:
    """One value that the chart takes: `image.tag`, its default, and the comment above it."""

    path: str
    default: Any
    comment: str


def values() -> list[Value]:
    """Those with a comment, in their order; what stands below one of them belongs to it."""
    return list(_values(VALUES.read_text()))


def _values(text: str) -> Iterator[Value]:
    defaults = yaml.safe_load(text)
    above: list[str] = []
    comment: list[str] = []
    for line in text.splitlines():
        key = re.match(r"( *)([A-Za-z]+):", line)
        if line.strip().startswith("#"):
            comment.append(line.strip().removeprefix("# "))
            continue
        if key:
            above = [*above[: len(key[1]) // 2], key[2]]
            if comment:
                yield Value(".".join(above), at(defaults, ".".join(above)), " ".join(comment))
        comment = []


def read(text: str) -> Any:
    """As Helm reads it: a date is a text."""
    return parse_yaml(text, "")[0]


def at(content: Any, path: str) -> Any:
    """What stands at `image.tag`. Raises KeyError."""
    for key in path.split("."):
        content = content[key]
    return content


def leaves(content: dict[str, Any], known: set[str], above: str = "") -> Iterator[str]:
    """Paths in a file of values, as deep as `known` has them."""
    for key, inner in content.items():
        path = f"{above}{key}"
        if isinstance(inner, dict) and path not in known:
            yield from leaves(inner, known, f"{path}.")
        else:
            yield path


def config_text(file: Path) -> str:
    """The bridge's configuration in a file of values, as it is written there."""
    block = re.search(r"^config:\n((?:[ #].*\n|\n)*)", file.read_text(), flags=re.MULTILINE)
    assert block, f"{file.name} has no config"
    return textwrap.dedent(block[1])


def readme_values() -> list[str]:
    """Files of values in README.md: blocks of `yml`, where those of `yaml` are the bridge's configuration."""
    return re.findall(r"^```yml\n(.*?)^```$", README.read_text(), flags=re.DOTALL | re.MULTILINE)


def schema_with_settings() -> dict[str, Any]:
    """The chart's schema, its part for `config` made anew from the bridge's settings."""
    schema: dict[str, Any] = json.loads(SCHEMA.read_text())
    settings = json_schema()
    del settings["$schema"]
    schema["$defs"] = settings.pop("$defs")
    schema["properties"]["config"] = settings
    return schema


def table() -> str:
    """The table of values in README.md."""
    rows = [f"| `{value.path}` | {_default_cell(value.default)} | {value.comment} |" for value in values()]
    return "\n".join(["| value | default | what it is |", "|---|---|---|", *rows])


def _default_cell(default: Any) -> str:
    text = yaml.safe_dump(default, default_flow_style=True, width=10**6, sort_keys=False)
    return f"`{text.removesuffix(chr(10)).removesuffix('...').strip()}`"


if __name__ == "__main__":
    SCHEMA.write_text(json.dumps(schema_with_settings(), indent=2) + "\n")
    before, _, rest = README.read_text().partition(TABLE[0])
    README.write_text(f"{before}{TABLE[0]}\n{table()}\n{TABLE[1]}{rest.partition(TABLE[1])[2]}")
