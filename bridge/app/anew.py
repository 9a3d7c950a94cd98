"""A partition begins anew within its assignment: it drains, commits, and is read again from there, as if it had come back.

So the next line of it goes by what is committed, as a new owner does, and not by what this process remembers.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping

from bridge.app.commit import Commits
from bridge.app.consumption import Consumption
from bridge.app.drain import drain
from bridge.app.partition_line import PartitionLine
from bridge.app.stream_line import StreamLine
from bridge.core.delivery.commit_metadata import decode
from bridge.core.records import Partition
from bridge.ports import AssignedPartition

RETRY_S = 1.0


class Anew:
    """Works for one partition at a time or for many; each ends when it is committed, or when the partition has left."""

    def __init__(
        self,
        consumption: Consumption,
        lines: Mapping[Partition, PartitionLine],
        streams: Mapping[str, StreamLine],
        commits: Commits,
        progress: asyncio.Event,
        drain_timeout_s: float,
    ) -> None:
        """`lines` and `streams` are those of now; `progress` is set with every answer."""
        self._consumption = consumption
        self._lines = lines
        self._streams = streams
        self._commits = commits
        self._progress = progress
        self._drain_timeout_s = drain_timeout_s
        self.task: Callable[[Coroutine[None, None, None]], object] = lambda work: work.close()
        self.on_end: Callable[[PartitionLine], None] = lambda line: None
        """The line has done what it had to."""

    def begin(self, line: PartitionLine) -> None:
        """Takes nothing more of it from now on."""
        line.draining = line.comes_back = True
        self.task(self._work(line))

    async def _work(self, line: PartitionLine) -> None:
        while self._is_ours(line):
            drained = await drain([line], self._streams, self._progress, self._drain_timeout_s)
            if drained and self._is_ours(line) and await self._commits.commit() and _is_committed(line):
                break
            await asyncio.sleep(RETRY_S)
        if (source := self._consumption.source) is None or (point := line.committed) is None or not self._is_ours(line):
            return
        self.on_end(line)
        source.again(AssignedPartition(line.partition, point.offset, point.metadata, line.slices, line.topic_id))

    def _is_ours(self, line: PartitionLine) -> bool:
        return self._lines.get(line.partition) is line


def _is_committed(line: PartitionLine) -> bool:
    """Whether Kafka has confirmed how far the line has got, and whether something above that may be in Kinesis."""
    if line.committed is None or line.committed.offset != line.committable():
        return False
    ownership = decode(line.committed.metadata).ownership
    return ownership is not None and ownership.is_open == line.is_open()
