"""Looks at every key by itself, so that one mistake does not hide another."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from bridge.app.settings.kafka import check_property
from bridge.app.settings.model import Settings
from bridge.app.settings.problems import MISSING, Problem
from bridge.app.settings.route import Route, RouteDefaults
from bridge.app.settings.secrets import MASK, is_secret_name, masked
from bridge.app.settings.section import Section


class FaultyError(Exception):
    """A rule asked for a value that has a problem of its own."""


@dataclass
class Draft:
    """What is valid so far. A path with a problem has no value, so a rule that needs it says nothing."""

    values: dict[str, Any] = field(default_factory=dict)
    given: set[str] = field(default_factory=set)
    written: dict[str, Any] = field(default_factory=dict)
    """As the user wrote it, or as the user would write the default."""
    routes: int = 0

    def value(self, path: str) -> Any:  # noqa: ANN401
        """The value of a key: the user's or the default."""
        if path not in self.values:
            raise FaultyError(path)
        return self.values[path]

    def user_path(self, path: str) -> str:
        """Where the user wrote this key: a route's may stand in `defaults`."""
        prefix, _, key = path.rpartition(".")
        return (
            f"defaults.{key}"
            if prefix.startswith("routes[") and path not in self.given and f"defaults.{key}" in self.given
            else path
        )

    def problem(self, path: str, remedy: str) -> Problem:
        """A problem at the place where the user wrote the key."""
        path = self.user_path(path)
        return Problem(path, shown(self.written.get(path, MISSING), path), remedy)


@cache
def known_keys() -> frozenset[str]:
    """Every key of every group: these are never secrets, whatever they are called."""
    return frozenset(name for section in _sections(Settings) for name in section.file_keys()) | {"field", "timestamp"}


def _sections(model: type[Section]) -> Iterator[type[Section]]:
    yield model
    for info in model.model_fields.values():
        if inner := section_of(info):
            yield from _sections(inner)


def section_of(info: FieldInfo) -> type[Section] | None:
    """The group that a key holds, itself or in a list; None for a plain value."""
    annotation = info.annotation
    if get_origin(annotation) is tuple:
        annotation = get_args(annotation)[0]
    return annotation if isinstance(annotation, type) and issubclass(annotation, Section) else None


def shown(value: object, path: str) -> object:
    """A value as a problem may show it."""
    key = path.removeprefix("kafka.properties.") if path.startswith("kafka.properties.") else path.rpartition(".")[2]
    return masked(value, key.partition("[")[0], known_keys())


def examine(raw: Mapping[str, Any]) -> tuple[Draft, list[Problem]]:
    """Every key by itself: what is valid, and what is wrong with the rest."""
    draft = Draft()
    problems = list(_examine(Settings, raw, "", draft))
    if "kafka.group" not in draft.given and "name" in draft.values:
        draft.values["kafka.group"] = draft.values["name"]
    return draft, problems


def _examine(model: type[Section], raw: object, path: str, draft: Draft) -> Iterator[Problem]:
    raw = {} if raw is None else raw
    if not isinstance(raw, Mapping):
        yield Problem(path, f"({_kind(raw)})", f"write a mapping with the keys {', '.join(model.file_keys())}")
        return
    for key in raw:
        if key not in model.model_fields:
            # Beside keys that hold secrets a mistyped key may hold one.
            value = MASK if model.environment_only else shown(raw[key], str(key))
            yield Problem(_join(path, key), value, _unknown_remedy(str(key), model))
    for key, info in model.model_fields.items():
        where = _join(path, key)
        if key in raw:
            draft.given.add(where)
            draft.written[where] = raw[key]
        if key == "routes":
            yield from _examine_routes(raw.get(key, MISSING), draft)
        elif section := section_of(info):
            yield from _examine(section, raw.get(key), where, draft)
        elif key == "properties":
            yield from _examine_properties(raw.get(key), where, draft)
        else:
            yield from _examine_value(model, key, raw, path, draft)


