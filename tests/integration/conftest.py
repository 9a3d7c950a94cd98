"""Fixtures of the integration tests; the servers come from `tests/servers`."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.integration.daemon import Daemon, running_daemon
from tests.integration.secure_scenario import Scenario
from tests.servers.embedded_kinesis import running_embedded_kinesis
from tests.servers.kafka import RunningKafka
from tests.servers.kafka_security import KafkaSecurity

StartDaemon = Callable[[dict[str, Any]], Daemon]
Figure = Callable[[object], None]
"""Shows what a test measured at the end of the run."""


@pytest.fixture
def start_daemon() -> Iterator[StartDaemon]:
    """`start_daemon(settings)` starts a bridge and waits until it is ready; all of them are killed when the test ends."""
    with ExitStack() as stack:
        yield lambda settings: stack.enter_context(running_daemon(settings))


@pytest.fixture(scope="session")
def embedded_endpoint() -> Iterator[str]:
    """An embedded Kinesis for tests that are about Kafka."""
    with running_embedded_kinesis("secure-kinesis") as server:
        yield server.endpoint_url


@pytest.fixture
def scenario(secure_kafka: tuple[RunningKafka, KafkaSecurity], embedded_endpoint: str, tmp_path: Path) -> Scenario:
    """A Kafka with a listener for every way in, and the files for them, fresh."""
    found = Scenario(*secure_kafka, embedded_endpoint, tmp_path)
    found.write_files()
    return found
