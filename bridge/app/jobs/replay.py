"""`bridge dlq replay`: dead letters go through the line once more; those that Kinesis confirmed are marked in their topic.

A mark is written after the records of its chunk were confirmed. A crash between the two leaves them without one: the next replay
carries them again.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from bridge.app.jobs.dead_letters import Choice, Found, read_index
from bridge.app.routing import route_of
from bridge.app.settings import Settings
from bridge.core.delivery.commit_metadata import decode
from bridge.core.delivery.dead_letters import Origin, Parked, origin_of
from bridge.core.errors import RefusedError
from bridge.core.records import DeadLetter
from bridge.ports import DeadLetterReader, GroupDirectory, ReplayMarks

CHUNK_LETTERS = 500
CHUNK_BYTES = 16 * 1024 * 1024
"""Of what is in memory at a time, unless a single letter is larger."""


class Fate(StrEnum):
    """What became of a dead letter."""

    CARRIED = "carried"
    STILL_DEAD = "still_dead"
    """It cannot be carried, for the reason that is told; it stays where it is."""
    FAILED = "failed"
    """Kinesis or Kafka did not do it now; it stays where it is."""
    NOT_FOUND = "not_found"
    ALREADY_REPLAYED = "already_replayed"
    WOULD_REPLAY = "would_replay"


@dataclass(slots=True, frozen=True)
class Carried:
    """What the line says of one letter."""

    fate: Fate
    reason: str = ""
    detail: str = ""


Carry = Callable[[Sequence[DeadLetter]], Awaitable[Sequence[Carried]]]
"""Sends letters, in the order given within each of their partitions; one answer for each, in their order."""


OnProgress = Callable[[int, int], None]
"""How many letters are done, and of how many."""


@dataclass(slots=True, frozen=True)
class Replaying:
    """How a replay is to be done. `again`: also what was replayed before."""

    choice: Choice
    dry_run: bool = False
    again: bool = False


@dataclass(slots=True, frozen=True)
class Line:
    """One line of the report."""

    id: str
    fate: Fate
    reason: str = ""
    detail: str = ""

    @property
    def done(self) -> bool:
        return self.fate in (Fate.CARRIED, Fate.ALREADY_REPLAYED, Fate.WOULD_REPLAY)


async def replay(
    reader: DeadLetterReader,
    marks: ReplayMarks,
    carry: Carry,
    how: Replaying,
    on_progress: OnProgress = lambda done, all_of_them: None,
) -> list[Line]:
    """In the order of partitions and offsets. Raises UnavailableError, RefusedError."""
    index = await read_index(reader, how.choice)
    every = sorted(index.found.values(), key=lambda found: found.origin)
    to_do = [found for found in every if how.again or found.replayed_at_ms is None]
    report = [*_missing(how.choice, every), *_named_again(how, every)]
    if how.dry_run:
        return report + [Line(found.origin.id, Fate.WOULD_REPLAY, found.reason) for found in to_do]
    done = 0
    for chunk in _chunks(to_do):
        report += await _replay_chunk(reader, marks, carry, chunk)
        done += len(chunk)
        on_progress(done, len(to_do))
    return report


def _missing(choice: Choice, every: Sequence[Found]) -> list[Line]:
    there = {(found.origin.partition, found.origin.offset) for found in every}
    missing = sorted(choice.ids - there)
    return [Line(Origin(partition, offset, 0).id, Fate.NOT_FOUND) for partition, offset in missing]


def _named_again(how: Replaying, every: Sequence[Found]) -> list[Line]:
    """Those that were asked for by name and were replayed before."""
    if how.again or not how.choice.ids:
        return []
    return [Line(found.origin.id, Fate.ALREADY_REPLAYED, found.reason) for found in every if found.replayed_at_ms]


def _chunks(every: Sequence[Found]) -> Iterator[list[Found]]:
    chunk: list[Found] = []
    size = 0
    for found in every:
        if chunk and (len(chunk) >= CHUNK_LETTERS or size + found.size > CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(found)
        size += found.size
    if chunk:
        yield chunk


async def slices_of(settings: Settings, kafka: GroupDirectory) -> dict[str, int]:
    """N of each topic that is carried: what its commits say, else its number of partitions.

    Raises UnavailableError, RefusedError.
    """
    partitions = await kafka.partitions_of(lambda topic: route_of(settings, topic) is not None)
    committed = await kafka.committed(settings.kafka.group, partitions)
    beside = {partition: decode(point.metadata) for partition, point in committed.items()}
    for partition, metadata in beside.items():
        if metadata.unreadable is not None:  # N may be in it: a record with another one may go to another shard
            raise RefusedError(f"{partition}: what stands beside its committed offset: {metadata.unreadable}")
    told = [(partition.topic, metadata.slices) for partition, metadata in beside.items()]
    known = sorted(((topic, n) for topic, n in told if n is not None), reverse=True)
    return {**Counter(partition.topic for partition in partitions), **dict(known)}  # of several the smallest


async def _replay_chunk(reader: DeadLetterReader, marks: ReplayMarks, carry: Carry, chunk: Sequence[Found]) -> list[Line]:
    letters: dict[Origin, DeadLetter] = {}
    async for entries in reader.at([found.place for found in chunk]):
        letters |= {stored.entry.origin: stored.entry.letter for stored in entries if isinstance(stored.entry, Parked)}
    there = [letters[found.origin] for found in chunk if found.origin in letters]
    answers = dict(zip(map(origin_of, there), await carry(there), strict=True)) if there else {}
    carried = [origin for origin, answer in answers.items() if answer.fate is Fate.CARRIED]
    if carried:
        await marks.mark_replayed(carried)
    report = []
    for found in chunk:
        answer = answers.get(found.origin, Carried(Fate.NOT_FOUND))
        report.append(Line(found.origin.id, answer.fate, answer.reason or found.reason, answer.detail))
    return report
