"""A ledger topic in memory."""

from collections.abc import AsyncIterator, Mapping, Sequence

from bridge.core.errors import UnavailableError
from bridge.core.proof.ledger_codec import decode
from bridge.core.proof.ledger_entries import Group
from bridge.ports import LedgerMessage

SLOTS = 4


class LedgerTopic:
    """`Ledger`. While `away` nothing is answered."""

    def __init__(self) -> None:
        self.slots: list[list[bytes]] = [[] for _ in range(SLOTS)]
        self.away = False
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
        return [len(self.slots[slot]) - 1 for slot, _ in messages]

    async def read(self, begins: Mapping[int, int], ends: Mapping[int, int]) -> AsyncIterator[Sequence[LedgerMessage]]:
        self._reach()
        self.read_from.append(begins)
        for slot, begin in begins.items():
            yield [LedgerMessage(slot, at, self.slots[slot][at]) for at in range(begin, ends[slot])]

    async def close(self) -> None:
        """There is nothing to close."""

    def groups(self) -> list[Group]:
        """All entries, slot by slot."""
        return [group for messages in self.slots for value in messages for group in decode(value)]

    def _reach(self) -> None:
        if self.away:
            raise UnavailableError("no answer")
