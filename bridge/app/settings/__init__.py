"""The configuration: models, loading with all problems in one go, and what is shown of it."""

from bridge.app.settings.advice import warnings
from bridge.app.settings.kafka import KafkaSettings
from bridge.app.settings.kinesis import KinesisSettings
from bridge.app.settings.loading import load_settings, parse_settings
from bridge.app.settings.model import LogSettings, MetricsSettings, Settings
from bridge.app.settings.problems import Problem, SettingsError
from bridge.app.settings.route import FieldTemplate, Route, RouteDefaults, StartTimestamp
from bridge.app.settings.schema import json_schema
from bridge.app.settings.summary import effective, summary_lines

__all__ = [
    "FieldTemplate",
    "KafkaSettings",
    "KinesisSettings",
    "LogSettings",
    "MetricsSettings",
    "Problem",
    "Route",
    "RouteDefaults",
    "Settings",
    "SettingsError",
    "StartTimestamp",
    "effective",
    "json_schema",
    "load_settings",
    "parse_settings",
    "summary_lines",
    "warnings",
]
