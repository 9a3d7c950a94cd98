"""`bridge health`: whether the daemon of this configuration lives, or is ready. For containers: no shell, no other program."""

import json
import socket
import time
from ipaddress import ip_address
from typing import Annotated

import typer

from bridge.app.settings import MetricsSettings, SettingsError, load_settings
from bridge.cli.options import ConfigFile, ExitStatus, problems_text

TIMEOUT_S = 5.0
"""For all of it: connection, question and answer."""
ANSWER_BYTES_MAX = 1024 * 1024
OK = 200

ReadyOption = Annotated[bool, typer.Option("--ready", help="Asks /readyz instead of /livez.")]


def health(config: ConfigFile, ready: ReadyOption = False) -> None:
    """Asks the daemon on this machine that runs with this configuration whether it lives, at its metrics port.

    Exit status 0: it does; 1: it answers otherwise (with --ready: it says why); 5: it does not answer within seconds.
    """
    try:
        # Not more than the settings are looked at: this is started every few seconds.
        metrics = load_settings(config).metrics
    except SettingsError as error:
        typer.echo(problems_text(config, error.problems), err=True)
        raise typer.Exit(ExitStatus.CONFIGURATION) from None
    if metrics.port == 0:
        typer.echo("metrics.port 0: the daemon's port is not known; write a port of your choice", err=True)
        raise typer.Exit(ExitStatus.CONFIGURATION)
    host = local_address(metrics)
    try:
        status, body = _get(host, metrics.port, "/readyz" if ready else "/livez")
    except OSError as error:
        typer.echo(f"{host}:{metrics.port} does not answer: {error}", err=True)
        raise typer.Exit(ExitStatus.NOT_REACHABLE) from None
    if status != OK:
        typer.echo(f"{'not ready' if ready else 'not live'}: {_reason(status, body)}", err=True)
        raise typer.Exit(ExitStatus.FAILED)
    typer.echo("ready" if ready else "live")


def local_address(metrics: MetricsSettings) -> str:
    """Where the daemon listens, seen from beside it: "all interfaces" is no address to connect to."""
    try:
        address = ip_address(metrics.host)
    except ValueError:
        return metrics.host
    return ("127.0.0.1" if address.version == 4 else "::1") if address.is_unspecified else metrics.host


def _get(host: str, port: int, path: str) -> tuple[int, bytes]:
    """HTTP status and body. HTTP/1.0, so that the end of the connection is the end of the answer (RFC 1945, 7.2.2)."""
    deadline = time.monotonic() + TIMEOUT_S
    answer = b""
    with socket.create_connection((host, port), TIMEOUT_S) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        while len(answer) < ANSWER_BYTES_MAX:
            if (left_s := deadline - time.monotonic()) <= 0:
                raise TimeoutError(f"no whole answer within {TIMEOUT_S:g} s")
            connection.settimeout(left_s)
            if not (chunk := connection.recv(65536)):
                break
            answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    version, _, rest = head.partition(b" ")
    if not version.startswith(b"HTTP/") or not rest[:3].isdigit():
        raise ConnectionError("what it answers is not HTTP")
    return int(rest[:3]), body


def _reason(status: int, body: bytes) -> str:
    """The daemon's own words on one line; the HTTP status where another program listens there."""
    try:
        problems = json.loads(body)["problems"]
    except (ValueError, KeyError, TypeError):
        return f"HTTP status {status}"
    return "; ".join(str(problem).replace("\n", " ") for problem in problems)
