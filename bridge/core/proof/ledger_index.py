"""What of the ledger is still needed, in memory.

For each partition that is followed, the entries at or above a floor. For the streams that are read back, which records are
claimed, and which attempts are in doubt, of all partitions. Messages have to be added in the order of their slot; what is said of
one record, and what is resolved without one or in doubt of one partition, has to be in one slot.
"""

from collections.abc import Collection, Iterable, Sequence
from itertools import product, repeat
from typing import NamedTuple

from bridge.core.errors import BridgeError
from bridge.core.proof.ledger_entries import Doubts, Group, Resolved, ResolvedAs, Stored, StreamShard, records_of
from bridge.core.records import Partition

ENTRY_BYTES = 550
"""About what a row takes in memory: tuples, numbers and entries of tables (measured: 480 to 540)."""


class LedgerIndexFullError(BridgeError):
    """More of the ledger would be needed at once than may be kept."""


class Place(NamedTuple):
    """Where a Kafka record is in a stream."""

    shard: StreamShard
    sequence_number: int
    sub_sequence_number: int


class Origin(NamedTuple):
    """A Kafka record."""

    partition: Partition
    offset: int


class Entry(NamedTuple):
    """A Kinesis record and the Kafka records in it."""

    shard: StreamShard
    sequence_number: int
    partition: Partition
    offsets: tuple[int, ...]
    is_claim: bool


class Doubt(NamedTuple):
    """A row of `Doubts`, by its first offset."""

    origin: Origin
    key_hash: int
    digest: int
    not_before_ms: int
    until_ms: int
    is_ordered: bool


