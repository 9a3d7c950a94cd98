"""The sink and the shard directory as the daemon opens them, requests for them, and a server that answers as told."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from bridge.app.settings import Settings, parse_settings
from bridge.core.delivery.lanes import MappedBatch, PartitionLanes
from bridge.core.delivery.requests import Request
from bridge.core.records import Partition
from tests.servers.kinesis import ACCESS_KEY, REGION, SECRET_KEY

BATCH = MappedBatch(PartitionLanes(Partition("orders", 0), 0.0), 0, [], [], [], [], [], None, [], [])


def request_of(*records: tuple[str, bytes] | tuple[str, bytes, str]) -> Request:
    """A request of (partition key, data) or (partition key, data, explicit hash key)."""
    request = Request()
    for i, (key, data, *explicit) in enumerate(records):
        size = len(key.encode()) + len(data)
        request.rows.append((BATCH, i, data, key, explicit[0] if explicit else None, size, 0, key, 0))
        request.size += size
    return request


def settings_for(endpoint_url: str, request_timeout: str = "5s") -> Settings:
    kinesis = {"region": REGION, "endpoint_url": endpoint_url, "request_timeout": request_timeout}
    routes = [{"topic": "orders", "stream": "orders"}]
    return parse_settings(
        {"name": "contract", "routes": routes, "kafka": {"bootstrap_servers": "127.0.0.1:9"}, "kinesis": kinesis}
    )


def use_credentials(monkeypatch: pytest.MonkeyPatch, *, present: bool = True) -> None:
    """What botocore's own chain finds: these, or nothing."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent/config")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/credentials")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("BOTO_CONFIG", "/nonexistent/boto")
    for name, value in (("AWS_ACCESS_KEY_ID", ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", SECRET_KEY)):
        if present:
            monkeypatch.setenv(name, value)
        else:
            monkeypatch.delenv(name, raising=False)


class RawServer:
    """An HTTP server of a few lines: takes whole requests, keeps their heads and bodies, does with each what it is told."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self.answer: Callable[[asyncio.StreamWriter], Awaitable[None]] = hang
        self.url = ""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in head.split("\r\n"))}
                self.bodies.append(await reader.readexactly(int(fields.get("content-length", 0))))
                self.heads.append(head)
                await self.answer(writer)
                if writer.is_closing():
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return  # the client has gone
        finally:
            writer.close()


async def hang(writer: asyncio.StreamWriter) -> None:
    """Never answers."""
    await asyncio.Event().wait()


async def close(writer: asyncio.StreamWriter) -> None:
    """Closes the connection after the request was read."""
    writer.close()


def respond(
    status: int, body: bytes, *, length: int | None = None, more: str = ""
) -> Callable[[asyncio.StreamWriter], Awaitable[None]]:
    """Answers; a `length` above the body's ends the connection in the middle of it."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        size = len(body) if length is None else length
        writer.write(f"HTTP/1.1 {status} Told\r\nContent-Length: {size}\r\n{more}\r\n".encode() + body)
        await writer.drain()
        if length is not None:
            writer.close()

    return answer


@asynccontextmanager
async def raw_server() -> AsyncIterator[RawServer]:
    """Serves on loopback until the end of the block."""
    told = RawServer()
    connections: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        await told.handle(reader, writer)

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    told.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield told
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
