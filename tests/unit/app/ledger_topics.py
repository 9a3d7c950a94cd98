"""A ledger topic in memory."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from math import inf

from bridge.core.errors import UnavailableError
from bridge.core.proof.ledger_codec import decode
from bridge.core.proof.ledger_entries import Group
from bridge.core.proof.ledger_layout import LedgerMessage

SLOTS = 4
FIRST_MS = 1_700_000_000_000
"""What the brokers' clocks show when the event loop begins, as Kinesis's does."""


class LedgerTopic:
    """`Ledger`. While `away` nothing is answered; what is older than `retention_ms` is not there any more."""

    def __init__(self) -> None:
        self.slots: list[list[bytes]] = [[] for _ in range(SLOTS)]
        self.taken_ms: list[list[float]] = [[] for _ in range(SLOTS)]
        self.away = False
        self.retention_ms = inf
        self.read_from: list[Mapping[int, int]] = []

    async def open(self) -> Mapping[int, int]:
        return await self.ends()

    async def ends(self) -> Mapping[int, int]:
        self._reach()
        return {slot: len(messages) for slot, messages in enumerate(self.slots)}

    async def write(self, messages: Sequence[tuple[int, bytes]]) -> Sequence[int]:
        self._reach()
        for slot, value in messages:
            self.slots[slot].append(value)
            self.taken_ms[slot].append(_now_ms())
        return [len(self.slots[slot]) - 1 for slot, _ in messages]

    async def offsets_at(self, wall_ms: int) -> Mapping[int, int]:
        self._reach()
        return {slot: sum(taken < wall_ms for taken in of_slot) for slot, of_slot in enumerate(self.taken_ms)}

    async def read(self, begins: Mapping[int, int], ends: Mapping[int, int]) -> AsyncIterator[Sequence[LedgerMessage]]:
        self._reach()
        self.read_from.append(begins)
        for slot, begin in begins.items():
            first = max(begin, self.first_of(slot))
            yield [LedgerMessage(slot, at, self.slots[slot][at]) for at in range(first, ends[slot])]

    async def close(self) -> None:
        """There is nothing to close."""

    def first_of(self, slot: int) -> int:
        """The first offset that is there."""
        return sum(taken < _now_ms() - self.retention_ms for taken in self.taken_ms[slot])

    def groups(self) -> list[Group]:
        """All entries, slot by slot."""
        return [group for messages in self.slots for value in messages for group in decode(value)]

    def _reach(self) -> None:
        if self.away:
            raise UnavailableError("no answer")


def _now_ms() -> float:
    return FIRST_MS + 1000 * asyncio.get_running_loop().time()
