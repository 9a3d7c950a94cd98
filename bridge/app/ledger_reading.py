"""Reads the ledger once through, for jobs that look for something in it: a stream, of which nothing is kept here."""

from collections.abc import Callable, Iterable, Mapping

from bridge.app.settings import Settings
from bridge.core.errors import RefusedError
from bridge.core.proof.ledger_codec import decode
from bridge.core.proof.ledger_entries import Group
from bridge.core.proof.ledger_floors import ReadSlots
from bridge.core.proof.ledger_layout import HEAD
from bridge.core.topics import ledger_topic
from bridge.ports import GroupDirectory, Ledger

OnProgress = Callable[[int, int], None]
"""How many messages of the ledger are read, and of how many."""


def ignored(done: int, all_of_them: int) -> None:
    """An `OnProgress` for those who do not watch."""


class LedgerReading:
    """See the module. `ends` is how far it reads, of all slots."""

    def __init__(self, ledger: Ledger, topic: str, ends: Mapping[int, int], on_progress: OnProgress) -> None:
        self._ledger = ledger
        self._topic = topic
        self._on_progress = on_progress
        self.ends = ends
        self.lost = False
        """Retention has removed something of what was read."""

    async def read(self, begins: Mapping[int, int], name: str, take: Callable[[Iterable[Group]], None]) -> None:
        """Slots from these begins to their ends; groups that cannot concern this topic or stream may be left out.

        Raises UnavailableError; RefusedError where a message is not readable.
        """
        begins = {slot: begin for slot, begin in begins.items() if begin < self.ends[slot]}
        text, total, done = name.encode(), sum(self.ends[slot] - begin for slot, begin in begins.items()), dict(begins)
        if not begins:
            return
        slots = ReadSlots(begins, self.ends)
        async for messages in self._ledger.read(begins, self.ends):
            slots.saw(messages)
            for slot, offset, value in messages:
                done[slot] = offset + 1
                if text in value or not value.startswith(HEAD):
                    take(self._groups(slot, offset, value))
            self._on_progress(sum(done.values()) - sum(begins.values()), total)
        self.lost |= slots.lacks(begins) is not None

    def _groups(self, slot: int, offset: int, value: bytes) -> list[Group]:
        try:
            return decode(value)
        except ValueError as error:
            raise RefusedError(f"topic {self._topic}, partition {slot}, offset {offset}: {error}") from None


async def open_ledger(settings: Settings, ledger: Ledger, kafka: GroupDirectory, on_progress: OnProgress) -> LedgerReading:
    """Up to the ends of now. Raises UnavailableError; RefusedError where the topic is not there, or another one than is meant."""
    topic = ledger_topic(settings.name)
    there = await kafka.partitions_of(lambda name: name == topic)
    if not there:
        raise RefusedError(f"topic {topic}: it is not there, so nothing was carried yet by a bridge that keeps a ledger")
    ends = await ledger.ends()
    if len(there) != len(ends):
        raise RefusedError(f"topic {topic}: it has {len(there)} partitions, and the configuration means {len(ends)}")
    return LedgerReading(ledger, topic, ends, on_progress)
