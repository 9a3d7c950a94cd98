"""Commits to Kafka what Kinesis has confirmed."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping

from bridge.app.partition_line import PartitionLine
from bridge.app.telemetry import Telemetry
from bridge.core.errors import UnavailableError
from bridge.core.records import Partition
from bridge.ports import Source, SourceTrouble

AT_LAST_MAX = 3
"""A commit may be refused in the middle of a rebalance; it is worth a few attempts before leaving."""


class Commits:
    """One commit after the other, each with all that moved since the one before."""

    def __init__(
        self,
        source: Callable[[], Source | None],
        lines: Mapping[Partition, PartitionLine],
        interval_s: float,
        telemetry: Telemetry,
        on_trouble: Callable[[SourceTrouble], None],
    ) -> None:
        """`source` is that of now, if there is one; `lines` are the partitions that are ours now."""
        self._source = source
        self._lines = lines
        self._interval_s = interval_s
        self._telemetry = telemetry
        self._on_trouble = on_trouble
        self._under_way = asyncio.Lock()

    async def run(self) -> None:
        """Works until cancelled."""
        while True:
            await asyncio.sleep(self._interval_s)
            # While partitions drain, the consumer's thread waits for that; it commits them itself before they leave.
            if not any(line.draining for line in self._lines.values()):
                await self._commit()

    async def at_last(self) -> bool:
        """Before leaving. Returns whether Kafka has taken everything."""
        for _ in range(AT_LAST_MAX):
            if await self._commit():
                return True
            await asyncio.sleep(self._interval_s)
        return False

    def late(self, partitions: Iterable[Partition]) -> None:
        """What these have committed is not known any more: the next commit tells it again."""
        _unknown(self._lines[partition] for partition in partitions if partition in self._lines)

    async def _commit(self) -> bool:
        async with self._under_way:
            if (source := self._source()) is None:
                return True
            try:
                return await commit_what_moved(source, list(self._lines.values()), self._telemetry)
            except UnavailableError as error:
                self._on_trouble(SourceTrouble("commit", str(error)))
                return False


async def commit_what_moved(source: Source, lines: Collection[PartitionLine], telemetry: Telemetry) -> bool:
    """Commits each partition whose committable offset or state changed since its last confirmed commit.

    Returns whether Kafka has taken all of it; what it refused is tried again with the next commit. Raises
    UnavailableError without an answer in time.
    """
    by_partition = {line.partition: line for line in lines}
    points = {partition: point for partition, line in by_partition.items() if (point := line.commit_point()) != line.committed}
    if not points:
        return True
    for partition, point in points.items():
        by_partition[partition].committed = point  # a late answer to another may make it unknown meanwhile
    refused: Mapping[Partition, str] | None = None
    try:
        refused = await source.commit(points)
    finally:
        _unknown(by_partition[partition] for partition in (points if refused is None else refused))
    if refused:
        partition, reason = next(iter(refused.items()))
        telemetry.log("warning", "commit_refused", partitions=len(refused), first=str(partition), problem=reason)
    return not refused


def _unknown(lines: Iterable[PartitionLine]) -> None:
    for line in lines:
        line.committed = None
