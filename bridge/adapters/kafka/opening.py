"""A source that is still to be opened: it says what keeps it from opening, and goes on trying."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress

from bridge.core.delivery.commit_metadata import CommitPoint
from bridge.core.errors import UnavailableError
from bridge.core.records import Partition
from bridge.ports import AssignedPartition, Source, SourceEvent, SourceTrouble

RETRY_S = 2.0
TROUBLE = "security"
"""Code of what keeps a client from being made: a file, a property, or credentials."""


class OpeningSource:
    """`Source` over one that is opened when events are first asked for."""

    def __init__(self, open_source: Callable[[], Awaitable[Source]]) -> None:
        """`open_source` raises UnavailableError."""
        self._open = open_source
        self._source: Source | None = None
        self._failed = False
        self._closing = asyncio.Event()

    async def events(self) -> Sequence[SourceEvent]:
        """See `Source`."""
        if self._source is None:
            if self._failed:
                with suppress(TimeoutError):
                    async with asyncio.timeout(RETRY_S):
                        await self._closing.wait()
            if self._closing.is_set():
                return []
            try:
                self._source = await self._open()
            except UnavailableError as error:
                self._failed = True
                return [SourceTrouble(TROUBLE, str(error))]
            if self._closing.is_set():
                await self._source.close()
        return await self._source.events()

    def pause(self, partitions: Collection[Partition]) -> None:
        """See `Source`."""
        if self._source is not None:
            self._source.pause(partitions)

    def resume(self, partitions: Collection[Partition]) -> None:
        """See `Source`."""
        if self._source is not None:
            self._source.resume(partitions)

    def again(self, assigned: AssignedPartition) -> None:
        """See `Source`."""
        if self._source is not None:
            self._source.again(assigned)

    async def commit(self, points: Mapping[Partition, CommitPoint]) -> Mapping[Partition, str]:
        """See `Source`. Nothing is assigned before it is open."""
        return {} if self._source is None else await self._source.commit(points)

    async def close(self) -> None:
        """See `Source`."""
        self._closing.set()
        if self._source is not None:
            await self._source.close()
