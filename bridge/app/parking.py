"""Records on their way to the dead-letter topic. The offset of one passes when Kafka has confirmed its letter, never before."""

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bridge.app.ledger import LedgerLine
from bridge.app.partition_line import PartitionLine
from bridge.app.telemetry import Telemetry
from bridge.core.delivery.halts import Halt
from bridge.core.delivery.lanes import MappedBatch
from bridge.core.errors import RefusedError, UnavailableError
from bridge.core.proof.ledger_entries import ResolvedAs
from bridge.core.records import DeadLetter, SourceBatch
from bridge.ports import DeadLetters

RETRY_FIRST_S = 1.0
RETRY_MAX_S = 30.0
LETTERS_MAX = 500
LETTERS_BYTES_MAX = 4 * 1024 * 1024
"""Of one call, unless a single letter is larger."""


@dataclass(slots=True, eq=False)
class _Leaving:
    """A row that is left out of its batch, and its letter."""

    line: PartitionLine
    batch: MappedBatch
    row: int
    letter: DeadLetter

    @property
    def size(self) -> int:
        return len(self.letter.key or b"") + len(self.letter.value or b"")


class Parking:
    """Parks what the partitions divert, in the order in which it comes; what cannot be parked halts its partition."""

    def __init__(
        self,
        dead_letters: DeadLetters,
        ledger: LedgerLine,
        telemetry: Telemetry,
        on_halt: Callable[[PartitionLine, Halt], None],
        on_progress: Callable[[], None],
    ) -> None:
        self._dead_letters = dead_letters
        self._ledger = ledger
        self._telemetry = telemetry
        self._waiting: deque[_Leaving] = deque()
        self._under_way: Sequence[_Leaving] = ()
        self._wake = asyncio.Event()
        self._trouble: str | None = None
        self._on_halt = on_halt
        self._on_progress = on_progress

    def divert(self, line: PartitionLine, batch: MappedBatch, source: SourceBatch) -> None:
        """The rows of a batch that are not sent. `source` is what it was mapped from."""
        skipped: dict[str, list[int]] = defaultdict(list)
        for diverted in batch.diverted:
            if diverted.action == "skip":
                batch.resolved[diverted.row] = 1
                skipped[diverted.reason].append(source.offsets[diverted.row])
            else:
                letter = _letter(source, diverted.row, diverted.reason, diverted.detail)
                leaving = _Leaving(line, batch, diverted.row, letter)
                line.parking_rows += 1
                line.parking_bytes += leaving.size
                self._waiting.append(leaving)
        for reason, offsets in skipped.items():
            self._telemetry.count("bridge_records_skipped_total", len(offsets), line.route, reason)
            self._ledger.resolved(line.partition, ResolvedAs.SKIPPED, reason, offsets)
        self._wake.set()

    def under_way_to(self, line: PartitionLine) -> int:
        """Offset above every letter of this partition that is under way now; 0 without one."""
        return max((leaving.letter.offset + 1 for leaving in self._under_way if leaving.line is line), default=0)

    def truncate(self, line: PartitionLine, offset: int) -> None:
        """Forgets the letters of a partition at or above `offset` that are not under way."""
        kept: deque[_Leaving] = deque()
        for leaving in self._waiting:
            if leaving.line is line and leaving.letter.offset >= offset:
                _out(leaving)
            else:
                kept.append(leaving)
        self._waiting = kept

    def problems(self) -> list[str]:
        """Why nothing can be parked now, in a sentence; empty where it can."""
        return [f"dead letters: {self._trouble}"] if self._trouble else []

    async def run(self) -> None:
        """Works until cancelled."""
        pause = RETRY_FIRST_S
        while True:
            self._wake.clear()
            if not self._waiting:
                await self._wake.wait()
                continue
            self._under_way = self._take()
            again = await self._park(self._under_way)
            self._under_way = ()
            if not again:
                pause = RETRY_FIRST_S
                continue
            self._put_back(again)
            await asyncio.sleep(pause)
            pause = min(RETRY_MAX_S, 2 * pause)

    def _put_back(self, letters: Sequence[_Leaving]) -> None:
        for leaving in reversed(letters):
            if leaving.line.lanes.wants(leaving.letter.offset):
                self._waiting.appendleft(leaving)
            else:
                _out(leaving)

    def _take(self) -> Sequence[_Leaving]:
        taken = [self._waiting.popleft()]
        size = taken[0].size
        while self._waiting and len(taken) < LETTERS_MAX and size + self._waiting[0].size <= LETTERS_BYTES_MAX:
            taken.append(self._waiting.popleft())
            size += taken[-1].size
        return taken

    async def _park(self, letters: Sequence[_Leaving]) -> Sequence[_Leaving]:
        """Those that are to be tried again."""
        try:
            await self._dead_letters.park([leaving.letter for leaving in letters])
        except UnavailableError as error:
            self._note(str(error))
            return letters
        except RefusedError as error:
            return await self._refused(letters, str(error))
        self._note(None)
        self._parked(letters)
        return ()

    async def _refused(self, letters: Sequence[_Leaving], problem: str) -> Sequence[_Leaving]:
        """Of several letters each is tried by itself: the others of them may be well."""
        if len(letters) > 1:
            for i, leaving in enumerate(letters):
                if await self._park([leaving]):
                    return letters[i:]
            return ()
        (leaving,) = letters
        _out(leaving)
        detail = f"{leaving.letter.reason}: {leaving.letter.detail}; and it cannot be parked: {problem}"
        self._on_halt(leaving.line, Halt("dead_letters", leaving.letter.offset, detail, leaving.letter.timestamp_ms))
        self._on_progress()
        return ()

    def _parked(self, letters: Iterable[_Leaving]) -> None:
        parked: Counter[tuple[str, str]] = Counter()
        for leaving in letters:
            leaving.batch.resolved[leaving.row] = 1
            _out(leaving)
            parked[leaving.line.route, leaving.letter.reason] += 1
            self._ledger.resolved(leaving.line.partition, ResolvedAs.PARKED, leaving.letter.reason, [leaving.letter.offset])
        for (route, reason), records in parked.items():
            self._telemetry.count("bridge_records_parked_total", records, route, reason)
        self._on_progress()

    def _note(self, problem: str | None) -> None:
        if problem != self._trouble:
            if problem is None:
                self._telemetry.log("info", "dead_letters_recovered")
            else:
                self._telemetry.log("error", "dead_letters_trouble", problem=problem)
        self._trouble = problem


def _out(leaving: _Leaving) -> None:
    leaving.line.parking_rows -= 1
    leaving.line.parking_bytes -= leaving.size


def _letter(source: SourceBatch, row: int, reason: str, detail: str) -> DeadLetter:
    headers = source.headers[row] if source.headers else None
    offset, timestamp_ms = source.offsets[row], source.timestamps_ms[row]
    return DeadLetter(source.partition, offset, timestamp_ms, source.keys[row], source.values[row], headers or (), reason, detail)
