"""Endpoints that speak the Kinesis API, for suites that are to hold on each of them."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any, NamedTuple

import pytest

from bridge.embedded.kinesis_model import KinesisModel
from bridge.embedded.kinesis_server import serve_kinesis
from tests.servers.fixtures import unique
from tests.servers.kinesis import create_stream, kinesis_client

ENDPOINTS = ("embedded", pytest.param("kinesalite", marks=pytest.mark.real))
TRANSITION_SECONDS = 0.02


class KinesisEndpoint(NamedTuple):
    """Where a suite runs: `client` is a plain botocore client that does not check what it sends."""

    kind: str
    url: str
    client: Any


@pytest.fixture(scope="session")
def embedded_kinesis() -> Iterator[str]:
    """URL of an embedded Kinesis without shard limits, served from a thread, so that synchronous clients can call it."""
    started: Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        stop = asyncio.Event()
        model = KinesisModel(enforce_limits=False, transition_s=TRANSITION_SECONDS)
        async with serve_kinesis(model) as url:
            started.set_result((url, asyncio.get_running_loop(), stop))
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="embedded-kinesis")
    thread.start()
    url, loop, stop = started.result(timeout=10)
    yield url
    loop.call_soon_threadsafe(stop.set)
    thread.join(timeout=10)


@pytest.fixture(scope="session", params=ENDPOINTS)
def kinesis_endpoint(request: pytest.FixtureRequest) -> KinesisEndpoint:
    if request.param == "embedded":
        url = request.getfixturevalue("embedded_kinesis")
    else:
        url = request.getfixturevalue("kinesalite").endpoint_url
    return KinesisEndpoint(request.param, url, kinesis_client(url))


@pytest.fixture
def client(kinesis_endpoint: KinesisEndpoint) -> Any:
    return kinesis_endpoint.client


@pytest.fixture
def stream(client: Any) -> str:
    """A stream of two shards."""
    name = unique("calls")
    create_stream(client, name, shards=2)
    return name


@pytest.fixture
def differs(request: pytest.FixtureRequest, kinesis_endpoint: KinesisEndpoint) -> bool:
    """True on the endpoint of which this test's module says that it gives another answer."""
    assert request.function.__name__ in request.module.DIFFERENCES
    return kinesis_endpoint.kind == "kinesalite"
