"""What the ledger has of a partition above its committed offset is written again at half the ledger's retention.

Such entries are there for as long as a lower offset is stuck, and a successor needs them: without them it would send those
records twice. Their age is that of their messages by the brokers' clocks, whoever wrote them. They are read and written a few
messages at a time, and what is done is not done again after an error.

Doubts are not written again: what the ledger's retention removes, that of the stream has removed before, and then nobody can tell
what became of the attempt. A partition with a doubt as old is left as it is: a successor finds the doubt, or that it is gone.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from math import isfinite

from bridge.app.ledger import LedgerLine
from bridge.app.ledger_view import CLOCKS_APART_MS
from bridge.app.partition_line import PartitionLine, Phase
from bridge.app.read_back import TROUBLE
from bridge.app.service_time import ServiceTime
from bridge.app.telemetry import Telemetry
from bridge.core.proof.ledger_codec import decode
from bridge.core.proof.ledger_entries import Group, Resolved, Stored, facts_from
from bridge.core.proof.ledger_floors import ReadSlots
from bridge.core.proof.ledger_layout import HEAD, LedgerMessage
from bridge.core.records import Partition

LOOK_S = 60.0
LOOKS = 64
"""So often it is looked while the ledger's retention goes by, where that is less than an hour."""

Floors = Mapping[int, int]


class LedgerRefresh:
    """For the partitions of one process."""

    def __init__(
        self,
        ledger: LedgerLine,
        lines: Mapping[Partition, PartitionLine],
        asked_since_ms: Callable[[Partition], float],
        time: ServiceTime,
        retention_ms: float,
        telemetry: Telemetry,
    ) -> None:
        """`lines` are the partitions that are ours now; `asked_since_ms`: see `ReadBack`."""
        self._ledger = ledger
        self._lines = lines
        self._asked_since_ms = asked_since_ms
        self._time = time
        self._retention_ms = retention_ms
        self._telemetry = telemetry
        self._trouble: str | None = None
        self._lost: set[PartitionLine] = set()

    async def run(self) -> None:
        """Works until cancelled."""
        while True:
            await asyncio.sleep(min(LOOK_S, self._retention_ms / 1000 / LOOKS))
            try:
                await self._look()
                self._trouble = None
            except TROUBLE as error:
                if str(error) != self._trouble:
                    self._telemetry.log("error", "ledger_trouble", problem=str(error))
                self._trouble = str(error)

    async def _look(self) -> None:
        half_ms = self._time.now().latest_ms - self._retention_ms / 2
        if not isfinite(half_ms) or not (lines := [line for line in self._lines.values() if self._may_move(line, half_ms)]):
            return
        ends = await self._ledger.port.offsets_at(int(half_ms))
        floors = {line: self._ledger.floors.of(line.partition, line.committable()) for line in lines}
        old = {line: {slot: at for slot, at in of.items() if at < ends.get(slot, 0)} for line, of in floors.items()}
        self._lost &= set(lines)
        if old := {line: of for line, of in old.items() if of and line not in self._lost}:
            await self._write_again(old, ends)

    def _may_move(self, line: PartitionLine, half_ms: float) -> bool:
        """Whether its commits tell floors of ours, from which others can go on, and all that is in doubt of it is younger."""
        tells = line.owner is not None and line.is_open() and (line.phase is not Phase.READING or line.recovering is not None)
        over = line.halt is not None and (line.halt.stays or line.halt.reason == "evidence_expired")
        return tells and not over and self._asked_since_ms(line.partition) >= half_ms + CLOCKS_APART_MS

    async def _write_again(self, old: Mapping[PartitionLine, Floors], ends: Floors) -> None:
        begins: dict[int, int] = {}
        for floors in old.values():
            for slot, at in floors.items():
                begins[slot] = min(at, begins.get(slot, at))
        slots, records, read_to = ReadSlots(begins, {slot: ends[slot] for slot in begins}), 0, dict(begins)
        async for messages in self._ledger.port.read(begins, slots.ends):
            slots.saw(messages)
            found: list[Group] = []
            for message in messages:
                if facts := _needed(message, filter(self._is_ours, old)):
                    found += facts
                    records += sum(len(group.offsets) for group in facts)
                read_to[message.slot] = message.offset + 1
                await asyncio.sleep(0)
            if found:
                await self._ledger.write_again(found)
            self._move(old, slots, read_to)
        lost = {line: lacks for line, floors in old.items() if (lacks := slots.lacks(floors)) is not None}
        for line, slot in lost.items():
            self._telemetry.log("error", "ledger_entries_lost", partition=str(line.partition), slot=slot)
        self._lost |= lost.keys()
        if records:
            partitions = sorted(str(line.partition) for line in old)
            self._telemetry.log("info", "ledger_written_again", partitions=partitions, records=records)

    def _move(self, old: Mapping[PartitionLine, Floors], slots: ReadSlots, read_to: Floors) -> None:
        """What stands again need not be read any more. Where something was gone already, the floor stays: a successor sees it."""
        for line, floors in old.items():
            if self._is_ours(line):
                there = (slot for slot, at in floors.items() if slots.lacks({slot: at}) is None)
                self._ledger.floors.written_again(line.partition, {slot: read_to[slot] for slot in there})

    def _is_ours(self, line: PartitionLine) -> bool:
        return self._lines.get(line.partition) is line


def _needed(message: LedgerMessage, lines: Iterable[PartitionLine]) -> list[Stored | Resolved]:
    """Facts of this message that these partitions need."""
    least = {line.partition: line.committable() for line in lines}
    named = any(partition.topic.encode() in message.value for partition in least)
    return facts_from(decode(message.value), least) if named or not message.value.startswith(HEAD) else []
