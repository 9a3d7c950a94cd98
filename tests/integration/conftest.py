"""Fixtures of the integration tests; the servers come from `tests/servers`."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.integration.daemon import Daemon, running_daemon

StartDaemon = Callable[[dict[str, Any]], Daemon]
Figure = Callable[[object], None]
"""Shows what a test measured at the end of the run."""


@pytest.fixture
def start_daemon() -> Iterator[StartDaemon]:
    """`start_daemon(settings)` starts a bridge and waits until it is ready; all of them are killed when the test ends."""
    with ExitStack() as stack:
        yield lambda settings: stack.enter_context(running_daemon(settings))
