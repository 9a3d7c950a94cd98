"""The configuration: models, loading with all problems in one go, and what is shown of it."""

from bridge.app.settings.advice import warnings
from bridge.app.settings.kafka import KafkaSettings
from bridge.app.settings.kinesis import KinesisSettings
from bridge.app.settings.loading import load_settings, parse_settings
from bridge.app.settings.model import LogSettings, MetricsSettings, Settings
from bridge.app.settings.problems import Problem, SettingsError
from bridge.app.settings.route import FieldTemplate, Route, RouteDefaults, StartTimestamp, stream_name
from bridge.app.settings.schema import json_schema
from bridge.app.settings.secret_files import SecretFileError, security_file_problems, security_secrets
from bridge.app.settings.security import MSK_IAM, SecuritySettings
from bridge.app.settings.summary import effective, summary_lines

__all__ = [
    "MSK_IAM",
    "FieldTemplate",
    "KafkaSettings",
    "KinesisSettings",
    "LogSettings",
    "MetricsSettings",
    "Problem",
    "Route",
    "RouteDefaults",
    "SecretFileError",
    "SecuritySettings",
    "Settings",
    "SettingsError",
    "StartTimestamp",
    "effective",
    "json_schema",
    "load_settings",
    "parse_settings",
    "security_file_problems",
    "security_secrets",
    "stream_name",
    "summary_lines",
    "warnings",
]
