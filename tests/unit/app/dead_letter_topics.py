"""A dead-letter topic in memory, for tests of the jobs over it."""

from collections.abc import AsyncIterator, Collection, Sequence

from bridge.core.delivery.dead_letters import (
    Origin,
    Place,
    StoredEntry,
    TopicMessage,
    origin_of,
    parked_message,
    read_message,
    replayed_message,
    size_of,
)
from bridge.core.records import DeadLetter, Partition

PARTITIONS = 2
NOW_MS = 1_700_000_000_000


def letter(offset: int, reason: str = "tombstone", topic: str = "orders", number: int = 0, size: int = 1) -> DeadLetter:
    partition = Partition(topic, number)
    return DeadLetter(partition, offset, 5_000 + offset, b"k%d" % offset, b"x" * size, [("h", b"1")], reason, "why")


class DeadLetterTopic:
    """`DeadLetters`, `ReplayMarks` and `DeadLetterReader`; each message a second after the one before."""

    def __init__(self) -> None:
        self.messages: list[list[TopicMessage]] = [[] for _ in range(PARTITIONS)]
        self.marked: list[Origin] = []
        self.read_at: list[list[Place]] = []
        self.now_ms = NOW_MS

    async def park(self, letters: Sequence[DeadLetter]) -> None:
        for one in letters:
            self.append(parked_message(one, "orders-move", self.now_ms))

    async def mark_replayed(self, origins: Sequence[Origin]) -> None:
        self.marked += origins
        for origin in origins:
            self.append(replayed_message(origin, "orders-move", self.now_ms))

    def append(self, message: TopicMessage) -> None:
        self.messages[message.origin.partition.number % PARTITIONS].append(message)
        self.now_ms += 1000

    def append_foreign(self) -> None:
        self.append(TopicMessage(origin_of(letter(0)), b"k", b"v", []))

    async def entries(self) -> AsyncIterator[Sequence[StoredEntry]]:
        for number, messages in enumerate(self.messages):
            for offset, message in enumerate(messages):
                entry = read_message(message.key, message.value, message.headers)
                yield [StoredEntry(Place(number, offset), entry, size_of(message.key, message.value, message.headers))]

    async def at(self, places: Collection[Place]) -> AsyncIterator[Sequence[StoredEntry]]:
        self.read_at.append(sorted(places))
        async for batch in self.entries():
            if batch[0].place in places:
                yield batch
