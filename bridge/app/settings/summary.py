"""The effective configuration as it may be shown: defaults filled in, units written out, secrets masked."""

from collections.abc import Iterator
from typing import Any

from bridge.app.settings.model import Settings
from bridge.app.settings.route import Route
from bridge.app.settings.secrets import MASK, is_secret_name
from bridge.app.settings.security import SecuritySettings


def effective(settings: Settings) -> dict[str, Any]:
    """As the file would say it."""
    shown = settings.model_dump(mode="json")
    properties = shown["kafka"]["properties"]
    shown["kafka"]["properties"] = {name: MASK if is_secret_name(name) else value for name, value in properties.items()}
    security = shown["kafka"]["security"]
    for name in SecuritySettings.environment_only:
        if security.pop(name) is not None:
            security[name] = MASK
    return shown


def summary_lines(settings: Settings) -> Iterator[str]:
    """A short text: every group on its own line, then a line for each route."""
    shown = effective(settings)
    yield f"name     {shown['name']}"
    if settings.kafka.group_protocol == "consumer":
        del shown["kafka"]["session_timeout"]  # the broker's setting is what counts
    for group in ("kafka", "kinesis"):
        yield f"{group:8} {_pairs(shown[group])}"
    yield f"limits   {_pairs({key: shown[key] for key in ('buffer_bytes_max', 'commit_interval')})}"
    for group in ("ledger", "metrics", "log"):
        yield f"{group:8} {_pairs(shown[group])}"
    for route, values in zip(settings.routes, shown["routes"], strict=True):
        yield f"route    {route.topic} -> {route.stream}  {_pairs(_beside_names(values))}"


def _beside_names(route: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in route.items() if key not in ("topic", "stream") and value != _default(key)}


def _default(key: str) -> object:
    return Route.model_fields[key].default


def _pairs(values: dict[str, Any]) -> str:
    return "  ".join(f"{key}={_text(value)}" for key, value in values.items() if value is not None and value != {})


def _text(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_text(inner)}" for key, inner in value.items() if inner is not None) + "}"
    return str(value).lower() if isinstance(value, bool) else str(value)
