"""`bridge config schema`: the JSON Schema of the configuration file."""

from bridge.app.settings import json_schema
from bridge.cli.options import echo_json


def schema() -> None:
    """Prints the JSON Schema of the configuration file, for editors and for checks of generated files."""
    echo_json(json_schema())
