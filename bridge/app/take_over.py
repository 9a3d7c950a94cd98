"""What the owner before has carried of a partition above its committed offset, from the ledger: that is not sent again."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from itertools import chain

from bridge.app.ledger import LedgerLine
from bridge.app.partition_line import PartitionLine, Phase
from bridge.app.telemetry import Telemetry
from bridge.core.errors import RefusedError, UnavailableError
from bridge.core.proof.ledger_codec import decode
from bridge.core.proof.ledger_index import LedgerIndex, LedgerIndexFullError
from bridge.core.records import Partition

INDEX_ROWS_MAX = 200_000
"""Some hundred MiB. One partition alone never needs so many: what it has open is bounded."""
RETRY_S = 1.0


class TakeOver:
    """Reads for partitions that were just assigned."""

    def __init__(
        self,
        ledger: LedgerLine,
        lines: Mapping[Partition, PartitionLine],
        telemetry: Telemetry,
        on_read: Callable[[PartitionLine], None],
    ) -> None:
        """`lines` are the partitions that are ours now."""
        self._ledger = ledger
        self._lines = lines
        self._telemetry = telemetry
        self._on_read = on_read
        self._wake = asyncio.Event()
        self._trouble: str | None = None

    def problems(self) -> list[str]:
        """Why it cannot be read now, in a sentence; empty where it can."""
        return [f"ledger: {self._trouble}"] if self._trouble else []

    def wake(self) -> None:
        """Partitions came, for some of which the ledger is to be read."""
        for line in self._reading():
            self._ledger.floors.inherit(line.partition, line.floors_before, to_offset=2**63)
        self._wake.set()

    async def run(self) -> None:
        """Works until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while lines := self._reading():
                try:
                    await self._ledger.ready()
                    await self._ledger.flush()  # what an assignment of ours before this one has to say is there too
                    await self._read(lines)
                    self._trouble = None
                except (UnavailableError, RefusedError, ValueError, LedgerIndexFullError) as error:
                    if str(error) != self._trouble:
                        self._telemetry.log("error", "ledger_trouble", problem=str(error))
                    self._trouble = str(error)
                    await asyncio.sleep(RETRY_S)

    def _reading(self) -> list[PartitionLine]:
        return [line for line in self._lines.values() if line.phase is Phase.READING]

    async def _read(self, lines: Sequence[PartitionLine]) -> None:
        try:
            index = await self._index_of(lines)
        except LedgerIndexFullError:
            if len(lines) == 1:
                raise
            await self._read(lines[: len(lines) // 2])
            await self._read(lines[len(lines) // 2 :])
            return
        for line in lines:
            if self._lines.get(line.partition) is line:
                line.done = frozenset(index.offsets_of(line.partition))
                line.done_to = max(line.done, default=-1) + 1
                self._ledger.floors.inherit(line.partition, line.floors_before, line.done_to - 1)
                line.phase = Phase.CLEAN
                self._on_read(line)

    async def _index_of(self, lines: Sequence[PartitionLine]) -> LedgerIndex:
        index = LedgerIndex(INDEX_ROWS_MAX)
        begins: dict[int, int] = {}
        for line in lines:
            index.follow(line.partition, line.tracker.committable())
            for slot, at in line.floors_before.items():
                begins[slot] = min(at, begins.get(slot, at))
        ends = await self._ledger.port.ends()
        missing = {slot: end for slot, end in ends.items() if slot in begins and begins[slot] < end}
        if missing:
            async for messages in self._ledger.port.read({slot: begins[slot] for slot in missing}, missing):
                index.add(chain.from_iterable(decode(message.value) for message in messages))
        return index
