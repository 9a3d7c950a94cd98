"""The embedded Kinesis as a process of its own, with limits unless told otherwise."""

import contextlib
import sys
from collections.abc import Iterator

from tests.servers.process import SupervisedProcess

READY_SECONDS = 30.0


class RunningEmbeddedKinesis:
    """`endpoint_url` is what the process printed once it could be used."""

    def __init__(self, name: str, *options: str) -> None:
        self.process = SupervisedProcess(name, [sys.executable, "-m", "bridge.embedded.kinesis_server", *options])
        try:
            self.process.wait_ready(lambda: "\n" in self.process.log_text(), READY_SECONDS)
        except BaseException:
            self.process.stop()
            raise
        self.endpoint_url = self.process.log_text().splitlines()[0]


@contextlib.contextmanager
def running_embedded_kinesis(name: str = "embedded-kinesis", *options: str) -> Iterator[RunningEmbeddedKinesis]:
    """`options` are those of the command line."""
    server = RunningEmbeddedKinesis(name, *options)
    try:
        yield server
    finally:
        server.process.stop()
