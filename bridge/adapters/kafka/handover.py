"""Between the consumer's thread and the event loop: events one way, bounded; the end of a drain the other way."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from bridge.adapters.kafka.threads import SystemThreads, Threads
from bridge.core.delivery.commit_metadata import CommitPoint
from bridge.core.records import Partition
from bridge.ports import SourceEvent

BATCH_BYTES = 256 * 1024
"""About so much each call of `put` hands over, where the records are as large as those before."""
PENDING_MAX = 4
"""Calls of `put` that were not taken yet."""
PENDING_BYTES_MAX = PENDING_MAX * BATCH_BYTES
"""What they may hold together before the thread waits: large records come unannounced."""


class Handover:
    """`put`, `wait_room` and `wait_for` belong to the thread, `take` and `end` to the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, threads: Threads | None = None) -> None:
        """`threads` are the machine's own by default."""
        self.loop = loop
        self.threads = threads or SystemThreads()
        self._pending: deque[tuple[Sequence[SourceEvent], int]] = deque()
        self._changed = asyncio.Event()
        self._room = self.threads.event()
        self._room.set()
        self._ended = False

    def put(self, events: Sequence[SourceEvent], size: int = 0) -> None:
        """Hands events over, in order, with records of so many bytes."""
        if not events:
            return  # nothing to take must not look like the end
        self._pending.append((events, size))
        if self._is_full():
            self._room.clear()
            if not self._is_full():  # taken in between
                self._room.set()
        self._call(self._changed.set)

    def wait_room(self, timeout_s: float) -> bool:
        """Whether the loop has caught up, waiting for it up to `timeout_s`."""
        return self._room.wait(timeout_s)

    def drain(self) -> "Drain":
        """A revocation to hand over, and to wait for."""
        return Drain(self.threads)

    def wait_for(self, drain: "Drain", timeout_s: float) -> Mapping[Partition, CommitPoint] | None:
        """What may be committed once the loop has drained; None when it has not in time."""
        return drain.points if drain.done.wait(timeout_s) else None

    async def take(self) -> list[SourceEvent]:
        """Everything handed over since the last call; waits for something; empty once ended."""
        while not self._pending and not self._ended:
            self._changed.clear()
            await self._changed.wait()
        events: list[SourceEvent] = []
        while self._pending:
            events += self._pending.popleft()[0]
        self._room.set()
        return events

    def end(self) -> None:
        """No more events will come."""
        self._ended = True
        self._call(self._changed.set)

    def _is_full(self) -> bool:
        pending = tuple(self._pending)
        return len(pending) >= PENDING_MAX or sum(size for _, size in pending) >= PENDING_BYTES_MAX

    def _call(self, callback: Callable[[], None]) -> None:
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(callback)


class Drain:
    """A revocation that waits for the event loop."""

    def __init__(self, threads: Threads) -> None:
        self.done = threads.event()
        self.points: Mapping[Partition, CommitPoint] = {}

    def complete(self, points: Mapping[Partition, CommitPoint]) -> None:
        """Called by the event loop."""
        self.points = points
        self.done.set()
