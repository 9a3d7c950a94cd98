"""What the processes of a run tell each other: a job as a JSON file, progress as JSON lines on standard output.

A file, not arguments: Kafka properties may hold passwords, and arguments are there for all to see.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter

Job = TypeVar("Job")
Property = str | int | float | bool


@dataclass(frozen=True, slots=True)
class KafkaAddress:
    """Where records are produced and read; `properties` are librdkafka's."""

    bootstrap_servers: str
    properties: dict[str, str]

    def client_properties(self, more: Mapping[str, Property]) -> dict[str, Property]:
        """As librdkafka's clients take them."""
        return {"bootstrap.servers": self.bootstrap_servers, **self.properties, **more}


@dataclass(frozen=True, slots=True)
class KinesisAddress:
    """Where records are written. Without `ca_file` and `endpoint_url` AWS's own."""

    region: str
    endpoint_url: str | None = None
    ca_file: str | None = None


@dataclass(frozen=True, slots=True)
class GeneratorJob:
    """`rate` is in records/s; None: as fast as possible. It ends after so many records."""

    kafka: KafkaAddress
    topic: str
    keys: int
    exponent: float
    balanced_over: int | None
    value_bytes: int | dict[int, float]
    records: int
    rate: float | None
    seed: int


@dataclass(frozen=True, slots=True)
class BaselineJob:
    """Copies a topic from its beginning until it is stopped."""

    kafka: KafkaAddress
    kinesis: KinesisAddress
    topic: str
    group: str
    stream: str


@dataclass(frozen=True, slots=True)
class CoWriterJob:
    """Writes to the shard of `hash_key` (decimal text) at `rate` records/s until it is stopped."""

    kinesis: KinesisAddress
    stream: str
    hash_key: str
    value_bytes: int
    rate: float


def write_job(job: GeneratorJob | BaselineJob | CoWriterJob, file: Path) -> Path:
    """Readable by this user only."""
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as opened:
        json.dump(asdict(job), opened)
    return file


def read_job(kind: type[Job], file: str) -> Job:
    """The job that `write_job` wrote."""
    return TypeAdapter(kind).validate_json(Path(file).read_bytes())


def tell(**progress: float) -> None:
    """One line of progress."""
    print(json.dumps(progress), flush=True)


def told(log: Path) -> list[dict[str, Any]]:
    """Every whole line of progress in a log."""
    return [dict(json.loads(line)) for line in log.read_bytes().split(b"\n")[:-1] if line.startswith(b"{")]


def last_told(log: Path) -> dict[str, Any]:
    """The last one; empty before the first."""
    return next(iter(reversed(told(log))), {})
