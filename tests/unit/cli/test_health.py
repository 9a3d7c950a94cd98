"""`bridge health`: what it says of a daemon that lives, is not ready, hangs, is not there, or is something else."""

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bridge.app.settings import MetricsSettings
from bridge.cli import app, health
from bridge.cli.health import local_address

LIVE = b'HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{"live": true}'
READY = b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"ready": true, "problems": [], "halted": []}'
NOT_READY = b'HTTP/1.0 503 Service Unavailable\r\n\r\n{"ready": false, "problems": ["kafka: gone", "stream a:\\nmissing"]}'

Serve = Callable[[socket.socket], None]


@contextmanager
def server(answer: bytes | Serve, asked: list[bytes] | None = None) -> Iterator[int]:
    """One connection on loopback: the request is read, the answer sent, or the function given the connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(20.0)

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            request = connection.recv(4096)
            if not request:  # nobody asked
                return
            if asked is not None:
                asked.append(request)
            if isinstance(answer, bytes):
                connection.sendall(answer)
            else:
                answer(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        socket.create_connection(listener.getsockname(), 5.0).close()
        thread.join(30.0)
        listener.close()


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., Result]:
    def run(port: int, *options: str) -> Result:
        file = tmp_path / "bridge.yaml"
        file.write_text(
            f"{{name: a, kafka: {{bootstrap_servers: b1}}, kinesis: {{region: eu-central-1}}, routes: [{{topic: a, stream: a}}], "
            f"metrics: {{port: {port}}}}}"
        )
        return CliRunner(env={"BRIDGE_CONFIG": str(file)}).invoke(app, ["health", *options])

    return run


def outcome(result: Result) -> tuple[int, str]:
    """Exit status and the one line."""
    assert result.output.count("\n") == 1, result.output
    return result.exit_code, result.output.rstrip("\n")


def test_a_daemon_that_lives(ask: Callable[..., Result]) -> None:
    asked: list[bytes] = []
    with server(LIVE, asked) as port:
        assert outcome(ask(port)) == (0, "live")
    assert asked[0].startswith(b"GET /livez HTTP/")


def test_a_daemon_that_is_ready(ask: Callable[..., Result]) -> None:
    asked: list[bytes] = []
    with server(READY, asked) as port:
        assert outcome(ask(port, "--ready")) == (0, "ready")
    assert asked[0].startswith(b"GET /readyz HTTP/")


def test_a_daemon_that_is_not_ready_says_why_on_one_line(ask: Callable[..., Result]) -> None:
    with server(NOT_READY) as port:
        assert outcome(ask(port, "--ready")) == (1, "not ready: kafka: gone; stream a: missing")


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n<html>", 1, "not live: HTTP status 404"),
        (b"HTTP/1.1 500 Oh\r\n\r\n[]", 1, "not live: HTTP status 500"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", 5, "127.0.0.1:{port} does not answer: what it answers is not HTTP"),
        (b"", 5, "127.0.0.1:{port} does not answer: what it answers is not HTTP"),
    ],
)
def test_something_else_at_its_port(ask: Callable[..., Result], answer: bytes, status: int, said: str) -> None:
    with server(answer) as port:
        assert outcome(ask(port)) == (status, said.format(port=port))


def test_nothing_at_its_port(ask: Callable[..., Result]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    status, said = outcome(ask(port))
    assert (status, said.partition(": ")[0]) == (5, f"127.0.0.1:{port} does not answer")


def test_a_daemon_that_hangs_is_given_up(ask: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "TIMEOUT_S", 0.2)
    given_up = threading.Event()

    def hang(_: socket.socket) -> None:
        given_up.wait(20.0)

    with server(hang) as port:
        status, said = outcome(ask(port))
        given_up.set()
    assert (status, said) == (5, f"127.0.0.1:{port} does not answer: timed out")


def test_an_answer_that_never_ends_is_given_up(ask: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time; all of it does not."""
    monkeypatch.setattr(health, "TIMEOUT_S", 0.3)
    given_up = threading.Event()

    def dribble(connection: socket.socket) -> None:
        while not given_up.wait(0.02):
            try:
                connection.send(b"x")
            except OSError:
                return

    with server(dribble) as port:
        status, said = outcome(ask(port))
        given_up.set()
    assert status == 5
    assert said.startswith(f"127.0.0.1:{port} does not answer: ")


def test_an_answer_without_end_takes_no_memory(ask: Callable[..., Result]) -> None:
    def flood(connection: socket.socket) -> None:
        try:
            while True:
                connection.sendall(b"x" * 65536)
        except OSError:
            return

    with server(flood) as port:
        assert outcome(ask(port))[0] == 5


def test_a_port_that_only_the_daemon_knows(ask: Callable[..., Result]) -> None:
    status, said = outcome(ask(0))
    assert status == 2
    assert said.startswith("metrics.port 0: ")


def test_a_configuration_with_problems(tmp_path: Path) -> None:
    file = tmp_path / "bridge.yaml"
    file.write_text("name: a")
    result = CliRunner().invoke(app, ["health", "--config", str(file)])
    assert result.exit_code == 2
    assert "kinesis" in result.stderr


@pytest.mark.parametrize(
    ("host", "asked"),
    [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("10.1.2.3", "10.1.2.3"), ("::1", "::1"), ("localhost", "localhost")],
)
def test_where_it_asks(host: str, asked: str) -> None:
    assert local_address(MetricsSettings(host=host)) == asked


def test_it_loads_no_client_library() -> None:
    """It is started every few seconds beside the daemon: its import is most of its work."""
    heavy = (
        "aiobotocore",
        "aiohttp",
        "botocore",
        "confluent_kafka",
        "uvloop",
        "structlog",
        "bridge.bootstrap",
        "bridge.bootstrap_jobs",
        "bridge.adapters",
    )
    script = f"import sys, bridge.__main__; print(*(name for name in {heavy!r} if name in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert loaded == [], "import what loads them inside the function of the command that needs it"
