"""JSON Schema of the configuration file, for editors and for checks of generated files."""

from typing import Any

from bridge.app.settings.model import Settings

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """Durations and sizes are texts with a pattern, unknown keys are refused, every key has its description."""
    schema = Settings.model_json_schema()
    _drop_titles(schema)
    return {"$schema": DIALECT, "title": "Configuration of the bridge", **schema}


def _drop_titles(schema: object) -> None:
    """Pydantic's titles repeat the keys. A `title` below `properties` would be a key of ours, and is a mapping."""
    if isinstance(schema, dict):
        if isinstance(schema.get("title"), str):
            del schema["title"]
        for inner in schema.values():
            _drop_titles(inner)
    elif isinstance(schema, list):
        for inner in schema:
            _drop_titles(inner)
