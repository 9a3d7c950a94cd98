"""`bridge translate`: which Kafka offset is which Kinesis record, both ways, from the ledger alone.

Exact, or the nearest following record with the reason why, or no answer: nothing is interpolated. A later look may turn "not yet"
into an answer, but never one answer into another, except where a note says so.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from bridge.app.ledger_reading import OnProgress, ignored, open_ledger
from bridge.app.routing import route_of
from bridge.app.settings import Settings, stream_name
from bridge.core.delivery.commit_metadata import CommitPoint, decode
from bridge.core.proof.ledger_entries import StreamShard
from bridge.core.proof.ledger_index import Entry, Origin, Place
from bridge.core.proof.noted_entries import slot_of_shard
from bridge.core.proof.translation import NumberSearch, OffsetSearch
from bridge.core.records import Partition
from bridge.ports import GroupDirectory, Ledger

NAMED_MAX = 5
"""Partitions that a note names."""


class Finding(StrEnum):
    """What the ledger says."""

    EXACT = "exact"
    FOLLOWING = "following"
    """There is no record at the position; the nearest following one is told."""
    NOT_YET = "not_yet"
    """It, or what follows it, is not carried yet, or its fate is not known yet."""
    OLDER = "older_than_ledger"
    """It lies before everything that the ledger still has."""
    NOTHING_FOLLOWS = "nothing_follows"
    """There is no record at the position, and none behind it in the shard."""
    NOT_OURS = "not_ours"
    """The bridge does not carry this topic."""


@dataclass(slots=True, frozen=True)
class KafkaPosition:
    """A Kafka record."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}@{self.offset}"


@dataclass(slots=True, frozen=True)
class KinesisPosition:
    """A Kinesis record, or one within it; the sequence number is decimal text, as Kinesis's API has it."""

    stream_name: str
    shard_id: str
    sequence_number: str
    sub_sequence_number: int

    def __str__(self) -> str:
        return f"{self.stream_name} {self.shard_id} {self.sequence_number} sub-sequence number {self.sub_sequence_number}"


@dataclass(slots=True, frozen=True)
class Answer:
    """`kafka` and `kinesis` are one record: the one that was asked for where `exact`, else the nearest following one, or none.

    `why` is a sentence, empty where `exact`. `duplicates` are further Kinesis records that hold the same Kafka record.
    """

    asked: KafkaPosition | KinesisPosition
    finding: Finding
    exact: bool
    why: str = ""
    kafka: KafkaPosition | None = None
    kinesis: KinesisPosition | None = None
    duplicates: list[KinesisPosition] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def found(self) -> bool:
        return self.kafka is not None


# -- from Kafka to Kinesis


async def translate_offset(
    settings: Settings,
    ledger: Ledger,
    kafka: GroupDirectory,
    asked: KafkaPosition,
    on_progress: OnProgress = ignored,
) -> Answer:
    """Where this Kafka record is in Kinesis. Raises UnavailableError, RefusedError."""
    partition = Partition(asked.topic, asked.partition)
    # Before the ledger's ends: what is committed is in the ledger.
    point = (await kafka.committed(settings.kafka.group, [partition])).get(partition)
    if point is None and route_of(settings, asked.topic) is None:
        return Answer(asked, Finding.NOT_OURS, exact=False, why=f"no route carries topic {asked.topic}")
    end = (await kafka.end_offsets([partition])).get(partition)
    reader = await open_ledger(settings, ledger, kafka, on_progress)
    search = OffsetSearch(Origin(partition, asked.offset))
    await reader.read(dict.fromkeys(reader.ends, 0), asked.topic, search.add)
    if search.places:
        place, *others = _in_order(search.places)
        found = (asked, _kinesis(place), list(map(_kinesis, others)))
        return Answer(asked, Finding.EXACT, True, "", *found)
    committed = 0 if point is None else point.offset
    if search.is_unsettled and search.ended_as is None:
        return Answer(asked, Finding.NOT_YET, exact=False, why="in doubt: whether Kinesis has stored it is not known yet")
    if search.ended_as is None and asked.offset >= committed:
        return Answer(asked, Finding.NOT_YET, exact=False, why=_not_carried(settings, point, end, asked.offset))
    if search.lowest is None or asked.offset < search.lowest:
        return Answer(asked, Finding.OLDER, exact=False, why=_older(f"partition {partition}", "offset", search.lowest))
    return _following_offset(asked, search, committed, reader.lost)


def _not_carried(settings: Settings, point: CommitPoint | None, end: int | None, offset: int) -> str:
    if end is None:
        return "not carried yet: Kafka has no such partition"
    if offset >= end:
        return f"not carried yet: it is not in Kafka yet either, whose end offset there is {end}"
    if point is None:
        return f"not carried yet: group {settings.kafka.group} has no committed offset there"
    metadata = decode(point.metadata)
    halt = f"; the partition has halted at offset {metadata.halted_at}: {metadata.halted}" if metadata.halted else ""
    unread = f"; what stands beside the committed offset: {metadata.unreadable}" if metadata.unreadable else ""
    return f"not carried yet: the committed offset is {point.offset}, the end offset {end}{halt}{unread}"


def _following_offset(asked: KafkaPosition, search: OffsetSearch, committed: int, lost: bool) -> Answer:
    """Below the committed offset nothing is outstanding; above it one that is not carried yet may come in between."""
    why = search.ended_as or (
        "no record: the ledger has no entry for it, because Kafka has no record there, or the group's offset was set past it"
        + (", or retention has removed the entry, with which the record has left the stream" if lost else "")
    )
    following = search.next_offset
    if following is None or following > max(committed, asked.offset + 1):
        why = f"{why}; what follows it is not carried yet: the committed offset is {committed}"
        return Answer(asked, Finding.NOT_YET, exact=False, why=why)
    place, *others = _in_order(search.next_places)
    kafka = KafkaPosition(asked.topic, asked.partition, following)
    return Answer(asked, Finding.FOLLOWING, False, why, kafka, _kinesis(place), list(map(_kinesis, others)))