class LedgerIndex:
    """See the module. `rows_max` bounds entries and doubts together."""

    def __init__(self, rows_max: int) -> None:
        self._rows_max = rows_max
        self._floors: dict[Partition, int] = {}
        self._entries: dict[Partition, dict[int, Entry]] = {}
        self._resolved: dict[Partition, dict[int, ResolvedAs]] = {}
        self._watched: dict[str, frozenset[int] | None] = {}
        self._watched_keys: dict[str, frozenset[int] | None] = {}
        self._claims: dict[StreamShard, dict[int, Entry]] = {}
        self._doubts: dict[str, dict[Origin, Doubt]] = {}
        self._facts: dict[str, dict[Origin, tuple[StreamShard, int]]] = {}  # with the record that the first one names
        self._rows = 0
        self.disputes = 0
        """Facts that named a record which an entry before them gives to another row: they do not count."""

    def __len__(self) -> int:
        """Rows of entries, and doubts."""
        return self._rows

    # -- what is kept

    def follow(self, partition: Partition, floor: int) -> None:
        """Keep this partition's entries at or above the floor (an offset), of what is added from now on."""
        self._floors[partition] = floor
        self._entries.setdefault(partition, {})
        self._resolved.setdefault(partition, {})

    def raise_floor(self, partition: Partition, floor: int) -> None:
        """Of this partition nothing below is needed any more, in doubt or not."""
        if partition in self._floors:
            self._floors[partition] = max(floor, self._floors[partition])
            for table in (self._entries[partition], self._resolved[partition]):
                for offset in [offset for offset in table if offset < floor]:
                    del table[offset]
                    self._rows -= 1
        for doubts in self._doubts.values():
            for origin in [origin for origin in doubts if origin.partition == partition and origin.offset < floor]:
                del doubts[origin]
                self._rows -= 1

    def unfollow(self, partition: Partition) -> None:
        """Nothing of this partition is needed any more, but who claimed what."""
        if self._floors.pop(partition, None) is not None:
            self._rows -= len(self._entries.pop(partition)) + len(self._resolved.pop(partition))

    def watch(self, stream: str, digests: Collection[int] | None = None, key_hashes: Collection[int] | None = None) -> None:
        """Keep, of what is added from now on, who claims this stream's records with these digests, and what is in doubt with
        these hashes of partition keys; None: all. A stream that is read back for rows without marks."""
        self._watched[stream] = None if digests is None else frozenset(digests)
        self._watched_keys[stream] = None if key_hashes is None else frozenset(key_hashes)

    def unwatch(self, stream: str) -> None:
        """The opposite of `watch`."""
        self._watched.pop(stream, None)
        self._watched_keys.pop(stream, None)
        self._facts.pop(stream, None)
        self._rows -= len(self._doubts.pop(stream, ()))
        for shard in [shard for shard in self._claims if shard.stream == stream]:
            self._rows -= len(self._claims.pop(shard))

    # -- what is read

    def add(self, groups: Iterable[Group]) -> None:
        """The groups of one message.

        Raises:
            LedgerIndexFullError: there are more rows than `rows_max`. Some of them were added.
        """
        for group in groups:
            match group:
                case Stored():
                    self._add_stored(group)
                case Resolved():
                    for stream, offset in product(self._doubts, group.offsets):
                        self._settle(stream, Origin(group.partition, offset))
                    floor = self._floors.get(group.partition)
                    if floor is not None and group.resolved_as != ResolvedAs.NOT_WRITTEN:
                        self._keep(self._resolved[group.partition], group.offsets, repeat(group.resolved_as), floor)
                case Doubts():
                    self._add_doubts(group)
            if self._rows > self._rows_max:
                raise LedgerIndexFullError(
                    f"more than {self._rows_max} rows of the ledger are needed at once: a partition stands still, or a recovery "
                    "has to look far back"
                )

    def _add_stored(self, group: Stored) -> None:
        floor = self._floors.get(group.partition)
        watched = self._watched.get(group.shard.stream, frozenset())
        if floor is None and watched is not None and watched.isdisjoint(group.digests):
            if not group.is_claim and self._doubts.get(group.shard.stream):
                for offsets in records_of(group.offsets, group.counts):
                    self._settle(group.shard.stream, Origin(group.partition, offsets[0]))
            return
        rows = zip(group.sequence_numbers, group.digests, records_of(group.offsets, group.counts), strict=True)
        for number, digest, offsets in rows:
            entry = Entry(group.shard, number, group.partition, offsets, group.is_claim)
            if (watched is None or digest in watched) and not self._claim(entry):
                self.disputes += not group.is_claim
            elif not group.is_claim:
                self._settle(group.shard.stream, origin := Origin(group.partition, offsets[0]))
                if watched is None or digest in watched:
                    self._facts.setdefault(group.shard.stream, {}).setdefault(origin, (group.shard, number))
                if floor is not None:
                    self._acknowledge(entry, floor)

    def _claim(self, entry: Entry) -> bool:
        """Whether the record belongs to this entry: no other row claimed it before."""
        claims = self._claims.setdefault(entry.shard, {})
        first = claims.get(entry.sequence_number)
        if first is None:
            self._rows += 1
        elif (first.partition, first.offsets) != (entry.partition, entry.offsets):
            return False
        if first is None or first.is_claim:
            claims[entry.sequence_number] = entry
        return True

    def _acknowledge(self, entry: Entry, floor: int) -> None:
        """Of two records for one offset the one with the lower number counts: readers see it first, as both are in one shard, or
        in it and a descendant."""
        entries = self._entries[entry.partition]
        for offset in entry.offsets:
            if offset < floor:
                continue
            before = entries.get(offset)
            if before is None:
                self._rows += 1
            if before is None or entry.sequence_number < before.sequence_number:
                entries[offset] = entry

    def _keep(self, table: dict[int, ResolvedAs], offsets: Sequence[int], values: Iterable[ResolvedAs], floor: int) -> None:
        before = len(table)
        table.update((offset, value) for offset, value in zip(offsets, values, strict=False) if offset >= floor)
        self._rows += len(table) - before

    def _add_doubts(self, group: Doubts) -> None:
        watched = self._watched_keys.get(group.stream, frozenset())
        rows = zip(
            records_of(group.offsets, group.counts),
            group.key_hashes,
            group.digests,
            group.not_before_ms,
            group.until_ms,
            strict=True,
        )
        for offsets, key_hash, digest, not_before_ms, until_ms in rows:
            origin = Origin(group.partition, offsets[0])
            if (watched is not None and key_hash not in watched) or origin in self._facts.get(group.stream, ()):
                continue
            doubts = self._doubts.setdefault(group.stream, {})
            self._rows += origin not in doubts
            doubts[origin] = Doubt(origin, key_hash, digest, not_before_ms, until_ms, group.is_ordered)

    def _settle(self, stream: str, origin: Origin) -> None:
        if self._doubts.get(stream, {}).pop(origin, None) is not None:
            self._rows -= 1

    # -- what is asked

    def offsets_of(self, partition: Partition) -> list[int]:
        """Offsets of a followed partition that are resolved, ascending."""
        return sorted({*self._entries.get(partition, ()), *self._resolved.get(partition, ())})

    def place_of(self, origin: Origin) -> Place | None:
        """Where a record of a followed partition is."""
        entry = self._entries.get(origin.partition, {}).get(origin.offset)
        return None if entry is None else Place(entry.shard, entry.sequence_number, entry.offsets.index(origin.offset))

    def resolved_as(self, origin: Origin) -> ResolvedAs | None:
        """How a record of a followed partition was resolved without a Kinesis record."""
        return self._resolved.get(origin.partition, {}).get(origin.offset)

    def claimed_by(self, shard: StreamShard, sequence_number: int) -> Entry | None:
        """The first entry for a record of a watched stream."""
        return self._claims.get(shard, {}).get(sequence_number)

    def is_second(self, entry: Entry) -> bool:
        """Whether a fact before it gives its row another record: then one of the two may be that of a row that is alike."""
        first = self._facts.get(entry.shard.stream, {}).get(Origin(entry.partition, entry.offsets[0]))
        return first is not None and first != (entry.shard, entry.sequence_number)

    def origin_of(self, place: Place) -> Origin | None:
        """Which Kafka record a place of a watched stream holds."""
        entry = self.claimed_by(place.shard, place.sequence_number)
        if entry is None or entry.is_claim or not 0 <= place.sub_sequence_number < len(entry.offsets):
            return None
        return Origin(entry.partition, entry.offsets[place.sub_sequence_number])

    def doubts_of(self, stream: str) -> list[Doubt]:
        """Attempts of a watched stream whose outcome is not known, in the order in which they were first said."""
        return list(self._doubts.get(stream, {}).values())
