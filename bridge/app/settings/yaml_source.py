"""Reads the YAML file strictly: a key that stands twice is an error, and `no`, `1:30` or `010` are texts, as in YAML 1.2."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from bridge.app.settings.problems import Problem, SettingsError


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that guesses fewer types: dates stay texts, so that an error can show what was written."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own class attribute


for _kind, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("int", r"^(?:0|-?[1-9][0-9]*)$", "-0123456789"),
    ("float", r"^-?[0-9]+\.[0-9]+(?:[eE][-+]?[0-9]+)?$", "-0123456789"),
    ("merge", r"^<<$", "<"),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
):
    _StrictLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(_pattern), list(_first))


def read_yaml(path: Path) -> tuple[object, list[Problem]]:
    """The file's content and the keys that stand twice. A file that cannot be read at all raises."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError([Problem("(file)", str(path), f"name a file that can be read ({error.strerror})")]) from error
    except UnicodeDecodeError as error:
        raise SettingsError([Problem("(file)", str(path), f"save it as UTF-8 (byte {error.start} is not)")]) from None
    return parse_yaml(text, str(path))


def parse_yaml(text: str, origin: str) -> tuple[object, list[Problem]]:
    """As `read_yaml`, from a text; `origin` names it in errors."""
    loader = _StrictLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None, []
        duplicates = list(_KeyCheck(origin).problems(node))
        return loader.construct_document(node), duplicates
    except yaml.YAMLError as error:
        raise SettingsError([_syntax_problem(error, origin)]) from None
    except RecursionError:
        raise SettingsError([Problem("(file)", origin, "nest the values less deeply")]) from None
    finally:
        loader.dispose()


class _KeyCheck:
    """Walks the YAML nodes: keys that stand twice in one mapping, and values that contain themselves."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._open: set[int] = set()
        self._seen: set[int] = set()

    def problems(self, node: yaml.Node, path: str = "") -> Iterator[Problem]:
        if id(node) in self._open:
            raise SettingsError([Problem(_place(node.start_mark), self._origin, "remove the alias: the value contains itself")])
        if id(node) in self._seen:  # an alias: its keys were looked at where they stand
            return
        self._open.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                yield from self.problems(item, f"{path}[{index}]")
        elif isinstance(node, yaml.MappingNode):
            yield from self._in_mapping(node, path)
        self._open.remove(id(node))
        self._seen.add(id(node))

    def _in_mapping(self, node: yaml.MappingNode, path: str) -> Iterator[Problem]:
        lines: dict[str, int] = {}
        for key, value in node.value:
            name = str(key.value)
            inner = f"{path}.{name}" if path else name
            line = key.start_mark.line + 1
            if name in lines and key.tag != "tag:yaml.org,2002:merge":
                yield Problem(inner, name, f"keep one: the key stands on line {lines[name]} and again on line {line}")
            lines.setdefault(name, line)
            yield from self.problems(value, inner)


def _syntax_problem(error: yaml.YAMLError, origin: str) -> Problem:
    mark: Any = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    place = _place(mark) if mark else "(file)"
    said = str(getattr(error, "problem", None) or getattr(error, "reason", None) or "not YAML")
    if "'\\t'" in said:
        return Problem(place, origin, "indent with blanks, not with tabs")
    if any(word in said for word in ("alias", "anchor", "tag", "character")):
        said = re.sub(r"'.*'", "(...)", said)  # may be a piece of a secret with a special character in it
    return Problem(place, origin, f"correct the YAML: {said}; put texts with special characters in quotes")


def _place(mark: Any) -> str:  # noqa: ANN401 - PyYAML has two mark types, in C and in Python
    return f"line {mark.line + 1}, column {mark.column + 1}"
