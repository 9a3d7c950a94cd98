"""Commits to Kafka what Kinesis has confirmed."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from bridge.app.ledger import LedgerLine
from bridge.app.owners import Renewal
from bridge.app.partition_line import PartitionLine, Phase
from bridge.app.telemetry import Telemetry
from bridge.core.delivery.lease import Lease
from bridge.core.delivery.service_clock import UNKNOWN, Interval
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
    ) -> None:
        """`source` is that of now, if there is one; `lines` are the partitions that are ours now."""
        self._source = source
        self._lines = lines
        self._ledger = ledger
        self._interval_s = interval_s
        self._telemetry = telemetry
        self.on_trouble: Callable[[SourceTrouble], None] = lambda trouble: None
        self.watermark_ms: Callable[[str], int] = lambda stream: 0
        """Of a stream: see `Renewal`."""
        self.service_now: Callable[[], Interval] = lambda: UNKNOWN
        self.on_open: Callable[[PartitionLine], None] = lambda line: None
        """More may be offered of this partition from now on."""
        self._wake = asyncio.Event()
        self._under_way = asyncio.Lock()
        self._unanswered = Counter[Partition]()
        self._unanswered_by: Source | None = None

    async def run(self) -> None:
        """Works until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s):
                    await self._wake.wait()
            self._wake.clear()
            # While partitions drain, the consumer's thread waits for that; it commits them itself before they leave.
            if not any(line.draining and not line.comes_back for line in self._lines.values()):
                await self.commit()

    def wake(self) -> None:
        """A partition waits to be opened: the next commit is made at once."""
        self._wake.set()

    async def at_last(self) -> bool:
        """Before leaving. Returns whether Kafka has taken everything."""
        for _ in range(AT_LAST_MAX):
            if await self.commit():
                return True
            await asyncio.sleep(self._interval_s)
        return False

    def late(self, partitions: Iterable[Partition]) -> None:
        """A commit of these was answered after all. So the next one tells it again."""
        self._unanswered -= Counter(partitions)
        _unknown(self._lines[partition] for partition in partitions if partition in self._lines)

    async def commit(self) -> bool:
        """One commit, now. Returns whether Kafka has taken everything."""
        async with self._under_way:
            if (source := self._source()) is None:
                return True
            if source is not self._unanswered_by:  # a client that has ended repeats nothing
                self._unanswered, self._unanswered_by = Counter(), source
            try:
                return await self._commit_what_moved(source)
            except UnavailableError as error:
                self.on_trouble(SourceTrouble("commit", str(error)))
                return False

    async def _commit_what_moved(self, source: Source) -> bool:
        """Commits each partition whose committable offset or state changed since its last confirmed commit, once the ledger has
        everything that this says.

        Returns whether Kafka has taken all of it; what it refused is tried again with the next commit. Raises
        UnavailableError without an answer in time.
        """
        now = asyncio.get_running_loop().time()
        for line in self._lines.values():
            if line.phase is Phase.OPEN:  # few of thousands
                line.rest(now)
        renewals = self._renewals()
        said = {line: (renewal, line.lease) for line, renewal in renewals.items()}
        points_now = ((line, line.commit_point(renewal)) for line, renewal in renewals.items())
        moved = {line: point for line, point in points_now if point != line.committed or line.phase is Phase.OPENING}
        await self._ledger.flush()  # also where nothing moved: whoever comes after us has to know what we have sent
        if not moved:
            return True
        # Meanwhile a partition may have left, or come back: then what was looked at is another assignment's.
        moved = {line: point for line, point in moved.items() if self._lines.get(line.partition) is line}
        points = {line.partition: point for line, point in moved.items()}
        for line, point in moved.items():
            line.committed = point  # a late answer to another may make it unknown meanwhile
        refused: Mapping[Partition, str] | None = None
        try:
            refused = await source.commit(points)
        except UnavailableError:
            self._unanswered.update(list(points))
            raise
        finally:
            _unknown(line for line in moved if refused is None or line.partition in refused)
        self._confirmed({line: said[line] for line in moved if line.partition not in refused})
        if refused:
            partition, reason = next(iter(refused.items()))
            self._telemetry.log("warning", "commit_refused", partitions=len(refused), first=str(partition), problem=reason)
        return not refused

    def _renewals(self) -> dict[PartitionLine, Renewal | None]:
        """What is said of the partitions that may be committed now. Of one whose owner before is not settled that is what that
        has said, until what is in doubt of it is in the ledger."""
        now = self.service_now()
        watermarks = {stream: self.watermark_ms(stream) for stream in {line.stream for line in self._lines.values()}}
        renewals: dict[PartitionLine, Renewal | None] = {}
        for line in self._lines.values():
            is_reading = line.phase is Phase.READING
            says_more = line.owner and line.is_open() and not is_reading
            renewal = line.renewal(watermarks[line.stream], now) if says_more else line.recovering if is_reading else None
            if line.unreadable is None and (renewal or not says_more):
                renewals[line] = renewal
        return renewals

    def _confirmed(self, said: Mapping[PartitionLine, tuple[Renewal | None, Lease | None]]) -> None:
        """Kafka has confirmed this, each by the lease that its partition had then. The client repeats what a broker did not
        answer, even behind this: the partition would say `clean` again while attempts are under way, or that its lease has
        ended."""
        now = self.service_now()
        for line, (renewal, lease) in said.items():
            is_that = self._lines.get(line.partition) is line and line.lease is lease
            if not is_that or line.partition in self._unanswered:
                continue
            line.demand.confirmed()
            if renewal is not None:
                line.renewed(renewal, now)
            if line.phase is Phase.OPENING:
                line.phase = Phase.OPEN
            if line.held:
                self.on_open(line)


def _unknown(lines: Iterable[PartitionLine]) -> None:
    for line in lines:
        line.committed = None
