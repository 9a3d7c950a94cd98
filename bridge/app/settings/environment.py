"""Environment variables over the file: `BRIDGE_KAFKA__GROUP=x` sets `kafka.group`, `BRIDGE_ROUTES__0__LINGER=5ms` a route's."""

import copy
import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr

from bridge.app.settings.examination import section_of
from bridge.app.settings.model import Settings
from bridge.app.settings.problems import Problem, SettingsError
from bridge.app.settings.secrets import MASK
from bridge.app.settings.section import Section
from bridge.app.settings.yaml_source import parse_yaml

PREFIX = "BRIDGE_"
_SEPARATOR = "__"
_NULLS = ("null", "~")
# Kubernetes sets these in every container beside a service named `bridge` or `bridge-...`.
_SERVICE_LINK = re.compile(r".*(_SERVICE_HOST|_SERVICE_PORT(_[A-Z0-9_]+)?|_PORT(_[0-9]+_(TCP|UDP|SCTP)(_[A-Z]+)?)?)|PORT(_.*)?")


@dataclass
class Overrides:
    """The configuration with the overrides in it, and which variable each overridden path came from."""

    raw: dict[str, Any]
    origins: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def variable_of(self, path: str) -> str | None:
        """The variable that set this path, or something around it."""
        for origin, variable in self.origins.items():
            if path == origin or path.startswith((f"{origin}.", f"{origin}[")):
                return variable
        return None


def apply_environment(raw: dict[str, Any], environment: Mapping[str, str]) -> Overrides:
    """Overrides in the order of their depth, so that `BRIDGE_ROUTES__0__LINGER` refines `BRIDGE_ROUTES`."""
    overrides = Overrides(copy.deepcopy(raw))
    names = [name for name in environment if name.startswith(PREFIX) and len(name) > len(PREFIX)]
    for name in sorted(names, key=lambda name: (name.count(_SEPARATOR), name)):
        segments = name.removeprefix(PREFIX).lower().split(_SEPARATOR)
        if segments[0] in Settings.model_fields:
            _apply(overrides, name, segments, environment[name])
        elif problem := _unknown(name, segments):
            overrides.problems.append(problem)
    return overrides


def _unknown(name: str, segments: list[str]) -> Problem | None:
    """A variable that was meant for us and names no key; others with our prefix may belong to someone else."""
    close = difflib.get_close_matches(segments[0], list(Settings.model_fields), n=1, cutoff=0.8)
    if _SERVICE_LINK.fullmatch(name.removeprefix(PREFIX)) or (len(segments) == 1 and not close):
        return None
    meant = f"did you mean {PREFIX}{close[0].upper()}? " if close else ""
    return Problem(
        name, MASK, f"unknown key in the name of the variable; {meant}It begins with one of: {', '.join(Settings.model_fields)}"
    )


def _apply(overrides: Overrides, name: str, segments: list[str], text: str) -> None:
    if segments[:2] == ["kafka", "properties"] and len(segments) > 2:
        # librdkafka's names have dots, which no shell accepts in a variable; a value stays the text that it is.
        segments = ["kafka", "properties", ".".join(segments[2:]).replace("_", ".")]
        value: object = text
    elif _is_secret(segments):
        value = SecretStr(text)
    else:
        try:
            value = _value(text) if _takes_structure(segments) else None if text in _NULLS else text
        except SettingsError as error:
            overrides.problems.append(Problem(name, MASK, error.problems[0].remedy))
            return
    _set(overrides, name, segments, value)


def _takes_structure(segments: list[str]) -> bool:
    """Whether the key may hold a mapping or a list; only then do braces and brackets mean one (`{topic}` is a stream's name)."""
    info = _group_of(segments).model_fields.get(segments[-1])
    return info is None or info.annotation is not str


def _is_secret(segments: list[str]) -> bool:
    return segments[-1] in _group_of(segments).environment_only


def _group_of(segments: list[str]) -> type[Section]:
    """The group that holds the key; the innermost known one where a name on the way is unknown."""
    model: type[Section] = Settings
    for segment in segments[:-1]:
        info = model.model_fields.get(segment)
        model = (section_of(info) if info else None) or model
    return model


def _value(text: str) -> object:
    """A mapping or a list in YAML's one-line form; anything else is the text as it stands."""
    if not text.lstrip().startswith(("{", "[")):
        return None if text in _NULLS else text
    value, duplicates = parse_yaml(text, "")
    if duplicates:
        raise SettingsError(duplicates)
    return value


def _set(overrides: Overrides, name: str, segments: list[str], value: object) -> None:
    container: Any = overrides.raw
    path = ""
    for position, segment in enumerate(segments):
        last = position == len(segments) - 1
        if isinstance(container, list):
            if not segment.isdigit() or int(segment) > len(container):
                remedy = (
                    f"write the number of an existing entry of {path} (0 to {len(container) - 1}), or {len(container)} to add one"
                )
                overrides.problems.append(Problem(name, segment, remedy))
                return
            index: Any = int(segment)
            path = f"{path}[{index}]"
            if index == len(container):
                container.append(None)
        elif isinstance(container, dict):
            index = segment
            path = f"{path}.{segment}" if path else segment
        else:
            return  # the file has something else where a mapping belongs: reported with the file
        if last:
            container[index] = value
            overrides.origins[path] = name
        else:
            missing = container.get(index) if isinstance(container, dict) else container[index]
            if missing is None:
                container[index] = [] if segments[position + 1].isdigit() else {}
            container = container[index]