def _examine_routes(raw: object, draft: Draft) -> Iterator[Problem]:
    if not isinstance(raw, list | tuple) or not raw:
        value = raw if raw == MISSING else shown(raw, "routes") if isinstance(raw, list) else f"({_kind(raw)})"
        yield Problem("routes", value, "write a list with at least one route, such as [{topic: orders, stream: orders}]")
        return
    draft.routes = len(raw)
    for index, route in enumerate(raw):
        yield from _examine(Route, route, f"routes[{index}]", draft)


def _examine_properties(raw: object, where: str, draft: Draft) -> Iterator[Problem]:
    if raw is not None and not isinstance(raw, Mapping):
        yield Problem(
            where, f"({_kind(raw)})", "write a mapping of librdkafka properties, such as {socket.keepalive.enable: true}"
        )
        return
    for name, value in (raw or {}).items():
        draft.written[f"{where}.{name}"] = value
        try:
            check_property(str(name), value)
        except PydanticCustomError as error:
            yield Problem(f"{where}.{name}", shown(value, f"{where}.{name}"), error.message())
        else:
            draft.values[f"{where}.{name}"] = MASK if is_secret_name(str(name)) else value


def _examine_value(model: type[Section], key: str, raw: Mapping[str, Any], path: str, draft: Draft) -> Iterator[Problem]:
    where = _join(path, key)
    info = model.model_fields[key]
    inherited = f"defaults.{key}"
    if key in raw:
        try:
            draft.values[where] = _adapter(model, key).validate_python(raw[key])
        except ValidationError as error:
            yield from _value_problems(error, model, key, raw[key], where)
    elif model is Route and inherited in draft.given:
        if inherited in draft.values:
            draft.values[where] = draft.values[inherited]
    elif info.is_required():
        yield Problem(where, MISSING, f"write this key; it is required: {_first_sentence(info)}")
    else:
        draft.written[where] = info.default
        draft.values[where] = _adapter(model, key).validate_python(info.default)


def _value_problems(error: ValidationError, model: type[Section], key: str, value: object, where: str) -> Iterator[Problem]:
    details = error.errors(include_url=False)
    remedies = dict.fromkeys(_remedy(detail["type"], detail.get("ctx", {}), detail["msg"]) for detail in details)
    yield Problem(where, shown(value, where), "; ".join(remedies))


_REMEDIES = {
    "int_type": "write a whole number",
    "int_parsing": "write a whole number",
    "int_from_float": "write a whole number",
    "float_type": "write a number",
    "float_parsing": "write a number",
    "bool_type": "write true or false",
    "bool_parsing": "write true or false",
    "string_type": "write a text; put quotes around a number, true or false",
    "literal_error": "write one of: {expected}",
    "greater_than": "write a number greater than {gt}",
    "greater_than_equal": "write a number of at least {ge}",
    "less_than": "write a number less than {lt}",
    "less_than_equal": "write a number of at most {le}",
}


def _remedy(kind: str, context: Mapping[str, Any], message: str) -> str:
    return _REMEDIES[kind].format(**context).replace("'", "") if kind in _REMEDIES else message


def _unknown_remedy(key: str, model: type[Section]) -> str:
    known = model.file_keys()
    close = difflib.get_close_matches(key.lower(), known, n=1)
    meant = f"did you mean {close[0]}? " if close else ""
    if model is RouteDefaults and key in Route.model_fields:
        meant = "it belongs to each route. "
    return f"unknown key; {meant}Known here: {', '.join(known)}"


def _first_sentence(info: FieldInfo) -> str:
    return (info.description or "").partition(". ")[0].rstrip(".")


def _kind(value: object) -> str:
    return {list: "a list", tuple: "a list", str: "a text", bool: "true or false", type(None): "nothing"}.get(
        type(value), "a number"
    )


def _join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


@cache
def _adapter(model: type[Section], key: str) -> TypeAdapter[Any]:
    return TypeAdapter(model.model_fields[key].rebuild_annotation())
