"""File and environment -> settings, or everything that is wrong with them."""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bridge.app.settings.contradictions import contradictions
from bridge.app.settings.environment import Overrides, apply_environment
from bridge.app.settings.examination import Draft, examine
from bridge.app.settings.model import Settings
from bridge.app.settings.problems import Problem, SettingsError
from bridge.app.settings.yaml_source import read_yaml

Inspection = Callable[[Draft], list[Problem]]
"""A further look at what is valid, such as at the files that it names."""


def load_settings(path: Path, env: Mapping[str, str] | None = None, *inspections: Inspection) -> Settings:
    """The file with the environment's overrides; `SettingsError` has all problems. `env` is the process's by default."""
    raw, duplicates = read_yaml(path)
    if raw is not None and not isinstance(raw, dict):
        remedy = f"write a mapping with the keys {', '.join(Settings.model_fields)}"
        raise SettingsError([Problem("(file)", str(path), remedy)])
    return _settings(raw or {}, os.environ if env is None else env, duplicates, *inspections)


def parse_settings(raw: Mapping[str, Any], env: Mapping[str, str] | None = None) -> Settings:
    """As `load_settings`, from what the YAML would hold; without overrides unless `env` is given."""
    return _settings(dict(raw), env or {}, [])


def _settings(raw: dict[str, Any], env: Mapping[str, str], duplicates: list[Problem], *inspections: Inspection) -> Settings:
    overrides = apply_environment(raw, env)
    draft, problems = examine(overrides.raw)
    inspected = [problem for inspect in inspections for problem in inspect(draft)]
    found = [_with_variable(problem, overrides) for problem in [*problems, *contradictions(draft), *inspected]]
    if found := [*duplicates, *overrides.problems, *found]:
        raise SettingsError(found)
    # Groups that the file leaves empty (`log:`) are null there.
    return Settings.model_validate({key: {} if value is None else value for key, value in overrides.raw.items()})


def _with_variable(problem: Problem, overrides: Overrides) -> Problem:
    variable = overrides.variable_of(problem.path)
    return replace(problem, remedy=f"{problem.remedy} (the value comes from the variable {variable})") if variable else problem
