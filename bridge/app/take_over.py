"""What the owner before has carried of a partition above its committed offset is not sent again.

The ledger is read always. Of a partition that was found open, attempts of the owner before may have an outcome that nobody knows:
once its lease is over, the stream is read back for them. Until that is settled the partition attempts nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from math import inf

from bridge.app.ledger import LedgerLine
from bridge.app.ledger_view import INDEX_ROWS_MAX
from bridge.app.owners import Renewal
from bridge.app.partition_line import PartitionLine, Phase
from bridge.app.read_back import TROUBLE, ReadBack
from bridge.app.recovered_rows import AttemptedRows, attempted_rows
from bridge.app.recoveries import Recovery, RecoveryLog
from bridge.app.routing import RoutedTopic
from bridge.app.service_time import ServiceTime
from bridge.app.telemetry import Telemetry
from bridge.core.delivery.mapping import Mapper
from bridge.core.errors import UnavailableError
from bridge.core.proof.ledger_codec import decode
from bridge.core.proof.ledger_entries import Group, Stored, records_of
from bridge.core.proof.ledger_floors import ReadSlots
from bridge.core.proof.ledger_index import LedgerIndex, LedgerIndexFullError
from bridge.core.records import Partition
from bridge.ports import OffsetDirectory, RowReader

RETRY_S = 1.0
LEASE_POLL_S = 0.1
"""How often it is looked whether a lease is over."""
SHORT_S = 30.0
"""So long it is waited for a slot to end where it has ended before."""
MAPPER_S = 30.0
"""So long a stream may take to be described before the others are taken up again."""


@dataclass(slots=True, frozen=True)
class TakeOverPorts:
    """What it asks of others. `on_expired` hears of a partition for which evidence is gone, and which; `mapper_of` maps a
    partition's records as they are sent, once its stream is known."""

    ledger: LedgerLine
    read_back: ReadBack
    rows: RowReader
    offsets: OffsetDirectory
    time: ServiceTime
    settle_ms: float
    on_expired: Callable[[PartitionLine, str], None]
    routed: Callable[[PartitionLine], RoutedTopic]
    mapper_of: Callable[[PartitionLine], Awaitable[Mapper]]


