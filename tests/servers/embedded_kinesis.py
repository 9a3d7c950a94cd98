"""The embedded Kinesis as a process of its own, with limits unless told otherwise."""

import contextlib
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import orjson

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

    def control(self, method: str, path: str, document: object = None) -> tuple[int, Any]:
        """One call of the control endpoint over http: its status and its JSON, None for an empty answer."""
        connection = HTTPConnection(urlsplit(self.endpoint_url).netloc, timeout=READY_SECONDS)
        try:
            connection.request(method, path, None if document is None else orjson.dumps(document))
            answer = connection.getresponse()
            body = answer.read()
            return answer.status, orjson.loads(body) if body else None
        finally:
            connection.close()

    def statistics(self) -> dict[str, Any]:
        """The document of GET /_control/statistics."""
        status, document = self.control("GET", "/_control/statistics")
        assert status == 200
        return dict(document)

    def inject(self, *faults: dict[str, Any], seed: int = 0) -> dict[str, Any]:
        """Puts these faults in place of those before; the state that the server answers."""
        status, document = self.control("PUT", "/_control/faults", {"seed": seed, "faults": list(faults)})
        assert status == 200, document
        return dict(document)

    def faults(self) -> dict[str, Any]:
        """The document of GET /_control/faults."""
        status, document = self.control("GET", "/_control/faults")
        assert status == 200
        return dict(document)


@contextlib.contextmanager
def running_embedded_kinesis(name: str = "embedded-kinesis", *options: str) -> Iterator[RunningEmbeddedKinesis]:
    """`options` are those of the command line."""
    server = RunningEmbeddedKinesis(name, *options)
    try:
        yield server
    finally:
        server.process.stop()
