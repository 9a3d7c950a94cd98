"""Finds out what became of attempts whose outcome nobody knows: reads the shards back, and the ledger beside them.

One worker for each stream that has something pending. What is asked while a round is under way waits for the next: by then its
last moment is past, or nearly.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from math import inf

from bridge.app.asked_rows import Asked, OnSettled
from bridge.app.read_back_round import Round, Sources
from bridge.app.telemetry import Telemetry
from bridge.core.errors import RefusedError, UnavailableError
from bridge.core.proof.ledger_index import LedgerIndexFullError
from bridge.core.proof.verdicts import Expected
from bridge.core.records import Partition

PASS_S = 0.5
"""From one look at shards and ledger to the next, while something is open."""
RETRY_FIRST_S = 0.5
RETRY_MAX_S = 15.0
TROUBLE = (UnavailableError, RefusedError, ValueError, LedgerIndexFullError)


class ReadBack:
    """One for each process."""

    def __init__(self, sources: Sources, telemetry: Telemetry, on_expired: Callable[[Partition], None]) -> None:
        """`on_expired` hears of a partition whose evidence the stream does not hold any more; nothing of it is told then."""
        self._sources = sources
        self._telemetry = telemetry
        self._on_expired = on_expired
        self._pending: dict[str, list[list[Asked]]] = {}
        """By stream, what each of the rounds to come is about; the last of them takes what is asked."""
        self._rounds: dict[str, Round] = {}
        self._troubles: dict[str, str] = {}
        self._wake = asyncio.Event()

    def ask(self, expected: Expected, on_settled: OnSettled, landed: frozenset[int] = frozenset()) -> None:
        """Of these rows, which are of one partition and not under way, the outcome is wanted. `landed` are offsets of such among
        them that the ledger has.

        `on_settled` is called on the event loop, perhaps several times, each row once: LANDED (the ledger line was told),
        ABSENT, UNSETTLED (the ledger has confirmed that the attempt is over). Rows without marks are said to be in doubt now;
        from the next flush of the ledger on they do not hold back the watermark.
        """
        asked = Asked(expected, on_settled, landed)
        for doubts in asked.doubts():
            self._sources.ledger.say(doubts)
        if not asked.is_over:
            self._pending.setdefault(expected.stream, [[]])[-1].append(asked)
            self._wake.set()

    def forget(self, partition: Partition) -> None:
        """It is not ours any more: nothing of it is told from now on."""
        for asked in self._asked():
            if asked.expected.partition == partition:
                asked.is_forgotten = True

    def problems(self) -> list[str]:
        """Why it cannot be found out now, in sentences; empty where it can."""
        return [f"read back of {stream}: {trouble}" for stream, trouble in self._troubles.items()]

    @property
    def open_rows(self) -> int:
        """Rows whose outcome is not known yet."""
        return sum(len(asked.open_rows) for asked in self._asked())

    def asked_since_ms(self, partition: Partition) -> float:
        """The earliest moment at which an attempt of this partition may have begun whose outcome is not known yet."""
        asked = [one for one in self._asked() if one.expected.partition == partition]
        return min((one.expected.not_before_ms[row] for one in asked for row in one.open_rows), default=inf)

    async def run(self) -> None:
        """Works until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            working: dict[str, asyncio.Task[None]] = {}
            while True:
                self._wake.clear()
                for stream in self._pending.keys() - working.keys():
                    working[stream] = task = tasks.create_task(self._work(stream))
                    task.add_done_callback(partial(self._ended, working, stream))
                await self._wake.wait()

    def _ended(self, working: dict[str, asyncio.Task[None]], stream: str, _: asyncio.Task[None]) -> None:
        del working[stream]
        self._wake.set()

    def _asked(self) -> list[Asked]:
        waiting = (asked for batches in self._pending.values() for batch in batches for asked in batch)
        return [*(asked for one in self._rounds.values() for asked in one.asked), *waiting]

    async def _work(self, stream: str) -> None:
        while batches := self._pending.get(stream):
            asked = [one for one in batches.pop(0) if not one.is_over]
            if not batches:
                del self._pending[stream]
            if not asked:
                continue
            one = self._rounds[stream] = Round(self._sources, stream, asked)
            try:
                await self._carry_out(stream, one)
            finally:
                del self._rounds[stream]
                self._troubles.pop(stream, None)
                await one.close()

    async def _carry_out(self, stream: str, one: Round) -> None:
        pause_s = RETRY_FIRST_S
        while not one.is_over:
            try:
                await one.look()
                for asked in one.expired():
                    asked.is_forgotten = True
                    self._on_expired(asked.expected.partition)
                if not one.is_over:
                    await one.step()
                pause_s = RETRY_FIRST_S
                self._troubles.pop(stream, None)
            except TROUBLE as error:
                if self._parted(stream, one, error):
                    return
                if str(error) != self._troubles.get(stream):
                    self._telemetry.log("error", "recovery_trouble", stream=stream, problem=str(error))
                self._troubles[stream] = str(error)
                await asyncio.sleep(pause_s)
                pause_s = min(RETRY_MAX_S, 2 * pause_s)
                continue
            if not one.is_over:
                await asyncio.sleep(PASS_S)

    def _parted(self, stream: str, one: Round, error: Exception) -> bool:
        """Where a round needs more of the ledger at once than may be kept, it is carried out in two, one after the other."""
        left = [asked for asked in one.asked if not asked.is_over]
        if not isinstance(error, LedgerIndexFullError) or len(left) < 2:
            return False
        half = len(left) // 2
        self._pending[stream] = [left[:half], left[half:], *self._pending.get(stream, [])]
        return True
