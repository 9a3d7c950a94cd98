"""What the dead-letter topic holds: parked records, each once, and whether they were replayed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from bridge.app.routing import route_of
from bridge.app.settings import Settings
from bridge.core.delivery.dead_letters import Origin, Parked, Place, Replayed, StoredEntry, size_of
from bridge.core.records import DeadLetter, Partition
from bridge.ports import DeadLetterReader


@dataclass(slots=True)
class Found:
    """One parked record, without its bytes. `place` is that of its last copy: a crash may have left several."""

    origin: Origin
    reason: str
    size: int
    parked_at_ms: int
    place: Place
    copies: int = 1
    replayed_at_ms: int | None = None


@dataclass(slots=True, frozen=True)
class Choice:
    """Which dead letters are meant: those that meet everything that is given."""

    ids: frozenset[tuple[Partition, int]] = frozenset()
    topic: str | None = None
    reason: str | None = None

    def means(self, origin: Origin, reason: str) -> bool:
        """Whether this one is."""
        by_id = not self.ids or (origin.partition, origin.offset) in self.ids
        return by_id and self.topic in (None, origin.partition.topic) and self.reason in (None, reason)


@dataclass(slots=True)
class Index:
    """All parked records that are meant, by their origin; `foreign` counts messages that no bridge wrote."""

    choice: Choice = field(default_factory=Choice)
    found: dict[Origin, Found] = field(default_factory=dict)
    foreign: int = 0
    _replayed: dict[Origin, int] = field(default_factory=dict)

    def take(self, entries: Iterable[StoredEntry]) -> None:
        """Messages of the topic, each partition in its order."""
        for stored in entries:
            if isinstance(stored.entry, Parked):
                self._parked(stored, stored.entry)
            elif isinstance(stored.entry, Replayed):
                self._mark(stored.entry)
            else:
                self.foreign += 1

    def _parked(self, stored: StoredEntry, parked: Parked) -> None:
        origin, letter = parked.origin, parked.letter
        if not self.choice.means(origin, letter.reason):
            return
        before = self.found.get(origin)
        size = size_of(letter.key, letter.value, letter.headers)
        copies = before.copies + 1 if before else 1
        replayed = self._replayed.get(origin)
        self.found[origin] = Found(origin, letter.reason, size, parked.parked_at_ms, stored.place, copies, replayed)

    def _mark(self, mark: Replayed) -> None:
        self._replayed[mark.origin] = mark.replayed_at_ms
        if found := self.found.get(mark.origin):
            found.replayed_at_ms = mark.replayed_at_ms


async def read_index(reader: DeadLetterReader, choice: Choice) -> Index:
    """Reads the whole topic. Raises UnavailableError, RefusedError."""
    index = Index(choice)
    async for entries in reader.entries():
        index.take(entries)
    return index


@dataclass(slots=True, frozen=True)
class Headline:
    """A row of the list. `route` is None where none carries the topic any more; times in milliseconds."""

    id: str
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    route: str | None
    reason: str
    size: int
    parked_at_ms: int
    copies: int
    replayed_at_ms: int | None


@dataclass(slots=True, frozen=True)
class Listing:
    """The last parked first; `total` counts those that are not shown too."""

    topic: str
    letters: list[Headline]
    total: int
    notes: list[str]


async def list_letters(settings: Settings, reader: DeadLetterReader, choice: Choice, limit: int) -> Listing:
    """What is parked. Raises UnavailableError, RefusedError."""
    index = await read_index(reader, choice)
    newest = sorted(index.found.values(), key=lambda found: (-found.parked_at_ms, found.origin))[:limit]
    notes = [f"{index.foreign} messages of the topic were not written by a bridge of this version"] if index.foreign else []
    letters = [_headline(settings, found) for found in newest]
    return Listing(settings.dead_letter_topic, letters, len(index.found), notes)


def _headline(settings: Settings, found: Found) -> Headline:
    (topic, number), offset, timestamp_ms = found.origin
    route = route_of(settings, topic)
    where = (found.origin.id, topic, number, offset, timestamp_ms)
    what = (route.topic if route else None, found.reason, found.size)
    return Headline(*where, *what, found.parked_at_ms, found.copies, found.replayed_at_ms)


@dataclass(slots=True, frozen=True)
class Letter:
    """One parked record, whole."""

    headline: Headline
    letter: DeadLetter
    bridge: str


async def show_letters(settings: Settings, reader: DeadLetterReader, partition: Partition, offset: int) -> list[Letter]:
    """The record of this place; several where its topic was created anew. Raises UnavailableError, RefusedError."""
    index = Index(Choice(frozenset([(partition, offset)])))
    whole: dict[Origin, Parked] = {}
    async for entries in reader.entries():
        index.take(entries)
        whole |= {one.origin: one for one in _parked_in(entries) if one.origin in index.found}
    return [Letter(_headline(settings, index.found[origin]), one.letter, one.bridge) for origin, one in whole.items()]


def _parked_in(entries: Sequence[StoredEntry]) -> list[Parked]:
    return [stored.entry for stored in entries if isinstance(stored.entry, Parked)]