def _in_order(places: Collection[Place]) -> list[Place]:
    """Of two records for one offset the one with the lower number counts."""
    return sorted(places, key=lambda place: (place.sequence_number, place))


def _kinesis(place: Place) -> KinesisPosition:
    return KinesisPosition(place.shard.stream, place.shard.shard_id, str(place.sequence_number), place.sub_sequence_number)


def _older(of_what: str, word: str, lowest: int | None) -> str:
    if lowest is None:
        return f"the ledger has nothing of {of_what}: removed by its retention, or never written"
    return f"older than everything that the ledger still has of {of_what}: that begins with {word} {lowest}"


# -- from Kinesis to Kafka


async def translate_sequence_number(
    settings: Settings,
    ledger: Ledger,
    kafka: GroupDirectory,
    asked: KinesisPosition,
    on_progress: OnProgress = ignored,
) -> Answer:
    """Which Kafka record this Kinesis record holds. Raises UnavailableError, RefusedError."""
    partitions = await kafka.partitions_of(lambda topic: route_of(settings, topic) is not None)
    streams = {partition: _stream_of(settings, partition) for partition in partitions}
    stream = _meant(asked.stream_name, set(streams.values()))
    reader = await open_ledger(settings, ledger, kafka, on_progress)
    shard = StreamShard(stream, asked.shard_id)
    slot = slot_of_shard(shard, len(reader.ends))
    search = NumberSearch(shard, int(asked.sequence_number))
    await reader.read({slot: 0}, stream, search.add)
    notes = []
    if search.entry is None:
        # What a partition's owner has stored is in the ledger before it says `clean`.
        opened = await _open(settings, kafka, [partition for partition, feeds in streams.items() if feeds == stream])
        read_to, reader.ends = reader.ends[slot], await ledger.ends()
        await reader.read({slot: read_to}, stream, search.add)
        notes += _open_note(opened) if search.entry is None else []
    return _of_number(asked, search, notes)


def _of_number(asked: KinesisPosition, search: NumberSearch, notes: list[str]) -> Answer:
    shard = f"shard {asked.shard_id} of stream {asked.stream_name}"
    entry = search.entry
    if entry is None:
        if search.others:
            why = f"in doubt: a recovery takes it for {_names(search.others)}, and has not confirmed that yet"
            return Answer(asked, Finding.NOT_YET, exact=False, why=why)
        if search.lowest is None or int(asked.sequence_number) < search.lowest:
            return Answer(asked, Finding.OLDER, exact=False, why=_older(shard, "sequence number", search.lowest), notes=notes)
        why = (
            "not the bridge's: the ledger has no entry for this record"
            " (it has none for a dead letter that was replayed, nor for a duplicate after a lost answer)"
        )
    else:
        if search.others:
            notes = [*notes, f"entries of the ledger give this record also to {_names(search.others)}: the first counts"]
        if asked.sub_sequence_number < len(entry.offsets):
            kafka, kinesis = _pair(entry, asked.sub_sequence_number)
            if len(entry.offsets) > 1:
                notes = [*notes, f"the Kinesis record holds {len(entry.offsets)} records"]
            return Answer(asked, Finding.EXACT, True, "", kafka, kinesis, notes=notes)
        why = f"the Kinesis record holds {len(entry.offsets)} record{'s' if len(entry.offsets) > 1 else ''} only"
    if search.next_entry is None:
        why = f"{why}; the ledger has none behind it in {shard}: the next may not be carried yet, or be in a child shard"
        return Answer(asked, Finding.NOTHING_FOLLOWS, exact=False, why=why, notes=notes)
    return Answer(asked, Finding.FOLLOWING, False, why, *_pair(search.next_entry, 0), notes=notes)


def _pair(entry: Entry, row: int) -> tuple[KafkaPosition, KinesisPosition]:
    kafka = KafkaPosition(entry.partition.topic, entry.partition.number, entry.offsets[row])
    return kafka, _kinesis(Place(entry.shard, entry.sequence_number, row))


def _stream_of(settings: Settings, partition: Partition) -> str:
    route = route_of(settings, partition.topic)
    return route.stream_for(partition.topic) if route else ""


def _meant(name: str, streams: Collection[str]) -> str:
    """The stream as the routes name it, and so the ledger: by its name or its ARN."""
    alike = [stream for stream in streams if stream_name(stream) == stream_name(name)]
    return name if name in streams or len(alike) != 1 else alike[0]


async def _open(settings: Settings, kafka: GroupDirectory, partitions: Sequence[Partition]) -> list[Partition]:
    """Those that may have attempts under way; what has no committed offset was never read."""
    points = await kafka.committed(settings.kafka.group, partitions)
    told = {partition: decode(point.metadata).ownership for partition, point in points.items()}
    return sorted(partition for partition, ownership in told.items() if ownership is None or ownership.is_open)


def _open_note(opened: Sequence[Partition]) -> list[str]:
    if not opened:
        return []
    more = f" and {len(opened) - NAMED_MAX} more" if len(opened) > NAMED_MAX else ""
    names = ", ".join(map(str, opened[:NAMED_MAX])) + more
    return [f"open: {names}: what was stored in the last seconds, or is in doubt, may not be in the ledger yet"]


def _names(origins: Collection[Origin]) -> str:
    return ", ".join(f"{partition}@{offset}" for partition, offset in sorted(origins)[:NAMED_MAX])