class TakeOver:
    """Works for partitions that were just assigned."""

    def __init__(
        self,
        ports: TakeOverPorts,
        lines: Mapping[Partition, PartitionLine],
        telemetry: Telemetry,
        on_read: Callable[[PartitionLine], None],
        on_asked: Callable[[], None] = lambda: None,
    ) -> None:
        """`lines` are the partitions that are ours now. `on_read`: a partition may be opened. `on_asked`: there is something new
        to say of partitions that are being recovered."""
        self._ports = ports
        self._ledger = ports.ledger
        self._lines = lines
        self._telemetry = telemetry
        self._on_read = on_read
        self._on_asked = on_asked
        self._wake = asyncio.Event()
        self._trouble: str | None = None
        self._short_since = inf
        self._inherited: set[PartitionLine] = set()
        self._recoveries: dict[PartitionLine, Recovery] = {}
        self._log = RecoveryLog(telemetry)

    # -- what others ask and say

    def problems(self) -> list[str]:
        """Why it cannot be read now, in a sentence; empty where it can."""
        return [f"ledger: {self._trouble}"] if self._trouble else []

    def wake(self) -> None:
        """Partitions came, for some of which the ledger is to be read."""
        for line in self._reading():
            if line not in self._inherited:
                self._inherited.add(line)
                self._log.came(line)
                self._ledger.floors.inherit(line.partition, line.floors_before, to_offset=2**63)
        self._wake.set()

    def forget(self, line: PartitionLine) -> None:
        """It is not ours any more. What its owner before has said of it stays."""
        self._inherited.discard(line)
        self._recoveries.pop(line, None)
        self._log.gone(line)
        self._ports.read_back.forget(line.partition)

    def watermark_ms(self, stream: str) -> float:
        """The lowest watermark of the partitions that are ours, feed this stream without marks, and whose owners before may have
        something in doubt that the ledger line was not told yet."""
        waiting = (line for line in self._reading() if line.stream == stream and line not in self._recoveries)
        return min((line.before.watermark_ms for line in waiting if line.before and not self._is_marked(line)), default=inf)

    # -- the work

    async def run(self) -> None:
        """Works until cancelled."""
        while True:
            self._wake.clear()
            try:
                await self._open_recovered()
                if ready := [line for line in self._waiting() if self._may_read(line)]:
                    await self._ledger.ready()
                    await self._ledger.flush()  # what an assignment of ours before this one has to say is there too
                    await self._read(ready)
                    await self._open_recovered()
                self._trouble = None
            except TROUBLE as error:
                if str(error) != self._trouble:
                    self._telemetry.log("error", "ledger_trouble", problem=str(error))
                self._trouble = str(error)
                await asyncio.sleep(RETRY_S)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(LEASE_POLL_S if self._waiting() else None):
                    await self._wake.wait()

    def _reading(self) -> list[PartitionLine]:
        return [line for line in self._lines.values() if line.phase is Phase.READING]

    def _waiting(self) -> list[PartitionLine]:
        """Those that stand still are left as they were found."""
        return [line for line in self._reading() if line not in self._recoveries and line.halt is None]

    def _may_read(self, line: PartitionLine) -> bool:
        """Whether the lease of the owner before is over: then the ledger's end is behind all that it may have written."""
        return line.before is None or self._ports.time.now().earliest_ms > line.before.lease_end_ms

    async def _read(self, lines: Sequence[PartitionLine]) -> None:
        try:
            index, slots = await self._index_of(lines)
        except LedgerIndexFullError:
            if len(lines) == 1:
                raise
            await self._read(lines[: len(lines) // 2])
            await self._read(lines[len(lines) // 2 :])
            return
        ends = await self._ports.offsets.end_offsets([line.partition for line in lines])
        found = [
            attempted_rows(line, line.before, index, ends[line.partition], self._ports.settle_ms)
            for line in lines
            if line.before is not None and line.partition in ends
        ]
        await self._read_rows([rows for rows in found if not self._is_marked(rows.line)])
        self._recover([rows for rows in found if self._lines.get(rows.line.partition) is rows.line], slots)
        if missing := sorted(line.partition for line in lines if line.partition not in ends):
            raise UnavailableError(f"Kafka does not tell the end offset of {missing[0]}")

    async def _index_of(self, lines: Sequence[PartitionLine]) -> tuple[LedgerIndex, ReadSlots]:
        """What the ledger has of these. Of rows without marks it is read twice: an owner before may have been cut off. Its
        word for a record may have come after the word for another row, and then it does not count."""
        begins: dict[int, int] = {}
        for line in lines:
            for slot, at in line.floors_before.items():
                begins[slot] = min(at, begins.get(slot, at))
        ends = await self._ledger.port.ends()
        self._doubt_ends(begins, ends)
        slots = ReadSlots(begins, ends)
        floors = {line.partition: line.tracker.committable() for line in lines if not self._is_marked(line)}
        index, told = _new_index(lines, digests=()), set[int]()
        async for groups in self._read_groups(slots):
            index.add(groups)
            told.update(_digests_of(groups, floors))
        if told:
            index = _new_index(lines, told)
            async for groups in self._read_groups(slots):
                index.add(groups)
        return index, slots

    async def _read_groups(self, slots: ReadSlots) -> AsyncIterator[list[Group]]:
        begins = {slot: at for slot, at in slots.begins.items() if at < slots.ends.get(slot, at)}
        if begins:
            async for messages in self._ledger.port.read(begins, {slot: slots.ends[slot] for slot in begins}):
                slots.saw(messages)
                yield list(chain.from_iterable(decode(message.value) for message in messages))

    def _doubt_ends(self, begins: Mapping[int, int], ends: Mapping[int, int]) -> None:
        """A broker that became leader a moment ago may tell an end of before. What stays so was removed."""
        now = asyncio.get_running_loop().time()
        short = next((slot for slot, at in begins.items() if ends.get(slot, at) < at), None)
        if short is None:
            self._short_since = inf
            return
        self._short_since = min(now, self._short_since)
        if now - self._short_since < SHORT_S:
            raise UnavailableError(
                f"partition {short} of the ledger ends at {ends[short]}, and has to be read from {begins[short]}"
            )

    async def _read_rows(self, found: Sequence[AttemptedRows]) -> None:
        """From Kafka, beside the consumer: how much that may hand over does not matter here."""
        reads = {rows.line.partition: rows for rows in found if rows.begin < rows.end}
        if not reads:
            return
        try:
            async with asyncio.timeout(MAPPER_S):
                mappers = {partition: await self._ports.mapper_of(rows.line) for partition, rows in reads.items()}
        except TimeoutError:
            raise UnavailableError(f"a stream was not described within {MAPPER_S:g} s, so nothing can be recovered") from None
        begins, ends = ({partition: bound(rows) for partition, rows in reads.items()} for bound in (_begin, _end))
        async for batch in self._ports.rows.read(begins, ends):
            reads[batch.partition].add(batch, mappers[batch.partition])
            await asyncio.sleep(0)

    def _recover(self, found: Sequence[AttemptedRows], slots: ReadSlots) -> None:
        """Asks what became of the rows that the ledger does not have. Where something was removed from it, they may have been
        stored long ago, and nobody can tell."""
        recoveries = []
        for rows in found:
            recovery = Recovery(rows, self._is_marked(rows.line), self._ports.routed(rows.line).mapping.ordering)
            slot = slots.lacks(rows.line.floors_before)
            if slot is None or recovery.is_over:
                recoveries.append(recovery)
            else:
                self._log.gone(rows.line)
                self._ports.on_expired(rows.line, f"partition {slot} of the ledger, from {rows.line.floors_before[slot]} on")
        self._log.started(recoveries)
        watermark_ms = self._ports.time.now().earliest_ms
        for recovery in recoveries:
            line = recovery.rows.line
            self._recoveries[line] = recovery
            if not recovery.is_over:
                landed = recovery.rows.done if not recovery.is_marked else frozenset[int]()
                self._ports.read_back.ask(recovery.expected, recovery.listen(self._wake.set), landed)
            if not recovery.is_marked:
                before = recovery.rows.before
                line.recovering = Renewal(max(0, int(watermark_ms)), before.lease_end_ms, before.attempts_to)
        self._on_asked()

    async def _open_recovered(self) -> None:
        """What was found out goes into the ledger, then its partition may be opened."""
        over = {line: recovery for line, recovery in self._recoveries.items() if recovery.is_over and line.phase is Phase.READING}
        if not over:
            return
        await self._ledger.flush()
        for line, recovery in over.items():
            if self._lines.get(line.partition) is not line:
                continue
            line.done = recovery.rows.done | recovery.rows.resolved | recovery.landed
            line.done_to = max(line.done, default=-1) + 1
            # Beside a late word for a row that is sent again, whoever comes next has to find what was said before it.
            again_to = 0 if recovery.is_marked else recovery.rows.end
            self._ledger.floors.inherited_to(line.partition, max(line.done_to, again_to) - 1)
            line.recovering, line.phase = None, Phase.CLEAN
            self._telemetry.count("bridge_possible_duplicates_total", recovery.unsettled, line.route)
            self._log.finished(recovery)
            self._inherited.discard(line)
            del self._recoveries[line]
            self._on_read(line)

    def _is_marked(self, line: PartitionLine) -> bool:
        return self._ports.routed(line).is_marked


def _new_index(lines: Sequence[PartitionLine], digests: Collection[int]) -> LedgerIndex:
    """Of these partitions, and of all words for records with these digests."""
    index = LedgerIndex(INDEX_ROWS_MAX)
    for line in lines:
        index.follow(line.partition, line.tracker.committable())
        index.watch(line.stream, digests)
    return index


def _digests_of(groups: Sequence[Group], floors: Mapping[Partition, int]) -> Iterator[int]:
    """Of entries of these partitions, from these offsets on; those of before a route changed may be of aggregates."""
    for group in groups:
        if isinstance(group, Stored) and (floor := floors.get(group.partition)) is not None:
            rows = zip(records_of(group.offsets, group.counts), group.digests, strict=True)
            yield from (digest for offsets, digest in rows if offsets[-1] >= floor)


def _begin(rows: AttemptedRows) -> int:
    return rows.begin


def _end(rows: AttemptedRows) -> int:
    return rows.end
