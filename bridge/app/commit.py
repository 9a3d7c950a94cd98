"""Commits to Kafka what Kinesis has confirmed."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from bridge.app.ledger import LedgerLine
from bridge.app.partition_line import PartitionLine, Phase
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
        ledger: LedgerLine,
        interval_s: float,
        telemetry: Telemetry,
        on_trouble: Callable[[SourceTrouble], None],
    ) -> None:
        """`source` is that of now, if there is one; `lines` are the partitions that are ours now."""
        self._source = source
        self._lines = lines
        self._ledger = ledger
        self._interval_s = interval_s
        self._telemetry = telemetry
        self._on_trouble = on_trouble
        self.on_open: Callable[[PartitionLine], None] = lambda line: None
        """Attempts may be started for this partition from now on."""
        self._wake = asyncio.Event()
        self._under_way = asyncio.Lock()

    async def run(self) -> None:
        """Works until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s):
                    await self._wake.wait()
            self._wake.clear()
            # While partitions drain, the consumer's thread waits for that; it commits them itself before they leave.
            if not any(line.draining for line in self._lines.values()):
                await self._commit()

    def wake(self) -> None:
        """A partition waits to be opened: the next commit is made at once."""
        self._wake.set()

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
                return await commit_what_moved(source, self._lines, self._ledger, self._telemetry, self.on_open)
            except UnavailableError as error:
                self._on_trouble(SourceTrouble("commit", str(error)))
                return False


async def commit_what_moved(
    source: Source,
    lines: Mapping[Partition, PartitionLine],
    ledger: LedgerLine,
    telemetry: Telemetry,
    on_open: Callable[[PartitionLine], None] = lambda line: None,
) -> bool:
    """Commits each partition whose committable offset or state changed since its last confirmed commit, once the ledger has
    everything that this says. `on_open` hears of those that say `open` now, and did not before.

    Returns whether Kafka has taken all of it; what it refused is tried again with the next commit. Raises
    UnavailableError without an answer in time.
    """
    now = asyncio.get_running_loop().time()
    for line in lines.values():
        line.rest(now)
    opening = [line for line in lines.values() if line.phase is Phase.OPENING]
    points_now = ((line, line.commit_point()) for line in lines.values())
    moved = {line: point for line, point in points_now if point != line.committed or line.phase is Phase.OPENING}
    await ledger.flush()  # also where nothing moved: whoever comes after us has to know what we have sent
    if not moved:
        return True
    # Meanwhile a partition may have left, or come back: then what was looked at is another assignment's.
    moved = {line: point for line, point in moved.items() if lines.get(line.partition) is line}
    points = {line.partition: point for line, point in moved.items()}
    for line, point in moved.items():
        line.committed = point  # a late answer to another may make it unknown meanwhile
    refused: Mapping[Partition, str] | None = None
    try:
        refused = await source.commit(points)
    finally:
        _unknown(line for line in moved if refused is None or line.partition in refused)
    for line in opening:
        if line.partition not in refused and lines.get(line.partition) is line and line.phase is Phase.OPENING:
            line.phase = Phase.OPEN
            on_open(line)
    if refused:
        partition, reason = next(iter(refused.items()))
        telemetry.log("warning", "commit_refused", partitions=len(refused), first=str(partition), problem=reason)
    return not refused


def _unknown(lines: Iterable[PartitionLine]) -> None:
    for line in lines:
        line.committed = None
