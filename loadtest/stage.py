"""What a part of a scenario runs on, and what comes out of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from loadtest.cores import Cores
from loadtest.figures import Figures
from loadtest.servers import Kafka, Kinesis


@dataclass(frozen=True, slots=True)
class Stage:
    """Servers that answer, cores, and where progress is told."""

    kafka: Kafka
    kinesis: Kinesis
    cores: Cores
    say: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """`settings` is the bridge's configuration as it was written, `details` goes into the JSON only."""

    figures: Figures
    settings: dict[str, Any]
    details: dict[str, Any] = field(default_factory=dict)
