"""The Kinesis model behind HTTP, so that unmodified AWS clients can use it.

Protocol: AWS JSON 1.1, as in the Kinesis Data Streams API reference; no CBOR, no SubscribeToShard. Signatures are not
verified, but a request must carry one. As a process: `python -m bridge.embedded.kinesis_server --port 4567`, over TLS with
`--certificate FILE --key FILE`.
"""

import argparse
import asyncio
import gc
import re
import signal
import ssl
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate
from math import inf
from pathlib import Path
from uuid import uuid4

import uvloop
from aiohttp import web

from bridge.core.quotas import REQUEST_BYTES_MAX
from bridge.embedded.call_timeline import Reply, error_reply, perform
from bridge.embedded.calls import read_call
from bridge.embedded.control_endpoint import control_routes
from bridge.embedded.kinesis_errors import (
    KinesisError,
    MissingAuthenticationTokenException,
    RequestEntityTooLargeException,
    UnknownOperationException,
)
from bridge.embedded.kinesis_model import KinesisModel
from bridge.embedded.traffic import Traffic

TARGET_PREFIX = "Kinesis_20131202."
CONTENT_TYPE = "application/x-amz-json-1.1"
BODY_BYTES_MAX = 2 * REQUEST_BYTES_MAX
"""A full request is 4/3 as large in base64, plus JSON around 500 records."""

_LATENCY_PARTS = 2
_GONE_POLL_S = 0.05
_CREDENTIAL = re.compile(r"Credential=([^/,\s]{1,128})")


@asynccontextmanager
async def serve_kinesis(
    model: KinesisModel,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    clock: Callable[[], float] = time.time,
    latency: float = 0.0,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[str]:
    """Serves the model until the block ends; yields the endpoint URL. `latency` is in seconds per call, `clock` gives
    seconds since the epoch and is also what the Date header tells. Raises OSError when the port is taken."""
    app = web.Application(client_max_size=BODY_BYTES_MAX)
    app.router.add_routes(control_routes(model, clock))
    stopping = asyncio.Event()
    app.router.add_route("*", "/{path:.*}", _handler(model, clock, latency, stopping))
    model.traffic = Traffic(clock())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, ssl_context=tls)
        await site.start()
        yield f"{'http' if tls is None else 'https'}://{host}:{runner.addresses[0][1]}"
    finally:
        stopping.set()
        await runner.cleanup()


class _StoppingError(Exception):
    """The server stops: what still waits is given up."""


class _HttpConnection:
    """Where a request came from. Raises _StoppingError from its waits when the server stops."""

    def __init__(self, request: web.Request, stopping: asyncio.Event) -> None:
        self._request = request
        self._stopping = stopping

    async def pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return
        raise _StoppingError

    async def hang(self) -> None:
        while not self._is_gone():
            await self.pause(_GONE_POLL_S)

    def close(self) -> None:
        if self._request.transport is not None:
            self._request.transport.abort()

    def _is_gone(self) -> bool:
        return self._request.transport is None or self._request.transport.is_closing()


def _handler(
    model: KinesisModel, clock: Callable[[], float], latency: float, stopping: asyncio.Event
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        if latency:
            await asyncio.sleep(latency / _LATENCY_PARTS)
        connection = _HttpConnection(request, stopping)
        reply: Reply | None
        try:
            call = read_call(_operation(request), await _body(request), _client(request))
            reply = await perform(model, call, clock, connection)
        except KinesisError as error:
            reply = error_reply(model, error)
        except _StoppingError:
            reply = None
        if reply is None:
            connection.close()
            return web.Response()  # goes nowhere
        if latency:
            await asyncio.sleep(latency / _LATENCY_PARTS)
        headers = {
            "Content-Type": CONTENT_TYPE,
            "x-amzn-RequestId": str(uuid4()),
            "Date": formatdate(clock(), usegmt=True),
        }
        return web.Response(body=reply.content, status=reply.status, headers=headers)

    return handle


def _operation(request: web.Request) -> str:
    target = request.headers.get("X-Amz-Target", "")
    if request.method != "POST" or not target.startswith(TARGET_PREFIX):
        raise UnknownOperationException("The request names no operation of this service.")
    if request.content_type != CONTENT_TYPE:
        raise UnknownOperationException(f"Only {CONTENT_TYPE} is understood.")
    if "Authorization" not in request.headers and "X-Amz-Signature" not in request.query:
        raise MissingAuthenticationTokenException("Missing Authentication Token")
    return target.removeprefix(TARGET_PREFIX)


def _client(request: web.Request) -> str:
    """The access key id of the signature; empty when it has none."""
    credential = _CREDENTIAL.search(request.headers.get("Authorization", ""))
    if credential is not None:
        return credential[1]
    return request.query.get("X-Amz-Credential", "").partition("/")[0]


async def _body(request: web.Request) -> bytes:
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise RequestEntityTooLargeException(f"Request size exceeds {BODY_BYTES_MAX} bytes.") from None


async def _serve_until_stopped(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    model = KinesisModel(enforce_limits=not options.no_limits, transition_s=options.transition, kept_s=options.keep)
    async with serve_kinesis(model, options.host, options.port, latency=options.latency, tls=options.tls) as url:
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        if options.ready_file is not None:
            options.ready_file.write_text(f"{url}\n")
        await stop.wait()


def _tls(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """None without a certificate. Raises ValueError, which names the option and what to do."""
    if certificate is None:
        if key is not None:
            raise ValueError(f"--key {key}: give its certificate with --certificate")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key)
    except OSError as error:  # ssl.SSLError is one
        files = f"--certificate {certificate}" + (f" --key {key}" if key is not None else "")
        raise ValueError(f"{files}: {error}; both must be PEM files that belong together") from None
    return context


def main() -> None:
    """Runs the server until SIGTERM or SIGINT; prints its address once it can be used."""
    parser = argparse.ArgumentParser(prog="kinesis_server", description="Kinesis Data Streams in memory, over HTTP")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--no-limits", action="store_true", help="no shard rate limits, no account quotas")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds added to each call")
    parser.add_argument("--transition", type=float, default=0.0, help="seconds that creating, resharding, deleting take")
    parser.add_argument("--keep", type=float, default=inf, help="seconds after which records are gone, whatever the retention is")
    parser.add_argument("--ready-file", type=Path, help="gets the address once it can be used")
    parser.add_argument("--certificate", type=Path, help="PEM file with the server's certificate chain: serves https")
    parser.add_argument("--key", type=Path, help="PEM file with its private key, unless the certificate's file has it")
    options = parser.parse_args()
    try:
        options.tls = _tls(options.certificate, options.key)
    except ValueError as error:
        parser.error(str(error))
    # What was loaded until now stays: looking through it again and again would cost a tenth of the throughput.
    gc.collect()
    gc.freeze()
    uvloop.run(_serve_until_stopped(options))


if __name__ == "__main__":
    main()
