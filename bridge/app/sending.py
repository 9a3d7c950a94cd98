"""Sends the requests of one stream, as many side by side as there may be, while its partitions may be written."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from math import isinf
from typing import NamedTuple

from bridge.app.attempts import Attempts
from bridge.app.ledger import LedgerLine
from bridge.app.partition_line import PartitionLine
from bridge.app.service_time import ServiceTime
from bridge.core.delivery.ready_shards import NEVER
from bridge.core.delivery.requests import Request
from bridge.core.delivery.scheduler import Scheduler
from bridge.core.records import PutAnswer
from bridge.ports import Clock, ShardDirectory, Sink

LEASE_POLL_S = 0.05
"""How often a lease is looked at that allows no attempt now."""


class StreamPorts(NamedTuple):
    """What a stream asks of the outside world; a request may be on the wire for `request_timeout_s`."""

    sink: Sink
    directory: ShardDirectory
    clock: Clock
    time: ServiceTime
    request_timeout_s: float


class Answered(NamedTuple):
    """A request and its answer; `window` is when it may have been stored (Kinesis's clock, ms), `seconds` how long it took."""

    request: Request
    answer: PutAnswer
    window: tuple[float, float]
    seconds: float


class Sending:
    """`on_answer` decides what an answer means. `in_flight` bounds the requests of all streams together."""

    def __init__(
        self,
        stream: str,
        ports: StreamPorts,
        in_flight: asyncio.Semaphore,
        lines: Callable[[], Iterable[PartitionLine]],
        on_answer: Callable[[Answered], None],
    ) -> None:
        self._stream = stream
        self._sink, self._clock, self._time = ports.sink, ports.clock, ports.time
        self._in_flight = in_flight
        self._lines = lines
        self._on_answer = on_answer
        self.attempts = Attempts(ports.clock, ports.time, ports.request_timeout_s)
        self.wake = asyncio.Event()
        """Set when there may be something to send."""
        self.present = asyncio.Event()
        """Not set from the answer that there is no such stream to its next description."""
        self.ledger: LedgerLine | None = None

    @property
    def trouble(self) -> str | None:
        """Why no attempt may start, whatever is to be sent; None where it may."""
        told = not isinf(self._time.now().latest_ms)
        return None if told else "its answers do not tell the time (header Date), without which there are no leases"

    async def run(self, scheduler: Scheduler) -> None:
        """Works until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self.wake.clear()
                await self.present.wait()
                if self.ledger is not None:
                    await self.ledger.room()
                await self._in_flight.acquire()
                now = self._clock.monotonic()
                request = scheduler.next_request(now) if self.attempts.may_start(self._lines()) else now + LEASE_POLL_S
                if isinstance(request, Request):
                    tasks.create_task(self._send(request, self.attempts.begin(request)))
                    continue
                self._in_flight.release()
                with suppress(TimeoutError):
                    async with asyncio.timeout(None if request == NEVER else max(0.0005, request - self._clock.monotonic())):
                        await self.wake.wait()

    async def _send(self, request: Request, deadline: float) -> None:
        started = self._clock.monotonic()
        try:
            answer = await self._sink.put(self._stream, request, deadline)
        finally:
            self._in_flight.release()
        window = self.attempts.end(request, answer, started)
        self._on_answer(Answered(request, answer, window, self._clock.monotonic() - started))
        self.wake.set()
