"""Where log lines go, and how they look."""

import logging
from typing import Any, TextIO

import structlog

from bridge.app.settings import LogSettings


def configure_logging(settings: LogSettings, output: TextIO | None = None) -> None:
    """structlog to standard output, or to another: one JSON object, or one line for people, per event."""
    renderer: Any = structlog.processors.JSONRenderer() if settings.format == "json" else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.TimeStamper("iso", utc=True), renderer],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, settings.level.upper())),
        logger_factory=structlog.WriteLoggerFactory(output),
    )
    for library in ("aiobotocore", "botocore"):  # what they warn of is in our own events; tracebacks would stand beside JSON
        logging.getLogger(library).addHandler(logging.NullHandler())
