"""A request's body is whole on the wire before its deadline, or never."""

from collections.abc import Callable
from typing import Any

import pytest
from aiohttp.abc import AbstractStreamWriter

from bridge.adapters.kinesis.bounded_body import BoundedBody


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def wall_ms(self) -> float:
        raise AssertionError("a deadline is no time of the day")


class Transport:
    """A connection; what is still in the process when it is aborted is gone."""

    def __init__(self) -> None:
        self.high: int | None = None
        self.is_aborted = False

    def set_write_buffer_limits(self, high: int) -> None:
        self.high = high

    def abort(self) -> None:
        self.is_aborted = True


class Writer(AbstractStreamWriter):
    """Of aiohttp. `on_drain` happens while what was written goes to the system."""

    def __init__(self, on_drain: Callable[[], None] = lambda: None) -> None:
        self.connection = Transport()
        self.written = bytearray()
        self._on_drain = on_drain

    @property
    def transport(self) -> Any:
        return self.connection

    async def write(self, chunk: bytes | bytearray | memoryview) -> None:
        self.written += chunk

    async def drain(self) -> None:
        self._on_drain()

    async def write_eof(self, chunk: bytes = b"") -> None:
        raise AssertionError("not the body's to end")

    def enable_compression(self, encoding: str = "deflate", strategy: int | None = None) -> None:
        raise AssertionError("not compressed")

    def enable_chunking(self) -> None:
        raise AssertionError("its length is known")

    async def write_headers(self, status_line: str, headers: Any) -> None:
        raise AssertionError("not the body's")


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_a_body_in_time_is_written_whole(clock: Clock):
    body, writer = BoundedBody(b"abcdef", "text/plain", 100.0, clock), Writer()
    await body.write_with_length(writer, 6)
    assert writer.written == b"abcdef"
    assert not body.is_late
    assert (body.size, body.content_type) == (6, "text/plain")
    assert writer.connection.high == 0, "so that `drain` waits for all of it"


async def test_a_process_that_is_frozen_in_between_does_not_send_the_rest(clock: Clock):
    def frozen() -> None:
        clock.now = 100.1

    body, writer = BoundedBody(b"abcdef", "text/plain", 100.0, clock), Writer(frozen)
    with pytest.raises(ConnectionAbortedError):
        await body.write_with_length(writer, 6)
    assert writer.written == b"abcde", "a server does nothing with a body that is shorter than it was told"
    assert body.is_late


async def test_what_is_still_in_the_process_goes_with_the_connection(clock: Clock):
    body, writer = BoundedBody(b"abcdef", "text/plain", 100.0, clock), Writer()
    body.abort()  # nothing was sent yet
    await body.write_with_length(writer, None)
    body.abort()
    assert writer.connection.is_aborted
